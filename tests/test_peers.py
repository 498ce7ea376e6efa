"""Peers answer in time with their input, refuse what is broken, and say so when they are not installed."""

import ctypes
import hashlib
import importlib.metadata
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from course_utils import audio, data, metrics, peers
from course_utils.peers import (
    base,
    deepfilternet,
    dtln,
    espeak,
    piper,
    resemblyzer_encoder,
    rnnoise,
    silero,
    whisper,
)
from tests.places import ROOT

ENHANCERS = [type(peer) for peer in peers.enhancers()]
EVERYONE = [type(peer) for peer in peers.everyone()]
NOISE = np.random.default_rng(0).normal(0, 0.05, 16000).astype(np.float32)


def name_of(kind):
    return kind.name


@pytest.fixture(scope="module")
def speech():
    return data.real("librispeech", "test")[0].audio[: 4 * audio.SAMPLE_RATE]


@pytest.fixture
def nothing_installed(monkeypatch):
    """No optional package can be found, however it is looked for."""

    def absent(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(base.importlib.metadata, "distribution", absent)
    for module in ("noisereduce", "pocketsphinx", "faster_whisper", "resemblyzer", "onnxruntime", "piper"):
        monkeypatch.setitem(sys.modules, module, None)
    caches = [
        deepfilternet._library,
        dtln._sessions,
        espeak._library,
        piper._config,
        rnnoise._library,
        resemblyzer_encoder._library,
        silero._session,
        whisper._model,
    ]
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


# --- who they are --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", EVERYONE, ids=name_of)
def test_every_peer_says_who_it_is(kind):
    peer = kind()
    assert peer.name and peer.licence and len(peer.what) > 20
    assert peer.kind in ("enhancer", "recogniser", "voice activity", "speaker encoder", "synthesiser")
    assert peer.parameters is None or peer.parameters > 10_000
    assert peer.delay_ms is None or peer.delay_ms > 0
    with pytest.raises(ValueError, match="threads"):
        kind(threads=0)


@pytest.mark.judges
@pytest.mark.parametrize("kind", EVERYONE, ids=name_of)
def test_every_peer_is_available_where_the_extras_are_installed(kind):
    assert kind().missing() == ""
    assert kind().available()


def test_the_catalogue_lists_everyone():
    catalogue = peers.catalogue()
    assert all(kind.name in catalogue for kind in EVERYONE)
    assert catalogue._repr_markdown_() == str(catalogue)


# --- not installed -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", EVERYONE, ids=name_of)
def test_a_missing_peer_says_how_to_install_it(nothing_installed, kind):
    peer = kind()
    assert not peer.available()
    assert peer.name in peer.missing() and f"course install {kind.extra}" in peer.missing()
    call = {
        "enhancer": "enhance",
        "recogniser": "transcribe",
        "voice activity": "probabilities",
        "speaker encoder": "embed",
        "synthesiser": "say",
    }[peer.kind]
    with pytest.raises(peers.MissingPeer, match="course install"):
        getattr(peer, call)("One." if call == "say" else NOISE)


def test_a_missing_peer_stays_in_the_table_as_a_row_that_says_so(nothing_installed):
    rows = [{"system": "noisy", "SI-SDR": 5.0}]
    rows += peers.measure(peers.enhancers(), lambda peer: pytest.fail("nothing can be measured"))
    table = peers.table(rows)
    lines = table.splitlines()
    assert len(lines) == 2 + 5
    assert lines[0] == "| system | SI-SDR | note |"
    assert lines[2] == "| noisy | 5.00 |  |"
    for line, kind in zip(lines[3:], ENHANCERS, strict=True):
        assert line.startswith(f"| {kind.name} | – |") and "course install peers" in line


def test_a_library_that_does_not_load_counts_as_missing(monkeypatch, tmp_path):
    broken = tmp_path / "librnnoise.so"
    broken.write_bytes(b"not a library")
    monkeypatch.setattr(rnnoise, "package_file", lambda *_: broken)
    rnnoise._library.cache_clear()
    assert "course install peers" in peers.RNNoise().missing()
    rnnoise._library.cache_clear()


def test_a_package_without_its_weights_counts_as_missing(monkeypatch):
    class Empty:
        def locate_file(self, path):
            return Path("nowhere") / path

    monkeypatch.setattr(base.importlib.metadata, "distribution", lambda name: Empty())
    assert "lacks" in peers.DTLN().missing()


# --- files that are not the known ones -----------------------------------------------------------------


class Other:
    """A package of version 9 that holds other files than the known ones, wherever they are looked for."""

    version = "9.0"

    def __init__(self, file):
        self.file = file

    def locate_file(self, path):
        return self.file


@pytest.fixture
def changed_files(monkeypatch, tmp_path):
    """Every package is there, with other content in every file."""
    file = tmp_path / "file"
    file.write_bytes(b"something else")
    monkeypatch.setattr(base.importlib.metadata, "distribution", lambda name: Other(file))
    monkeypatch.setattr(ctypes, "CDLL", lambda path: pytest.fail("a changed library was run"))
    monkeypatch.setattr(espeak, "_run", lambda *_: pytest.fail("a changed library was run"))
    for cache in (rnnoise._library, deepfilternet._library, espeak._library):
        cache.cache_clear()


@pytest.mark.parametrize("kind", [peers.RNNoise, peers.DeepFilterNet3, peers.Espeak], ids=name_of)
def test_a_library_that_is_not_the_known_one_is_not_run(changed_files, kind):
    message = (
        r"9.0 is not a file that the course knows \(known: \d.*run: pip install --force-reinstall .*==\d"
    )
    assert re.search(rf"{kind.name} is not used: .*{message}", kind().missing())
    with pytest.raises(peers.MissingPeer, match="is not used"):
        kind().say("One.") if kind is peers.Espeak else kind().enhance(NOISE)


@pytest.mark.judges
@pytest.mark.parametrize(
    "kind", [peers.DTLN, peers.SileroVAD, peers.WhisperTiny, peers.Resemblyzer], ids=name_of
)
def test_weights_that_are_not_the_known_ones_are_not_read(changed_files, kind):
    assert f"{kind.name} is not used: " in kind().missing()


def test_one_changed_byte_is_noticed_even_while_the_course_runs(monkeypatch, tmp_path):
    file = tmp_path / "library.so"
    known = {"toy": {"library.so": {"1.0, Linux": hashlib.sha256(b"library").hexdigest(), "9.0": "0" * 64}}}
    monkeypatch.setattr(base, "_pinned", lambda: known)
    monkeypatch.setattr(base.importlib.metadata, "distribution", lambda name: Other(file))
    file.write_bytes(b"library")
    assert base.package_file("toy", "library.so") == file
    file.write_bytes(b"librarx")
    os.utime(file, ns=(1, 1))
    with pytest.raises(ImportError, match=r"known: 1.0, Linux; 9.0.*--no-deps toy==9.0$"):
        base.package_file("toy", "library.so")


def test_the_known_files_are_those_of_the_locked_versions():
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    for package, files in base._pinned().items():
        locked = re.findall(rf"^{package}==(\S+)", lock, flags=re.M)
        for path, known in files.items():
            assert next(iter(known)).partition(",")[0] in locked, path
            assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in known.values()), path


