"""Text: what is written becomes what is said, and what is said becomes phones."""

import json
import re
import subprocess
import sys

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from course_utils import checkpoints, paths, text
from course_utils.recipes import g2p as recipe
from course_utils.text import (
    CHARACTERS,
    PHONES,
    Vocabulary,
    letter_to_phone,
    normalise,
    phonemes,
    pronounce,
    words,
)
from course_utils.text.dictionary import without_stress
from course_utils.text.pronunciation import inflected

SPOKEN = {
    # numbers
    "I have 3 dogs.": "i have three dogs.",
    "1,234,567 samples": "one million two hundred thirty four thousand five hundred sixty seven samples",
    "3.14 and .5": "three point one four and zero point five",
    "agent 007": "agent zero zero seven",
    "-5 or −5": "minus five or minus five",
    "the 1st, 2nd, 3rd and 21st": "the first, second, third and twenty first",
    "10-20 or 5–10": "ten to twenty or five to ten",
    "1/2, 3/4, 5/8 and 2½": "one half, three quarters, five eighths and two and one half",
    "version 1.2.3": "version one point two point three",
    "1e-4": "one times ten to the minus four",
    "MP3 in 3D": "m p three in three d",
    # years, dates, times
    "in 1066 and after 1848": "in ten sixty six and after eighteen forty eight",
    "in 1984, 2005, 1900 and 2026": "in nineteen eighty four, two thousand five, nineteen hundred "
    "and twenty twenty six",
    "the 1980s and the '90s": "the nineteen eighties and the nineties",
    "22 November 2026": "the twenty second of november twenty twenty six",
    "on the 22nd of November": "on the twenty second of november",
    "November 22, 2026": "november twenty second, twenty twenty six",
    "3/4/2026": "the third of april twenty twenty six",
    "4/22/2026": "the twenty second of april twenty twenty six",
    "2026-11-22": "the twenty second of november twenty twenty six",
    "at 14:05": "at fourteen oh five",
    "at 14:00": "at fourteen hundred",
    "at 9:00": "at nine o'clock",
    "at 10:30:15": "at ten thirty and fifteen seconds",
    "3 pm, 3:30 p.m.": "three p m, three thirty p m.",
    "At 11 a.m. Then home.": "at eleven a m. then home.",
    # money and measures
    "$5, $1, $3.50, $0.99": "five dollars, one dollar, three dollars and fifty cents, ninety nine cents",
    "$2.5 million, €5, £1.01": "two point five million dollars, five euros, one pound and one penny",
    "3-5 dB, 25 ms. Then 20¢": "three to five decibels, twenty five milliseconds. then twenty cents",
    "50 % or 5.5%": "fifty percent or five point five percent",
    "5 km, 1 km, 70 kg": "five kilometers, one kilometer, seventy kilograms",
    "a 16-kHz signal at 10 dB": "a sixteen kilohertz signal at ten decibels",
    "20 °C at 100 km/h": "twenty degrees celsius at one hundred kilometers per hour",
    # abbreviations, letters, symbols
    "Mr. and Mrs. Jones met Dr. Smith.": "mister and missus jones met doctor smith.",
    "St. Paul lives at 12 Main St. in town, etc.": "saint paul lives at twelve main street in town, et cetera.",
    "e.g. this, i.e. that": "for example this, that is that",
    "Fig. 3, No. 5, p. 7": "figure three, number five, page seven",
    "I said no. 5 left.": "i said no. five left.",
    "He lives in Main St.": "he lives in main street.",
    "GPU, CTC, IBM and GPUs": "g p u, c t c, i b m and g p u's",
    "NASA told us about the U.S. Army": "nasa told us about the u s army",
    "THE QUICK BROWN FOX": "the quick brown fox",
    "SpeechT5, PyTorch and McDonald": "speech t five, py torch and mcdonald",
    "T. S. Eliot and George W. Bush": "t s eliot and george w bush",
    "Henry VIII, Chapter IV, World War II, John I saw": "henry the eighth, chapter four, world war two, john i saw",
    "me@example.com & you + x = y": "me at example dot com and you plus x equals y",
    # punctuation and Unicode
    "“It’s” ‘naïve’ — café… really?!": "it's naive, cafe. really?",
    "wait...  what (really)": "wait. what, really,",
    "state-of-the-art": "state of the art",
    "x² and λ": "x squared and lambda",
    "٣ cats": "three cats",
}


