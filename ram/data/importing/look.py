"""What is known of a signal, a picture or an array before its values are read."""

from __future__ import annotations

__all__ = ["Look"]

from dataclasses import dataclass


@dataclass(frozen=True)
class Look:
    """One input as its file declares it.

    Parameters
    ----------
    kind
        What the user calls it: ``"WAV int16"``, ``"PNG 8 bit"``, ``"text"``.
    shape
        (channel, *space).
    channels, units
        Names and units of the channels; empty texts where the file does not say.
    stored
        NumPy's name of the type in the file: ``"int16"``, ``"uint8"``, ``"uint16"``, ``"float64"`` ...
    scale
        What one step of an integer is worth: 1/32768 in a WAV file of 16 bits, whose full scale is 1.
    step, start
        Of the last axis, in s; None where the file does not say.
    said
        What was recognised, for the user to check.
    """

    kind: str
    shape: tuple[int, ...]
    channels: tuple[str, ...]
    units: tuple[str, ...]
    stored: str
    scale: float = 1.0
    step: float | None = None
    start: float = 0.0
    said: str = ""
