"""Sound that arrives while you work: nothing is lost in silence, nothing stable is taken back (notebook 03)."""

import itertools
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils.buffers import JitterBuffer, RingBuffer, play_out, read_live
from course_utils.decoding.growing import (
    GrowingBuffer,
    LocalAgreement,
    agreed,
    first_shown,
    flicker,
    hypotheses,
)
from course_utils.decoding.partial import Partial
from course_utils.waveform import AudioError

BAD_SOUND = {
    "stereo": np.zeros((4, 2), np.float32),
    "NaN": np.array([0.0, np.nan], np.float32),
    "integers": np.zeros(4, np.int16),
    "text": "hello",
}


def numbered(first, count):
    """Samples whose value is their number in the stream."""
    return np.arange(first, first + count, dtype=np.float32)


# --- the ring


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 12), st.lists(st.tuples(st.booleans(), st.integers(0, 30)), max_size=40))
def test_a_ring_loses_nothing_or_says_what_for_any_order_of_writes_and_reads(capacity, steps):
    ring, unread, written, lost = RingBuffer(capacity), [], 0, 0
    for is_write, n in steps:
        if is_write:
            unread += numbered(written, n).tolist()
            written += n
            gone = max(0, len(unread) - capacity)
            unread, lost = unread[gone:], lost + gone
            assert ring.write(numbered(written - n, n)) == gone
        else:
            first, samples = ring.read(n)
            assert samples.dtype == np.float32 and samples.tolist() == unread[:n]
            assert first == (unread[0] if unread else written), "the number says where the samples belong"
            unread = unread[n:]
        assert len(ring) == len(unread) and ring.lost == lost and ring.end == written


def test_a_jump_of_the_number_is_the_gap():
    ring = RingBuffer(4)
    ring.write(numbered(0, 3))
    assert ring.read(2)[0] == 0
    assert ring.write(numbered(3, 5)) == 2
    first, samples = ring.read(10)
    assert first == 4 and samples.tolist() == [4, 5, 6, 7], "2 and 3 are missing"


def test_what_was_read_stays_when_the_ring_is_written_over_it():
    ring = RingBuffer(3)
    chunk = numbered(0, 3)
    ring.write(chunk)
    chunk[:] = -1
    _, samples = ring.read(3)
    ring.write(numbered(3, 3))
    assert samples.tolist() == [0, 1, 2]


def test_writer_and_reader_may_be_threads():
    ring, total = RingBuffer(64), 20_000

    def write():
        for begin in range(0, total, 10):
            ring.write(numbered(begin, 10))

    writer = threading.Thread(target=write)
    writer.start()
    read = 0
    while writer.is_alive() or len(ring):
        first, samples = ring.read(7)
        assert np.array_equal(samples, numbered(first, len(samples)))
        read += len(samples)
    writer.join()
    assert read + ring.lost == total


@pytest.mark.parametrize("bad", BAD_SOUND.values(), ids=BAD_SOUND)
def test_a_ring_refuses_what_is_no_mono_sound_and_goes_on(bad):
    ring = RingBuffer(8)
    ring.write(numbered(0, 3))
    with pytest.raises(AudioError, match="chunk"):
        ring.write(bad)
    assert ring.write(numbered(3, 2)) == 0 and ring.read(8)[1].tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("capacity", [0, -1, 2.5, True, "8"])
def test_a_ring_needs_room_for_a_whole_number_of_samples(capacity):
    with pytest.raises(ValueError, match="capacity: expected a whole number of at least 1"):
        RingBuffer(capacity)


def test_a_ring_can_not_read_a_negative_count():
    with pytest.raises(ValueError, match="n: expected a whole number of at least 0, got -1"):
        RingBuffer(4).read(-1)


# --- late packets


