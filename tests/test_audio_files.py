"""Sound files as they are found: unfinished, joined, mislabelled, endless; and none is ever written half."""

import io
import os
import random
import subprocess
import sys
import warnings

import numpy as np
import pytest
import soundfile

from course_utils import audio, audio_files
from course_utils.audio_files import SoundReader, SoundWriter

NOISE = np.random.default_rng(0).normal(0, 0.1, 16000 * 2).astype(np.float32)


def encoded(format, samples=NOISE, rate=16000, subtype=None):
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=format, subtype=subtype)
    return buffer.getvalue()


KINDS = [("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III")]


# --- read ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("as_path", [True, False])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(("format", "subtype"), KINDS[1:])
def test_files_that_were_joined_are_read_one_after_the_other(tmp_path, format, subtype, channels, as_path):
    parts = [np.stack([NOISE[:length]] * channels, axis=1) for length in (16000, 8000, 24000)]
    content = b"".join(encoded(format, part, subtype=subtype) for part in parts)
    (tmp_path / "joined").write_bytes(content)
    samples, _ = audio.load_native(tmp_path / "joined" if as_path else content)
    assert len(samples) == 48000
    parts_read = [audio.load_native(encoded(format, part, subtype=subtype))[0] for part in parts]
    np.testing.assert_array_equal(samples, np.concatenate(parts_read))
    assert len(audio.load_native(content, max_seconds=1.25)[0]) == 20000


def test_an_mp3_without_a_table_of_contents_may_follow_one_with():
    whole = encoded("MP3")
    frame = whole.index(whole[:2], 100)  # the first is the table of contents
    assert len(audio.load(whole + whole[frame:])) > 3 * 16000
    for length in range(10, 60):  # cut off in the table itself
        with pytest.raises(audio.AudioError):
            audio.load(whole[:length])


@pytest.mark.parametrize("as_path", [True, False])
@pytest.mark.parametrize("tag", [b"", b"ID3\3\0\0\0\0\x08\0" + bytes(1024)])
@pytest.mark.parametrize("silent", [0, 1])
def test_an_mp3_of_changing_bit_rate_without_a_table_of_contents_is_read_to_its_end(
    tmp_path, silent, tag, as_path
):
    """Its first frame says nothing of the length: silence takes few bytes, noise many."""
    parts = [NOISE * 0, NOISE]
    buffer = io.BytesIO()
    with soundfile.SoundFile(buffer, "w", 16000, 1, format="MP3", bitrate_mode="VARIABLE") as file:
        file.write(np.concatenate([parts[silent], parts[1 - silent]]))
    whole = buffer.getvalue()
    content = tag + whole[whole.index(whole[:2], 100) :]  # the first frame is the table
    (tmp_path / "sound.mp3").write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        samples = audio.load(tmp_path / "sound.mp3" if as_path else content)
    assert 4 * 16000 < len(samples) < 4.2 * 16000


def test_files_of_different_kinds_that_were_joined_are_refused():
    stereo = np.stack([NOISE, NOISE], axis=1)
    with pytest.raises(audio.AudioError, match=r"at 2.00 s 1 channels at 16000 Hz become 2"):
        audio.load(encoded("FLAC") + encoded("FLAC", stereo))


def unfinished(content):
    """A WAV as a recorder leaves it that was killed: the sizes were never filled in."""
    place = content.index(b"data")
    return content[:4] + bytes(4) + content[8 : place + 4] + bytes(4) + content[place + 8 :]


@pytest.mark.parametrize("as_path", [True, False])
@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "FLOAT", "ULAW"])
def test_what_a_killed_recorder_left_is_recovered_with_a_warning(tmp_path, subtype, as_path):
    whole = encoded("WAV", subtype=subtype)
    (tmp_path / "killed.wav").write_bytes(unfinished(whole))
    source = tmp_path / "killed.wav" if as_path else unfinished(whole)
    with pytest.warns(audio.AudioWarning, match="never finished its header"):
        samples = audio.load(source)
    np.testing.assert_array_equal(samples, audio.load(whole))
    assert (tmp_path / "killed.wav").read_bytes() == unfinished(whole), "the file itself is left alone"