# --- tables --------------------------------------------------------------------------------------------


def test_a_table_rounds_figures_and_escapes_signs():
    table = peers.table([{"system": "a|b", "PESQ": np.float32(1.256), "clips": 12}, {"system": "c"}])
    assert table.splitlines() == [
        "| system | PESQ | clips |",
        "| --- | ---: | ---: |",
        "| a\\|b | 1.26 | 12 |",
        "| c | – | – |",
    ]
    with pytest.raises(ValueError, match="at least one row"):
        peers.table([])


# --- enhancers -----------------------------------------------------------------------------------------


@pytest.mark.judges
@pytest.mark.parametrize("kind", ENHANCERS, ids=name_of)
@pytest.mark.parametrize("samples", [1, 127, 480, 5001])
def test_the_enhanced_clip_is_as_long_as_the_input(kind, samples):
    enhanced = kind().enhance(NOISE[:samples])
    assert enhanced.shape == (samples,) and enhanced.dtype == np.float32
    assert np.isfinite(enhanced).all()


@pytest.mark.judges
@pytest.mark.parametrize("kind", ENHANCERS, ids=name_of)
def test_clean_speech_comes_back_in_time_and_alike(kind, speech):
    enhanced = kind().enhance(speech)
    _, lag = metrics.align(enhanced, speech, max_lag=1600)
    assert abs(lag) <= 1
    assert metrics.si_sdr(enhanced, speech) > 3


