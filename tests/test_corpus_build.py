"""The build of the speech corpus, without its engine: who reads what, labels, mixtures, the recogniser's words."""

import itertools
import json

import numpy as np
import pytest
import soundfile as sf

from course_utils import data, text
from data.build import engine, listen, phrases, report, speech, voices

SPLITS = ("train", "valid", "test")


# --- phrases
def test_phrases_have_three_words_or_more_and_can_be_pronounced():
    for split in SPLITS:
        for phrase in itertools.islice(phrases.phrases(split), 300):
            assert len(engine.script(phrase).words) >= 3


def test_phrases_repeat_with_the_seed_and_change_with_it():
    first, again, other = (list(itertools.islice(phrases.phrases("test", s), 50)) for s in (0, 0, 1))
    assert first == again
    assert first != other


def test_no_phrase_is_in_two_splits():
    drawn = [{p.lower() for p in itertools.islice(phrases.phrases(s), 1500)} for s in SPLITS]
    assert all(len(group) == 1500 for group in drawn)
    assert not drawn[0] & drawn[1] and not drawn[0] & drawn[2] and not drawn[1] & drawn[2]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0, "zero"), (17, "seventeen"), (40, "forty"), (99, "ninety nine"), (101, "one hundred and one"),
        (342, "three hundred and forty two"), (1000, "one thousand"), (2006, "two thousand and six"),
        (9999, "nine thousand nine hundred and ninety nine"),
    ],
)  # fmt: skip
def test_numbers_are_read_as_british_english_reads_them(value, words):
    assert phrases.number(value) == words


def test_numbers_outside_the_range_are_refused():
    with pytest.raises(ValueError, match="0 to 9999"):
        phrases.number(10_000)


def test_an_unknown_split_is_refused():
    with pytest.raises(ValueError, match="train, valid or test"):
        next(phrases.phrases("dev"))


# --- voices
def test_no_parent_is_shared_between_splits():
    used = {s: {p for v in voices.load() if v.split == s for p in v.mix} for s in SPLITS}
    for a, b in itertools.combinations(SPLITS, 2):
        assert not used[a] & used[b]
    for split in SPLITS:
        assert all(voices.split_of_parent(parent) == split for parent in used[split])


def test_there_are_48_8_and_24_voices_half_of_each_sex_under_neutral_names():
    for split, count in (("train", 48), ("valid", 8), ("test", 24)):
        mine = [v for v in voices.load() if v.split == split]
        assert len(mine) == count
        assert sum(v.sex == "f" for v in mine) == count // 2
        assert all(v.name[0] == v.sex and v.name[1:].isdigit() for v in mine)
    assert len({v.name for v in voices.load()}) == 80


def test_every_voice_is_a_mixture_of_two_or_three_parents_of_its_sex():
    for voice in voices.load():
        assert 2 <= len(voice.mix) <= 3
        assert sum(voice.mix.values()) == pytest.approx(1, abs=1e-6)
        assert max(voice.mix.values()) <= 0.65
        assert all(parent[1] == voice.sex for parent in voice.mix)


def test_proposals_repeat_with_the_seed():
    assert voices.propose(["xa", "xb", "xc"], 20, 3) == voices.propose(["xa", "xb", "xc"], 20, 3)


def test_spread_avoids_near_duplicates():
    directions = np.eye(4)[[0, 0, 1, 1, 2, 3]] + 0.01 * np.eye(4)[[1, 2, 0, 3, 0, 0]]
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    picked = voices.spread(directions, 4)
    assert {tuple(np.round(directions[k])) for k in picked} == {tuple(row) for row in np.eye(4)}


def test_a_mixture_must_sum_to_one():
    with pytest.raises(ValueError, match="sum to one"):
        voices.blend({"af_sky": 0.5})


# --- who reads what
def test_sentences_and_phrases_of_the_splits_are_disjoint():
    split_of = {v.name: v.split for v in voices.load()}
    said = {s: set() for s in SPLITS}
    for name, items in speech.plan().items():
        said[split_of[name]] |= {item.text.lower() for item in items}
    assert not said["train"] & said["valid"] and not said["train"] & said["test"]
    assert not said["valid"] & said["test"]


def test_the_plan_grows_with_the_hours_and_names_every_line_once():
    small, large = speech.plan(2.5), speech.plan(10)
    assert sum(map(len, large.values())) == pytest.approx(4 * sum(map(len, small.values())), rel=0.02)
    ids = [item.id for items in large.values() for item in items]
    assert len(ids) == len(set(ids))
    assert small["f02"] == speech.plan(2.5)["f02"]