def test_a_file_of_no_samples_is_not_taken_for_an_unfinished_one():
    for rest in (b"", b"LIST\x04\0\0\0INFO"):
        with pytest.raises(audio.AudioError, match=r"holds no samples$"):
            audio.load(encoded("WAV", NOISE[:0]) + rest)


@pytest.mark.parametrize("format", ["AIFF", "AU", "CAF"])
def test_an_unfinished_header_of_another_format_is_said_plainly(format):
    with pytest.raises(audio.AudioError, match="stopped before it finished the header"):
        audio.load(encoded(format, NOISE[:0]) + bytes(32000))


def test_a_flac_of_unknown_length_is_read_to_its_end(tmp_path):
    content = bytearray(encoded("FLAC"))
    content[21] &= 0xF0  # the number of samples takes 36 bits of the first block
    content[22:26] = bytes(4)
    (tmp_path / "pipe.flac").write_bytes(content)
    assert len(audio.load(tmp_path / "pipe.flac")) == len(NOISE)
    with SoundReader(bytes(content)) as reader:
        assert reader.frames is None and sum(map(len, reader.blocks())) == len(NOISE)


@pytest.mark.parametrize("subtype", ["GSM610", "G721_32", "NMS_ADPCM_32"])
def test_what_can_not_seek_is_read_in_blocks(subtype):
    samples, _ = audio.load_native(encoded("WAV", NOISE[:8000], 8000, subtype))
    assert 8000 <= len(samples) < 8400  # whole blocks of the codec


def test_a_tag_behind_a_flac_is_no_damage():
    assert len(audio.load(encoded("FLAC") + b"TAG" + bytes(125))) == len(NOISE)


def test_a_file_that_is_cut_off_says_so():
    with pytest.warns(audio.AudioWarning, match="cut off"):
        assert len(audio.load(encoded("MP3")[:5000])) < 32000


