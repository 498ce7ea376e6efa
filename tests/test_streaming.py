"""A streaming model over files: a file of any kind is cleaned or refused with a sentence (`course enhance`)."""

import os
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from course_utils import audio, audio_files, checkpoints, cli, streaming


class Halver:
    """Stands in for the model: half as loud, a little late, and as long as what came in."""

    def stream(self):
        return HalverStream()


class HalverStream:
    held = 300  # as a model with a window does

    def __init__(self):
        self.waiting = np.zeros(0, np.float32)

    def push(self, chunk):
        self.waiting = np.concatenate([self.waiting, chunk])
        ready = max(0, len(self.waiting) - self.held)
        out, self.waiting = self.waiting[:ready], self.waiting[ready:]
        return out * np.float32(0.5)

    def finish(self):
        return self.waiting * np.float32(0.5)


@pytest.fixture
def enhance(monkeypatch, tmp_path, capsys):
    """Run `course enhance` in an empty folder; returns its exit status and what it said."""
    monkeypatch.setattr(checkpoints, "load", lambda name: {"enhancement": Halver()}[name])
    monkeypatch.chdir(tmp_path)

    def run(source, target="clean.wav"):
        status = cli.main(["enhance", str(source), str(target)])
        return status, capsys.readouterr().err

    return run


