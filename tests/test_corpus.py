"""The shipped speech: labels against sound, splits, levels, pairs, and its data card."""

import itertools
import json

import numpy as np
import pytest
import soundfile as sf

from course_utils import text
from data.build import engine, report

SPLITS = ("train", "valid", "test")
UNIT = engine.UNIT_SAMPLES


@pytest.fixture(scope="module")
def corpus():
    return report.load()


@pytest.fixture(scope="module")
def some(corpus):
    """Every 18th utterance, decoded: all voices are among them."""
    _, rows, _ = corpus
    return [(row, read(f"{row['voice']}/{row['id']}.opus")) for row in rows[::18]]


def read(name: str) -> np.ndarray:
    waveform, rate = sf.read(report.SPEECH / name, dtype="float32")
    assert rate == 16_000 and waveform.ndim == 1
    return waveform


def silent(row: dict) -> np.ndarray:
    """Return one flag per unit of 25 ms: labelled as silence."""
    return np.repeat([p == "sil" for p in row["phones"]], row["durations"])


def test_durations_are_the_length_of_the_audio_to_the_sample(corpus):
    _, rows, _ = corpus
    for row in rows:
        frames = sf.info(report.SPEECH / row["voice"] / f"{row['id']}.opus").frames
        assert frames == sum(row["durations"]) * UNIT, row["id"]
        assert len(row["phones"]) == len(row["durations"])
        assert min(row["durations"]) >= 1


def test_index_and_files_name_the_same_utterances(corpus):
    voices, rows, pairs = corpus
    named = {f"{r['voice']}/{r['id']}.opus" for r in rows} | {p["target_file"] for p in pairs}
    there = {f.relative_to(report.SPEECH).as_posix() for f in report.SPEECH.glob("*/*.opus")}
    assert named == there
    assert len({r["id"] for r in rows}) == len(rows)
    assert {r["voice"] for r in rows} == set(voices)


def test_what_is_labelled_silence_is_silent_and_what_is_labelled_speech_is_not(some):
    wrong_silence, wrong_speech, silence, speech = 0, 0, 0, 0
    for row, waveform in some:
        levels = engine.unit_levels(waveform)
        below = levels - engine.speech_level(levels)
        labelled = silent(row)
        silence += labelled.sum()
        speech += (~labelled).sum()
        wrong_silence += (labelled & (below > -27)).sum()
        for is_quiet, run in itertools.groupby((below < -33) & ~labelled):
            length = len(list(run))
            wrong_speech += length if is_quiet and length >= 4 else 0  # shorter ones are stop closures
    assert wrong_silence / silence < 0.03
    assert wrong_speech / speech < 0.02  # long closures, and the pauses that no comma announces


def test_words_point_at_the_phones_of_the_dictionary(corpus):
    _, rows, _ = corpus
    for row in rows[::7]:
        for word, first, last in row["words"]:
            assert tuple(row["phones"][first:last]) == text.lexicon()[word][0], (row["id"], word)
        spoken = [p for p in row["phones"] if p != "sil"]
        assert spoken == [p for p in text.phonemes(row["text"]) if p != "sil"]
        assert row["phones"][0] == row["phones"][-1] == "sil"
        assert set(row["phones"]) <= set(text.PHONES)


def test_no_text_and_no_voice_is_in_two_splits(corpus):
    voices, rows, pairs = corpus
    texts = {s: {r["text"].lower() for r in rows if voices[r["voice"]]["split"] == s} for s in SPLITS}
    for a, b in itertools.combinations(SPLITS, 2):
        assert not texts[a] & texts[b]
    for pair in pairs:
        assert voices[pair["source"]]["split"] == voices[pair["target"]]["split"] == pair["split"]


def test_every_voice_reads_enough_and_two_read_for_twelve_minutes(corpus):
    voices, rows, _ = corpus
    minutes = dict.fromkeys(voices, 0.0)
    kinds = {name: set() for name in voices}
    for row in rows:
        minutes[row["voice"]] += sum(row["durations"]) * 0.025 / 60
        kinds[row["voice"]].add(row["kind"])
    assert min(minutes.values()) >= 1.5
    assert {name for name, m in minutes.items() if m >= 12} == {"f01", "m01"}
    assert all(k == {"sentence", "phrase"} for k in kinds.values())
    for split, count in (("train", 48), ("valid", 8), ("test", 24)):
        sexes = [v["sex"] for v in voices.values() if v["split"] == split]
        assert len(sexes) == count and sexes.count("f") == count // 2


def test_levels_are_alike_and_nothing_is_clipped(some):
    power = {}
    for row, waveform in some:
        assert np.abs(waveform).max() < 1
        speech = waveform.reshape(-1, UNIT)[~silent(row)]
        power.setdefault(row["voice"], []).append((speech**2).mean())
    levels = np.array([10 * np.log10(np.mean(p)) for p in power.values()])
    assert np.abs(levels + 26).max() < 4
    assert np.abs(levels + 26).mean() < 1


