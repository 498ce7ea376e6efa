"""The spectrogram with its settings as sliders: what each of them trades for what."""

from __future__ import annotations

import threading

import ipywidgets as widgets
import librosa
import numpy as np

from course_utils import audio, features, plotting

from .fallback import HtmlFallback

WINDOWS = ("hann", "hamming", "blackman", "boxcar")


def spectrogram_figure(
    waveform: np.ndarray,
    n_fft: int = 1024,
    hop_length: int = 256,
    window: str = "hann",
    mel: bool = False,
    dynamic_range_db: float = 80.0,
    title: str = "",
) -> plotting.Picture:
    """One spectrogram, drawn with the settings you choose.

    Args:
        waveform: (time,) at 16 kHz.
        n_fft: window length in samples; longer resolves frequencies, shorter resolves time.
        hop_length: step between frames in samples.
        window: "hann", "hamming", "blackman" or "boxcar" (no window at all).
        mel: 80 mel bands instead of n_fft // 2 + 1 equally spaced ones.
        dynamic_range_db: how far below the loudest point the darkest colour lies.
        title: above the picture.

    Raises:
        AudioError: no waveform, or an empty one.
        ValueError: a setting out of range.
    """
    waveform = audio.check(waveform, min_seconds=1 / audio.SAMPLE_RATE)
    if window not in WINDOWS:
        raise ValueError(f"window must be one of {', '.join(WINDOWS)}, got {window!r}")
    if not 16 <= n_fft <= 16384 or not 1 <= hop_length <= n_fft or dynamic_range_db <= 0:
        raise ValueError(
            "expected 16 <= n_fft <= 16384, 1 <= hop_length <= n_fft and dynamic_range_db > 0, "
            f"got {n_fft}, {hop_length} and {dynamic_range_db}"
        )
    padded = np.pad(waveform, (0, max(0, n_fft - len(waveform))))
    magnitude = np.abs(librosa.stft(padded, n_fft=n_fft, hop_length=hop_length, window=window))
    if mel:
        magnitude = features.mel_filterbank(n_fft) @ magnitude
    decibels = 20 * np.log10(np.maximum(magnitude, 1e-10))

    resolution = (
        f"{1000 * n_fft / audio.SAMPLE_RATE:.0f} ms windows, {audio.SAMPLE_RATE / n_fft:.1f} Hz between bins"
    )
    alt = f"{'Mel s' if mel else 'S'}pectrogram of {len(waveform) / audio.SAMPLE_RATE:.1f} s: {window} window, {resolution}"
    picture, (ax,) = plotting.figure(alt=alt, size=(9, 3.2))
    step = hop_length / audio.SAMPLE_RATE
    top = features.N_MELS if mel else audio.SAMPLE_RATE / 2
    image = ax.imshow(
        decibels - decibels.max(),
        vmin=-dynamic_range_db,
        vmax=0,
        extent=(-step / 2, (decibels.shape[1] - 0.5) * step, 0, top),
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        cmap="magma",
    )
    ax.set(xlabel="time (s)", ylabel="mel band" if mel else "frequency (Hz)", title=title or resolution)
    ax.set_xlim(0, len(waveform) / audio.SAMPLE_RATE)
    picture.figure.colorbar(image, ax=ax, label="dB below the loudest", pad=0.01)
    return picture


class SpectrogramExplorer(HtmlFallback, widgets.VBox):
    """Controls for every setting of `spectrogram_figure`, and the picture they give.

    Args:
        waveform: (time,) at 16 kHz.
        **settings: where the controls start, as in `spectrogram_figure`.
    """

    def __init__(self, waveform: np.ndarray, **settings: object):
        self._waveform = audio.check(waveform, min_seconds=1 / audio.SAMPLE_RATE)
        self._lock = threading.Lock()
        looks = {"style": {"description_width": "120px"}, "layout": {"width": "350px"}}

        def slider(description: str, values: range, start: int) -> widgets.SelectionSlider:
            # A picture at the end of a drag, not for each step of it.
            return widgets.SelectionSlider(
                options=values, value=start, description=description, continuous_update=False, **looks
            )

        powers = [2**k for k in range(6, 13)]
        self.controls: dict[str, widgets.Widget] = {
            "n_fft": slider("window (samples)", powers, 1024),
            "hop_length": slider("hop (samples)", [2**k for k in range(5, 11)], 256),
            "dynamic_range_db": slider("range (dB)", list(range(20, 121, 10)), 80),
            "window": widgets.Dropdown(options=WINDOWS, value="hann", description="window shape", **looks),
            "mel": widgets.Checkbox(False, description="mel bands", **looks),
        }
        """The controls by name; `controls["n_fft"].value = 512` does what moving it does."""
        unknown = sorted(set(settings) - set(self.controls))
        if unknown:
            raise ValueError(f"no such setting: {', '.join(unknown)}; there are {', '.join(self.controls)}")
        for name, value in settings.items():
            self.controls[name].value = value

        self._image = widgets.HTML()
        n_fft, hop, decibels, window, mel = self.controls.values()
        rows = [widgets.HBox(row) for row in ((n_fft, window), (hop, mel), (decibels,))]
        super().__init__([*rows, self._image])
        for control in self.controls.values():
            control.observe(self._draw, names="value")
        self._draw()

    @property
    def settings(self) -> dict[str, object]:
        """What the controls say now, as arguments for `spectrogram_figure`; a hop is at most one window."""
        values = {name: control.value for name, control in self.controls.items()}
        return values | {"hop_length": min(values["hop_length"], values["n_fft"])}

    def _draw(self, _: object = None) -> None:
        # May run on another thread than the cells: a lock, and a figure without pyplot.
        with self._lock:
            self._image.value = spectrogram_figure(self._waveform, **self.settings)._repr_html_()

    def fallback_html(self) -> str:
        """The picture without its controls, and the sound."""
        return self._image.value + audio.play(self._waveform).data

    def __repr__(self) -> str:
        return f"SpectrogramExplorer({len(self._waveform) / audio.SAMPLE_RATE:.2f} s)"