@pytest.mark.parametrize("written", SPOKEN)
def test_normalise_writes_what_is_said(written):
    assert normalise(written) == SPOKEN[written]


@pytest.mark.parametrize("nothing", ["", "   ", "...?!", "—", "😀🎉", "你好", "\x00\x07\n", "​"])
def test_nothing_to_say_gives_an_empty_text(nothing):
    assert normalise(nothing) == ""
    assert words(nothing) == []
    assert phonemes(nothing) == ["sil"]
    assert phonemes(nothing, pauses=False) == []


@pytest.mark.parametrize("wrong", [None, 3, b"bytes", ["a", "list"]])
def test_what_is_not_a_text_is_refused_by_name(wrong):
    for function in (normalise, words, phonemes):
        with pytest.raises(TypeError, match=type(wrong).__name__):
            function(wrong)


CLOSE_CALLS = st.text(
    st.sampled_from("aA bcDr.Mr,:;-/'’$€%°0123459mhkHzXVI§½–…<>≠²⁻^#@+=()&~×\n\u0301αé😀"), max_size=40
)


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(max_size=60), CLOSE_CALLS))
@example("St. A.M. 3:99:12 99/99/9999 31.31.2026 0/0 $. $00.00 €,5 1.2.3.4 1e99999 9" + "9" * 5000)
@example("Dr" + "." * 20)
@example("U.S.A.b")
def test_normalise_takes_any_text_writes_its_alphabet_and_changes_nothing_twice(anything):
    spoken = normalise(anything)
    assert re.fullmatch(r"([a-z']+[,.?!;]?( |$))*", spoken)
    assert not spoken.endswith(" ")
    assert normalise(spoken) == spoken


def test_control_characters_part_words_and_invisible_ones_do_not():
    assert normalise("one\x00two\tthree") == "one two three"
    assert normalise("in\u200bvis\u00adible") == "invisible"


def test_digits_run_together_are_read_one_by_one():
    assert words("1" * 5000) == ["one"] * 5000
    assert normalise("3.14159265358979323846").startswith("three point one four one five")