@pytest.mark.judges
@pytest.mark.parametrize("kind", [peers.RNNoise, peers.DTLN, peers.DeepFilterNet3], ids=name_of)
def test_the_lag_that_is_undone_is_the_lag_that_is_measured(kind, speech, monkeypatch):
    peer, lag = kind(), kind.lag
    native = audio.resample(speech, audio.SAMPLE_RATE, peer.sample_rate)
    monkeypatch.setattr(kind, "lag", 0)
    assert abs(metrics.align(peer._enhance(native), native, max_lag=4000)[1] - lag) <= 1


@pytest.mark.judges
@pytest.mark.parametrize(
    # Half a dB below what each reached when it was wrapped: a lost state or a wrong scale costs more.
    ("kind", "at_least"),
    [(peers.RNNoise, 4.9), (peers.DTLN, 12.7), (peers.DeepFilterNet3, 10.4)],
)
def test_trained_enhancers_remove_white_noise_as_well_as_they_can(kind, at_least, speech):
    noisy, _ = audio.mix(speech, np.resize(NOISE, len(speech)), snr_db=5)
    assert metrics.si_sdr(kind().enhance(noisy), speech) > at_least


@pytest.mark.judges
@pytest.mark.parametrize("kind", ENHANCERS, ids=name_of)
def test_an_enhancer_starts_afresh_each_time(kind):
    peer = kind()
    first = peer.enhance(NOISE[:8000])
    peer.enhance(5 * NOISE[8000:])
    np.testing.assert_array_equal(peer.enhance(NOISE[:8000]), first)


@pytest.mark.judges
@pytest.mark.parametrize("kind", ENHANCERS, ids=name_of)
def test_enhancers_stay_calm_with_silence_nothing_and_too_much(kind):
    peer = kind()
    assert np.abs(peer.enhance(np.zeros(8000, np.float32))).max() < 1e-3
    assert peer.enhance(np.zeros(0, np.float32)).shape == (0,)
    assert np.isfinite(peer.enhance(100 * NOISE[:8000])).all()


@pytest.mark.judges
@pytest.mark.parametrize("kind", ENHANCERS, ids=name_of)
@pytest.mark.parametrize("broken", [np.full(800, np.nan), np.zeros((2, 800)), np.zeros(800, np.int16)])
def test_enhancers_refuse_what_is_no_waveform(kind, broken):
    with pytest.raises(audio.AudioError):
        kind().enhance(broken)


# --- recognisers ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reading():
    said = data.real("librispeech", "test")[0]
    return said.audio, said.text


@pytest.fixture(scope="module")
def digits():
    """A string of digits that somebody really said, and its words."""
    said = next(one for one in data.real("digits", "test") if one.id == "314")
    return said.audio, said.text


@pytest.mark.judges
@pytest.mark.parametrize("kind", [peers.WhisperTiny, peers.PocketSphinx], ids=name_of)
def test_recognisers_understand_a_real_reading_and_repeat_themselves(kind, reading):
    waveform, text = reading
    peer = kind()
    heard = peer.transcribe(waveform)
    assert metrics.wer(text, heard) <= 0.4
    assert peer.transcribe(waveform) == heard


