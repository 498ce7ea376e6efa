"""Metrics do what their definitions say, agree with other libraries, and refuse what has no meaning."""

import subprocess
import sys

import jiwer
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_curve

from course_utils import data, metrics

RNG = np.random.default_rng(0)
TONE = np.sin(2 * np.pi * 220 * np.arange(16000) / 16000).astype(np.float32)
NOISE = RNG.normal(0, 0.1, 16000).astype(np.float32)


@pytest.fixture(scope="module")
def speech():
    return data.real("librispeech", "test")[0].audio[: 5 * 16000]


# --- SI-SDR and SNR ------------------------------------------------------------------------------------


@pytest.mark.parametrize("decibels", [-10, 0, 7.5, 30])
def test_si_sdr_of_a_constructed_mixture_is_the_ratio_it_was_made_with(decibels):
    noise = NOISE - (NOISE @ TONE) / (TONE @ TONE) * TONE  # at right angles to the signal
    gain = 10 ** (-decibels / 20) * np.linalg.norm(TONE) / np.linalg.norm(noise)
    assert metrics.si_sdr(TONE + gain * noise, TONE) == pytest.approx(decibels, abs=1e-3)
    assert metrics.snr(TONE + gain * noise, TONE) == pytest.approx(decibels, abs=1e-3)


@settings(deadline=None)
@given(gain=st.floats(0.01, 100), sign=st.sampled_from([-1, 1]), scale=st.floats(0.01, 100))
def test_si_sdr_does_not_depend_on_any_gain(gain, sign, scale):
    estimate, reference = (TONE + NOISE).astype(np.float64), TONE.astype(np.float64)
    expected = metrics.si_sdr(estimate, reference)
    assert metrics.si_sdr(sign * gain * estimate, scale * reference) == pytest.approx(expected, abs=1e-6)


def test_snr_counts_a_wrong_gain_and_si_sdr_does_not():
    assert metrics.snr(0.5 * TONE, TONE) == pytest.approx(6.02, abs=0.01)
    assert metrics.si_sdr(0.5 * TONE, TONE) > 100


def test_an_estimate_equal_to_the_reference_has_infinite_si_sdr():
    assert metrics.si_sdr(NOISE, NOISE) == np.inf
    assert metrics.snr(NOISE, NOISE) == np.inf


def test_a_silent_estimate_is_as_bad_as_can_be():
    assert metrics.si_sdr(np.zeros_like(TONE), TONE) == -np.inf


def test_si_sdr_takes_leading_axes_one_clip_at_a_time():
    references = RNG.normal(size=(2, 3, 800))
    estimates = references + RNG.normal(size=(2, 3, 800))
    scores = metrics.si_sdr(estimates, references)
    assert scores.shape == (2, 3)
    assert scores[1, 2] == pytest.approx(metrics.si_sdr(estimates[1, 2], references[1, 2]))


@pytest.mark.parametrize("metric", [metrics.si_sdr, metrics.snr])
def test_ratios_refuse_what_has_no_meaning(metric):
    with pytest.raises(ValueError, match="silent"):
        metric(TONE, np.zeros_like(TONE))
    with pytest.raises(ValueError, match="differ in shape"):
        metric(TONE[:-1], TONE)
    with pytest.raises(ValueError, match="NaN"):
        metric(np.where(TONE > 0.9, np.nan, TONE), TONE)
    with pytest.raises(ValueError, match="empty"):
        metric(TONE[:0], TONE[:0])
    with pytest.raises(ValueError, match="real numbers"):
        metric(TONE.astype(complex), TONE)
    with pytest.raises(ValueError, match=r"int16; use course_utils.audio.to_float"):
        metric((TONE * 32767).astype(np.int16), TONE)
    with pytest.raises(ValueError, match="single number"):
        metric(0.5, 0.5)


# --- judges --------------------------------------------------------------------------------------------