def test_every_phone_is_in_every_split_and_training_has_the_common_pairs():
    counted = report.count()
    for split in SPLITS:
        assert counted[split]["phones"] == 39
    assert counted["train"]["phone_pairs"] > 0.95
    assert sum(counted[s]["sentences"] for s in SPLITS) >= 1500


def test_pairs_have_the_same_timing_to_the_sample_and_go_both_ways(corpus):
    _, rows, pairs = corpus
    labels = {f"{r['voice']}/{r['id']}.opus": r for r in rows}
    for pair in pairs:
        source = labels[pair["source_file"]]
        for key in ("text", "phones", "durations", "words"):
            assert pair[key] == source[key]
        assert source["voice"] == pair["source"]
        assert sf.info(report.SPEECH / pair["target_file"]).frames == sum(pair["durations"]) * UNIT
    for split in ("train", "test"):
        ways = [(p["source"], p["target"]) for p in pairs if p["split"] == split]
        assert len({v for way in ways for v in way}) == 8
        assert {(b, a) for a, b in ways} == set(ways)
        assert min(ways.count(way) for way in set(ways)) >= 20


def test_the_loudness_of_a_pair_moves_together(corpus):
    _, _, pairs = corpus
    likeness = []
    for pair in pairs[::16]:
        levels = [engine.unit_levels(read(pair[key])) for key in ("source_file", "target_file")]
        shift = [np.corrcoef(levels[0], np.roll(levels[1], k))[0, 1] for k in (-3, 0, 3)]
        likeness.append(shift[1])
        assert shift[1] > max(shift[0], shift[2]), pair["id"]
    assert np.median(likeness) > 0.9


def test_it_is_small_and_the_codec_is_good():
    size = sum(f.stat().st_size for f in report.SPEECH.rglob("*") if ".parts" not in f.parts and f.is_file())
    assert size < 31e6  # with the labels
    assert report.megabytes() < 28.5
    build = json.loads((report.SPEECH / "build.json").read_text(encoding="utf-8"))
    assert build["pesq_worst"] >= 4.3
    assert build["pesq_clips"] == len(list(report.SPEECH.glob("*/*.opus")))  # every clip was measured


def test_the_table_of_the_data_card_is_what_is_there():
    assert report.check() == []


def test_a_damaged_clip_is_an_error_and_not_noise(corpus, tmp_path):
    _, rows, _ = corpus
    content = (report.SPEECH / rows[0]["voice"] / f"{rows[0]['id']}.opus").read_bytes()
    (tmp_path / "damaged.opus").write_bytes(b"\0" * 64 + content[64:])
    with pytest.raises(sf.LibsndfileError):
        sf.read(tmp_path / "damaged.opus")


@pytest.mark.judges
def test_a_forced_alignment_agrees_within_50_ms_in_the_median(corpus):
    """PocketSphinx aligns the same words with an acoustic model of its own, trained on real speech."""
    from pocketsphinx import Decoder

    _, rows, _ = corpus
    decoder = Decoder(samprate=16_000, loglevel="FATAL", lm=None)
    starts = []
    for row in rows[::60]:
        audio = (read(f"{row['voice']}/{row['id']}.opus") * 32767).astype(np.int16).tobytes()
        words = [word for word, _, _ in row["words"]]
        try:
            decoder.set_align_text(" ".join(words))
            for prepare in (lambda: None, decoder.set_alignment):  # words first, then their phones
                prepare()
                decoder.start_utt()
                decoder.process_raw(audio, full_utt=True)
                decoder.end_utt()
        except RuntimeError:  # the search lost the path: a limit of the aligner
            continue
        alignment = decoder.get_alignment()  # owns the words and their phones: read them while it lives
        aligned = [
            [(phone.name, phone.start / 100) for phone in word]
            for word in alignment or []
            if word.name[0] not in "<["
        ]
        ends = np.concatenate([[0], np.cumsum(row["durations"])]) * 0.025
        for phones, (_, first, last) in zip(aligned, row["words"], strict=False):
            if [name for name, _ in phones] == [p.rstrip("012") for p in row["phones"][first:last]]:
                starts += [start - ends[first + k] for k, (_, start) in enumerate(phones)]
    assert len(starts) > 500
    assert np.median(np.abs(starts)) < 0.05
    assert abs(np.median(starts)) < 0.02


@pytest.mark.judges
def test_a_converted_clip_sounds_like_its_target(corpus):
    from resemblyzer import preprocess_wav

    from data.build.voices import encoder

    _, rows, pairs = corpus

    def embed(*names: str) -> np.ndarray:
        return encoder().embed_utterance(preprocess_wav(np.concatenate([read(n) for n in names])))

    for source, target in (("f02", "m02"), ("m29", "f29")):
        made = [p["target_file"] for p in pairs if (p["source"], p["target"]) == (source, target)][:4]
        to = {}
        for voice in (source, target):
            own = [f"{voice}/{r['id']}.opus" for r in rows if r["voice"] == voice and r["kind"] == "sentence"]
            to[voice] = float(embed(*made) @ embed(*own[-4:]))
        assert to[target] > 0.8 > to[source]
