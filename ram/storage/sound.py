"""Signals as sound files."""

from __future__ import annotations

__all__ = ["wav", "write_wav"]

import io
from pathlib import Path

import numpy as np
from jaxtyping import Float

from ram.storage.atomic import write_bytes


def wav(values: Float[np.ndarray, "channel time"], *, rate_hz: int) -> bytes:
    """Return a WAV file of 24 bits; values from -1 to 1. The same values give the same bytes."""
    import soundfile

    with io.BytesIO() as buffer:
        soundfile.write(buffer, values.T, rate_hz, format="WAV", subtype="PCM_24")
        return buffer.getvalue()


def write_wav(path: Path, values: Float[np.ndarray, "channel time"], *, rate_hz: int) -> None:
    """Write a WAV file, whole or not at all; as `wav`."""
    write_bytes(path, wav(values, rate_hz=rate_hz))