@pytest.mark.judges
@pytest.mark.parametrize("kind", [peers.WhisperTiny, peers.PocketSphinx], ids=name_of)
def test_recognisers_hear_no_words_in_silence_or_nothing(kind):
    assert kind().transcribe(np.zeros(8000, np.float32)) == ""
    assert kind().transcribe(np.zeros(0, np.float32)) == ""
    with pytest.raises(audio.AudioError, match="finite"):
        kind().transcribe(np.full(8000, np.nan, np.float32))


@pytest.mark.judges
def test_pocketsphinx_held_to_a_list_of_words_says_only_those(digits):
    waveform, text = digits
    words = ["one", "two", "three", "four"]
    assert peers.PocketSphinx(words=words).transcribe(waveform) == text
    few = ["one", "four"]
    assert set(peers.PocketSphinx(words=few).transcribe(waveform).split()) <= set(few)
    grammar = f"#JSGF V1.0; grammar g; public <g> = {text};"
    assert peers.PocketSphinx(grammar=grammar).transcribe(waveform) == text


@pytest.mark.judges
def test_pocketsphinx_refuses_words_and_grammars_it_can_not_use():
    with pytest.raises(ValueError, match="dictionary: qzxv"):
        peers.PocketSphinx(words=["one", "qzxv"]).transcribe(NOISE)
    with pytest.raises(ValueError, match="grammar"):
        peers.PocketSphinx(grammar="this is no grammar").transcribe(NOISE)
    with pytest.raises(ValueError, match="not several"):
        peers.PocketSphinx(words=["one"], grammar="x")
    with pytest.raises(ValueError, match="empty"):
        peers.PocketSphinx(words=[])


@pytest.mark.judges
def test_pocketsphinx_streams_partial_results(reading):
    waveform, text = reading
    stream = peers.PocketSphinx().stream()
    partial = [stream.push(chunk) for chunk in np.array_split(waveform, 7)]
    assert any(partial)
    # Less is known of the channel than with the whole clip at hand, so a few more words are wrong.
    assert metrics.wer(text, stream.finish()) <= 0.6
    assert peers.PocketSphinx().stream().finish() == ""


# --- voice activity and voices -------------------------------------------------------------------------