@pytest.mark.judges
def test_judges_give_clean_speech_the_top_and_fall_with_noise(speech):
    noise = RNG.normal(0, 0.02, len(speech)).astype(np.float32)
    assert metrics.pesq(speech, speech) == pytest.approx(4.64, abs=0.01)
    assert metrics.stoi(speech, speech) == pytest.approx(1.0, abs=1e-6)
    clean, little, much = speech, speech + 0.2 * noise, speech + noise
    for judge in (
        lambda estimate: metrics.pesq(estimate, speech),
        lambda estimate: metrics.stoi(estimate, speech),
        lambda estimate: metrics.dnsmos(estimate)["overall"],
        lambda estimate: metrics.dnsmos(estimate)["bak"],
    ):
        assert judge(clean) > judge(little) > judge(much)


@pytest.mark.judges
def test_pesq_does_not_depend_on_the_float_type(speech):
    noisy = speech + RNG.normal(0, 0.01, len(speech)).astype(np.float32)
    assert metrics.pesq(noisy, speech) == metrics.pesq(noisy.astype(np.float64), speech)


@pytest.mark.judges
def test_judges_return_nan_where_there_is_no_speech_to_judge(speech):
    silence = np.zeros_like(speech)
    assert np.isnan(metrics.pesq(silence, speech))
    assert np.isnan(metrics.pesq(speech, silence))
    assert np.isnan(metrics.stoi(speech, silence))
    assert metrics.stoi(silence, speech) == pytest.approx(0.0, abs=1e-3)
    assert all(np.isnan(score) for score in metrics.dnsmos(silence).values())


@pytest.mark.judges
def test_stoi_of_a_click_in_silence_is_nan_and_not_a_very_bad_score():
    click = np.zeros(16000, np.float32)
    click[8000:8200] = 0.5
    assert np.isnan(metrics.stoi(click, click))


def bursts(seconds, on, off):
    """Noise that comes and goes: `on` seconds of sound, `off` seconds of silence."""
    time = np.arange(round(seconds * 16000)) / 16000
    return np.where(time % (on + off) < on, np.resize(NOISE, len(time)), 0.0)


MANY_UTTERANCES = """
import numpy as np
from course_utils import metrics
draw = np.random.default_rng(0)
for seconds, on, off in ((24, 0.19, 0.21), (40, 0.3, 0.3), (100, 0.25, 0.22)):
    time = np.arange(seconds * 16000) / 16000
    clean = draw.normal(0, 0.1, len(time)) * (time % (on + off) < on)
    score = metrics.pesq(clean + draw.normal(0, 0.01, len(time)), clean)
    assert 1.04 <= score <= 4.65, score
print("alive")
"""


@pytest.mark.judges
def test_pesq_of_more_utterances_than_its_library_holds_leaves_python_alive(root):
    """Past 50 utterances the library writes into memory that is not its own: so not in this process."""
    done = subprocess.run([sys.executable, "-c", MANY_UTTERANCES], cwd=root, capture_output=True, text=True)
    assert done.stdout.strip() == "alive", f"exit status {done.returncode}: {done.stderr}"


@pytest.mark.judges
@pytest.mark.parametrize("seconds", [4, 15])
def test_pesq_of_a_clip_that_needs_no_cutting_is_that_of_the_library(seconds):
    from pesq import pesq

    clean = bursts(seconds, 0.6, 0.4)
    noisy = clean + 0.2 * bursts(seconds, seconds, 1)
    assert metrics.pesq(noisy, clean) == pesq(16000, clean, noisy, "wb")


@pytest.mark.judges
def test_pesq_of_a_long_clip_is_the_mean_of_its_pieces_weighted_by_speech():
    from pesq import pesq

    # The second piece speaks half as much as the first, the third not at all; in the fourth the estimate is silent.
    talk, half = bursts(12, 0.6, 0.2), np.r_[bursts(6, 0.6, 0.2), np.zeros(96000)]
    clean = np.stack([talk, half, 0 * talk, talk])
    noisy = (clean + np.array([[0.01], [0.5], [0.5], [0]]) * bursts(12, 12, 1)) * [[1], [1], [1], [0]]
    one, two = (pesq(16000, clean[i], noisy[i], "wb") for i in (0, 1))
    assert one > two + 0.1
    expected = (2 * one + two + 2 * metrics.LOWEST_PESQ) / 5
    assert metrics.pesq(noisy.ravel(), clean.ravel()) == pytest.approx(expected, abs=0.01)


