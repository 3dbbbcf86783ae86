"""The ``[training.map_supervision]`` section of an experiment: what maps of training samples should look like."""

from __future__ import annotations

__all__ = ["MapSupervisionConfig"]

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from ram.storage.sections import Names, Section


class MapSupervisionConfig(Section):
    """What the exact RAM of training samples is fitted to beside their targets; docs/supervision.md.

    Either maps known from physics, or what an engineer knows without a solver: regions that may carry the prediction,
    smoothness, symmetry. Weights are held against the loss on standardised targets.
    """

    weight: float = Field(default=0.0, ge=0, description="Of the misfit between RAM and maps known from physics")
    kind: str = Field(default="contribution", description="Kind of these maps: /truth/<target>/<kind> of the data file")
    share: float = Field(
        default=1.0, gt=0, le=1, description="Share of the training samples whose maps are used, drawn by the seed"
    )
    regions: Names = Field(default=(), description="Regions of the data file that may carry the prediction")
    ridges: Names = Field(
        default=(), description="Modes on whose ridges in the spectrogram it may lie: parameters <mode>, <mode>_decay"
    )
    outside: float = Field(default=0.0, ge=0, description="Weight of what lies outside these regions and ridges")
    smooth: float = Field(default=0.0, ge=0, description="Weight of the differences between neighbouring cells")
    symmetric: float = Field(
        default=0.0, ge=0, description="Weight of the differences between maps of a sample and of its mirrored self"
    )

    @model_validator(mode="after")
    def _consistent(self) -> MapSupervisionConfig:
        """Refuse regions without a weight and a weight without regions."""
        if bool(self.outside) != bool(self.regions or self.ridges):
            raise PydanticCustomError("outside", "Input should be regions or ridges together with outside above 0")
        return self

    @property
    def asks(self) -> bool:
        """Whether any weight is above 0."""
        return bool(self.weight or self.outside or self.smooth or self.symmetric)
