"""What is known of a net that was made from another one: where it was cut, what it was worth before."""

from __future__ import annotations

__all__ = ["Adaptation"]

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Figures = Mapping[str, Mapping[str, Mapping[str, Any]]]


@dataclass(frozen=True)
class Adaptation:
    """How a net with global average pooling came from another net.

    Attributes
    ----------
    source
        What the other net was: its type, or the run it came from.
    layer
        The layer or function after which it was cut.
    kept
        Its linear unit was kept, too: it had global average pooling before.
    ridge
        Of the least squares that the new linear unit starts with; None where it was kept.
    before, start
        Figures by part and target, as in a run's metrics: of the other net, and of this one before any training.
    parameters
        Numbers that are trained, ``before`` and ``after``.
    seconds
        Processor time a sample: ``prediction_before``, ``prediction_after``, ``step_before``, ``step_after`` (a step
        of training: prediction and gradient).
    """

    source: str
    layer: str
    kept: bool
    ridge: float | None
    before: Figures
    start: Figures
    parameters: Mapping[str, int]
    seconds: Mapping[str, float]

    def as_dict(self) -> dict[str, Any]:
        """Return what adaptation.json holds; times are kept elsewhere, so that equal runs have equal bytes."""
        names = ("source", "layer", "kept", "ridge", "before", "start", "parameters")
        return {name: getattr(self, name) for name in names}