def test_spare_lines_belong_to_the_split_of_the_voice_and_are_new_to_it():
    plan = speech.plan()
    for voice in voices.load():
        spare = speech.spare_lines(voice, plan[voice.name])
        assert {i.text for i in spare} <= set(speech.sentences(voice.split))
        assert not {i.text for i in spare} & {i.text for i in plan[voice.name]}
        assert not {i.id for i in spare} & {i.id for i in plan[voice.name]}


def test_every_first_part_of_the_order_has_voices_of_all_splits():
    order = speech.order(speech.plan())
    assert sorted(order) == sorted(v.name for v in voices.load())
    split_of = {v.name: v.split for v in voices.load()}
    assert {split_of[name] for name in order[:10]} == set(SPLITS)


def test_conversion_pairs_stay_in_one_split_and_go_both_ways():
    for split in ("train", "test"):
        ways = speech.pairings(split)
        assert {(b, a) for a, b in ways} == set(ways)
        assert len({v for way in ways for v in way}) == 8
        assert all(next(v for v in voices.load() if v.name == n).split == split for way in ways for n in way)


def test_zero_hours_are_refused(tmp_path):
    with pytest.raises(ValueError, match="above zero"):
        speech.build(0, tmp_path)


# --- text to symbols and back to labels
def test_the_phones_are_those_of_the_course():
    for line in speech.sentences("valid")[:50]:
        phones = engine.script(line).phones
        merged = [p for k, p in enumerate(phones) if p != "sil" or phones[k - 1 : k] != ("sil",)]
        assert merged == text.phonemes(line)


def test_every_phone_has_symbols_and_a_wrong_one_is_refused():
    for phone in text.PHONES:
        if phone != "sil":
            assert engine.symbols(phone)
    assert engine.symbols("EY1") == "ˈA" and engine.symbols("AH0") == "ə"
    assert engine.symbols("AE1", stressed=False) == "æ"
    with pytest.raises(ValueError, match="ARPAbet"):
        engine.symbols("QQ")


def test_words_point_at_their_phones():
    script = engine.script("Put the cup down, please.")
    for word, first, last in script.words:
        assert script.phones[first:last] == engine.lexicon()[word]
    assert script.phones[0] == script.phones[-1] == "sil"


def test_an_unknown_word_and_an_empty_line_are_refused():
    with pytest.raises(ValueError, match="not a word of CMUdict"):
        engine.script("xyzzyq is here")
    with pytest.raises(ValueError, match="no word"):
        engine.script("...")


def sounding(pattern: str) -> np.ndarray:
    """Return audio with one unit of 25 ms per letter: `x` is sound, `.` is silence."""
    loud = np.sin(np.arange(engine.UNIT_SAMPLES) * 0.3).astype(np.float32)
    return np.concatenate([loud if c == "x" else 0 * loud for c in pattern])


def test_labels_move_by_the_lag_and_pauses_take_the_silent_units():
    script = engine.Script(
        ("sil", "AH0", "T", "sil", "OW1", "sil", "sil"), tuple("$at,o.$"), (("a", 1, 3), ("o", 4, 5))
    )
    #                   engine's units: 6 pad, 3 AH0, 8 T, 2 comma, 4 OW1, 3 full stop, 1 pad
    audio = sounding("....xxxxx......xxxxxx......")
    timing = engine.timing(script, np.array([6, 3, 8, 2, 4, 3, 1]), audio)
    assert timing.phones == ["sil", "AH0", "T", "sil", "OW1", "sil"]
    assert timing.durations == [4, 3, 2, 6, 6, 6]
    assert timing.words == [("a", 1, 3), ("o", 4, 5)]


def test_a_pause_that_is_not_heard_gets_no_label():
    script = engine.Script(("sil", "AH0", "sil", "OW1", "sil"), tuple("$a,o$"), (("a", 1, 2), ("o", 3, 4)))
    timing = engine.timing(script, np.array([6, 3, 2, 4, 5]), sounding("....xxxxxxxxx......."))
    assert timing.phones == ["sil", "AH0", "OW1", "sil"]
    assert sum(timing.durations) == 20 and min(timing.durations) >= 1
    assert timing.words == [("a", 1, 2), ("o", 2, 3)]


def test_trimming_keeps_labels_and_audio_together():
    timing = engine.Timing(["sil", "AH0", "sil"], [6, 5, 3], [("a", 1, 2)])
    audio = sounding("......xxxxx...")
    for lead, trail in ((4, 2), (8, 9)):
        cut, labels, start = speech.trim(audio, timing, lead, trail)
        assert labels.durations == [lead, 5, trail]
        assert len(cut) == sum(labels.durations) * engine.UNIT_SAMPLES
        assert start == 6 - lead
        assert np.abs(cut[lead * 400 : (lead + 5) * 400]).max() > 0.9
        assert not cut[: lead * 400].any() and not cut[(lead + 5) * 400 :].any()


