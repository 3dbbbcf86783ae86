"""A part of a signal by a mask over its spectrogram: the windows' spectra, masked, and put together again.

Windows overlap, so a masked spectrogram is in general that of no signal. What is returned is the signal whose windowed
pieces are nearest to the masked ones in the sense of least squares; a mask of ones gives the signal back.

Source: Griffin & Lim 1984, "Signal estimation from modified short-time Fourier transform", equation 6.
"""

from __future__ import annotations

__all__ = ["masked_signal"]

import numpy as np
from jaxtyping import Float

from ram.errors import ConfigError, explained
from ram.models.spectrogram import Spectrogram

_LEAST = 1e-6  # of the windows' mean square: below, a sample is seen too faintly to be told from rounding


def masked_signal(
    front: Spectrogram,
    signal: Float[np.ndarray, "channel time"],
    mask: Float[np.ndarray, "channel_or_1 bin frame"],
) -> Float[np.ndarray, "channel time"]:
    """Return the part of a signal that a mask over its spectrogram keeps.

    Parameters
    ----------
    front
        How the spectrogram is computed: window, hop, FFT.
    signal
        Zero beyond its ends, as `front` takes it: without the channel's mean.
    mask
        0 to 1, for all bins of the FFT and all frames.

    Raises
    ------
    ConfigError
        Where window and hop leave samples that no window sees.
    """
    signal = np.asarray(signal, dtype=np.float64)
    samples = signal.shape[-1]
    count, hop, length = front.frames(samples), front.hop, front.length
    window = front.window.double().cpu().numpy()
    before, behind = front.padding(samples, width=length)
    padded = np.pad(signal, ((0, 0), (before, behind)))
    pieces = np.lib.stride_tricks.sliding_window_view(padded, length, axis=-1)[:, ::hop]  # (channel, frame, length)
    spectra = np.fft.rfft(pieces * window, front.nfft) * np.swapaxes(mask, 1, 2)
    masked = np.fft.irfft(spectra, front.nfft)[..., :length] * window
    kept, seen = np.zeros_like(padded), np.zeros(padded.shape[-1])
    for frame in range(count):
        here = slice(frame * hop, frame * hop + length)
        kept[:, here] += masked[:, frame]
        seen[here] += window**2
    inside = slice(before, before + samples)
    if seen[inside].min() < _LEAST * np.mean(window**2):
        raise ConfigError(
            explained(
                where="model.spectrogram", what="window and hop",
                allowed="such that windows overlap and every sample is seen by one",
                got=f"a window of {length} and a hop of {hop} samples",
                next_step="Train with a hop of half the window, or less",
            )
        )  # fmt: skip
    return np.asarray(kept[:, inside] / seen[inside])