def played(jitter, arrivals, count):
    """What leaves in `count` ticks after the silence at the beginning; arrivals are (tick, number)."""
    out = []
    for tick in range(count + jitter.delay):
        for _, number in [one for one in arrivals if one[0] == tick]:
            jitter.push(number, numbered(number * jitter.size + 1, jitter.size))
        out.append(jitter.pull())
    assert all(not real and not packet.any() for packet, real in out[: jitter.delay])
    return out[jitter.delay :]


@st.composite
def deliveries(draw):
    """Packets on their way: for each, the ticks by which its copies (none: lost) come late; and the delay."""
    delay = draw(st.integers(0, 5))
    late = st.lists(st.integers(0, 8), max_size=3)
    return delay, draw(st.lists(late, max_size=20)), draw(st.randoms(use_true_random=False))


@settings(max_examples=200, deadline=None)
@given(deliveries())
def test_any_order_loss_and_doubling_within_the_delay_gives_the_original(case):
    delay, copies, random = case
    arrivals = [(number + late, number) for number, row in enumerate(copies) for late in row]
    random.shuffle(arrivals)  # those of one tick come in any order
    jitter = JitterBuffer(3, delay)
    out = played(jitter, arrivals, len(copies))
    in_time = [any(late <= delay for late in row) for row in copies]
    for number, (packet, real) in enumerate(out):
        assert real == in_time[number]
        assert packet.tolist() == ([0] * 3 if not real else numbered(3 * number + 1, 3).tolist())
    assert jitter.counts["lost"] == in_time.count(False)
    came = len(copies) + delay  # later ones had not come when the clock stopped
    here = [[late for late in row if n + late < came] for n, row in enumerate(copies)]
    assert jitter.counts["late"] == sum(bool(row) and not ok for row, ok in zip(here, in_time, strict=True))
    assert jitter.counts["doubled"] == sum(max(0, len(row) - 1) for row in here)
    assert jitter.counts["refused"] == 0 and not jitter.waiting


def test_a_sender_that_runs_ahead_is_refused_instead_of_filling_the_memory():
    jitter = JitterBuffer(1, delay=0, room=4)
    for number in range(10):
        jitter.push(number, numbered(number, 1))
    assert len(jitter.waiting) == 4 and jitter.counts["refused"] == 6
    assert [jitter.pull()[1] for _ in range(6)] == [True] * 4 + [False] * 2 and jitter.counts["lost"] == 2


def test_numbers_far_ahead_take_no_room_from_those_that_come_next():
    jitter = JitterBuffer(1, delay=2, room=3)
    for number in (10**9, 5, 10**6):  # 5 would leave at the eighth tick, after delay and room
        jitter.push(number, numbered(0, 1))
    for number in (2, 1, 0):
        jitter.push(number, numbered(number, 1))
    assert jitter.counts == {"refused": 3, "kept": 3}
    assert [jitter.pull()[1] for _ in range(6)] == [False, False, True, True, True, False]


def test_a_jitter_buffer_keeps_no_trace_of_what_was_lost_long_ago():
    jitter = JitterBuffer(1, delay=0)
    for _ in range(5000):
        jitter.pull()
    assert jitter.counts["lost"] == 5000 and len(jitter.missed) <= 4096


@pytest.mark.parametrize(
    ("number", "packet", "match"),
    [
        (0, np.zeros(3, np.float32), "packet 0: expected 2 samples, got 3"),
        (-1, np.zeros(2, np.float32), "number: expected a whole number"),
        (1.5, np.zeros(2, np.float32), "number: expected a whole number"),
        (0, np.array([0.0, np.nan], np.float32), "packet: sample 1 is not a finite number"),
        (0, np.zeros((2, 2), np.float32), "packet: expected a mono waveform"),
    ],
)
def test_a_jitter_buffer_refuses_a_bad_packet_and_goes_on(number, packet, match):
    jitter = JitterBuffer(2, delay=0)
    with pytest.raises(ValueError, match=match):
        jitter.push(number, packet)
    jitter.push(0, numbered(1, 2))
    assert jitter.pull()[0].tolist() == [1, 2]