def tone(seconds, rate, frequency=440.0):
    return (0.5 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def test_a_stereo_file_at_44_kilohertz_keeps_rate_channels_length_and_format(enhance):
    both = np.stack([tone(5, 44100), tone(5, 44100, 1000.0)], axis=1)
    soundfile.write("noisy.wav", both, 44100, subtype="PCM_24")
    assert enhance("noisy.wav")[0] == 0
    info = soundfile.info("clean.wav")
    assert (info.samplerate, info.channels, info.frames) == (44100, 2, len(both))
    assert (info.format, info.subtype) == ("WAV", "PCM_24")
    clean, _ = soundfile.read("clean.wav", dtype="float32")
    assert np.abs(clean - both / 2)[2000:-2000].max() < 2e-3, "each channel in its place, and in time"


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 48000])
def test_every_rate_keeps_its_length_and_its_timing(enhance, rate):
    mono = tone(2.017, rate)
    soundfile.write("noisy.flac", mono, rate)
    assert enhance("noisy.flac", "clean.flac")[0] == 0
    clean, written = soundfile.read("clean.flac", dtype="float32")
    assert written == rate and len(clean) == len(mono)
    assert np.abs(clean - mono / 2)[rate // 8 : -rate // 8].max() < 2e-3


def test_what_lies_above_8_kilohertz_is_dropped(enhance):
    soundfile.write("noisy.wav", tone(1, 44100, 12000.0), 44100)
    enhance("noisy.wav")
    assert np.abs(soundfile.read("clean.wav")[0][4410:-4410]).max() < 1e-3


@pytest.mark.parametrize(
    ("source", "target", "kept"),
    [
        ("noisy.wav", "clean.flac", ("FLAC", "PCM_16")),
        ("noisy.wav", "clean.ogg", ("OGG", "VORBIS")),
        ("noisy.wav", "clean.mp3", ("MP3", "MPEG_LAYER_III")),
        ("noisy.ogg", "clean.wav", ("WAV", "PCM_16")),
        ("noisy.ogg", "clean.ogg", ("OGG", "VORBIS")),
    ],
)
def test_the_ending_of_the_target_says_the_format(enhance, source, target, kept):
    soundfile.write(source, tone(1, 16000), 16000)
    assert enhance(source, target)[0] == 0
    info = soundfile.info(target)
    assert (info.format, info.subtype) == kept


def test_a_clip_shorter_than_a_window_comes_back_as_long(enhance):
    soundfile.write("noisy.wav", np.full(7, 0.25, np.float32), 16000, subtype="FLOAT")
    assert enhance("noisy.wav")[0] == 0
    assert np.allclose(soundfile.read("clean.wav")[0], 0.125)


@pytest.mark.skipif(sys.platform == "win32", reason="the module resource is not there")
def test_an_hour_is_cleaned_in_bounded_memory(tmp_path):
    """In a process of its own, because peak memory never falls again."""
    script = f"""
import resource, sys
import numpy as np, soundfile
from course_utils import streaming

class Same:
    def stream(self): return self
    def push(self, chunk): return chunk
    def finish(self): return np.zeros(0, np.float32)

noise = np.random.default_rng(0).normal(0, 0.1, 16000 * 60).astype(np.float32)
minutes = [1, 60]
peaks = []
for count in minutes:
    with soundfile.SoundFile(r"{tmp_path}/noisy.wav", "w", 16000, 1) as file:
        for _ in range(count):
            file.write(noise)
    streaming.process_file(r"{tmp_path}/noisy.wav", r"{tmp_path}/clean.wav", Same(), progress=False)
    assert soundfile.info(r"{tmp_path}/clean.wav").frames == count * len(noise)
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
print(peaks[1] / peaks[0])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 1.05, "the hour takes no more memory than the minute"


def bad_file(kind):
    if kind == "nan":
        samples = tone(3, 16000)
        samples[40000] = np.nan
        soundfile.write("noisy.wav", samples, 16000, subtype="FLOAT")
    elif kind == "empty":
        soundfile.write("noisy.wav", np.zeros(0, np.float32), 16000)
    elif kind == "text":
        with open("noisy.wav", "w") as file:
            file.write("these are words and no sound")
    elif kind == "folder":
        os.mkdir("noisy.wav")


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "no such file: noisy.wav"),
        ("text", "can not be read as sound"),
        ("empty", "holds no samples"),
        ("folder", "is a folder"),
        ("nan", "at 2.500 s is not a finite number"),
    ],
)
def test_a_bad_input_is_one_sentence_and_leaves_nothing_behind(enhance, kind, message):
    bad_file(kind)
    soundfile.write("clean.wav", tone(1, 16000), 16000)
    before = open("clean.wav", "rb").read()
    status, said = enhance("noisy.wav")
    assert status == 1 and message in said and "Traceback" not in said
    assert open("clean.wav", "rb").read() == before, "what was there stays"
    assert not [name for name in os.listdir(".") if name.endswith(".part")]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("noisy.wav", "is the input itself"),
        ("./link.wav", "is the input itself"),
        ("no/such/clean.wav", "there is no folder"),
        ("clean.txt", "use .wav, .flac"),
        ("clean", "use .wav, .flac"),
        ("here.wav", "it is a folder"),
    ],
)
def test_a_bad_target_is_refused_before_anything_is_written(enhance, target, message):
    soundfile.write("noisy.wav", tone(1, 16000), 16000)
    os.mkdir("here.wav")
    if target == "./link.wav":
        os.link("noisy.wav", "link.wav")
    before = open("noisy.wav", "rb").read()
    status, said = enhance("noisy.wav", target)
    assert status == 1 and message in said
    assert open("noisy.wav", "rb").read() == before


def test_a_rate_that_the_format_does_not_know_is_a_sentence(enhance):
    soundfile.write("noisy.wav", np.zeros((100, 12), np.float32), 16000)
    status, said = enhance("noisy.wav", "clean.mp3")
    assert status == 1 and "can not write clean.mp3" in said


def test_a_file_that_breaks_off_is_an_error(enhance):
    soundfile.write("noisy.flac", np.random.default_rng(0).normal(0, 0.1, 160000), 16000)
    content = open("noisy.flac", "rb").read()
    with open("noisy.flac", "wb") as file:
        file.write(content[: len(content) // 2])
    status, said = enhance("noisy.flac", "clean.flac")
    assert status == 1 and "noisy.flac" in said
    assert not os.path.exists("clean.flac")


def test_a_stream_may_return_nothing_for_a_while():
    channel = streaming._Channel(Halver(), 8000)
    parts = [channel.push(np.ones(10, np.float32)) for _ in range(100)] + [channel.finish()]
    assert len(parts[0]) == 0 and abs(len(np.concatenate(parts)) - 1000) <= 1


# --- what people feed to it ------------------------------------------------------------------------------


def test_an_mp3_becomes_a_16_bit_wav(enhance):
    soundfile.write("speech.mp3", tone(2, 16000), 16000)
    assert enhance("speech.mp3")[0] == 0
    info = soundfile.info("clean.wav")
    assert (info.format, info.subtype, info.frames) == ("WAV", "PCM_16", 32000)


@pytest.mark.parametrize(
    ("inside", "source", "target", "written"),
    [
        ("MP3", "noisy.wav", "clean.wav", ("WAV", "PCM_16")),
        ("WAV", "noisy.mp3", "clean.mp3", ("MP3", "MPEG_LAYER_III")),
        ("FLAC", "noisy.wav", "clean.wav", ("WAV", "PCM_16")),
        ("OGG", "noisy.flac", "clean.flac", ("FLAC", "PCM_16")),
        ("WAV", "noisy.opus", "clean.opus", ("OGG", "OPUS")),
    ],
)
def test_the_name_of_the_target_decides_whatever_is_in_the_source(enhance, inside, source, target, written):
    soundfile.write("noisy", tone(1, 16000), 16000, format=inside)
    os.rename("noisy", source)
    assert enhance(source, target)[0] == 0
    info = soundfile.info(target)
    assert (info.format, info.subtype) == written


@pytest.mark.parametrize("subtype", ["GSM610", "IMA_ADPCM", "MS_ADPCM", "ULAW", "PCM_U8", "DOUBLE"])
def test_every_sample_format_of_a_wav_is_read_and_kept(enhance, subtype):
    soundfile.write("noisy.wav", tone(1, 8000), 8000, subtype=subtype)
    assert enhance("noisy.wav")[0] == 0
    assert soundfile.info("clean.wav").subtype == subtype
    assert abs(len(audio.load("clean.wav")) - 16000) < 2000


def test_joined_files_are_cleaned_to_their_end(enhance):
    for name, seconds in (("a.opus", 2), ("b.opus", 1)):
        audio.save(name, tone(seconds, 16000))
    with open("joined.opus", "wb") as joined:
        joined.write(open("a.opus", "rb").read() + open("b.opus", "rb").read())
    assert enhance("joined.opus")[0] == 0
    assert soundfile.info("clean.wav").frames == 48000


def test_what_a_reader_warns_of_is_a_sentence(enhance):
    soundfile.write("whole.mp3", tone(5, 16000), 16000)
    with open("noisy.mp3", "wb") as cut:
        cut.write(open("whole.mp3", "rb").read()[:6000])
    status, said = enhance("noisy.mp3")
    assert status == 0 and "course: noisy.mp3: cut off" in said and "Warning:" not in said


# --- loudness ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["clean.flac", "clean.mp3", "clean.ogg"])
def test_what_would_clip_is_made_softer_as_a_whole_and_says_so(enhance, target):
    loud = 12 * tone(3, 16000)  # half of it comes out of the model: a peak of 3
    loud[:16000] /= 10
    soundfile.write("noisy.wav", loud, 16000, subtype="FLOAT")
    status, said = enhance("noisy.wav", target)
    assert status == 0 and "9.6 dB softer" in said and target in said
    clean = soundfile.read(target)[0]
    assert np.abs(clean).max() == pytest.approx(0.99, abs=0.05)
    inner = slice(4000, -4000)
    assert np.abs(clean[inner] - 0.165 * loud[: len(clean)][inner]).max() < 0.1, (
        "one gain from beginning to end"
    )


def test_floats_keep_what_is_above_full_scale(enhance):
    soundfile.write("noisy.wav", 12 * tone(1, 16000), 16000, subtype="FLOAT")
    status, said = enhance("noisy.wav")
    assert status == 0 and not said
    assert np.abs(soundfile.read("clean.wav")[0]).max() == pytest.approx(3.0, abs=0.01)


def test_a_file_too_long_for_a_wav_becomes_an_rf64(tmp_path):
    class Long:
        format, subtype, channels, frames = "WAV", "PCM_16", 2, 2**31

    assert streaming._formats(Long, tmp_path / "x.wav")[0] == ("RF64", "PCM_16")
    Long.frames = 16000
    assert streaming._formats(Long, tmp_path / "x.wav")[0] == ("WAV", "PCM_16")


# --- what is left when it fails --------------------------------------------------------------------------


class Failing(HalverStream):
    """Fails in the way that is wanted when it has had 100,000 samples."""

    taken = 0

    def __init__(self, how):
        super().__init__()
        self.how = how

    def stream(self):
        return self

    def push(self, chunk):
        self.taken += len(chunk)
        if self.taken > 100_000:
            if isinstance(self.how, float):
                return np.full(len(chunk), self.how, np.float32)
            raise self.how
        return super().push(chunk)


@pytest.mark.parametrize(
    ("how", "status", "words"),
    [
        (KeyboardInterrupt(), 130, "interrupted; nothing was written"),
        (float("nan"), 1, "what the model makes of it at 5.98"),
        (RuntimeError("out of luck"), 1, "out of luck"),
    ],
    ids=["Ctrl-C", "NaN", "an error"],
)
def test_whatever_stops_it_leaves_the_folder_as_it_was(enhance, monkeypatch, how, status, words):
    monkeypatch.setattr(checkpoints, "load", lambda name: Failing(how))
    soundfile.write("noisy.wav", tone(10, 16000), 16000)
    soundfile.write("clean.wav", tone(1, 16000), 16000)
    before = open("clean.wav", "rb").read()
    done, said = enhance("noisy.wav")
    assert done == status and words in said and "kept" not in said
    assert open("clean.wav", "rb").read() == before
    assert sorted(os.listdir(".")) == ["clean.wav", "noisy.wav"]


def test_a_disk_that_fills_up_on_the_way_is_a_sentence(enhance, monkeypatch):
    class Full:
        def write(self, content):
            raise OSError(28, os.strerror(28))

        def close(self):
            raise OSError(28, os.strerror(28))

    monkeypatch.setattr(audio_files.tempfile, "TemporaryFile", lambda dir: Full())
    soundfile.write("noisy.wav", tone(1, 16000), 16000)
    status, said = enhance("noisy.wav")
    assert status == 1 and "can not write clean.wav: no space left on device" in said
    assert os.listdir(".") == ["noisy.wav"]


def test_a_write_protected_target_stays(enhance):
    soundfile.write("noisy.wav", tone(1, 16000), 16000)
    with open("clean.wav", "wb") as file:
        file.write(b"precious")
    os.chmod("clean.wav", 0o444)
    status, said = enhance("noisy.wav")
    assert status == 1 and "write-protected" in said
    assert open("clean.wav", "rb").read() == b"precious"


@pytest.mark.parametrize("sizes", [1000, 1, [0, 7, 500]])
def test_chunks_of_any_size_give_what_went_in(sizes):
    waveform = np.random.default_rng(0).normal(size=2000).astype(np.float32)
    assert np.allclose(streaming.in_chunks(HalverStream(), waveform, sizes), 0.5 * waveform)


@pytest.mark.parametrize("sizes", [0, [0, 0], [], [5, -1]])
def test_chunks_that_would_never_end_are_refused(sizes):
    with pytest.raises(ValueError, match="sizes"):
        streaming.in_chunks(HalverStream(), np.zeros(100, np.float32), sizes)


def test_a_stream_that_keeps_all_it_hears_is_found_out():
    class Hoarder(HalverStream):
        held = 10**9

    waveform = np.zeros(160_000, np.float32)
    kept = streaming.memory_held(Hoarder(), waveform, 3)
    assert kept[2] - kept[0] > 1000, "two passes of 625 KiB each were kept"
    honest = streaming.memory_held(HalverStream(), waveform, 3)
    assert abs(honest[2] - honest[0]) < 50