@pytest.mark.judges
def test_pesq_has_no_opinion_of_what_is_all_but_silent():
    assert np.isnan(metrics.pesq(np.full_like(NOISE, 1e-30), NOISE))
    assert np.isnan(metrics.pesq(NOISE, np.full_like(NOISE, 1e-30)))


@pytest.mark.judges
@pytest.mark.parametrize("judge", [metrics.pesq, metrics.stoi, lambda estimate, _: metrics.dnsmos(estimate)])
def test_judges_say_what_is_wrong_with_a_clip(judge):
    with pytest.raises(ValueError, match="too short"):
        judge(NOISE[:1000], NOISE[:1000])
    with pytest.raises(ValueError, match="mono"):
        judge(np.stack([NOISE, NOISE]), np.stack([NOISE, NOISE]))
    with pytest.raises(ValueError, match="NaN"):
        judge(np.full_like(NOISE, np.nan), NOISE)
    with pytest.raises(ValueError, match="empty"):
        judge(NOISE[:0], NOISE[:0])
    with pytest.raises(ValueError, match=r"int16; use course_utils.audio.to_float"):
        judge(*[(NOISE * 32767).astype(np.int16)] * 2)
    with pytest.raises(ValueError, match=r"too long, .* judge pieces"):
        judge(*[np.broadcast_to(np.float32(0.1), 36_000 * 16000)] * 2)  # ten hours that take no memory


@pytest.mark.judges
def test_dnsmos_hears_a_clip_beyond_full_scale_as_a_player_would():
    assert metrics.dnsmos(20 * NOISE) == metrics.dnsmos(np.clip(20 * NOISE, -1, 1))
    with pytest.raises(ValueError, match="divided by 32768"):
        metrics.dnsmos(32768 * NOISE)


@pytest.mark.parametrize(
    ("module", "call"),
    [
        ("pesq", lambda: metrics.pesq(NOISE, NOISE)),
        ("pystoi", lambda: metrics.stoi(NOISE, NOISE)),
        ("speechmos.dnsmos", lambda: metrics.dnsmos(NOISE)),
    ],
)
def test_a_missing_judge_names_the_command_that_installs_it(monkeypatch, module, call):
    monkeypatch.setitem(sys.modules, module, None)
    metrics._dnsmos_judge.cache_clear()
    with pytest.raises(metrics.MissingJudge, match="course install judges") as caught:
        call()
    assert isinstance(caught.value, ImportError)


# --- alignment -----------------------------------------------------------------------------------------


@given(lag=st.integers(-300, 300), gain=st.floats(0.1, 10))
@settings(max_examples=30, deadline=None)
def test_align_finds_and_undoes_a_delay(lag, gain):
    padded = np.pad(NOISE, 300)
    late = gain * padded[300 - lag : 300 - lag + len(NOISE)]
    aligned, found = metrics.align(late, NOISE, max_lag=400)
    assert found == lag
    assert len(aligned) == len(NOISE)
    np.testing.assert_allclose(aligned[300:-300], gain * NOISE[300:-300], rtol=1e-6)


def test_align_leaves_silence_alone_and_looks_no_further_than_it_may():
    aligned, lag = metrics.align(np.zeros_like(NOISE), NOISE, max_lag=100)
    assert lag == 0 and not aligned.any()
    assert abs(metrics.align(np.roll(NOISE, 50), NOISE, max_lag=20)[1]) <= 20
    assert metrics.align(NOISE[:10], NOISE[:10], max_lag=1000)[1] == 0
    with pytest.raises(ValueError, match="negative"):
        metrics.align(NOISE, NOISE, max_lag=-1)