@pytest.mark.parametrize(
    "options", [{"size": 0, "delay": 1}, {"size": 2, "delay": -1}, {"size": 2, "delay": 1.5}]
)
def test_a_jitter_buffer_needs_whole_sizes(options):
    with pytest.raises(ValueError, match="expected a whole number"):
        JitterBuffer(**options)


# --- agreement

words = st.lists(st.sampled_from("abc"), max_size=6)


@given(words, words)
def test_what_two_hypotheses_agree_on_is_their_longest_common_beginning(first, second):
    n = len(agreed(first, second))
    assert first[:n] == second[:n] == agreed(first, second)
    assert min(len(first), len(second)) == n or first[n] != second[n]


@given(st.lists(words, max_size=10), st.integers(1, 4))
def test_agreement_never_takes_back_and_needs_n_hypotheses(hypotheses, n):
    agreement, before = LocalAgreement(n), []
    for number, hypothesis in enumerate(hypotheses, 1):
        stable, unstable = agreement.push(hypothesis)
        assert stable[: len(before)] == before
        assert unstable == hypothesis[len(stable) :]
        assert number >= n or not stable
        for place in range(len(before), len(stable)):
            assert {h[place] for h in hypotheses[number - n : number]} == {stable[place]}
        before = list(stable)
        stable.append("changed by the caller")


def test_two_hypotheses_commit_what_both_begin_with():
    agreement = LocalAgreement()
    assert agreement.push("the can".split()) == ([], ["the", "can"])
    assert agreement.push("the cat sat".split()) == (["the"], ["cat", "sat"])
    assert agreement.push("a cat sat on".split()) == (["the", "cat", "sat"], ["on"])
    assert agreement.push([]) == (["the", "cat", "sat"], [])


def test_agreement_asks_for_words_and_a_whole_number():
    with pytest.raises(ValueError, match=r"use words.split\(\)"):
        LocalAgreement().push("the cat")
    with pytest.raises(ValueError, match="n: expected a whole number of at least 1, got 0"):
        LocalAgreement(0)


# --- the naive recogniser


def spell(waveform):
    """A recogniser for tests: a word for each second of sound, and the last one is not sure."""
    whole = "one two three four five six".split()[: len(waveform) // 16_000]
    return " ".join([*whole, f"m{len(waveform) % 16_000}"] if len(waveform) % 16_000 else whole)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(0, 40_000), max_size=6),
    st.sampled_from([0.001, 0.5, 1.0, 7.0]),
)
def test_the_final_text_is_that_of_the_whole_however_it_is_cut(sizes, every_s):
    sound = np.random.default_rng(0).uniform(-1, 1, sum(sizes)).astype(np.float32)
    seen = []

    def transcribe(waveform):
        seen.append(len(waveform) / 16_000)
        assert np.array_equal(waveform, sound[: len(waveform)])
        return spell(waveform)

    stream, begin = GrowingBuffer(transcribe, every_s), 0
    for size in sizes:
        partial = stream.push(sound[begin : begin + size])
        begin += size
        assert partial.stable == "" and partial.seconds <= begin / 16_000
    final = stream.finish()
    assert final == Partial(spell(sound), spell(sound), seconds=len(sound) / 16_000)
    assert stream.decoded == pytest.approx(sum(seen)), "every second that was decoded is counted"


def test_ten_seconds_cost_fifty_five():
    stream = GrowingBuffer(lambda waveform: "", every_s=1.0)
    for _ in range(100):
        stream.push(np.zeros(1600, np.float32))
    assert stream.decoded == pytest.approx(1 + 2 + 3 + 4 + 5 + 6 + 7 + 8 + 9 + 10)
    stream.finish()
    assert stream.decoded == pytest.approx(55), "nothing new was heard"