# --- checks
def good() -> tuple[np.ndarray, engine.Timing]:
    rng = np.random.default_rng(0)
    timing = engine.Timing(["sil", *["AH0"] * 12, "sil"], [5, *[3] * 12, 7], [("a", 1, 13)])
    audio = 0.1 * rng.standard_normal(48 * 400).astype(np.float32)
    audio[: 5 * 400] = audio[-7 * 400 :] = 0
    return audio, timing


def test_a_good_utterance_has_no_faults():
    assert speech.faults(*good()) == []


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda a: np.where(np.arange(len(a)) == 9, np.nan, a), "not finite"),
        (lambda a: a[:-400], "differ in length"),
        (lambda a: np.clip(a, -0.1, 0.1), "clipped"),
        (lambda a: a * 1e-3, "too quiet"),
        (lambda a: np.where((np.arange(len(a)) > 8000) & (np.arange(len(a)) < 14000), 0, a), "no label"),
    ],
)
def test_a_spoiled_utterance_is_found(spoil, message):
    audio, timing = good()
    assert any(message in fault for fault in speech.faults(spoil(audio), timing))


def test_every_voice_gets_the_same_level_and_the_same_name_the_same_noise():
    audio, timing = good()
    take = speech.Take(speech.Item("f01_0001", "sentence", "a"), 3 * audio, timing, np.zeros(1), 0, 1.0)
    gain = speech.voice_gain([take])
    finished = speech.finish(take.waveform, gain, "f01_0001")
    middle = finished[5 * 400 : 41 * 400]
    assert 10 * np.log10((middle**2).mean()) == pytest.approx(speech.VOICE_LEVEL, abs=0.1)
    assert np.array_equal(finished, speech.finish(take.waveform, gain, "f01_0001"))
    assert 20 * np.log10(finished[:2000].std()) == pytest.approx(speech.ROOM_TONE, abs=1)


def test_the_same_audio_gives_the_same_bytes(tmp_path):
    sf.write(tmp_path / "a.flac", sounding("x" * 40) * 0.1, 16_000)
    speech.encode(tmp_path / "a.flac", tmp_path / "one" / "a.opus")
    speech.encode(tmp_path / "a.flac", tmp_path / "two" / "a.opus")
    assert (tmp_path / "one" / "a.opus").read_bytes() == (tmp_path / "two" / "a.opus").read_bytes()
    decoded, rate = sf.read(tmp_path / "one" / "a.opus")
    assert rate == 16_000 and len(decoded) == 40 * 400


def test_a_clip_that_the_codec_spoils_gets_a_higher_bit_rate(tmp_path, monkeypatch):
    sf.write(tmp_path / "a.flac", sounding("x" * 40) * 0.1, 16_000)
    scores = iter([4.1, 4.29, 4.31, 4.5])
    monkeypatch.setattr(speech, "pesq_of_codec", lambda flac, opus: next(scores))
    size, level, score = speech.encode_well(tmp_path / "a.flac", tmp_path / "a.opus")
    assert (level, score) == (speech.COMPRESSION_LEVELS[2], 4.31)
    assert size == (tmp_path / "a.opus").stat().st_size
    assert size == speech.encode(tmp_path / "a.flac", tmp_path / "again" / "a.opus", level)


def test_a_changed_download_is_refused(tmp_path):
    (tmp_path / "part.whl").write_bytes(b"something else")
    with pytest.raises(ValueError, match="sha256"):
        engine._fetch(tmp_path / "part.whl", ["false"], "00")


def test_a_finished_voice_is_not_made_again(tmp_path):
    (tmp_path / "f02").mkdir()
    (tmp_path / "f02" / "done.json").write_text(json.dumps({"voice": "f02", "utterances": 3}))
    assert speech.make_voice("f02", [], tmp_path)["utterances"] == 3


# --- the whole build, with an engine that hisses instead of speaking
class HissingEngine:
    """Gives every phone 75 ms of noise, with the timing the real engine has; may be interrupted."""

    def __init__(self, interrupt_at: int | None = None):
        self.calls, self.interrupt_at = 0, interrupt_at

    def say(self, plan, timbre, prosody=None, f0=None, speed=1.0):
        self.calls += 1
        if self.calls == self.interrupt_at:
            raise KeyboardInterrupt
        silent = [p == "sil" for p in plan.phones]
        units = np.array([8 if s else 3 for s in silent])
        loud = np.roll(np.repeat(~np.array(silent), units), -engine.LAG_UNITS)
        hiss = np.random.default_rng(len(silent)).standard_normal(units.sum() * engine.UNIT_SAMPLES)
        curve = np.full(2 * units.sum(), 100.0) if f0 is None else f0
        return engine.Spoken(
            (0.05 * hiss * np.repeat(loud, engine.UNIT_SAMPLES)).astype(np.float32), units, curve
        )


