"""The ``[model.spectrogram]`` section of an experiment, and the layer that it makes of a data set's time axis."""

from __future__ import annotations

__all__ = ["SpectrogramConfig", "spectrogram_of"]

import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from ram.axes import Axis
from ram.data.quantities import quantity_in
from ram.data.rates import sampling
from ram.models.spectrogram import Spectrogram
from ram.storage.sections import Section


def _of_unit(unit: str, example: str) -> BeforeValidator:
    """Return what refuses anything but a number with a unit that is a multiple of `unit`."""

    def check(given: object) -> object:
        value = quantity_in(given, unit=unit) if isinstance(given, str) else None
        if value is None or value < 0:
            raise PydanticCustomError("quantity", f"Input should be a number with its unit, such as '{example}'")
        return given

    return BeforeValidator(check)


Duration = Annotated[str, _of_unit("s", "4 ms")]
Frequency = Annotated[str, _of_unit("Hz", "2 kHz")]


class SpectrogramConfig(Section):
    """A spectrogram as the net's first layer, computed on the fly from signals over time."""

    length: Duration = Field(description="Length of the window, such as '4 ms'")
    hop: Duration = Field(description="From one frame to the next, such as '1 ms'; at most the length")
    window: Literal[
        "hann", "hamming", "blackman", "blackmanharris", "nuttall", "flattop", "bartlett", "cosine", "tukey", "boxcar"
    ] = Field(default="hann", description="Window, by its name in scipy")
    nfft: int = Field(default=0, ge=0, description="Points of the FFT, the window zero-padded to them; 0: the window's")
    scale: Literal["dB", "amplitude", "power"] = Field(
        default="dB", description="What a level is; a sine of amplitude a has amplitude a, power a^2, 20 log10(a) dB"
    )
    floor_db: float = Field(
        default=-80.0,
        lt=0,
        description="Of dB: power added before the logarithm, against the channel's standard deviation as amplitude",
    )
    bands: Literal["linear", "mel", "log"] = Field(default="linear", description="How frequencies are spaced")
    count: int = Field(default=0, ge=0, description="Number of bands; 0: the bins of the FFT, for linear alone")
    low: Frequency | None = Field(default=None, description="Lowest frequency, such as '500 Hz'; 0 Hz if not said")
    high: Frequency | None = Field(default=None, description="Highest frequency; half the sample rate if not said")


def spectrogram_of(
    section: SpectrogramConfig, axes: Sequence[Axis], *, channels: int, divisor: int
) -> Spectrogram:
    """Return the layer for signals on `axes`.

    Parameters
    ----------
    channels
        Number of channels.
    divisor
        What the net behind needs the number of frequencies and frames to be a multiple of.

    Raises
    ------
    DataError
        Where inputs are no signals over evenly spaced time.
    ConfigError
        Where the section does not fit their sample rate.
    """
    rate = sampling(axes, where="model.spectrogram").rate_hz
    return Spectrogram(
        channels, sample_rate_hz=rate, divisor=divisor, window=section.window, nfft=section.nfft,
        length=_samples(section.length, rate), hop=_samples(section.hop, rate), scale=section.scale,
        floor_db=section.floor_db, bands=section.bands, count=section.count,
        low_hz=0.0 if section.low is None else _value(section.low, "Hz"),
        high_hz=math.inf if section.high is None else _value(section.high, "Hz"),
    )  # fmt: skip


def _samples(text: str, rate: float) -> int:
    """Return a duration in whole samples, the nearest number."""
    return round(_value(text, "s") * rate)


def _value(text: str, unit: str) -> float:
    value = quantity_in(text, unit=unit)
    assert value is not None, "the section has checked it"
    return value