# --- words ---------------------------------------------------------------------------------------------


def test_word_error_rate_counts_what_jiwer_counts():
    references = ["the cat sat on the mat", "a dog", "so it is"]
    hypotheses = ["the cat sit on mat", "a dog barked", "so it is"]
    assert metrics.wer(references, hypotheses) == pytest.approx(3 / 11)
    assert metrics.wer(references, hypotheses) == pytest.approx(jiwer.wer(references, hypotheses))
    assert metrics.cer(references, hypotheses) == pytest.approx(jiwer.cer(references, hypotheses))
    errors, lengths = metrics.error_counts(references, hypotheses)
    assert errors.tolist() == [2, 1, 0] and lengths.tolist() == [6, 2, 3]


def test_spelling_of_signs_is_no_error_but_another_word_is():
    assert metrics.normalise("  Well-known: “It’s”  the 'boys'... ok!") == "well known it's the boys ok"
    assert metrics.wer("Please, press 3 now.", "please press 3 NOW") == 0.0
    assert metrics.wer("it's", "its") == 1.0
    assert metrics.wer("three", "3") == 1.0
    assert metrics.normalise("naïve CAFÉ") == "naïve café"


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        ("3.5", "35"), ("3,5", "35"), ("1.000", "1000"), (".5", "5"), ("1/2", "12"), ("½", "12"), ("3½", "31/2"),
        ("10²", "102"), ("3:30", "330"), ("-5", "5"), ("5–6", "56"), ("5…6", "56"), ("5>6", "56"), ("٣٫٥", "٣٥"),
        ("$5", "5"), ("£5", "€5"), ("50%", "50"), ("20°", "20"), ("C++", "C"), ("C#", "C"), ("R&D", "RD"),
        ("की", "का"), ("किताब", "कताब"), ("ที่", "ที"), ("مَدرسة", "مِدرسة"), ("naïve", "naive"), ("it's", "its"),
    ],
)  # fmt: skip
def test_what_is_another_word_or_number_counts_as_an_error(said, heard):
    assert metrics.wer(said, heard) > 0 and metrics.cer(said, heard) > 0


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        ("1,000", "1000"), ("1,00,000", "100000"), ("2,345.5", "2345.5"), ("It costs 1,000, or 2,000.", "it costs 1000 or 2000"),
        ("−5", "-5"), (".5", "0.5"), ("50 %", "50%"), ("$ 5", "$5"), ("５０％", "50%"), ("C♯", "c♯"), ("(3.5).", "3.5"),
        ("Straße", "STRASSE"), ("ﬁne", "fine"), ("cafe\u0301", "CAFÉ"), ("क\u093c", "\u0958"), ("İzmir", "izmir"),
        ("it’s", "it's"), ("itʼs", "it's"), ("it´s", "it's"), ("‘it’s’", "it's"), ("well‑known", "well known"),
        ("and/or", "and or"), ("U.S.", "US"), ("I ❤️ it…", "i it"), ("می‌خواهم", "میخواهم"), ("co\u00adoperate", "cooperate"),
    ],
)  # fmt: skip
def test_how_the_same_is_set_counts_as_none(said, heard):
    assert metrics.wer(said, heard) == metrics.cer(said, heard) == 0.0


def test_error_rates_with_nothing_said_or_heard():
    assert metrics.wer("one two", "") == 1.0
    assert metrics.wer(["one two", ""], ["one two", "oh"]) == 0.5
    with pytest.raises(ValueError, match="not defined"):
        metrics.wer("...", "word")
    with pytest.raises(ValueError, match="one each"):
        metrics.wer(["one"], ["one", "two"])
    with pytest.raises(ValueError, match="no transcripts"):
        metrics.cer([], [])
    with pytest.raises(ValueError, match="unit"):
        metrics.error_counts("a", "a", unit="phone")
    for no_text in (3.5, None, b"one", ["one", None], [["one"]]):
        with pytest.raises(ValueError, match="references: expected text, got"):
            metrics.wer(no_text, "one")


