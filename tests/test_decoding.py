"""Prefix beam search and its language models: against all paths, in any cut, and what is promised of stable words."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils import checkpoints
from course_utils.decoding.beam import NEVER, CharacterModel, PrefixBeam, add
from course_utils.decoding.greedy import GreedyDecoder
from course_utils.decoding.lexicon import LexiconModel
from course_utils.models.recognition import RecogniserConfig
from course_utils.models.recognition_words import LexiconRecogniser
from data.build import language

LETTERS = (" ", "a", "b")
SENTENCES = [["a", "ab", "a"], ["ab", "ba"], ["a", "ab", "ba"], ["ba"]]
EVERYTHING = {"width": 10**6, "margin": math.inf, "cut": NEVER}


def draw(seed, steps, units=3, sharp=1.5):
    scores = torch.randn(steps, units + 1, generator=torch.Generator().manual_seed(seed))
    return (sharp * scores).log_softmax(-1).numpy()


def decoded(decoder, log_probs, cuts=()):
    for part in np.split(log_probs, sorted(cuts)):
        decoder.push(part)
    return decoder.finish()


@pytest.fixture(scope="module")
def lexicon_model():
    known = {"a", "ab", "ba", language.BORDER}
    model = language.KneserNey(SENTENCES, known)
    return language.tables(sorted(known - {""}), model, set(model.grams[1]), set(model.grams[2]))


def totals(log_probs, units):
    """log p of every text, summed over all of its paths."""
    found = {}
    for path in itertools.product(range(len(units) + 1), repeat=len(log_probs)):
        text = tuple(units[c - 1] for c, _ in itertools.groupby(path) if c)
        found[text] = add(found.get(text, NEVER), float(log_probs[range(len(path)), path].sum()))
    return found


def said(text, lm, alpha, bonus):
    state, score = lm.start(), 0.0
    for unit in text:
        p, state = lm.score(state, unit)
        if p == NEVER:
            return NEVER
        score += p
    return alpha * (score + lm.end(state)) + bonus * len("".join(text).split())


@pytest.mark.parametrize("seed", range(4))
def test_the_beam_finds_what_all_paths_together_say(seed):
    log_probs = draw(seed, 6)
    sums = totals(log_probs, LETTERS)
    best = max(sums, key=sums.get)
    assert decoded(PrefixBeam(LETTERS, **EVERYTHING), log_probs).text.split() == "".join(best).split()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", ["characters", "lexicon"])
def test_with_a_language_model_it_finds_the_best_sum_of_both(name, seed, lexicon_model):
    characters = CharacterModel([" ".join(words) for words in SENTENCES], LETTERS, order=3)
    lm = characters if name == "characters" else lexicon_model
    log_probs = draw(seed, 6)
    sums = {text: p + said(text, lm, 0.7, 0.9) for text, p in totals(log_probs, LETTERS).items()}
    best = max(sums, key=sums.get)
    decoder = PrefixBeam(LETTERS, lm, 0.7, 0.9, **EVERYTHING)
    assert decoded(decoder, log_probs).text.split() == "".join(best).split()


def test_whole_words_as_units():
    units, log_probs = ("one", "two"), draw(3, 6, 2)
    sums = totals(log_probs, units)
    assert decoded(PrefixBeam(units, **EVERYTHING), log_probs).text == " ".join(max(sums, key=sums.get))


def test_a_unit_that_was_committed_is_not_written_again_when_it_goes_on():
    sure = np.log(np.array([[0.01, 0.98, 0.01], [0.01, 0.98, 0.01], [0.98, 0.01, 0.01], [0.01, 0.98, 0.01]]))
    assert decoded(PrefixBeam(("one", "two"), margin=2.0), sure, range(1, 4)).text == "one one"


def test_width_one_is_greedy_where_every_step_is_sure():
    rng = np.random.default_rng(0)
    for _ in range(20):
        log_probs = np.log(np.eye(4)[rng.integers(0, 4, 30)] * 0.96 + 0.01)
        greedy, beam = (
            decoded(make(LETTERS), log_probs) for make in (GreedyDecoder, lambda u: PrefixBeam(u, width=1))
        )
        assert beam.text == greedy.text and beam.words == greedy.words


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.lists(st.integers(0, 40), max_size=6))
def test_any_cut_gives_the_same(seed, cuts):
    log_probs = draw(seed, 40, sharp=3.0)
    assert decoded(PrefixBeam(LETTERS, width=4), log_probs, cuts) == decoded(
        PrefixBeam(LETTERS, width=4), log_probs
    )


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([1, 3, 16]), st.booleans(), st.floats(0.5, 6))
def test_stable_words_stay_and_times_grow(lexicon_model, seed, width, with_lexicon, sharp):
    decoder = PrefixBeam(LETTERS, lexicon_model if with_lexicon else None, width=width)
    stable = []
    for row in draw(seed, 60, sharp=sharp):
        decoder.push(row[None])
        partial = decoder.partial()
        words = partial.stable.split()
        assert words[: len(stable)] == stable and partial.text.split()[: len(words)] == words
        stable = words
    final = decoder.finish()
    assert final.text.split()[: len(stable)] == stable and final.stable == final.text
    assert " ".join(word.text for word in final.words) == final.text
    times = [time for word in final.words for time in (word.start, word.end)]
    assert times == sorted(times) and all(word.start < word.end for word in final.words)


def test_words_are_stable_before_the_end_and_hypotheses_stay_short():
    sure = np.log(np.eye(4)[[2, 3, 1, 0] * 100] * 0.96 + 0.01)
    decoder = PrefixBeam(LETTERS)
    decoder.push(sure)
    assert decoder.partial().stable.split() == ["ab"] * 100
    assert len(decoder.beam) <= 32 and max(map(len, decoder.beam)) < 20


def test_what_stays_undecided_for_too_long_is_decided():
    decoder = PrefixBeam(("one", "two"), margin=math.inf)
    doubt = np.log(
        np.array([[0.02, 0.49, 0.49]] + [[0.9998, 0.0001, 0.0001], [0.0001, 0.9998, 0.0001]] * 400)
    )
    for row in doubt:
        decoder.push(row[None])
        assert max(map(len, decoder.beam)) <= decoder.LONGEST + 2
    assert len(decoder.finish().words) == 401


def test_nothing_in_nothing_out():
    for decoder in (PrefixBeam(LETTERS), PrefixBeam(LETTERS, CharacterModel(["a"], LETTERS))):
        assert decoder.partial().text == decoder.finish().text == decoder.finish().stable == ""
    silent = PrefixBeam(LETTERS)
    assert decoded(silent, np.log(np.full((5, 4), [0.97, 0.01, 0.01, 0.01]))).words == ()
    assert silent.partial().seconds == pytest.approx(5 * 0.032)


def test_times_begin_where_the_stream_says():
    decoder = PrefixBeam(LETTERS)
    decoder.step = 100
    decoder.push(np.log(np.eye(4)[[0, 2, 0]] * 0.96 + 0.01))
    (word,) = decoder.finish().words
    assert (word.start, word.end) == (pytest.approx(101 * 0.032), pytest.approx(102 * 0.032))


@pytest.mark.parametrize("wrong", [{"width": 0}, {"alpha": 0}, {"alpha": math.nan}])
def test_a_search_that_can_not_work_is_refused(wrong):
    with pytest.raises(ValueError, match="width of at least 1 and alpha > 0"):
        PrefixBeam(LETTERS, **wrong)


@pytest.mark.parametrize("order", [1, 2, 4])
def test_the_character_model_sums_to_one_after_any_history(order):
    model = CharacterModel(["ab ba", "a b", "abba"], LETTERS, order)
    for text in ("", "a", "ab", "bbbb", "a b"):
        state = model.start()
        for unit in text:
            _, state = model.score(state, unit)
        assert len(state) < order
        mass = sum(math.exp(model.score(state, unit)[0]) for unit in LETTERS) + math.exp(model.end(state))
        assert mass == pytest.approx(1)


def test_the_character_model_has_learnt_what_it_counted():
    model = CharacterModel(["ab ab ab"], LETTERS)
    assert model.probability("a", "b") > 0.7 > 0.2 > model.probability("a", "a")
    with pytest.raises(ValueError, match="normalise"):
        CharacterModel(["A!"], LETTERS)


def test_the_letters_of_a_word_cost_what_the_word_costs(lexicon_model):
    state, total = lexicon_model.start(), 0.0
    for unit in "ab ba":
        p, state = lexicon_model.score(state, unit)
        total += p
    number = {word: i for i, word in enumerate(lexicon_model.lexicon)}
    words = lexicon_model.word_after((0,), number["ab"]) + lexicon_model.word_after(
        (0, number["ab"]), number["ba"]
    )
    end = lexicon_model.word_after((number["ab"], number["ba"]), 0)
    assert total + lexicon_model.end(state) == pytest.approx(words + end)


def test_the_tables_hold_the_probabilities_they_were_made_of(lexicon_model):
    model = language.KneserNey(SENTENCES, set(lexicon_model.lexicon))
    words = lexicon_model.lexicon
    for gram in model.grams[1] | model.grams[2]:
        got = lexicon_model.word_after(tuple(words.index(w) for w in gram[:-1]), words.index(gram[-1]))
        assert got == pytest.approx(math.log(model.p(gram)), abs=0.051)
    for context in itertools.product(range(4), repeat=2):
        mass = sum(math.exp(lexicon_model.word_after(context, word)) for word in range(4))
        assert mass == pytest.approx(1, abs=0.15)  # what is stored is rounded, and a backoff is at most one


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([1, 4, 32]))
def test_words_that_are_not_in_the_lexicon_never_come_out(lexicon_model, seed, width):
    final = decoded(PrefixBeam(LETTERS, lexicon_model, width=width), draw(seed, 30))
    assert set(final.text.split()) <= {"a", "ab", "ba"}


def small_recogniser(lexicon_model):
    network = {"dim": 16, "layers": 1, "heads": 2, "phones_after": 1, "kernel": 3, "left": 8}
    config = {"network": network, "language": vars(lexicon_model.config) | {"alpha": 0.5}}
    torch.manual_seed(0)
    model = LexiconRecogniser.from_config(config).eval()
    model.language.load_state_dict(lexicon_model.state_dict())
    return model, config


def test_a_recogniser_with_its_language_model_is_saved_and_loaded(tmp_path, lexicon_model):
    model, config = small_recogniser(lexicon_model)
    checkpoints.save(tmp_path / "small", model, config, "# card", half=True)
    loaded = checkpoints.load(tmp_path / "small")
    assert loaded.language.lexicon == ["", "a", "ab", "ba"] and loaded.config == RecogniserConfig(
        **config["network"]
    )
    assert loaded.language.word_after((0,), 1) == lexicon_model.word_after((0,), 1)
    sound = np.random.default_rng(0).standard_normal(16000).astype(np.float32) * 0.1
    assert set(loaded.transcribe(sound).split()) <= {"a", "ab", "ba"}
    stream = loaded.stream(160)
    for part in np.array_split(sound, 7):
        stream.push(part)
    assert stream.finish().text == loaded.transcribe(sound, 160)
    assert loaded.decoder().alpha == 0.5


def test_held_out_sentences_are_refused():
    language.refuse_held_out([["a", "b", "c"]], [["a", "c"]])
    with pytest.raises(ValueError, match="kept for measuring"):
        language.refuse_held_out([["x", "a", "b", "c"]], [["a", "b"]])


def test_the_mixture_takes_the_weights_that_fit():
    words = {"a", "b", language.BORDER}
    good, bad = (
        language.KneserNey([["a"]] * 9 + [["b"]], words),
        language.KneserNey([["b"]] * 9 + [["a"]], words),
    )
    weights, perplexity = language.mix([good, bad], list(language.grams_of([["a"]] * 9 + [["b"]], words)))
    assert weights[0] > 0.9 and perplexity < 2


def test_the_tables_keep_to_their_size():
    model = language.KneserNey(SENTENCES, {"a", "ab", "ba", ""})
    tight = language.tables(["a", "ab", "ba"], model, set(model.grams[1]), set(model.grams[2]), size=0)
    assert isinstance(tight, LexiconModel) and tight.config.triples == 0
    assert tight.word_after((1, 2), 3) < 0