@pytest.fixture
def builder(monkeypatch):
    """Eighteen voices, no engine, no recogniser; returns the function that builds with an engine of yours."""
    names = {n for split in ("train", "test") for way in speech.pairings(split) for n in way}
    few = tuple(v for v in voices.load() if v.name in names or v.name in ("f25", "m25"))
    monkeypatch.setattr(voices, "load", lambda: few)
    monkeypatch.setattr(voices, "blend", lambda mix: np.zeros((510, 256), np.float32))
    monkeypatch.setattr(engine, "fetch", lambda: None)
    monkeypatch.setattr(listen, "errors", lambda clips: [0] * len(clips))
    monkeypatch.setattr(speech, "pesq_of_codec", lambda flac, opus: 4.5)

    def build(out, hissing, hours=0.02):
        monkeypatch.setattr(speech, "speaker", lambda: hissing)
        return speech.build(hours, out, workers=1, report=lambda line: None)

    return build


def content(folder) -> dict[str, bytes]:
    files = (f for f in folder.rglob("*") if f.is_file() and ".parts" not in f.parts)
    return {f.relative_to(folder).as_posix(): f.read_bytes() for f in files}


def test_a_build_that_was_stopped_goes_on_and_gives_the_same_files(builder, tmp_path):
    whole = HissingEngine()
    builder(tmp_path / "whole", whole)
    with pytest.raises(KeyboardInterrupt):
        builder(tmp_path / "stopped", HissingEngine(interrupt_at=21))
    assert not (tmp_path / "stopped" / "speech" / "index.jsonl.xz").exists()
    rest = HissingEngine()
    builder(tmp_path / "stopped", rest)
    assert 0 < rest.calls < whole.calls
    assert content(tmp_path / "whole") == content(tmp_path / "stopped")


def test_what_is_built_is_a_data_folder_that_the_course_can_use(builder, tmp_path, monkeypatch):
    builder(tmp_path / "mine", HissingEngine())
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "mine"))
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "cache"))
    assert data.verify() == []
    for split in SPLITS:
        said = data.speech(split)
        assert {u.kind for u in said} == {"sentence", "phrase"}
        assert len(said[0].audio) == said[0].samples
    assert {p.split for p in data.pairs()} == {"train", "test"}
    assert data.chorales("test")  # copied from the shipped data


def test_a_folder_with_another_build_is_refused(tmp_path):
    speech.begin(tmp_path / "speech" / ".parts", {"hours": 2.5, "seed": 0})
    speech.begin(tmp_path / "speech" / ".parts", {"hours": 2.5, "seed": 0})
    with pytest.raises(ValueError, match="another folder"):
        speech.build(10, tmp_path)


def test_a_voice_without_a_single_good_line_is_an_error_that_names_it(builder, tmp_path, monkeypatch):
    monkeypatch.setattr(listen, "errors", lambda clips: [99] * len(clips))
    with pytest.raises(RuntimeError, match=r"every line of [fm]\d\d was rejected"):
        builder(tmp_path, HissingEngine())


# --- what the recogniser heard
@pytest.mark.parametrize(
    ("said", "heard", "errors"),
    [
        ("Thursday, the ninth of May.", "Thursday, 9 May.", 0),
        ("Eight fifty five in the afternoon.", "855 in the afternoon.", 0),
        ("July the twenty ninth, eighteen forty six.", "July the 29th, 1846.", 0),
        ("One four four seven.", "1-4-4-7", 0),
        ("Five thousand two hundred and seventy one.", "5,271", 0),
        ("One four four seven.", "1448", 1),
        ("He wore a grey coat.", "He wore a gray coat", 0),
        ("He wore a grey coat.", "He wore a great coat", 1),
        ("He wore a grey coat.", "", 5),
    ],
)
def test_figures_and_spelling_are_no_errors_but_wrong_words_are(said, heard, errors):
    assert listen.word_errors(said, heard) == errors
    if heard:
        assert listen.word_errors(said, f"before it {heard} and after", part=True) <= errors


def test_at_most_one_word_in_six_may_be_misheard():
    assert listen.acceptable(1, 6) and not listen.acceptable(1, 5) and listen.acceptable(0, 3)


def test_the_equal_error_rate_of_separate_scores_is_zero_and_of_equal_ones_a_half():
    scores = np.linspace(0, 1, 101)
    assert report.equal_error_rate(scores + 2, scores) == pytest.approx(0, abs=0.01)
    assert report.equal_error_rate(scores, scores) == pytest.approx(0.5, abs=0.02)