@pytest.mark.parametrize("format", ["WAV", "WAVEX", "AIFF", "AU"])
def test_a_file_of_plain_samples_that_is_cut_off_says_so_and_a_stream_of_unknown_length_does_not(format):
    whole = encoded(format)
    with pytest.warns(audio.AudioWarning, match="cut off, 50% of the sound"):
        assert len(audio.load(whole[: len(whole) // 2])) == pytest.approx(16000, abs=50)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        audio.load(whole)
        audio.load(whole[: len(whole) // 2], max_seconds=0.5)
        if format == "WAV":
            unknown = whole.replace((2 * len(NOISE)).to_bytes(4, "little"), b"\xff\xff\xff\xff")
            assert len(audio.load(unknown[:-2000])) == len(NOISE) - 1000


@pytest.mark.parametrize("name", ["page.wav", "page.mp3"])
def test_a_web_page_that_was_downloaded_instead_of_a_sound_is_called_one(tmp_path, name):
    (tmp_path / name).write_bytes(b"\n<!DOCTYPE html><html><body>Not found</body></html>" * 100)
    with pytest.raises(audio.AudioError, match="web page"):
        audio.load(tmp_path / name)


def test_what_is_named_mp3_and_is_none_is_not_said_to_be_missing(tmp_path):
    (tmp_path / "notes.mp3").write_bytes(b"hello there\n" * 300)
    with pytest.raises(audio.AudioError, match="of no known format"):
        audio.load(tmp_path / "notes.mp3")


@pytest.mark.parametrize("ending", ["xi", "wve"])
def test_a_format_that_does_not_keep_the_sample_rate_is_not_written(tmp_path, ending):
    with pytest.raises(audio.AudioError, match="can be written"):
        audio.save(tmp_path / f"a.{ending}", NOISE)


@pytest.mark.parametrize("rate", [1, 999, 384001, 2**31 - 1])
def test_a_rate_in_a_header_that_can_not_be_right_is_refused(tmp_path, rate):
    content = bytearray(encoded("WAV"))
    content[24:28] = rate.to_bytes(4, "little")
    (tmp_path / "r.wav").write_bytes(content)
    with pytest.raises(
        audio.AudioError, match=r"r.wav: the sample rate in its header must be from 1000 to 384000"
    ):
        audio.load(tmp_path / "r.wav")


def test_a_device_is_no_file(tmp_path):
    if not os.path.exists("/dev/zero"):
        pytest.skip("no such device here")
    with pytest.raises(audio.AudioError, match="a device or a pipe"):
        audio.load("/dev/zero")


@pytest.mark.parametrize(
    ("format", "subtype"), [*KINDS, ("AIFF", "PCM_16"), ("WAV", "IMA_ADPCM"), ("CAF", "ALAC_16")]
)
def test_damaged_files_are_read_or_refused_and_ask_for_little_memory(format, subtype, tmp_path):
    whole, rng = encoded(format, NOISE[:6000], subtype=subtype), random.Random(0)
    for _ in range(60):
        content = bytearray(whole[: rng.randrange(1, len(whole))] if rng.random() < 0.5 else whole)
        for _ in range(rng.randrange(6)):
            place = rng.randrange(min(len(content), rng.choice([16, 100, len(content)])))
            content[place] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)])
        (tmp_path / "damaged").write_bytes(content)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", audio.AudioWarning)
            try:
                samples, _ = audio.load_native(tmp_path / "damaged")
                assert samples.size < 2**22, "not what a header claims"
            except audio.AudioError:
                pass


def test_a_header_that_claims_ten_hours_and_a_thousand_channels_asks_for_little():
    content = bytearray(encoded("WAV", NOISE[:512]))
    content[22:24], content[32:34] = (1000).to_bytes(2, "little"), (2000).to_bytes(2, "little")
    content[40:44] = (2**32 - 100).to_bytes(4, "little")
    try:
        assert audio.load_native(bytes(content))[0].size <= 2**20
    except audio.AudioError:
        pass


# --- write ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rate", "suffix"),
    [(96000, "mp3"), (44100, "opus"), (10**9, "wav"), (16000, "xyz"), (16000, "raw"), (16000, "sd2")],
)
def test_a_save_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, rate, suffix):
    (tmp_path / f"old.{suffix}").write_bytes(b"old")
    with pytest.raises(audio.AudioError):
        audio.save(tmp_path / f"old.{suffix}", NOISE, rate)
    assert (tmp_path / f"old.{suffix}").read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("missing", [1, 100, 5000, None])
@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "opus", "mp3"])
def test_a_full_disk_is_said_plainly_and_leaves_the_old_file(tmp_path, monkeypatch, suffix, missing):
    """Full in the header, in the middle, and only when the encoder writes its last bytes."""
    size = audio.save(tmp_path / f"old.{suffix}", NOISE).stat().st_size
    room = size - missing if missing else 0

    class Full(io.FileIO):
        def write(self, data):
            free = room - self.tell()
            if free <= 0:
                raise OSError(28, os.strerror(28))
            return super().write(data[:free])

    # The class below the writer's own meets the end of the disk.
    monkeypatch.setattr(audio_files, "_Disk", type("_Disk", (audio_files._Disk, Full), {}))
    before = (tmp_path / f"old.{suffix}").read_bytes()
    with pytest.raises(audio.AudioError, match=f"can not write .*old.{suffix}: no space left on device"):
        audio.save(tmp_path / f"old.{suffix}", NOISE)
    assert (tmp_path / f"old.{suffix}").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_ctrl_c_while_writing_leaves_the_old_file(tmp_path, monkeypatch):
    audio.save(tmp_path / "old.wav", NOISE[:100])
    before = (tmp_path / "old.wav").read_bytes()
    with pytest.raises(KeyboardInterrupt), SoundWriter(tmp_path / "old.wav", 16000) as file:
        file.write(NOISE)
        raise KeyboardInterrupt

    def interrupted(self, data):
        raise KeyboardInterrupt

    disk = type("_Disk", (audio_files._Disk, type("Interrupted", (io.FileIO,), {"write": interrupted})), {})
    monkeypatch.setattr(audio_files, "_Disk", disk)
    with pytest.raises(KeyboardInterrupt):
        audio.save(tmp_path / "old.wav", NOISE)
    assert (tmp_path / "old.wav").read_bytes() == before and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: p / "no" / "x.wav", "there is no folder"),
        (lambda p: p, "it is a folder"),
        (lambda p: p / ("x" * 300 + ".wav"), "name too long"),
        (lambda p: p / "protected.wav", "write-protected"),
    ],
)
def test_a_place_that_can_not_be_written_says_why(tmp_path, make, words):
    (tmp_path / "protected.wav").write_bytes(b"precious")
    (tmp_path / "protected.wav").chmod(0o444)
    with pytest.raises(audio.AudioError, match=words):
        audio.save(make(tmp_path), NOISE)
    assert (tmp_path / "protected.wav").read_bytes() == b"precious"


