"""The graph of words: against all rows of words and all paths, in any cut, and what is promised of stable words."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils import checkpoints
from course_utils import recognition_onnx as onnx
from course_utils.decoding.graph import WordGraph, bigrams, lattice
from course_utils.decoding.lexicon import LexiconConfig
from course_utils.decoding.partial import STEP_SECONDS
from course_utils.models.recognition import PHONES, RecogniserConfig
from course_utils.models.recognition_words import LexiconRecogniser, PhraseConfig, PhraseRecogniser
from course_utils.text import pronounce

SMALL = dict(dim=16, layers=2, heads=0, kernel=4, left=6, phones_after=1, mean_frames=16)

# {word: its pronunciations}, each a row of classes; no word ends with the phone that another begins with
APART = {"ab": [(1, 2)], "acc": [(1, 3, 3), (1, 2, 2)], "ac": [(1, 3)]}
# "six", "sixteen", "sixty": one begins like the other
NUMBERS = {"six": [(1, 2)], "sixteen": [(1, 2, 3, 4)], "sixty": [(1, 2, 3, 5)], "tea": [(3, 5)]}


def graph(words, grammar=None, bonus=0.0, weight=1.0, width=30.0):
    """A graph of {word: pronunciations}; without a grammar all words are equally likely."""
    n = len(words)
    grammar = np.full((n + 1, n), -math.log(n)) if grammar is None else grammar
    owner = [i for i, ways in enumerate(words.values()) for _ in ways]
    ways = [way for ways in words.values() for way in ways]
    return WordGraph(tuple(words), ways, owner, grammar, weight, bonus, width)


def draw(seed, steps, phones=3, sharp=1.5):
    scores = np.random.default_rng(seed).standard_normal((steps, phones + 1)) * sharp
    return scores - np.log(np.exp(scores).sum(1, keepdims=True))


def draw_grammar(seed, n):
    return np.log(np.random.default_rng(seed).dirichlet(np.ones(n), n + 1))


def sure(path, phones=5, p=0.999):
    """Log-probabilities of somebody who is sure of a path."""
    rows = np.full((len(path), phones + 1), (1 - p) / phones)
    rows[range(len(path)), path] = p
    return np.log(rows)


def decoded(decoder, log_probs, cuts=()):
    for part in np.split(log_probs, sorted(cuts)):
        decoder.push(part)
    return decoder.finish()


def texts(log_probs):
    """log p of the best path of every row of phones."""
    found = {}
    for path in itertools.product(range(log_probs.shape[1]), repeat=len(log_probs)):
        phones = tuple(c for c, _ in itertools.groupby(path) if c)
        p = float(log_probs[range(len(path)), path].sum())
        found[phones] = max(found.get(phones, -math.inf), p)
    return found


def best_row(words, log_probs, grammar, weight, bonus):
    """The best row of words of all, and its score."""
    paths, best = texts(log_probs), ((), -math.inf)
    names, longest = list(words), max(map(len, paths))

    def go_on(row, phones, score):
        nonlocal best
        total = score + paths.get(phones, -math.inf)
        if total > best[1]:
            best = row, total
        for i, name in enumerate(names):
            before = names.index(row[-1]) if row else len(names)
            for way in words[name]:
                if len(phones) + len(way) <= longest:
                    go_on((*row, name), phones + tuple(way), score + weight * grammar[before, i] + bonus)

    go_on((), (), 0.0)
    return best


# --- the search


@pytest.mark.parametrize("bonus", [0.0, 1.5])
@pytest.mark.parametrize("seed", range(6))
def test_it_finds_the_best_row_of_words_over_all_paths(seed, bonus):
    grammar, log_probs = draw_grammar(seed, len(APART)), draw(seed, 6)
    row, score = best_row(APART, log_probs, grammar, 0.7, bonus)
    decoder = graph(APART, grammar, bonus, 0.7, math.inf)
    assert decoded(decoder, log_probs).text == " ".join(row)
    assert decoder.exits.max() == pytest.approx(score)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.3, 4), st.integers(1, 6))
def test_common_beginnings_and_several_ways_over_all_paths(seed, sharp, steps):
    words = {"abc": [(1, 2, 3)], "bc": [(2, 3)], "ac": [(1, 3)], "acc": [(1, 3, 3), (2, 2, 3)]}
    grammar, log_probs = draw_grammar(seed, len(words)), draw(seed, steps, 3, sharp)
    _, score = best_row(words, log_probs, grammar, 0.7, 0.5)
    decoder = graph(words, grammar, 0.5, 0.7, math.inf)
    decoder.push(log_probs)
    assert decoder.exits.max() == pytest.approx(score)


@pytest.mark.parametrize("seed", range(6))
def test_a_phone_at_the_end_and_the_beginning_of_two_words_needs_a_blank_between(seed):
    words, log_probs = {"ab": [(1, 2)], "ba": [(2, 1)], "a": [(1,)]}, draw(seed, 6, 2, 3.0)
    grammar = draw_grammar(seed, 3)
    row, score = best_row(words, log_probs, grammar, 0.6, 1.0)
    decoder = graph(words, grammar, 1.0, 0.6, math.inf)
    assert decoded(decoder, log_probs).text == " ".join(row)
    assert decoder.exits.max() == pytest.approx(score)


def test_a_phone_that_lasts_is_one_word():
    assert decoded(graph({"oh": [(1,)], "two": [(2, 3)]}, bonus=2.0), sure([0, 1, 1, 1, 1, 0])).text == "oh"


@pytest.mark.parametrize("between", [[], [0], [0] * 40])
def test_the_same_word_twice(between):
    two = [1, 1, 2, 2]
    assert decoded(graph({"two": [(1, 2)], "tea": [(1, 3)]}), sure([*two, *between, *two])).text == "two two"


@pytest.mark.parametrize("between", [[0], [0] * 40])
def test_a_word_of_one_phone_twice_with_a_blank_between(between):
    assert decoded(graph({"oh": [(1,)], "tea": [(2, 3)]}), sure([0, 1, 1, *between, 1, 0])).text == "oh oh"


@pytest.mark.parametrize("width", [30.0, math.inf])
@pytest.mark.parametrize(
    "path, text",
    [([1, 2], "six"), ([1, 2, 3, 4], "sixteen"), ([1, 2, 3, 5], "sixty"), ([1, 2, 0, 0, 3, 3, 5], "sixty")],
)
def test_words_that_begin_alike(path, text, width):
    for silence in ([], [0] * 20):
        found = decoded(graph(NUMBERS, width=width), sure([*silence, *path, *silence]))
        assert found.text == text


def test_what_begins_alike_is_decided_by_the_grammar_where_both_are_written_alike():
    words = {"six": [(1, 2)], "tea": [(3, 5)], "sixty": [(1, 2, 3, 5)]}
    path = sure([1, 2, 3, 5])
    one_word = np.log(np.array([[0.3, 0.01, 0.69]] * 4))
    assert decoded(graph(words, one_word), path).text == "sixty"
    two_words = np.log(np.array([[0.01, 0.98, 0.01]] * 3 + [[0.9, 0.05, 0.05]]))
    assert decoded(graph(words, two_words), path).text == "six tea"


def test_each_way_to_say_a_word_writes_it():
    words = {"either": [(1, 2), (3, 2)], "other": [(4, 2)]}
    path = [0, 1, 2, 0, 3, 3, 2, 0, 4, 2, 0]
    assert decoded(graph(words), sure(path)).text == "either either other"


@pytest.mark.parametrize("bonus", [0.0, 2.0])
def test_silence_and_nothing_give_nothing(bonus):
    for log_probs in (sure([0] * 300), np.zeros((0, 6))):
        decoder = graph(NUMBERS, bonus=bonus)
        assert decoder.partial().text == ""
        decoder.push(log_probs)
        assert decoder.partial().text == decoder.partial().stable == "" and decoder.partial().words == ()
        assert decoder.finish().text == ""


def test_a_word_that_was_broken_off_is_not_written_and_nothing_comes_back_in_its_place():
    said = [3, 5, 0, 0] + [1, 2, 0, 0] * 2  # tea six six
    broken = {**NUMBERS, "long": [(4, 5, 4, 5, 4)]}
    for cuts in (range(200), ()):
        found = decoded(graph(broken), sure([*said, *[4] * 3, *[5] * 3, *[0] * 15], p=0.9999999), cuts)
        assert found.text == "tea six six" and found.stable == found.text


@pytest.mark.timeout(20)
def test_log_probabilities_that_are_no_numbers_are_refused():
    with pytest.raises(ValueError, match="log_probs"):
        graph(NUMBERS).push(np.full((2, 6), np.nan))


# --- as sound arrives


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.lists(st.integers(0, 60), max_size=8), st.floats(0.5, 8))
def test_any_cut_gives_the_same(seed, cuts, sharp):
    log_probs, grammar = draw(seed, 60, 5, sharp), draw_grammar(seed, 4)
    assert decoded(graph(NUMBERS, grammar, 1.0, 0.6), log_probs, cuts) == decoded(
        graph(NUMBERS, grammar, 1.0, 0.6), log_probs
    )


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10**6), st.sampled_from([1.0, 5.0, 30.0, math.inf]), st.floats(0.5, 8), st.integers(1, 9)
)
def test_stable_words_stay_and_times_grow(seed, width, sharp, size):
    log_probs, grammar = draw(seed, 90, 5, sharp), draw_grammar(seed, 4)
    decoder, stable = graph(NUMBERS, grammar, 1.0, 0.6, width), []
    for begin in range(0, len(log_probs), size):
        decoder.push(log_probs[begin : begin + size])
        partial = decoder.partial()
        words = partial.stable.split()
        assert words[: len(stable)] == stable and partial.text.split()[: len(words)] == words
        assert partial.seconds == pytest.approx(decoder.step * STEP_SECONDS)
        _times(partial)
        stable = words
    final = decoder.finish()
    assert final.text.split()[: len(stable)] == stable and final.stable == final.text
    _times(final)


def _times(partial):
    assert " ".join(word.text for word in partial.words) == partial.text
    times = [time for word in partial.words for time in (word.start, word.end)]
    assert times == sorted(times) and all(word.start < word.end for word in partial.words)
    assert not times or (times[0] >= 0 and times[-1] <= partial.seconds + 1e-9)


def test_a_word_has_the_times_of_its_first_and_last_phone():
    found = decoded(graph(NUMBERS), sure([0] * 50 + [3, 3, 5, 5] + [0] * 50 + [1, 2] + [0] * 50))
    steps = [(round(word.start / STEP_SECONDS), round(word.end / STEP_SECONDS)) for word in found.words]
    assert found.text == "tea six"
    for (start, end), (begun, over) in zip(steps, [(50, 54), (104, 106)], strict=True):
        assert abs(start - begun) <= 2 and abs(end - over) <= 2, steps


def test_times_go_on_from_the_step_that_is_set():
    decoder = graph(NUMBERS)
    decoder.step = 1000
    found = decoded(decoder, sure([3, 5, 0, 1, 2, 0]))
    assert found.words[0].start == 1000 * STEP_SECONDS and found.seconds == 1006 * STEP_SECONDS


def test_words_are_stable_before_the_end():
    decoder = graph(NUMBERS)
    for row in sure([1, 2, 0, 1, 2, 3, 4, 0] * 20):
        decoder.push(row[None])
    assert decoder.partial().stable.split()[:36] == ["six", "sixteen"] * 18


@pytest.mark.parametrize("sharp", [0.0, 3.0])
def test_what_it_remembers_of_a_long_stream_is_bounded(sharp):
    decoder, longest, rng = graph(NUMBERS, bonus=1.0, weight=0.6), 0, np.random.default_rng(0)
    path = sure([1, 2, 0, 3, 5, 0, 0, 1, 2, 3, 4, 0] * 10)
    for _ in range(25):
        rows = path + sharp * rng.standard_normal(path.shape)
        decoder.push(rows - np.log(np.exp(rows).sum(1, keepdims=True)))
        every = [*decoder.before, *np.ravel(decoder.exit_paths)]  # those given up, too
        longest = max([longest, *(len(spoken.path()) for spoken in every if spoken)])
    assert longest < 120 and len(decoder.words) > 300


# --- its parts


def test_the_states_of_a_word_are_those_of_ctc():
    classes, skip, first, last = lattice([(1, 2, 2), (3,)])
    assert classes.tolist() == [0, 1, 0, 2, 0, 2, 0, 0, 3, 0]
    assert np.flatnonzero(skip).tolist() == [3] and first.tolist() == [0, 7] and last.tolist() == [6, 9]


def test_bigrams_are_probabilities_and_know_what_was_said():
    table = bigrams([["six", "tea"], ["six", "tea"], ["tea"]], ["six", "tea", "two"], trust=1.0)
    assert table.shape == (4, 3) and np.allclose(np.exp(table).sum(1), 1, atol=1e-6)
    assert table[0].argmax() == 1 and table[3].argmax() == 0 and np.isfinite(table).all()


# --- the recogniser with this graph


@pytest.fixture(scope="module")
def recogniser(one_thread):
    torch.manual_seed(0)
    words, ways = ("either", "either", "two"), ("IY DH ER", "AY DH ER", "T UW")
    model = PhraseRecogniser(PhraseConfig(RecogniserConfig(**SMALL, units=PHONES), words, ways, 0.5, 1.0))
    torch.nn.init.normal_(model.head.weight, std=0.5)
    model.grammar.copy_(torch.from_numpy(draw_grammar(0, 2)))
    return model.eval()


def phones_of(text):
    return [PHONES.index(phone.rstrip("012")) + 1 for phone in text]


def sound(length, seed=0):
    return (0.1 * np.random.default_rng(seed).standard_normal(length)).astype(np.float32)


def test_its_graph_knows_every_way_to_say_a_word(recogniser):
    assert recogniser.vocabulary == ("either", "two")
    path = [one for way in ("IY DH ER", "T UW", "AY DH ER") for one in [*phones_of(way.split()), 0]]
    assert decoded(recogniser.decoder(), sure(path, len(PHONES))).text == "either two either"


def test_it_listens_for_other_words_with_the_same_ears(recogniser):
    other = recogniser.listening_for(["pizza", "coffee", "zzyx"])
    assert other.vocabulary == ("pizza", "coffee", "zzyx") and recogniser.vocabulary == ("either", "two")
    assert other.grammar.shape == (4, 3) and torch.allclose(other.grammar, torch.tensor(-math.log(3)))
    assert not other.training
    theirs = dict(other.named_parameters())
    assert all(torch.equal(value, theirs[key]) for key, value in recogniser.named_parameters())
    waveform = sound(20000)
    assert torch.equal(other.hear(waveform).units, recogniser.hear(waveform).units)
    path = [one for word in ("coffee", "zzyx", "pizza") for one in [*phones_of(pronounce(word)), 0]]
    path = [p for a, b in zip(path, [*path[1:], 0], strict=True) for p in ([a, 0] if a == b else [a])]
    assert decoded(other.decoder(), sure(path, len(PHONES))).text == "coffee zzyx pizza"


def test_a_word_that_no_dictionary_has_is_pronounced_as_it_is_spelled(recogniser):
    way = recogniser.listening_for(["xz"]).phrases.pronunciations[0].split()
    assert way == "EH K S Z IY".split()


def test_a_word_that_is_listened_for_twice_is_one_word(recogniser):
    assert recogniser.listening_for(["two", "two"]).vocabulary == ("two",)
    assert recogniser.listening_for(["two"]).grammar.shape == (2, 1)


@pytest.mark.parametrize("words", [[], (), [""], ["two", "?!"]])
def test_words_that_can_not_be_said_are_refused(recogniser, words):
    with pytest.raises(ValueError, match="word"):
        recogniser.listening_for(words)


def test_a_text_in_the_place_of_a_list_is_refused(recogniser):
    with pytest.raises(ValueError, match="words"):
        recogniser.listening_for("two")


def test_a_stream_of_it_in_any_chunks_gives_the_text_of_the_whole(recogniser):
    waveform = sound(48000)
    whole = recogniser.transcribe(waveform, 160)
    for size in (700, 2560, 20000):
        stream = recogniser.stream(160)
        for begin in range(0, len(waveform), size):
            stream.push(waveform[begin : begin + size])
        assert stream.finish().text == whole


def test_a_checkpoint_brings_it_back(recogniser, tmp_path):
    for half in (False, True):
        checkpoints.save(tmp_path / "phrases", recogniser, recogniser.phrases, "# phrases", half=half)
        back = checkpoints.load(tmp_path / "phrases")
        assert isinstance(back, PhraseRecogniser) and back.vocabulary == recogniser.vocabulary
        there = back.state_dict()
        for key, value in recogniser.state_dict().items():
            assert torch.allclose(there[key], value, atol=2e-3 if half else 0)
        assert torch.allclose(back.grammar, recogniser.grammar, atol=2e-3)
        if not half:
            assert back.transcribe(sound(30000)) == recogniser.transcribe(sound(30000))
        other = back.listening_for(["pizza"])
        assert other.phrases.network.units == back.config.units


def test_a_checkpoint_brings_a_recogniser_with_a_lexicon_back(one_thread, tmp_path):
    lines = b"\na\nab\nba"  # the border of a sentence, then words in the order of the alphabet
    language = LexiconConfig(4, len(lines), 4, 4, alpha=0.4, bonus=0.5, width=4)
    network = RecogniserConfig(**SMALL, units=(" ", "a", "b"))
    torch.manual_seed(1)
    model = LexiconRecogniser(network, language)
    torch.nn.init.normal_(model.head.weight, std=0.5)
    tables = dict(model.language.named_buffers())
    tables["text"].copy_(torch.tensor(list(lines), dtype=torch.uint8))
    for name in ("log1", "log2", "log3"):
        tables[name].copy_(torch.arange(10, 14, dtype=torch.uint8))
    for name in ("word2", "word3", "following1", "following2"):
        values = [1, 1, 1, 1] if name.startswith("following") else [1, 2, 3, 0]
        tables[name].copy_(torch.tensor(values).to(tables[name].dtype))
    model.language.unpack()
    model.eval()
    config = {"network": vars(network), "language": vars(language)}
    checkpoints.save(tmp_path / "lexicon", model, config, "# lexicon")
    back = checkpoints.load(tmp_path / "lexicon")
    assert back.language.config == language and back.language.lexicon == ["", "a", "ab", "ba"]
    decoder = back.decoder()
    assert (decoder.alpha, decoder.bonus, decoder.width) == (0.4, 0.5, 4)
    text = back.transcribe(sound(40000))
    assert text == model.transcribe(sound(40000)) and set(text.split()) <= {"a", "ab", "ba"}


@pytest.mark.filterwarnings("ignore")
def test_its_onnx_file_hears_the_same_and_writes_the_words_of_its_graph(recogniser, tmp_path):
    pytest.importorskip("onnxruntime", reason="needs onnxruntime: run `course install dev`")
    pytest.importorskip("onnx", reason="needs onnx: run `course install dev`")
    stream = onnx.OnnxRecogniserStream(onnx.to_onnx(recogniser, tmp_path / "step.onnx", 160))
    ours, theirs = recogniser.decoder(), recogniser.stream(160)
    for i in range(6):
        stream.push(sound(8000, i))
        theirs.push(sound(8000, i))
        assert np.allclose(stream.log_probs, theirs.log_probs, atol=1e-4)
        ours.push(stream.log_probs)
    words = stream.finish().text
    ours.push(stream.log_probs)
    assert words and words == ours.finish().text == theirs.finish().text


def test_a_word_is_shown_after_some_patience_and_no_longer_taken_back_for_a_longer_one():
    """six ... is what sixteen begins with: shown at once it would be taken back."""
    path = [0, 1, 2, 0, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    log_probs, shown = sure(path), {0: [], 8: []}
    for patience, texts_ in shown.items():
        decoder = graph(NUMBERS)
        decoder.patience = patience
        for row in log_probs:
            decoder.push(row[None])
            texts_.append(decoder.partial().text)
        assert decoder.finish().text == "sixteen"
    assert "six" in shown[0] and shown[0][-1] == "sixteen"
    assert set(shown[8]) == {"", "sixteen"} and shown[8].index("sixteen") > shown[0].index("sixteen")