# --- decisions -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("distance", [0.0, 1.0, 2.0])
def test_eer_of_two_gaussians_is_the_tail_beyond_the_middle(distance):
    from scipy.stats import norm

    draw = np.random.default_rng(1)
    same, different = draw.normal(distance, 1, 40_000), draw.normal(0, 1, 40_000)
    rate, threshold = metrics.eer(same, different)
    assert rate == pytest.approx(norm.cdf(-distance / 2), abs=0.01)
    if distance:
        assert threshold == pytest.approx(distance / 2, abs=0.03)


@given(st.integers(0, 10_000), st.integers(1, 60), st.integers(1, 60), st.floats(-2, 3))
@settings(max_examples=60, deadline=None)
def test_eer_is_where_the_curve_of_sklearn_crosses(seed, n_same, n_different, distance):
    draw = np.random.default_rng(seed)
    # Rounded, so that ties happen.
    same = np.round(draw.normal(distance, 1, n_same), 1)
    different = np.round(draw.normal(0, 1, n_different), 1)
    truth = np.concatenate([np.ones(n_same), np.zeros(n_different)])
    false_accept, true_accept, _ = roc_curve(
        truth, np.concatenate([same, different]), drop_intermediate=False
    )
    # The polygon of the ROC curve meets the line where both errors are equal.
    gap = false_accept - (1 - true_accept)
    index = int(np.argmax(gap >= 0))
    step = gap[index] - gap[index - 1]
    share = gap[index] / step if step else 0.0
    expected = false_accept[index] - share * (false_accept[index] - false_accept[index - 1])
    assert metrics.eer(same, different)[0] == pytest.approx(expected, abs=1e-9)


def test_eer_of_separate_scores_is_zero_with_a_threshold_between_them():
    rate, threshold = metrics.eer([0.8, 0.9], [0.1, 0.2])
    assert rate == 0.0 and threshold == pytest.approx(0.5)
    assert metrics.eer([0.1, 0.2], [0.8, 0.9])[0] == 1.0
    assert metrics.eer([0.5, 0.5], [0.5, 0.5])[0] == pytest.approx(0.5)
    with pytest.raises(ValueError, match="empty"):
        metrics.eer([], [0.1])


def test_cosine_similarity():
    assert metrics.cosine_similarity([1, 0], [1, 1]) == pytest.approx(np.sqrt(0.5))
    assert metrics.cosine_similarity([0.1, 0.2, 0.3], [0.1, 0.2, 0.3]) <= 1.0
    assert metrics.cosine_similarity(np.eye(3)[:, None], np.eye(3)).tolist() == np.eye(3).tolist()
    with pytest.raises(ValueError, match="zeros"):
        metrics.cosine_similarity([0, 0], [1, 0])
    with pytest.raises(ValueError, match="single number"):
        metrics.cosine_similarity(1, [1, 0])


# --- intervals -----------------------------------------------------------------------------------------


def test_bootstrap_intervals_hold_the_true_mean_about_as_often_as_they_say():
    draw = np.random.default_rng(2)
    hits = 0
    for trial in range(200):
        _, low, high = metrics.bootstrap_ci(draw.normal(3, 2, 40), confidence=0.9, resamples=400, seed=trial)
        hits += low <= 3 <= high
    assert 0.83 <= hits / 200 <= 0.96


def test_drawing_speakers_instead_of_clips_widens_the_interval():
    draw = np.random.default_rng(3)
    speakers = np.repeat(np.arange(10), 20)
    scores = draw.normal(0, 1, 10)[speakers] + draw.normal(0, 0.3, 200)
    mean, low, high = metrics.bootstrap_ci(scores)
    grouped_mean, grouped_low, grouped_high = metrics.bootstrap_ci(scores, groups=speakers)
    assert grouped_mean == mean == pytest.approx(scores.mean())
    assert grouped_high - grouped_low > 2 * (high - low)


