"""Measures of sound, recognition and verification, and how sure they are.

Pure functions of numpy arrays. Waveforms are (time,) at 16 kHz, full scale -1 to 1. Libraries do the work
where they exist. Those that are optional raise `MissingJudge` with the command that installs them.
"""

from __future__ import annotations

import functools
import importlib
import math
import re
import time
import unicodedata
import warnings
from collections.abc import Callable, Hashable, Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import jiwer
import numpy as np
from scipy import signal

from course_utils.paths import SAMPLE_RATE

MIN_SECONDS, MAX_SECONDS = 0.4, 1800.0
"""Shortest and longest clip for `pesq`, `stoi` and `dnsmos`: STOI compares stretches of 384 ms, and the judges
hold a clip many times over."""

PESQ_SECONDS = 15.0
"""Longest clip that `pesq` hands to the library in one piece. The library has room for 50 utterances and writes
past its end without asking. It tells two apart that start at least 0.388 s from each other (97 of its frames of
4 ms), so 15 s can not hold more than 39."""

LOWEST_PESQ = 1.04
"""The lowest score of the scale of P.862.2."""


class MissingJudge(ImportError):
    """A metric needs an optional library; the message is the command that installs it."""


def _judge(module: str, package: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingJudge(
            f"this metric needs the package {package}, which can not be imported here ({error}); "
            "run: course install judges"
        ) from error


# --- waveforms -----------------------------------------------------------------------------------------


def _real(values: Any, name: str) -> np.ndarray:
    """Return `values` as float64, or say what is wrong with them."""
    if np.ma.is_masked(values):  # numpy would bring back what was masked
        raise ValueError(f"{name}: some are masked; leave them out first (values.compressed())")
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise ValueError(f"{name}: expected an array of numbers, all rows of one length") from error
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{name}: expected real numbers, got {array.dtype}")
    if array.size == 0:
        raise ValueError(f"{name}: is empty, so there is nothing to measure")
    array = array.astype(np.float64)
    if not np.isfinite(array).all():
        raise ValueError(f"{name}: holds NaN or infinity; a metric of it would mean nothing")
    return array


def _waveform(values: Any, name: str) -> np.ndarray:
    """Return waveforms (..., time) as float64, or say what is wrong with them."""
    array = np.asarray(values)
    if array.dtype.kind in "iub":  # a judge would take 16-bit samples for a sound far beyond full scale
        raise ValueError(
            f"{name}: expected floats between -1 and 1, got {array.dtype}; use course_utils.audio.to_float"
        )
    if array.ndim == 0:
        raise ValueError(f"{name}: expected a waveform of shape (..., time), got a single number")
    return _real(array, name)


def _same_shape(estimate: Any, reference: Any) -> None:
    if np.shape(estimate) != np.shape(reference):
        raise ValueError(
            f"estimate {np.shape(estimate)} and reference {np.shape(reference)} differ in shape; "
            "cut or pad one of them, and use course_utils.metrics.align if one comes late"
        )


def _pair(estimate: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    _same_shape(estimate, reference)
    return _waveform(estimate, "estimate"), _waveform(reference, "reference")


def _ratio_db(wanted: np.ndarray, unwanted: np.ndarray) -> np.ndarray | float:
    """10 log10 of the power of `wanted` over that of `unwanted`, along the last axis."""
    wanted_power, unwanted_power = (wanted**2).sum(-1), (unwanted**2).sum(-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = 10 * np.log10(wanted_power / unwanted_power)
    # An estimate that holds nothing of the reference, digital silence for example, is as bad as can be.
    ratio = np.where(wanted_power == 0, -np.inf, ratio)
    return float(ratio) if ratio.ndim == 0 else ratio


def si_sdr(estimate: np.ndarray, reference: np.ndarray) -> np.ndarray | float:
    """Scale-invariant signal-to-distortion ratio in dB; higher is better.

    Le Roux et al., "SDR: half-baked or well done?", 2019, equation 3. The mean is not removed, as there.
    It counts a delay of one sample as an error: use `align` first.

    Args:
        estimate: (..., time); a gain on it changes nothing.
        reference: (..., time), the clean signal.

    Returns:
        dB, one number per leading axis. An estimate equal to the reference gives inf; one that holds
        nothing of it, digital silence too, gives -inf.

    Raises:
        ValueError: shapes differ, integers, NaN inside, empty, or a silent reference (then no ratio exists).
    """
    estimate, reference = _pair(estimate, reference)
    power = (reference**2).sum(-1, keepdims=True)
    if (power == 0).any():
        raise ValueError("the reference is silent, so SI-SDR is not defined; leave such clips out")
    target = (estimate * reference).sum(-1, keepdims=True) / power * reference
    return _ratio_db(target, estimate - target)


def snr(estimate: np.ndarray, reference: np.ndarray) -> np.ndarray | float:
    """Signal-to-noise ratio in dB of `estimate` (..., time), where noise is all that differs from `reference`.

    Unlike SI-SDR it counts a wrong gain as an error. Raises ValueError as `si_sdr` does.
    """
    estimate, reference = _pair(estimate, reference)
    if ((reference**2).sum(-1) == 0).any():
        raise ValueError("the reference is silent, so the SNR is not defined; leave such clips out")
    return _ratio_db(reference, estimate - reference)


def _one_clip(waveform: np.ndarray, name: str) -> np.ndarray:
    shape = np.shape(waveform)
    if len(shape) != 1:
        raise ValueError(
            f"{name}: expected one mono waveform of shape (time,), got {shape}; use course_utils.audio.to_mono"
        )
    if shape[0] > MAX_SECONDS * SAMPLE_RATE:  # asked first: even a copy of ten hours may not fit in memory
        raise ValueError(
            f"{name}: {shape[0] / SAMPLE_RATE:.0f} s is too long, at most {MAX_SECONDS:.0f} s are judged at "
            "once; judge pieces of it, for example waveform[: 60 * 16000]"
        )
    waveform = _waveform(waveform, name)
    if len(waveform) < MIN_SECONDS * SAMPLE_RATE:
        raise ValueError(
            f"{name}: {len(waveform) / SAMPLE_RATE:.2f} s is too short, at least {MIN_SECONDS} s at 16 kHz "
            "are needed"
        )
    return waveform


def _two_clips(estimate: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    _same_shape(estimate, reference)
    return _one_clip(estimate, "estimate"), _one_clip(reference, "reference")


def pesq(estimate: np.ndarray, reference: np.ndarray) -> float:
    """Wideband PESQ, the predicted opinion of listeners, 1.04 (bad) to 4.64 (ITU-T P.862.2).

    Up to 15 s (`PESQ_SECONDS`) the value is the library's. A longer clip would end Python where it holds more
    than 50 utterances, so it is cut into equal pieces of at most 15 s, which are scored one by one. The result
    is their mean, weighted by how much of the reference speaks in each: the frames within 40 dB of its
    loudest, which is what STOI counts as speech. A piece in which the estimate alone is silent scores 1.04.
    It is not the same as one score for the whole: PESQ looks for a delay and a level in each piece.

    Returns nan where PESQ finds no speech to judge: silence on either side.

    Raises:
        MissingJudge: the package pesq is not installed.
        ValueError: not two mono waveforms of one length at 16 kHz, integers, NaN inside, shorter than 0.4 s
            or longer than half an hour.
    """
    library = _judge("pesq", "pesq")
    estimate, reference = _two_clips(estimate, reference)
    if not estimate.any() or not reference.any():
        return float("nan")
    pieces = math.ceil(len(reference) / (PESQ_SECONDS * SAMPLE_RATE))
    if pieces == 1:
        return _pesq_of_piece(library, estimate, reference)
    cut = np.linspace(0, len(reference), pieces + 1).round().astype(int)
    power = (reference[: len(reference) // 256 * 256].reshape(-1, 256) ** 2).mean(-1)
    speaks = np.repeat(power >= 1e-4 * power.max(), 256)
    silence = 1e-6 * np.abs(estimate).max()
    scores, weights = [], []
    for start, end in pairwise(cut):
        if weight := int(speaks[start:end].sum()):
            heard = estimate[start:end]
            silent = heard.std() <= silence
            score = LOWEST_PESQ if silent else _pesq_of_piece(library, heard, reference[start:end])
            if not math.isnan(score):
                scores.append(score)
                weights.append(weight)
    return float(np.average(scores, weights=weights)) if scores else float("nan")


def _pesq_of_piece(library: ModuleType, estimate: np.ndarray, reference: np.ndarray) -> float:
    try:
        return float(library.pesq(SAMPLE_RATE, reference, estimate, "wb"))
    except (library.NoUtterancesError, ValueError):  # ValueError: it finds NaN and can not say so
        return float("nan")


def stoi(estimate: np.ndarray, reference: np.ndarray) -> float:
    """Short-time objective intelligibility, about 0 (nothing understood) to 1 (Taal et al., 2011).

    Returns nan where less than 0.4 s of the reference is loud enough to be judged.

    Raises:
        MissingJudge: the package pystoi is not installed.
        ValueError: not two mono waveforms of one length at 16 kHz, integers, NaN inside, shorter than 0.4 s
            or longer than half an hour.
    """
    library = _judge("pystoi", "pystoi")
    estimate, reference = _two_clips(estimate, reference)
    if not reference.any():
        return float("nan")
    with warnings.catch_warnings():
        # pystoi warns and returns 1e-5, which would pass for a very bad score.
        warnings.filterwarnings("error", message="Not enough STFT frames", category=RuntimeWarning)
        try:
            return float(library.stoi(reference, estimate, SAMPLE_RATE))
        except RuntimeWarning:
            return float("nan")


@functools.cache
def _dnsmos_judge(threads: int) -> Any:
    library = _judge("speechmos.dnsmos", "speechmos")
    folder = Path(library.__file__).parent / "dnsmos_models"
    paths = [str(folder / name) for name in ("sig_bak_ovr.onnx", "model_v8.onnx")]
    judge = library.DNSMOS(*paths)
    # Its sessions take every core and wait for work at full speed, which slows down whatever runs beside.
    options = library.ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    judge.onnx_sess, judge.p808_onnx_sess = (library.ort.InferenceSession(path, options) for path in paths)
    return judge


def dnsmos(waveform: np.ndarray, threads: int = 2) -> dict[str, float]:
    """DNSMOS P.835: opinions from 1 to 5 that a network predicts without a reference (Reddy et al., 2022).

    Samples beyond full scale are clipped first, as a player would clip them. A clip shorter than 9 s is
    repeated, as the authors do.

    Returns:
        {"overall": ..., "sig": speech quality, "bak": how little the background disturbs}, all nan for
        digital silence, of which the network has opinions that mean nothing.

    Raises:
        MissingJudge: the package speechmos or onnxruntime is not installed.
        ValueError: not one mono waveform of floats, NaN inside, shorter than 0.4 s or longer than half an
            hour, or so far beyond full scale that it must be unscaled PCM.
    """
    judge = _dnsmos_judge(threads)
    waveform = _one_clip(waveform, "waveform")
    if (peak := np.abs(waveform).max()) > 100:
        raise ValueError(
            f"waveform: peak {peak:.0f}, where full scale is 1; 16-bit samples are divided by 32768 first"
        )
    if not waveform.any():
        return {"overall": float("nan"), "sig": float("nan"), "bak": float("nan")}
    scores = judge(np.clip(waveform, -1, 1).astype(np.float32), SAMPLE_RATE, is_personalized_MOS=False)
    return {
        "overall": float(scores["ovrl_mos"]),
        "sig": float(scores["sig_mos"]),
        "bak": float(scores["bak_mos"]),
    }


def align(estimate: np.ndarray, reference: np.ndarray, max_lag: int) -> tuple[np.ndarray, int]:
    """Undo the delay of `estimate`, found where its cross-correlation with `reference` is highest.

    Args:
        estimate: (time,), late by a positive lag or early by a negative one.
        reference: (time,).
        max_lag: the largest delay to look for, in samples, in both directions.

    Returns:
        the estimate moved by whole samples, of the same length with zeros at the end that became free,
        and the lag in samples that it had. Silence has lag 0.
    """
    estimate_, reference_ = _pair(estimate, reference)
    if estimate_.ndim != 1:
        raise ValueError(f"expected mono waveforms of shape (time,), got {estimate_.shape}")
    if max_lag < 0:
        raise ValueError(f"max_lag must not be negative, got {max_lag}")
    max_lag = min(max_lag, len(estimate_) - 1)
    correlation = signal.correlate(estimate_, reference_, method="fft")
    centre = len(reference_) - 1
    nearby = correlation[centre - max_lag : centre + max_lag + 1]
    lag = int(np.argmax(nearby)) - max_lag if nearby.any() else 0
    aligned = np.zeros_like(np.asarray(estimate))
    if lag >= 0:
        aligned[: len(aligned) - lag] = estimate[lag:]
    else:
        aligned[-lag:] = estimate[:lag]
    return aligned, lag


def cosine_similarity(first: np.ndarray, second: np.ndarray) -> np.ndarray | float:
    """Cosine of the angle between vectors (..., dimensions), -1 to 1, over the last axis with broadcasting.

    Raises:
        ValueError: NaN inside, or a vector of length zero, which points nowhere.
    """
    first, second = _real(first, "first"), _real(second, "second")
    if first.ndim == 0 or second.ndim == 0:
        raise ValueError("expected vectors of shape (..., dimensions), got a single number")
    lengths = np.linalg.norm(first, axis=-1) * np.linalg.norm(second, axis=-1)
    if (lengths == 0).any():
        raise ValueError("a vector is all zeros, so its direction is not defined")
    # Rounding may pass 1 by 1e-16, which arccos would turn into NaN.
    cosine = np.clip((first * second).sum(-1) / lengths, -1.0, 1.0)
    return float(cosine) if cosine.ndim == 0 else cosine


# --- words ---------------------------------------------------------------------------------------------


_APOSTROPHES = str.maketrans(dict.fromkeys("‘’ʼ`´", "'"))
_SPOKEN = "%‰°&@#§♭"
"""Signs that are read as words, besides those of currencies and of sums: without them "C#" would be "C"."""
_GONE = "\0"


def normalise(text: str) -> str:
    """Bring a transcript to the form in which the error rates compare it: how it is set goes, what it says stays.

    - Case, width and composition of letters go ("ＣＡＦÉ" is "café", "STRASSE" is "straße"); accents and the
      vowel signs of every script stay.
    - Of the signs stay: those that are read as words ($ % & + # ...), the apostrophe inside a word, the minus
      before a number, and point, comma, colon and slash between digits. The comma that groups thousands goes:
      "1,000" is "1000", while "1.000" and "1,5" are neither "1000" nor "15".
    - Hyphens, dashes and other slashes become spaces, all other signs go, runs of spaces become one.

    Numbers are left as they are ("5" is not "five"): write them out with course_utils.text first.
    """
    text = re.sub(r"(?<=\d)(?=[¼-¾⅐-⅞↉])", " ", text.translate(_APOSTROPHES))  # 3½ is not 31/2
    text = re.sub(r"(?<=\d)(?=[⁰¹²³⁴-⁹])", "^", text)  # nor 10² 102
    text = unicodedata.normalize("NFKC", text).replace("⁄", "/").replace("−", "-")
    text = unicodedata.normalize("NFKC", text.casefold().replace("i\N{COMBINING DOT ABOVE}", "i"))
    text = text.replace("٫", ".").replace("٬", ",")
    thousands = r"(?<![\d.,])(?!0)\d{1,3}(?:,\d{2,3})*,\d{3}(?!,?\d)"
    text = re.sub(thousands, lambda number: number[0].replace(",", ""), text)
    text = re.sub(r"(?<![\w.])\.(?=\d)", "0.", text)  # .5 is 0.5
    text = re.sub(r"[^\w\s]|_", _sign, text)
    text = re.sub(rf"(?<=\d){_GONE}+(?=\d)", " ", text).replace(_GONE, "")
    text = re.sub(r"(?<=\d)\s+(?=[%‰°])|(?<=[$€£¥])\s+(?=\d)", "", text)  # 50 % is 50%
    return " ".join(text.split())


def _sign(match: re.Match) -> str:
    """What becomes of one sign of a transcript, by its neighbours."""
    sign, place = match[0], match.start()
    before, after = match.string[max(0, place - 1) : place], match.string[place + 1 : place + 2]
    kind = unicodedata.category(sign)
    if kind in ("Mn", "Mc"):  # a vowel sign or an accent; a selector of emoji styles is none
        return sign if _in_word(before) and not "\ufe00" <= sign <= "\ufe0f" else _GONE
    if sign in ".,:/^" and before.isdecimal() and after.isdecimal():
        return sign
    if sign == "'":
        return sign if _in_word(before) and _in_word(after) else _GONE
    if kind == "Sc" or sign in _SPOKEN or (kind == "Sm" and sign not in "<>|~"):
        return sign
    if sign in "<>" and match.string[place + 1 : place + 3].lstrip()[:1].isdecimal():  # not that of a <tag>
        return sign
    if sign == "-" and after.isdecimal() and not _in_word(before) and before != "-":
        return sign
    return " " if kind == "Pd" or sign in "_/" else _GONE


def _in_word(character: str) -> bool:
    return character.isalnum() or (character != "" and unicodedata.category(character) in ("Mn", "Mc"))


def error_counts(
    references: str | Sequence[str], hypotheses: str | Sequence[str], unit: str = "word"
) -> tuple[np.ndarray, np.ndarray]:
    """Count errors (substitutions, deletions, insertions) per utterance, after `normalise`.

    Args:
        references: what was said, one text or a list of them.
        hypotheses: what was recognised, as many.
        unit: "word" or "character" (spaces count as characters).

    Returns:
        errors (utterances,) and reference lengths (utterances,), both integers. For the interval of a word
        error rate: `bootstrap_ci(errors / lengths, weights=lengths)`.

    Raises:
        ValueError: the lists differ in length or are empty, something in them is no text, or the unit is unknown.
    """
    references, hypotheses = _texts(references, "references"), _texts(hypotheses, "hypotheses")
    if unit not in ("word", "character"):
        raise ValueError(f'unit must be "word" or "character", got {unit!r}')
    if len(references) != len(hypotheses):
        raise ValueError(f"{len(references)} references but {len(hypotheses)} hypotheses; one each is needed")
    if not references:
        raise ValueError("no transcripts, so there is nothing to measure")
    process = jiwer.process_words if unit == "word" else jiwer.process_characters
    errors, lengths = [], []
    for reference, hypothesis in zip(references, hypotheses, strict=True):
        result = process(normalise(reference), normalise(hypothesis))
        errors.append(result.substitutions + result.deletions + result.insertions)
        lengths.append(result.substitutions + result.deletions + result.hits)
    return np.array(errors), np.array(lengths)


def _texts(texts: str | Sequence[str], name: str) -> list[str]:
    texts = [texts] if isinstance(texts, str) else list(texts) if isinstance(texts, Iterable) else [texts]
    for text in texts:
        if not isinstance(text, str):
            raise ValueError(f"{name}: expected text, got {text!r} of type {type(text).__name__}")
    return texts


def _error_rate(references: str | Sequence[str], hypotheses: str | Sequence[str], unit: str) -> float:
    errors, lengths = error_counts(references, hypotheses, unit)
    if lengths.sum() == 0:
        raise ValueError("the references hold no words at all, so an error rate is not defined")
    return float(errors.sum() / lengths.sum())


def wer(references: str | Sequence[str], hypotheses: str | Sequence[str]) -> float:
    """Word error rate over all utterances together, 0 is perfect, above 1 is possible (insertions).

    Texts are compared after `normalise`. Raises ValueError as `error_counts` does, or if nothing was said.
    """
    return _error_rate(references, hypotheses, "word")


def cer(references: str | Sequence[str], hypotheses: str | Sequence[str]) -> float:
    """Character error rate over all utterances together, spaces included; otherwise as `wer`."""
    return _error_rate(references, hypotheses, "character")


# --- decisions and confidence --------------------------------------------------------------------------


def eer(scores_same: np.ndarray, scores_different: np.ndarray) -> tuple[float, float]:
    """Equal error rate of a verifier that accepts scores at or above a threshold.

    The two error curves are steps; between the last threshold with more false accepts and the first with
    more false rejects they are joined by straight lines, and the rate is read where these cross.

    Args:
        scores_same: (pairs,) of the same speaker; higher should mean more alike.
        scores_different: (pairs,) of different speakers.

    Returns:
        the rate, 0 (perfect) to 1 (0.5 is chance), and the threshold that belongs to it.
    """
    same = np.sort(_real(scores_same, "scores_same").ravel())
    different = np.sort(_real(scores_different, "scores_different").ravel())
    thresholds = np.unique(np.concatenate([same, different]))
    # One more threshold above all scores, at which everything is rejected.
    thresholds = np.append(thresholds, np.nextafter(thresholds[-1], np.inf))
    false_reject = np.searchsorted(same, thresholds, side="left") / len(same)
    false_accept = 1 - np.searchsorted(different, thresholds, side="left") / len(different)
    gap = false_accept - false_reject  # falls from 1 to -1
    after = int(np.argmax(gap <= 0))
    before = after - 1
    if gap[after] == 0:  # every threshold above `before` decides alike: stand in the middle
        return float(false_accept[after]), float((thresholds[before] + thresholds[after]) / 2)
    weight = gap[before] / (gap[before] - gap[after])
    rate = false_accept[before] + weight * (false_accept[after] - false_accept[before])
    threshold = thresholds[before] + weight * (thresholds[after] - thresholds[before])
    return float(rate), float(threshold)


def bootstrap_ci(
    values: np.ndarray,
    groups: Iterable[Hashable] | None = None,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
    weights: np.ndarray | None = None,
) -> tuple[float, float, float]:
    """Mean with its percentile bootstrap interval (Efron and Tibshirani, 1993, chapter 13).

    Clips of one speaker resemble each other, so they are no independent evidence: with `groups` whole
    speakers are drawn with replacement, never single clips.

    Args:
        values: (clips,), one score each.
        groups: the speaker (or piece, or seed) of each clip; None treats each clip as its own group.
        confidence: the share of intervals that should hold the true mean.
        resamples: how many new sets are drawn.
        seed: makes the interval repeatable.
        weights: (clips,), not negative, for a weighted mean; None weighs all alike.

    Returns:
        mean, low, high in the unit of `values`.

    Raises:
        ValueError: NaN or infinity inside, lengths differ, or fewer than two groups, from which no spread
            can be told.
    """
    values = _real(values, "values")
    weights = np.ones_like(values) if weights is None else _real(weights, "weights")
    labels = list(range(values.size)) if groups is None else list(groups)
    if values.ndim != 1 or weights.shape != values.shape or len(labels) != len(values):
        raise ValueError(
            f"expected one value, group and weight per clip, got values {values.shape}, {len(labels)} groups "
            f"and weights {weights.shape}"
        )
    if (weights < 0).any() or weights.sum() == 0:
        raise ValueError("weights must not be negative, and not all zero")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, got {confidence}")
    if resamples < 1:
        raise ValueError(f"an interval needs at least one resample, got {resamples}")
    number = {label: index for index, label in enumerate(dict.fromkeys(labels))}
    if len(number) < 2:
        raise ValueError("a confidence interval needs at least two groups (speakers), got 1")
    membership = np.array([number[label] for label in labels])
    sums = np.bincount(membership, weights * values)
    sizes = np.bincount(membership, weights)
    # How often each group is drawn says all about a resample: no list of clips has to be built.
    draws = np.random.default_rng(seed).multinomial(
        len(sums), np.full(len(sums), 1 / len(sums)), size=resamples
    )
    drawn_sizes = draws @ sizes
    means = (draws @ sums)[drawn_sizes > 0] / drawn_sizes[drawn_sizes > 0]
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(sums.sum() / sizes.sum()), float(low), float(high)


# --- speed ---------------------------------------------------------------------------------------------


def real_time_factor(
    function: Callable[[np.ndarray], Any],
    waveform: np.ndarray,
    repeats: int = 3,
    sample_rate: int = SAMPLE_RATE,
    processor: bool = False,
) -> float:
    """Seconds of computing per second of sound: below 1 keeps up. The median of `repeats` after one warm-up.

    By the clock, or with `processor` the time of the processor: on a busy machine the clock counts others, too.
    """
    seconds = len(waveform) / sample_rate
    if seconds == 0 or repeats < 1:
        raise ValueError("a real-time factor needs some sound and at least one repeat")
    now = time.process_time if processor else time.perf_counter
    function(waveform)
    times = []
    for _ in range(repeats):
        start = now()
        function(waveform)
        times.append(now() - start)
    return float(np.median(times) / seconds)


def chunk_times(
    push: Callable[[np.ndarray], Any], waveform: np.ndarray, chunk_length: int, sample_rate: int = SAMPLE_RATE
) -> dict[str, float]:
    """Feed a stream chunk by chunk and time each: the mean hides the one chunk that makes sound stutter.

    Args:
        push: takes a chunk (chunk_length,) and returns anything.
        waveform: (time,); what is left after the last whole chunk is not used.
        chunk_length: samples per chunk.

    Returns:
        {"median_ms", "p95_ms", "p99_ms", "max_ms": computing time per chunk, "late": share of chunks that took longer
        than they last}.
    """
    count = len(waveform) // chunk_length if chunk_length > 0 else 0
    if count == 0:
        raise ValueError(f"{len(waveform)} samples hold no chunk of {chunk_length}")
    times = np.empty(count)
    for index in range(count):
        chunk = waveform[index * chunk_length : (index + 1) * chunk_length]
        start = time.perf_counter()
        push(chunk)
        times[index] = time.perf_counter() - start
    return {
        "median_ms": float(np.median(times) * 1000),
        "p95_ms": float(np.quantile(times, 0.95) * 1000),
        "p99_ms": float(np.quantile(times, 0.99) * 1000),
        "max_ms": float(times.max() * 1000),
        "late": float(np.mean(times > chunk_length / sample_rate)),
    }