def test_with_agreement_words_become_stable_and_stay():
    stream = GrowingBuffer(spell, every_s=0.75, agreement=LocalAgreement(2))
    partials = [stream.push(np.zeros(4000, np.float32)) for _ in range(16)]
    for before, after in itertools.pairwise(partials):
        assert after.stable.startswith(before.stable) and after.text.startswith(after.stable)
    assert partials[-1].stable == "one two three"
    assert stream.finish().text == "one two three four" == stream.finish().stable


def test_a_stable_word_that_turns_out_wrong_is_kept():
    texts = iter(["cat sat", "cat sat on", "the cat sat on it"])
    stream = GrowingBuffer(lambda waveform: next(texts), 1.0, LocalAgreement(2))
    for _ in range(3):
        stream.push(np.zeros(16_000, np.float32))
    assert stream.finish().text == "cat sat sat on it", "the price of never taking back"


def test_no_sound_gives_no_words_and_no_decoding():
    stream = GrowingBuffer(lambda waveform: pytest.fail("there was nothing to decode"))
    assert stream.push(np.zeros(0, np.float32)) == Partial() == stream.finish()


@pytest.mark.parametrize("bad", BAD_SOUND.values(), ids=BAD_SOUND)
def test_the_naive_recogniser_refuses_what_is_no_mono_sound_and_goes_on(bad):
    stream = GrowingBuffer(spell)
    with pytest.raises(AudioError, match="chunk"):
        stream.push(bad)
    stream.push(np.zeros(16_000, np.float32))
    assert stream.finish().text == "one"


def test_the_naive_recogniser_keeps_its_own_copy_of_the_sound():
    heard, chunk = [], np.full(8000, 0.5, np.float32)
    stream = GrowingBuffer(lambda waveform: heard.append(waveform) or "")
    stream.push(chunk)
    chunk[:] = -1  # as a sound card does, which fills one buffer again and again
    stream.push(chunk)
    assert heard[0][0] == 0.5 and heard[0][-1] == -1


def test_a_finished_stream_takes_no_more_sound():
    stream = GrowingBuffer(spell)
    stream.finish()
    with pytest.raises(RuntimeError, match="this stream is finished"):
        stream.push(np.zeros(10, np.float32))


@pytest.mark.parametrize("every_s", [0, -1, np.nan, np.inf])
def test_the_time_between_decodings_is_above_zero(every_s):
    with pytest.raises(ValueError, match="every_s: expected seconds above 0"):
        GrowingBuffer(spell, every_s)


def test_a_slow_reader_loses_what_the_policy_says():
    costs = [1.0] * 3 + [55.0] + [1.0] * 12
    _, done = read_live(costs, room=3)
    assert [number for number, *_ in done][3:6] == [3, 6, 7], "two blocks were overwritten"
    _, waited = read_live(costs, room=3, policy="wait")
    assert [number for number, *_ in waited] == list(range(len(waited)))
    _, skipped = read_live([12.0] * 30, room=3, policy="skip")
    assert max(np.diff([number for number, *_ in skipped])) >= 2


def test_packets_in_time_are_played_as_they_were_sent():
    packets = np.arange(30, dtype=np.float32).reshape(10, 3)
    whole, lost = play_out(packets, range(10), 20.0 * np.arange(10), delay=1)
    assert lost == 0 and np.array_equal(whole, packets.ravel())
    late, lost = play_out(packets, range(10), 20.0 * np.arange(10) + 70 * (np.arange(10) == 4), delay=1)
    assert lost == 1 and not late[12:15].any() and np.array_equal(late[15:], packets.ravel()[15:])


def test_hypotheses_flicker_and_the_first_that_has_a_word():
    shown = [["one"], ["one", "too"], ["one", "two"], ["one", "two"]]
    assert flicker(shown) == 0.5 and first_shown(shown) == [0, 2]
    heard = hypotheses(lambda waveform: "word " * (len(waveform) // 16_000), np.zeros(40_000, np.float32))
    assert [len(words) for words in heard] == [1, 2, 2, 2]