@pytest.mark.timeout(60)  # each takes a second or two; a pattern that backtracks never ends
@pytest.mark.parametrize(
    "piece", ["word 12 $3.50 ", "1", "a.", "A", "'", "1,111", "1-", "1/", '1"', "5 kg-", "a@", "<"]
)
def test_long_texts_end(piece):
    assert words(piece * (5_000 // len(piece))) is not None


def test_words_leaves_punctuation_out():
    assert words("Hello, Dr. Who: it's 5!") == ["hello", "doctor", "who", "it's", "five"]


def test_the_dictionary_is_whole():
    lexicon = text.lexicon()
    assert len(lexicon) == 126_052
    assert lexicon["read"] == [("R", "EH1", "D"), ("R", "IY1", "D")]
    assert {phone for entry in lexicon.values() for phones in entry for phone in phones} == set(PHONES) - {
        "sil"
    }


def test_a_missing_dictionary_says_where_it_was_looked_for(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    text.lexicon.cache_clear()
    try:
        with pytest.raises(FileNotFoundError, match="COURSE_DATA"):
            text.lexicon()
    finally:
        text.lexicon.cache_clear()


def test_importing_text_is_quick_because_torch_and_inflect_wait():
    code = "import sys, course_utils.text as t; t.normalise('hello'); print([m in sys.modules for m in M])"
    code = "M = ['torch', 'inflect', 'numpy']; " + code
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[False, False, False]"


def test_pronounce_looks_in_the_dictionary_first():
    assert pronounce("Hello") == ("HH", "AH0", "L", "OW1")
    assert pronounce("it’s") == pronounce("it's") == ("IH1", "T", "S")
    assert pronounce("co-worker") == text.lexicon()["co-worker"][0]


@pytest.mark.parametrize(
    ("word", "base", "ending"),
    [
        ("spectrograph's", "spectrograph", ("S",)),
        ("vocoderless", None, None),
        ("algebra's", "algebra", ("Z",)),
        ("resampled", None, None),
        ("quietnesses", None, None),
        ("greenishly", None, None),
    ],
)
def test_pronounce_always_answers_in_phones(word, base, ending):
    phones = pronounce(word)
    assert phones and set(phones) <= set(PHONES) - {"sil"}
    if base:
        assert phones == (*pronounce(base), *ending)


def test_inflections_by_rule_agree_with_the_dictionary():
    lexicon = text.lexicon()
    agreed, total = 0, 0
    for word in list(lexicon)[::7]:
        if guess := inflected(word):
            total += 1
            agreed += without_stress(guess) in [without_stress(phones) for phones in lexicon[word]]
    assert total > 2000
    assert agreed / total > 0.88  # 0.905 of all 33,000


def test_hyphen_compounds_are_read_part_by_part():
    assert pronounce("train-test") == pronounce("train") + pronounce("test")


def test_initialisms_and_numbers_are_pronounced_as_read():
    assert pronounce("GPU") == ("JH", "IY1", "P", "IY1", "Y", "UW1")
    assert pronounce("xk") == pronounce("x") + pronounce("k")
    assert pronounce("3") == pronounce("three")
    assert phonemes("AI", pauses=False) == ["EY1", "AY1"]
    assert phonemes("a dog", pauses=False)[0] == "AH0"


@pytest.mark.parametrize("nothing", ["", "...", "😀"])
def test_pronounce_refuses_what_has_no_letters(nothing):
    with pytest.raises(ValueError, match="nothing to pronounce"):
        pronounce(nothing)


def test_phonemes_pause_at_punctuation_and_at_the_ends():
    assert phonemes("Yes, no.") == ["sil", *pronounce("yes"), "sil", *pronounce("no"), "sil"]
    assert phonemes("Yes, no.", pauses=False) == [*pronounce("yes"), *pronounce("no")]


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=40))
def test_phonemes_of_any_text_are_phones(anything):
    assert set(phonemes(anything)) <= set(PHONES)


def test_there_are_39_phones_with_stress_on_the_vowels():
    assert len(set(PHONES)) == len(PHONES) == 1 + 24 + 15 * 3
    assert len({phone.rstrip("012") for phone in PHONES if phone != "sil"}) == 39


def test_vocabularies_encode_decode_and_travel_as_json():
    vocabulary = Vocabulary(PHONES, pad=True)
    phones = phonemes("Hello world")
    assert vocabulary.pad_id == 0
    assert vocabulary.decode([*vocabulary.encode(phones), 0, 0]) == phones
    assert Vocabulary.from_json(vocabulary.to_json()) == vocabulary
    letters = Vocabulary(CHARACTERS, blank=True, pad=True)
    assert (letters.blank_id, letters.pad_id, len(letters)) == (0, 1, 2 + 28)
    assert "".join(letters.decode(letters.encode("it's ok"))) == "it's ok"


def test_ctc_decoding_merges_repeats_before_it_drops_blanks():
    vocabulary = Vocabulary("helo", blank=True)
    path = [1, 1, 0, 2, 3, 3, 0, 3, 4, 0]
    assert "".join(vocabulary.decode(path, ctc=True)) == "hello"


def test_vocabularies_say_what_they_do_not_know():
    vocabulary = Vocabulary(CHARACTERS)
    with pytest.raises(ValueError, match="'H' at position 0"):
        vocabulary.encode("Hello")
    with pytest.raises(ValueError, match="number 28"):
        vocabulary.decode([28])
    with pytest.raises(ValueError, match="differ"):
        Vocabulary("aab")
    with pytest.raises(KeyError):
        _ = vocabulary.blank_id


@pytest.fixture(scope="module")
def splits():
    return recipe.splits()


def test_the_letter_model_is_as_good_on_unseen_words_as_its_card_says(splits):
    config = json.loads((paths.checkpoints_folder() / "g2p/config.json").read_text(encoding="utf-8"))
    unseen = splits["test"]
    sample = {word: unseen[word] for word in sorted(unseen)[::8]}  # 800 words
    scores = recipe.measure(letter_to_phone.load(), sample, resamples=0)
    for name, (value,) in scores.items():
        assert value == pytest.approx(config["test"][name][0], abs=4)
    assert scores["phone_errors_without_stress"][0] < 10
    assert scores["words_without_stress"][0] > 65


def test_the_card_shows_the_figures_of_the_config():
    folder = paths.checkpoints_folder() / "g2p"
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "`course train g2p`" in card and config["training"]["epochs"] == recipe.EPOCHS
    assert all("{:.1f} ({:.1f} to {:.1f})".format(*value) in card for value in config["test"].values())
    assert (folder / "model.safetensors").stat().st_size <= 1_000_000


def test_no_form_of_a_held_out_word_is_trained_on(splits):
    stems = {name: {recipe.stem(word) for word in words} for name, words in splits.items()}
    assert not (stems["test"] & stems["train"]) and not (stems["valid"] & (stems["train"] | stems["test"]))
    assert recipe.stem("walking") == recipe.stem("walked") == recipe.stem("walkers") == recipe.stem("walk's")
    assert recipe.stem("making") == recipe.stem("makes") and recipe.stem("cities") == recipe.stem("city")


@pytest.fixture
def few():
    """Words for a run of two batches in each epoch."""
    parts = {"train": "cat dog bird fish", "valid": "cow", "test": "ant wolf"}
    return {part: {word: text.lexicon()[word] for word in words.split()} for part, words in parts.items()}


def test_training_the_letter_model_goes_on_where_it_was_stopped(few, monkeypatch, tmp_path):
    whole, facts = recipe.fit(few, 2, None)
    assert (facts["epochs"], facts["steps"], len(facts["valid"])) == (2, 4, 2)

    calls, loss_of = [], recipe.loss_of

    def stopped(network, batch):
        calls.append(len(batch))
        if len(calls) == 4:  # within the second epoch
            raise KeyboardInterrupt
        return loss_of(network, batch)

    monkeypatch.setattr(recipe, "loss_of", stopped)
    with pytest.raises(KeyboardInterrupt):
        recipe.fit(few, 2, tmp_path / "state.safetensors")
    resumed, _ = recipe.fit(few, 2, tmp_path / "state.safetensors")
    assert len(calls) == 4 + 1, "nothing is computed twice but the step that was stopped"
    for name, weight in whole.state_dict().items():
        assert torch.equal(weight, resumed.state_dict()[name]), name


def test_the_recipe_of_the_letter_model_writes_a_checkpoint_that_loads(few, monkeypatch, tmp_path):
    monkeypatch.setattr(recipe, "splits", lambda: few)
    threads = torch.get_num_threads()
    recipe.train(steps=1, name=tmp_path / "trial")
    assert torch.get_num_threads() == threads
    network = checkpoints.load(tmp_path / "trial")
    assert letter_to_phone.predict(["cat"], network) == letter_to_phone.predict(["cat"], network)
    card = (tmp_path / "trial" / "README.md").read_text(encoding="utf-8")
    assert "| rebuild | `course train g2p` |" in card and "1 epochs, 2 steps" in card


def test_the_letter_model_answers_one_by_one_as_in_a_batch():
    names = ["zorblax", "quimbly", "frandle", "xyz", "o'brannigan", "a" * 60]
    together = letter_to_phone.predict(names)
    assert together == [letter_to_phone.predict([name])[0] for name in names]
    assert all(phones and set(phones) <= set(PHONES) for phones in together)
    assert all(any(phone.endswith("1") for phone in phones) for phones in together)
    assert letter_to_phone.predict(["", "123"]) == [(), ()]


def test_a_missing_letter_model_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    letter_to_phone.load.cache_clear()
    try:
        with pytest.raises(checkpoints.CheckpointError, match="no checkpoint 'g2p'"):
            letter_to_phone.load()
    finally:
        letter_to_phone.load.cache_clear()


def test_a_pronunciation_of_ones_own_comes_before_the_dictionary():
    siobhan = ("SH", "IH0", "V", "AO1", "N")
    phones, words = text.spoken("Siobhan's friend Siobhan.", {"Siobhan": siobhan})
    (_, _, _), _, (word, first, end) = words
    assert word == "siobhan" and tuple(phones[first:end]) == siobhan
    assert text.spoken("Siobhan.")[0] != ["sil", *siobhan, "sil"], "the dictionary itself stays as it was"
    assert phonemes("Siobhan", pauses=False, own={"siobhan": siobhan}) == list(siobhan)


def test_even_a_letter_or_an_unknown_word_can_be_corrected():
    assert text.spoken("a b", {"a": ["AH0"]})[0][1] == "AH0"
    assert text.spoken("zqzq", {"zqzq": ["B", "IY1"]})[0] == ["sil", "B", "IY1", "sil"]


@pytest.mark.parametrize(
    "own",
    [
        {"two words": ["B"]},
        {"": ["B"]},
        {"x1": ["B"]},
        {"bee": "B IY1"},
        {"bee": []},
        {"bee": ["IY"]},
        {"bee": ["sil"]},
    ],
)
def test_a_pronunciation_that_can_not_be_meant_is_refused(own):
    with pytest.raises(ValueError, match="own"):
        text.spoken("bee", own)
