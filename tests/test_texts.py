"""The sentences of the corpus: readable with one known pronunciation, varied, and in one split only."""

import shutil

import pytest

from course_utils.shipped import content
from data.build import check_texts


@pytest.fixture(scope="module")
def dictionary():
    return check_texts.read_dictionary(check_texts.DICTIONARY)


@pytest.fixture
def copy(tmp_path):
    """A copy of the texts that a test may spoil."""
    folder = tmp_path / "texts"
    shutil.copytree(check_texts.TEXTS, folder)
    for packed in folder.glob("*.txt.xz"):
        (folder / packed.stem).write_bytes(content(folder, packed.stem))
        packed.unlink()
    return folder


def append(folder, split, sentence):
    with open(folder / f"{split}.txt", "a", encoding="utf-8") as file:
        file.write(sentence + "\n")


def test_the_shipped_sentences_have_no_problems(dictionary):
    problems, _ = check_texts.check(dictionary)
    assert problems == []


def test_there_are_enough_different_sentences():
    sentences = [sentence for split in check_texts.SPLITS for sentence in check_texts.read_sentences(split)]
    assert len({tuple(check_texts.words(sentence)) for sentence in sentences}) >= 1500


def test_questions_and_openings_are_varied():
    for split in check_texts.SPLITS:
        sentences = check_texts.read_sentences(split)
        questions = sum(sentence.endswith("?") for sentence in sentences) / len(sentences)
        assert 0.08 <= questions <= 0.16, split
        openings = [sentence.split()[0] for sentence in sentences]
        assert max(map(openings.count, set(openings))) / len(sentences) < 0.25, split


def test_the_training_sentences_hold_the_common_phoneme_pairs(dictionary):
    expected = check_texts.common_diphones()
    assert len(expected) > 500
    held = check_texts.diphones(check_texts.read_sentences("train"), dictionary)
    assert len(expected & held) / len(expected) >= 0.95


def test_the_command_ends_with_zero_and_prints_the_counts(capsys):
    assert check_texts.main([]) == 0
    printed = capsys.readouterr().out
    assert all(f"{split}: " in printed for split in check_texts.SPLITS)


@pytest.mark.parametrize(
    ("sentence", "problem"),
    [
        ("The zorbled cat sat on the mat.", "not in the dictionary: zorbled"),
        ("The wind blew all night long.", "more than one reading: wind"),
        ("A minute's silence was kept.", "more than one reading: minute's"),
        ("Stop that!", "2 words"),
        ("The cat " + "and the cat " * 6 + "slept.", "21 words"),
        ("There were 3 ducks on the pond.", "expected a capital"),
        ("the cat sat on the mat.", "expected a capital"),
        ("The cat sat on the mat", "expected a capital"),
        ("The cat , it seems, sat.", "expected a capital"),
        ("The cat sat in the caf\N{LATIN SMALL LETTER E WITH ACUTE}.", "expected a capital"),
        ("", "0 words"),
    ],
)
def test_a_sentence_that_cannot_be_spoken_from_the_dictionary_is_named(dictionary, sentence, problem):
    assert any(problem in found for found in check_texts.problems_of(sentence, dictionary))


def test_a_good_sentence_has_no_problems(dictionary):
    assert check_texts.problems_of("It's late, isn't it?", dictionary) == []


def test_a_repeated_sentence_is_found_even_with_other_punctuation(dictionary, copy):
    first = check_texts.read_sentences("train")[0]
    append(copy, "train", first[:-1] + "!")
    problems, _ = check_texts.check(dictionary, copy)
    assert any("occurs already in train" in problem for problem in problems)


def test_a_run_of_words_shared_by_two_splits_is_found(dictionary, copy):
    start = " ".join(check_texts.read_sentences("train")[0].rstrip(".?!").split()[:5])
    append(copy, "test", f"{start} anyhow.")
    problems, _ = check_texts.check(dictionary, copy)
    assert any("occurs already in train" in problem for problem in problems)


def test_too_few_phoneme_pairs_and_an_empty_split_are_problems(dictionary, copy):
    (copy / "train.txt").write_text("The cat sat on the mat.\n")
    (copy / "valid.txt").write_text("")
    problems, _ = check_texts.check(dictionary, copy)
    assert any("missing: " in problem for problem in problems)
    assert any("valid: no sentences" in problem for problem in problems)


def test_a_missing_text_is_reported_by_name(dictionary, copy):
    (copy / "test.txt").unlink()
    with pytest.raises(check_texts.TextError, match=r"test\.txt"):
        check_texts.check(dictionary, copy)


def test_a_missing_or_empty_dictionary_is_an_error_and_not_a_pass(tmp_path, capsys):
    assert check_texts.main([str(tmp_path / "none.txt")]) == 1
    assert "no pronouncing dictionary" in capsys.readouterr().out
    empty = tmp_path / "empty.txt"
    empty.write_text("")
    assert check_texts.main([str(empty)]) == 1
    assert "no pronunciations" in capsys.readouterr().out