@pytest.mark.judges
def test_silero_tells_speech_from_silence_and_noise(speech):
    vad = peers.SileroVAD()
    silence = np.zeros(16000, np.float32)
    clip = np.concatenate([silence, speech, silence])
    probabilities = vad.probabilities(clip)
    assert probabilities.shape == (-(-len(clip) // 512),)
    assert probabilities[:30].max() < 0.3
    segments = vad.segments(clip)
    assert 0.9 < segments[0][0] < 1.8
    assert 3.0 < segments[-1][1] < 5.5
    assert all(start < end for start, end in segments)
    assert vad.segments(NOISE) == []


@pytest.mark.judges
def test_silero_takes_clips_of_any_length_and_leaves_torch_alone():
    import torch

    before = torch.get_num_threads()
    assert peers.SileroVAD().probabilities(np.zeros(0, np.float32)).shape == (0,)
    assert peers.SileroVAD().probabilities(NOISE[:513]).shape == (2,)
    assert torch.get_num_threads() == before and "silero_vad" not in sys.modules


@pytest.mark.judges
def test_silero_gives_the_figures_of_its_own_code(speech, tmp_path):
    # In a process of its own, because the library sets the threads of torch for the whole process.
    code = (
        "import sys, numpy as np, torch, silero_vad;"
        "waveform = torch.from_numpy(np.load(sys.argv[1]));"
        "print(*silero_vad.load_silero_vad(onnx=True).audio_forward(waveform, 16000).ravel().tolist())"
    )
    clip = speech[:16384]
    np.save(tmp_path / "clip.npy", clip)
    command = [sys.executable, "-c", code, str(tmp_path / "clip.npy")]
    theirs = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    np.testing.assert_allclose(peers.SileroVAD().probabilities(clip), np.array(theirs, np.float32), atol=1e-4)


@pytest.mark.judges
def test_resemblyzer_finds_the_same_voice_more_alike_than_another():
    readers = data.real("librispeech", "test")[:3]
    encoder = peers.Resemblyzer()
    halves = []
    for reader in readers:
        halves.append([encoder.embed(half) for half in np.array_split(reader.audio, 2)])
    first, second = (np.array(part) for part in zip(*halves, strict=True))
    assert first.shape == (3, 256) and first.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(first, axis=1), 1, atol=1e-5)
    alike = metrics.cosine_similarity(first[:, None], second)
    assert np.diag(alike).min() > alike[~np.eye(3, dtype=bool)].max()


@pytest.mark.judges
def test_resemblyzer_refuses_a_clip_without_a_voice():
    for clip in (np.zeros(16000, np.float32), np.zeros(0, np.float32)):
        with pytest.raises(audio.AudioError, match="no speech"):
            peers.Resemblyzer().embed(clip)
    with pytest.raises(audio.AudioError, match="finite"):
        peers.Resemblyzer().embed(np.full(16000, np.inf))


# --- reading aloud -------------------------------------------------------------------------------------

SYNTHESISERS = [type(peer) for peer in peers.synthesisers()]


class Toy(base.Synthesiser):
    """Says one sample at 8 kHz for each letter."""

    name, licence, what = "toy", "none", "a synthesiser for tests"

    def _find(self):
        pass

    def _say(self, text):
        return np.full(100 * text.count("a"), 0.1, np.float32), 8000


def test_what_is_read_aloud_comes_at_16_khz_and_what_is_no_text_is_refused():
    assert Toy().say("banana").shape == (600,)
    for nothing in ("", " ... ", "?!"):
        with pytest.raises(ValueError, match="nothing to say"):
            Toy().say(nothing)
    with pytest.raises(ValueError, match="nothing to say"):
        Toy().say("hm")  # it found no sound for this
    with pytest.raises(TypeError, match="expected a text"):
        Toy().say(b"banana")


@pytest.mark.judges
@pytest.mark.parametrize("kind", SYNTHESISERS, ids=name_of)
def test_synthesisers_repeat_themselves_and_are_understood(kind):
    text = "The small boat crossed the river."
    peer = kind()
    said = peer.say(text)
    assert said.dtype == np.float32 and np.isfinite(said).all() and 1 < len(said) / 16000 < 4
    peer.say("Something else, in between.")
    np.testing.assert_array_equal(peer.say(text), said)
    assert metrics.wer(text, peers.WhisperTiny().transcribe(said)) <= 0.34
    assert sum(file.stat().st_size for file in peer.files()) > 1e6


@pytest.mark.judges
def test_espeak_is_not_harmed_by_hostile_text_and_knows_its_voices():
    for text in ("a\0b", "<speak>one</speak>", "[[h@l'oU]] %s %n", "one " * 500, "日本語 and \ud800"):
        assert len(peers.Espeak().say(text)) > 1000
    with pytest.raises(OSError, match="no voice xx-nobody"):
        peers.Espeak(voice="xx-nobody").say("One.")


def test_a_program_that_fails_makes_espeak_missing_with_its_reason(monkeypatch, tmp_path):
    broken = tmp_path / espeak.LIBRARY
    broken.write_bytes(b"not a library")
    monkeypatch.setattr(espeak, "package_file", lambda *_: broken)
    espeak._library.cache_clear()
    assert re.search("can not be run: .*course install peers", peers.Espeak().missing())
    espeak._library.cache_clear()


def test_what_is_under_the_gpl_says_so():
    assert all("GPL" in kind.licence for kind in SYNTHESISERS)


# --- no network ----------------------------------------------------------------------------------------


@pytest.mark.judges
def test_no_peer_touches_the_network(monkeypatch):
    def refuse(*_, **__):
        pytest.fail("a peer tried to open a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    whisper._model.cache_clear()
    for peer in peers.enhancers():
        peer.enhance(NOISE[:1600])
    for peer in peers.recognisers():
        peer.transcribe(NOISE)
    for peer in peers.voice_activity():
        peer.probabilities(NOISE)
    for peer in peers.synthesisers():
        peer.say("One.")
    resemblyzer_encoder._encoder.cache_clear()
    resemblyzer_encoder._encoder()


# --- the optional row of transformers --------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny_wav2vec2(tmp_path_factory):
    """A wav2vec2 with random weights, saved as `transformers` saves one."""
    import json

    import torch
    import transformers

    folder = tmp_path_factory.mktemp("wav2vec2")
    tokens = ["<pad>", "<s>", "</s>", "<unk>", "|", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ'"]
    (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
    tokenizer = transformers.Wav2Vec2CTCTokenizer(str(folder / "vocab.json"))
    extractor = transformers.Wav2Vec2FeatureExtractor(return_attention_mask=False)
    transformers.Wav2Vec2Processor(extractor, tokenizer).save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.Wav2Vec2Config(
        vocab_size=len(tokens), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        conv_dim=(8, 8), conv_stride=(10, 8), conv_kernel=(10, 8), num_feat_extract_layers=2,
        num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=2,
    )  # fmt: skip
    transformers.Wav2Vec2ForCTC(config).save_pretrained(folder)
    return folder


def test_a_model_of_transformers_is_used_from_its_folder_without_a_network(tiny_wav2vec2, monkeypatch):
    monkeypatch.setattr(socket, "socket", lambda *_, **__: pytest.fail("the network was asked"))
    peer = peers.TransformersRecogniser(tiny_wav2vec2)
    assert peer.missing() == "" and peer.kind == "recogniser"
    written = peer.transcribe(NOISE)
    assert isinstance(written, str) and written == peer.transcribe(NOISE)
    assert peer.transcribe(np.zeros(1000, np.float32)) == ""


def test_a_model_of_transformers_that_is_not_here_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setattr(socket, "socket", lambda *_, **__: pytest.fail("the network was asked"))
    for name in ("nobody/no-such-model-of-this-course", str(tmp_path)):
        peer = peers.TransformersRecogniser(name)
        assert name in peer.missing() and "online=True" in peer.missing()
        with pytest.raises(peers.MissingPeer, match="weights are not on this machine"):
            peer.transcribe(NOISE)


def test_sentences_give_pocketsphinx_a_model_of_their_pairs():
    from course_utils.peers.pocket_sphinx import bigrams

    lines = bigrams([["turn", "on"], ["turn", "off"]]).splitlines()
    assert lines[:3] == ["\\data\\", "ngram 1=5", "ngram 2=5"] and lines[-1] == "\\end\\"
    pair = {
        line.split(maxsplit=1)[1]: 10 ** float(line.split()[0])
        for line in lines
        if line.count(" ") == 2 and line[0] in "-0"
    }
    assert pair["turn on"] == pytest.approx(1 / 4, abs=1e-3), (
        "one of two, and half is kept for what was not seen"
    )
    with pytest.raises(ValueError, match="no words"):
        peers.PocketSphinx(sentences=[[]])


@pytest.mark.judges
def test_pocketsphinx_with_sentences_hears_only_their_words():
    digits = "zero one two three four five six seven eight nine".split()
    peer = peers.PocketSphinx(sentences=[[one, other] for one in digits for other in digits])
    assert set(peer.transcribe(data.real("digits")[0].audio).split()) <= set(digits)
    with pytest.raises(ValueError, match="not in PocketSphinx's dictionary: xqzt"):
        peers.PocketSphinx(sentences=[["one", "xqzt"]]).transcribe(NOISE)