def test_a_link_stays_a_link_and_its_file_is_replaced(tmp_path):
    audio.save(tmp_path / "file.wav", NOISE[:10])
    (tmp_path / "link.wav").symlink_to(tmp_path / "file.wav")
    audio.save(tmp_path / "link.wav", NOISE)
    assert (tmp_path / "link.wav").is_symlink() and len(audio.load(tmp_path / "file.wav")) == len(NOISE)


def test_minutes_of_vorbis_do_not_end_python(tmp_path):
    """In a process of its own, because libsndfile overflows its stack when it gets them at once."""
    script = (
        "import sys, numpy as np; from course_utils import audio\n"
        "audio.save(sys.argv[1], np.zeros(16000 * 150, np.float32))\n"
        "audio.encode(np.zeros(16000 * 150, np.float32), 'ogg')"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "long.ogg")], capture_output=True)
    assert done.returncode == 0, done.stderr


# --- what a file says of itself ----------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["wav", "flac", "ogg", "opus", "mp3", "aiff", "caf"])
def test_a_comment_is_read_as_it_was_written_and_the_sound_stays_the_same(tmp_path, ending):
    waveform = (0.1 * np.sin(np.arange(8000) / 5)).astype(np.float32)
    plain = audio.save(tmp_path / f"plain.{ending}", waveform)
    for said in ("synthetic speech: voice 'f01', 100 %", "x" * 1000):
        marked = audio.save(tmp_path / f"marked.{ending}", waveform, comment=said)
        assert audio.tag(marked) == said and audio.tag(marked.read_bytes()) == said
        assert np.array_equal(audio.load(marked), audio.load(plain))
    assert audio.tag(plain) == ""


def test_a_comment_survives_what_a_stream_writes_piece_by_piece(tmp_path):
    with audio_files.SoundWriter(tmp_path / "a.flac", 16000, comment="piece by piece") as writer:
        for _ in range(30):
            writer.write(np.zeros(16000, np.float32))
    assert audio.tag(tmp_path / "a.flac") == "piece by piece"
    assert len(audio.load(tmp_path / "a.flac")) == 30 * 16000


@pytest.mark.parametrize("ending", ["au", "w64"])
def test_a_format_without_room_for_a_comment_says_so_and_writes_nothing(tmp_path, ending):
    with pytest.raises(audio.AudioError, match=r"no room for the comment 'hello'; use \.wav"):
        audio.save(tmp_path / f"a.{ending}", np.zeros(100, np.float32), comment="hello")
    assert not list(tmp_path.iterdir())
    audio.save(tmp_path / f"a.{ending}", np.zeros(100, np.float32))


@pytest.mark.parametrize(
    "comment", ["two\nlines", "a\0b", " x", "x" * 1001, None, 3, b"bytes", "\ud800", "für"]
)
def test_a_comment_that_would_not_be_read_as_it_is_written_is_refused(tmp_path, comment):
    with pytest.raises(audio.AudioError, match="expected a comment"):
        audio.save(tmp_path / "a.wav", np.zeros(100, np.float32), comment=comment)
    assert not list(tmp_path.iterdir())


def test_a_comment_in_no_known_letters_is_read_as_far_as_it_goes(tmp_path):
    content = audio.save(tmp_path / "a.wav", np.zeros(100, np.float32), comment="ABCDEF").read_bytes()
    assert audio.tag(content.replace(b"ABCDEF", b"AB\xff\xfeEF")).startswith("AB")