def test_bootstrap_is_repeatable_and_close_to_theory():
    scores = np.random.default_rng(4).normal(0, 1, 400)
    assert metrics.bootstrap_ci(scores) == metrics.bootstrap_ci(scores)
    assert metrics.bootstrap_ci(scores) != metrics.bootstrap_ci(scores, seed=1)
    _, low, high = metrics.bootstrap_ci(scores)
    assert high - low == pytest.approx(2 * 1.96 * scores.std() / 20, rel=0.1)


def test_a_weighted_bootstrap_gives_the_word_error_rate_of_the_whole_set():
    errors, lengths = np.array([1, 0, 3]), np.array([10, 2, 5])
    mean, low, high = metrics.bootstrap_ci(errors / lengths, weights=lengths)
    assert mean == pytest.approx(4 / 17) and low <= mean <= high


def test_bootstrap_refuses_what_tells_nothing():
    with pytest.raises(ValueError, match="two groups"):
        metrics.bootstrap_ci([1.0, 2.0], groups=["f01", "f01"])
    with pytest.raises(ValueError, match="NaN"):
        metrics.bootstrap_ci([1.0, np.nan])
    with pytest.raises(ValueError, match="one value"):
        metrics.bootstrap_ci([1.0, 2.0], groups=["f01"])
    with pytest.raises(ValueError, match="confidence"):
        metrics.bootstrap_ci([1.0, 2.0], confidence=95)
    with pytest.raises(ValueError, match="weights"):
        metrics.bootstrap_ci([1.0, 2.0], weights=[1, -1])
    with pytest.raises(ValueError, match="one resample"):
        metrics.bootstrap_ci([1.0, 2.0], resamples=0)


# --- speed ---------------------------------------------------------------------------------------------


def test_real_time_factor_is_time_over_sound(monkeypatch):
    clock = iter(np.arange(0, 100, 0.25))
    monkeypatch.setattr(metrics.time, "perf_counter", lambda: next(clock))
    calls = []
    assert metrics.real_time_factor(calls.append, TONE, repeats=3) == pytest.approx(0.25)
    assert len(calls) == 4  # with the warm-up
    with pytest.raises(ValueError):
        metrics.real_time_factor(calls.append, TONE[:0])


def test_chunk_times_find_the_late_chunk(monkeypatch):
    # Each chunk lasts 100 ms; the third takes 200 ms.
    durations = [0.01, 0.01, 0.2, 0.01]
    clock = iter(np.array([t for d in durations for t in (0.0, d)]))
    monkeypatch.setattr(metrics.time, "perf_counter", lambda: next(clock))
    sizes = []
    times = metrics.chunk_times(lambda chunk: sizes.append(len(chunk)), TONE[:7000], chunk_length=1600)
    assert sizes == [1600] * 4
    assert times["late"] == 0.25
    assert times["max_ms"] == pytest.approx(200)
    assert times["median_ms"] == pytest.approx(10)
    with pytest.raises(ValueError, match="no chunk"):
        metrics.chunk_times(sizes.append, TONE[:10], chunk_length=1600)


def test_scores_that_are_masked_are_not_counted_silently():
    scores = np.ma.masked_array([1.0, 2.0, 99.0], mask=[0, 0, 1])
    with pytest.raises(ValueError, match="compressed"):
        metrics.bootstrap_ci(scores)
    with pytest.raises(ValueError, match="compressed"):
        metrics.eer(scores, [1.0])


@pytest.mark.parametrize(("said", "heard"), [("< 5", "> 5"), ("<5 mg", "5 mg"), ("2 > 1", "2 < 1")])
def test_less_and_more_before_a_number_are_no_decoration(said, heard):
    assert metrics.wer(said, heard) > 0
    assert metrics.normalise("<unk> five") == "unk five"
