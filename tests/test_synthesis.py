"""From a text to a stream of sound: pieces of a text, settings, voices, and a stream that is the whole."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils import features, text
from course_utils.models.tts_speech import TextToSpeech
from course_utils.synthesis import sentences as pieces
from course_utils.synthesis.plan import TURN
from course_utils.synthesis.sentences import blocks, sentences
from course_utils.synthesis.vocoder_stream import VocoderStream
from tests.small_speaker import SMALL, speaker

pytestmark = pytest.mark.usefixtures("one_thread")

SENTENCE = "The boy was there when the sun rose, and nobody had told him why."


@pytest.fixture(scope="module")
def model():
    return speaker()


# --- pieces of a text ------------------------------------------------------------------------------------


def test_a_text_is_said_sentence_by_sentence_in_its_order():
    said = list(sentences("Dr. Smith paid $3. Who knew? Nobody; at 5 p.m. it was over!"))
    assert said[0] == "doctor smith paid three dollars." and said[1].strip() == "who knew?"
    assert " ".join(" ".join(said).split()) == text.normalise(
        "Dr. Smith paid $3. Who knew? Nobody; at 5 p.m. it was over!"
    )


def test_pieces_are_made_when_they_are_asked_for(monkeypatch):
    seen = []
    normalise = text.normalise
    monkeypatch.setattr(text, "normalise", lambda written: seen.append(written) or normalise(written))
    said = sentences("The first sentence finished. " * 3 + "Another paragraph.\n\n" * 2000)
    assert len(seen) == 1 and len(seen[0]) < 100
    next(said), next(said)
    assert len(seen) == 2


@given(st.text(alphabet="ab .,!?\n\"'X1", max_size=3000))
@settings(max_examples=50, deadline=None)
def test_blocks_joined_are_the_text_and_none_is_long(written):
    cut = list(blocks(written))
    assert "".join(cut) == written and all(0 < len(block) <= 2 * pieces.BLOCK for block in cut)


def test_a_block_ends_where_a_sentence_does_and_not_behind_an_abbreviation():
    assert list(
        blocks("It was evening. She left. Dr. Smith and Prof. Jones saw the U.S. Navy. (Truly.)")
    ) == [
        "It was evening. ",
        "She left. Dr. Smith and Prof. Jones saw the U.S. Navy. (Truly.)",
    ]
    assert list(blocks("no end\n\n \nnew one")) == ["no end\n\n \n", "new one"]


def test_a_text_read_in_blocks_is_the_text_read_at_once():
    written = (
        'He paid $3.50 on 3/4/2026. "It works," she said. Was that all? The U.S. team won 3-2 in St. Louis, '
        "however improbable. Chapter IV begins at 14:05; see Fig. 2 for the temperature (21 °C). Then silence."
    )
    assert len(list(blocks(written))) == 3
    assert " ".join(sentences(written)).split() == text.normalise(written).split()


def test_three_hundred_words_without_a_mark_are_cut_into_what_is_said_in_one_breath():
    said = list(sentences("and so on " * 100))
    assert [len(piece.split()) for piece in said] == [40] * 7 + [20]
    assert " ".join(said).split() == ["and", "so", "on"] * 100


def test_a_word_longer_than_any_word_is_cut():
    said = list(sentences("a" * 5000))
    assert sum(len(piece.replace(" ", "")) for piece in said) == 5000
    assert max(len(word) for piece in said for word in piece.split()) == pieces.LETTERS


@pytest.mark.parametrize(
    "written", ["", " \n\t", "...", "?!", "'''", "你好！", "🙂🙂", "\0\x07\u202e", "\ud800", "-", "( ) [ ]"]
)
def test_a_text_with_nothing_to_say_is_refused_at_once(model, written):
    with pytest.raises(ValueError, match=r"nothing to say in .*: expected words"):
        sentences(written)
    with pytest.raises(ValueError, match="nothing to say"):
        model.stream(written)  # not only when the first piece is asked for


@pytest.mark.parametrize("written", [None, 5, b"bytes", ["Hello.", None], [b"Hello."]])
def test_what_is_no_text_is_refused(model, written):
    with pytest.raises(TypeError, match=r"expected a text \(str\), got"):
        model.say(written)


@pytest.mark.parametrize(
    "written",
    [
        "<script>alert('x')</script>",
        "'; DROP TABLE voices; --",
        "../../etc/passwd %s %n {0} ${HOME}",
        "naïve café, 你好 and привет!",
        "bcdfg xkcd zzz",
        "Ünïcödé \u202etxet\u202c a\u0301\u0301\u0301\u0301",
        "a.b.c.d.e.f",
        "9" * 400,
        "\x00hello\x00",
        "http://x.y/?q=1&r=2#z user@example.com",
    ],
)
def test_hostile_mixed_and_unpronounceable_texts_become_some_sensible_speech(model, written):
    waveform = model.say(written)
    assert len(waveform) > 1600 and np.isfinite(waveform).all() and np.abs(waveform).max() < 50


def test_a_text_may_come_in_parts_that_are_taken_when_they_are_needed(model):
    taken = []

    def parts():
        for part in ("Hello there.", "", "...", "Who is it?"):
            taken.append(part)
            yield part

    stream = model.stream(parts())
    assert taken == ["Hello there."]
    assert np.array_equal(np.concatenate(list(stream)), model.say("Hello there. Who is it?"))
    with pytest.raises(ValueError, match="the parts of the text"):
        model.say(["", "!"])
    with pytest.raises(ValueError, match="the parts of the text"):
        model.say([])


def test_ten_thousand_words_are_begun_at_once_and_held_one_sentence_at_a_time(model, monkeypatch):
    written = "Once there was another sentence. " * 2000
    longest, plans = 0, []
    plan = model.plan
    monkeypatch.setattr(
        type(model), "plan", lambda self, sentence, *rest: plans.append(sentence) or plan(sentence, *rest)
    )
    for count, piece in enumerate(model.stream(written)):
        longest = max(longest, len(piece))
        if count == 20:
            break
    assert longest <= (model.LARGEST + 30) * 256
    assert len(plans) <= 21 and max(len(sentence.split()) for sentence in plans) <= pieces.LONGEST


# --- how it is said --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "how",
    [
        {"speed": 0}, {"speed": 5}, {"speed": float("nan")}, {"speed": "fast"}, {"speed": True}, {"speed": None},
        {"pitch": 25}, {"pitch": -float("inf")}, {"steps": 0}, {"steps": 2.5}, {"steps": 65}, {"steps": 4.0},
        {"guidance": -0.1}, {"guidance": 5.1}, {"speed": np.array([1.0, 1.0])}, {"speed": 1 + 0j},
    ],
)  # fmt: skip
def test_a_setting_out_of_its_range_is_named_with_its_range(model, how):
    (name,) = how
    low, high = pieces.LIMITS[name]
    with pytest.raises(ValueError, match=rf"^{name}: expected a .*number from {low:g} to {high:g}, got"):
        model.stream("Hello.", **how)


def test_numbers_of_numpy_are_numbers(model):
    how = {"speed": np.float32(2), "pitch": np.int64(3), "steps": np.int32(2), "guidance": np.float64(1)}
    assert pieces.settings(**how) == {"speed": 2.0, "pitch": 3.0, "steps": 2, "guidance": 1.0}
    assert np.array_equal(
        model.say("Hello.", **how), model.say("Hello.", speed=2, pitch=3, steps=2, guidance=1)
    )


def test_a_setting_that_does_not_exist_is_refused(model):
    with pytest.raises(TypeError, match="tempo"):
        model.say("Hello.", tempo=2)


@pytest.mark.parametrize("seed", [None, 1.5, "0", True, 2**70, -(2**64)])
def test_a_seed_is_a_whole_number(model, seed):
    with pytest.raises(ValueError, match="seed: expected a whole number"):
        model.stream("Hello.", seed=seed)


def test_the_same_seed_says_the_same_and_another_seed_something_else(model):
    first = model.say(SENTENCE, seed=1)
    torch.manual_seed(99)  # what others draw does not matter
    assert np.array_equal(first, model.say(SENTENCE, seed=np.int64(1)))
    other = model.say(SENTENCE, seed=-2)
    assert other.shape == first.shape and not np.allclose(other, first, atol=1e-3)


def test_faster_is_shorter_in_proportion_as_planned(model):
    frames = {
        speed: model.plan(SENTENCE, model.voice("f01"), speed).n_frames for speed in (0.25, 0.5, 1, 2, 4)
    }
    planned = (model.plan(SENTENCE, model.voice("f01"), 0.25).n_frames) * 0.25
    assert all(frames[a] > frames[b] for a, b in ((0.25, 0.5), (0.5, 1), (1, 2), (2, 4)))
    assert frames[0.5] == pytest.approx(planned * 2, abs=2) and frames[1] == pytest.approx(planned, abs=2)
    assert len(model.say(SENTENCE, speed=2)) == (frames[2] - 1) * features.HOP_LENGTH


def test_a_phone_lasts_a_frame_at_least_however_fast(model):
    plan = model.plan(SENTENCE, model.voice("f01"), 100.0)
    assert (plan.bounds[0].diff() == 1).all()


def test_pitch_shifts_the_plan_by_so_many_semitones_and_nothing_else(model):
    plain = model.plan(SENTENCE, model.voice("f01"))
    for semitones in (-24.0, -3.0, 0.5, 12.0):
        turned = model.plan(SENTENCE, model.voice("f01"), pitch=semitones)
        shift = (turned.prosody - plain.prosody) * model.pitch_scale[1]
        assert (
            torch.allclose(shift[..., 0], torch.tensor(TURN * semitones), atol=1e-4)
            and not shift[..., 1:].any()
        )
        assert torch.equal(turned.bounds, plain.bounds) and torch.equal(turned.hidden, plain.hidden)


def test_guidance_moves_the_sound_away_from_anybody_s_and_without_it_half_is_computed(model):
    voice = model.voice("f01")
    plan = model.plan(SENTENCE, voice, guided=True)
    noise = torch.randn(plan.n_frames, features.N_MELS, generator=torch.Generator().manual_seed(0))
    alone = model.decode(model.plan(SENTENCE, voice, guided=False), noise, guidance=0.0)
    moved = [np.abs(model.decode(plan, noise, guidance=g) - alone).mean() for g in (0.0, 0.5, 1.0, 2.0)]
    assert moved[0] < 1e-5 and moved == sorted(moved) and moved[1] > 1e-4
    assert len(plan.steer) == 2 and len(model.plan(SENTENCE, voice, guided=False).steer) == 1


def test_the_usual_strength_of_guidance_is_that_of_the_model(model):
    usual = model.say(SENTENCE, "f01")
    assert np.array_equal(usual, model.say(SENTENCE, "f01", guidance=model.GUIDANCE))
    assert not np.allclose(usual, model.say(SENTENCE, "f01", guidance=0.5), atol=1e-4)


# --- voices ----------------------------------------------------------------------------------------------


def test_a_mix_goes_from_one_voice_to_the_other(model):
    first, second = model.voice("f01"), model.voice("m02")
    shares = (0, 0.25, np.float32(0.5), 0.75, 1)
    path = [model.mix(first, 3 * second, share) for share in shares]
    assert np.allclose(path[0], first, atol=1e-6) and np.allclose(path[-1], second, atol=1e-6)
    nearness = [float(voice @ second) for voice in path]
    assert nearness == sorted(nearness) and len(set(nearness)) == 5
    assert all(np.linalg.norm(voice) == pytest.approx(1, abs=1e-5) for voice in path)
    assert path[2].dtype == np.float32
    assert np.array_equal(model.say("Hello.", spk_emb=path[0]), model.say("Hello.", "f01"))


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan"), "half", None, True])
def test_a_share_is_from_0_to_1(model, share):
    with pytest.raises(ValueError, match="share: expected a number from 0"):
        model.mix(model.voice("f01"), model.voice("m02"), share)


def test_between_opposite_voices_there_is_none(model):
    with pytest.raises(ValueError, match="opposite"):
        model.mix(model.voice("f01"), -model.voice("f01"), 0.5)


@pytest.mark.parametrize(
    "voice",
    [np.zeros(8), np.full(8, np.nan), np.ones(9), np.ones((1, 8)), "f01", [[1], [1, 2]], np.array(1.0)],
)
def test_numbers_that_are_no_voice_are_refused(model, voice):
    with pytest.raises(ValueError, match=r"spk_emb: expected \(8,\)"):
        model.say("Hello.", spk_emb=voice)


def test_a_voice_may_have_any_length_and_may_be_a_list(model):
    voice = model.voice("m02")
    assert np.allclose(
        model.say("Hello.", spk_emb=(5 * voice).tolist()), model.say("Hello.", "m02"), atol=1e-5
    )


def test_names_and_numbers_are_not_given_both_and_an_unknown_name_lists_the_known_ones(model):
    with pytest.raises(ValueError, match="not both"):
        model.say("Hello.", "f01", model.voice("f01"))
    for name in ("nobody", 3, ["f01"]):
        with pytest.raises(ValueError, match=r"no speaker .*; there are f01, m02, c03"):
            model.say("Hello.", name)
    assert np.array_equal(model.say("Hello."), model.say("Hello.", "f01")), "the first where none is named"


def test_a_voice_given_out_can_be_changed_without_changing_the_model(model):
    model.voice("f01")[:] = 0
    assert model.voice("f01").any()


def test_a_voice_is_heard_in_half_a_second_at_any_level(model):
    reference = (0.3 * np.random.default_rng(0).standard_normal(8000)).astype(np.float32)
    voice = model.embed(reference)
    assert voice.shape == (8,) and np.linalg.norm(voice) == pytest.approx(1, abs=1e-5)
    assert np.allclose(model.embed(0.01 * reference), voice, atol=1e-3)
    assert len(model.say("Hello.", spk_emb=voice)) > 1000


@pytest.mark.parametrize(
    ("reference", "sentence"),
    [
        (np.zeros(16000, np.float32), "silent"),
        (np.full(16000, 1e-6, np.float32), "silent"),
        (np.ones(7999, np.float32), "too short, at least 0.50 s"),
        (np.zeros(0, np.float32), "too short"),
        (np.full(16000, np.nan, np.float32), "not a finite number"),
        (np.ones((16000, 2), np.float32), "mono waveform"),
        (np.ones(16000, np.int16), "expected floats"),
        ("clip.wav", "the reference"),
    ],
)
def test_a_reference_that_is_no_voice_is_refused(model, reference, sentence):
    with pytest.raises(ValueError, match=sentence):
        model.embed(reference)


def test_a_model_without_a_vocoder_says_where_to_get_one():
    with pytest.raises(RuntimeError, match=r"no vocoder; checkpoints\.load"):
        TextToSpeech(SMALL, ("f01",)).say("Hello.", spk_emb=np.ones(8))


# --- a stream is the whole -------------------------------------------------------------------------------


@given(st.integers(1, 120), st.sampled_from([1, 4]), st.sampled_from([0.0, 0.5]))
@settings(max_examples=15, deadline=None)
def test_a_stream_is_what_is_said_at_once_for_any_chunk(chunk, steps, guidance):
    how = {"seed": chunk, "steps": steps, "guidance": guidance}
    whole, part = speaker(), speaker()
    whole.CHUNK, part.CHUNK, part.LARGEST = 10_000, chunk, 2 * chunk
    ours, theirs = part.say(SENTENCE, **how), whole.say(SENTENCE, **how)
    assert ours.shape == theirs.shape and np.abs(ours - theirs).max() < 1e-3 * np.abs(theirs).max()


def test_chunks_grow_so_that_the_first_comes_soon_and_the_others_cost_little():
    model = speaker()
    model.LARGEST = 100
    how = pieces.settings(speed=0.25)
    lengths = [
        len(mel) for mel in model.mels(SENTENCE, model.voice("f01"), torch.Generator().manual_seed(0), how)
    ]
    assert lengths[:4] == [32, 64, 100, 100] and max(lengths) == model.LARGEST
    assert sum(lengths) == model.plan(SENTENCE, model.voice("f01"), 0.25).n_frames


def test_the_first_piece_is_made_before_the_sentence_is_done(model, monkeypatch):
    decoded = []
    decode = type(model).decode
    monkeypatch.setattr(
        type(model), "decode", lambda self, plan, noise, first, end, *rest: decoded.append(end) or decode(self, plan, noise, first, end, *rest)
    )  # fmt: skip
    first = next(piece for piece in model.stream(SENTENCE, speed=0.5) if len(piece))
    assert len(first) > 0 and decoded == [model.CHUNK + model.context]


def test_a_stream_that_is_left_early_does_not_disturb_the_next(model):
    whole = model.say(SENTENCE)
    stream = model.stream(SENTENCE)
    next(stream)
    del stream
    assert np.array_equal(model.say(SENTENCE), whole)


@given(st.lists(st.integers(0, 30), max_size=8))
@settings(max_examples=20, deadline=None)
def test_the_vocoder_s_stream_is_the_vocoder_for_any_pieces(lengths):
    vocoder = speaker().vocoder
    log_mel = np.random.default_rng(0).normal(-3, 1, (sum(lengths), 80)).astype(np.float32)
    stream, cuts = vocoder.stream(), np.cumsum([0, *lengths])
    said = [stream.push(log_mel[a:b]) for a, b in pairwise(cuts)] + [stream.finish()]
    whole = vocoder(log_mel) if len(log_mel) > 1 else np.zeros(0, np.float32)
    assert np.concatenate(said).shape == whole.shape
    assert np.allclose(np.concatenate(said), whole, atol=1e-4)
    assert len(stream.kept) == 0, "it begins anew"


def test_the_vocoder_s_stream_keeps_as_much_as_it_needs_and_no_more():
    vocoder = speaker().vocoder
    stream = vocoder.stream()
    for _ in range(50):
        stream.push(np.full((7, 80), -3, np.float32))
    config = vocoder.config
    assert len(stream.kept) == config.look_back + config.look_ahead


@pytest.mark.parametrize(
    "log_mel", [np.zeros((5, 79)), np.zeros(80), np.full((5, 80), np.inf), np.zeros((1, 5, 80))]
)
def test_the_vocoder_s_stream_refuses_what_is_no_log_mel_and_goes_on(log_mel):
    stream = VocoderStream(speaker().vocoder)
    with pytest.raises(ValueError, match="log-mel"):
        stream.push(log_mel)
    assert len(stream.push(np.zeros((60, 80)))) > 0
