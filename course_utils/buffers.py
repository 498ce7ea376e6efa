"""Sound that arrives while you work: a ring for samples, a jitter buffer for numbered packets."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Sequence

import numpy as np

from course_utils.waveform import check


def whole_number(value: int, name: str, least: int = 0) -> int:
    """The value, if it is a whole number of at least `least`. Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ValueError(f"{name}: expected a whole number of at least {least}, got {value!r}")
    return int(value)


class RingBuffer:
    """The last `capacity` samples of a stream; a full ring overwrites the oldest ones and counts them in `lost`.

    Samples are numbered from the beginning of the stream: `first` is the next to be read, `end` the next to be
    written. One thread may write while another reads.
    """

    def __init__(self, capacity: int):
        self.samples = np.zeros(whole_number(capacity, "capacity", 1), np.float32)
        self.first = self.end = self.lost = 0
        self.lock = threading.Lock()

    def __len__(self) -> int:
        return self.end - self.first

    def write(self, chunk: np.ndarray) -> int:
        """Take samples (time,), never wait; returns how many unread ones that cost. AudioError: no mono sound."""
        chunk, capacity = check(chunk, "chunk"), len(self.samples)
        with self.lock:
            self.end += len(chunk)
            chunk = chunk[-capacity:]
            self.samples[np.arange(self.end - len(chunk), self.end) % capacity] = chunk
            lost = max(0, len(self) - capacity)
            self.first, self.lost = self.first + lost, self.lost + lost
            return lost

    def read(self, n: int) -> tuple[int, np.ndarray]:
        """Take at most n samples: the number of the first, and samples (time,). A number that jumps is a gap."""
        with self.lock:
            first, n = self.first, min(whole_number(n, "n"), len(self))
            self.first += n
            return first, self.samples[np.arange(first, first + n) % len(self.samples)]


class JitterBuffer:
    """Numbered packets that come late, twice, in another order or never; one leaves at every tick of a clock.

    Packet n leaves at tick n + `delay`. `counts` says how many were "lost" (not there: zeros), "late" (of those,
    came after all), "doubled", "refused" (came when `room` packets waited, or would not leave within `delay` + `room`
    ticks: a wrong number must not take a place for ever) and "kept".
    """

    def __init__(self, size: int, delay: int, room: int = 256):
        self.size, self.delay = whole_number(size, "size", 1), whole_number(delay, "delay")
        self.room, self.waiting, self.next = whole_number(room, "room", 1), {}, -self.delay
        self.missed: deque[int] = deque(
            maxlen=4096
        )  # the last ones, so that late and doubled can be told apart
        self.counts: Counter[str] = Counter()

    def push(self, number: int, packet: np.ndarray) -> None:
        """Take a packet (size,) with its number, 0 for the first. ValueError: another size, no number, no sound."""
        packet, number = check(packet, "packet"), whole_number(number, "number")
        if len(packet) != self.size:
            raise ValueError(f"packet {number}: expected {self.size} samples, got {len(packet)}")
        known = number < self.next or number in self.waiting
        full = len(self.waiting) >= self.room or number - self.next >= self.delay + self.room
        fate = "late" if number in self.missed else "doubled" if known else "refused" if full else "kept"
        self.counts[fate] += 1
        if fate == "late":
            self.missed.remove(number)
        if fate == "kept":
            self.waiting[number] = packet.copy()

    def pull(self) -> tuple[np.ndarray, bool]:
        """The packet (size,) of this tick, and whether it is real; the first `delay` ticks are silence."""
        number, self.next = self.next, self.next + 1
        if number in self.waiting:
            return self.waiting.pop(number), True
        if number >= 0:
            self.counts["lost"] += 1
            self.missed.append(number)
        return np.zeros(self.size, np.float32), False


def read_live(
    cost_ms: Sequence[float], room: int, policy: str = "overwrite", block_ms: float = 10.0
) -> tuple[list[float], list[tuple[int, float, float]]]:
    """A reader that computes `cost_ms` for each block, and a writer with a block every `block_ms`, by a simulated clock.

    A full ring of `room` blocks overwrites the oldest ("overwrite"), is emptied but for the newest ("skip"), or lets the
    writer wait ("wait"). Returns when each block arrived, and (number, begin, end) of those that were computed, in ms.
    """
    ring, now, free, arrived, done = RingBuffer(room), 0.0, 0.0, [], []
    for _ in cost_ms:
        now += block_ms
        while len(ring) and (free < now or (policy == "wait" and len(ring) == room)):
            if policy == "skip" and len(ring) == room:
                ring.read(room - 1)
            number, _ = ring.read(1)
            begin = max(free, arrived[number])
            free = begin + cost_ms[len(done)]
            done.append((number, begin, free))
            now = max(now, begin)  # only a writer that waits is held up
        arrived.append(now)
        ring.write(np.zeros(1))
    return arrived, done


def play_out(
    packets: np.ndarray, sent: Sequence[int], arrival: Sequence[float], delay: int, tick_ms: float = 20.0
) -> tuple[np.ndarray, int]:
    """What leaves a `JitterBuffer` that waits for `delay` packets: samples (time,), and how many packets were silent.

    `packets` (count, size) were sent as the numbers `sent`, and arrived at the times `arrival` in ms.
    """
    jitter, parts, sent, arrival = (
        JitterBuffer(packets.shape[1], delay),
        [],
        np.array(sent),
        np.array(arrival),
    )
    for tick in range(len(packets) + delay):
        for number in sent[(arrival > tick_ms * (tick - 1)) & (arrival <= tick_ms * tick)]:
            jitter.push(number, packets[number])
        parts.append(jitter.pull()[0])
    return np.concatenate(parts[delay:]), jitter.counts["lost"]
