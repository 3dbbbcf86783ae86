"""What a user asks a run to explain, in the words of its data: channels by name, references by name."""

from __future__ import annotations

__all__ = ["REFERENCES", "Wish", "default_reference", "no_choice", "require_level", "require_reference"]

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ram.data.dataset import Dataset
from ram.errors import ConfigError, explained, nearest
from ram.maps.methods import Method
from ram.runs.references import MEAN_DESIGN, MEAN_MAP

REFERENCES = (MEAN_MAP, MEAN_DESIGN, "baseline")


@dataclass(frozen=True)
class Wish:
    """How to explain, as `Run.explain` takes it."""

    method: str
    layer: str | Sequence[str] | None
    channel: str | None
    regions: NDArray[np.integer[Any]] | None
    options: Mapping[str, int | float] | None
    resolution: int
    seed: int
    of: str | None = None

    def regions_for(self, data: Dataset) -> NDArray[np.integer[Any]] | None:
        """Return the regions asked for; for a method that asks by region, those of the data set."""
        if self.regions is not None or "region" not in self.method or not data.region_names:
            return self.regions
        return data.regions_array()

    def given(
        self, channels: Mapping[str, str], *, regions: NDArray[np.integer[Any]] | None, where: str
    ) -> dict[str, Any]:
        """Return what `ram.maps.explain.explain_regressor` is given.

        Raises
        ------
        ConfigError
            For a channel that the net does not have.
        """
        each = self.channel == "each" and "each" not in channels
        if self.channel is not None and not each and self.channel not in channels:
            raise ConfigError(no_choice(where, "a channel", self.channel, channels))
        only = next(iter(channels)) if len(channels) == 1 else None
        name = self.channel or only
        return {
            "method": self.method,
            "layer": self.layer,
            "channel": "each" if each else None if self.channel is None else list(channels).index(self.channel),
            "channel_unit": tuple(channels.values()) if each else "1" if name is None else channels[name],
            "channels": tuple(channels),
            "regions": regions,
            "options": self.options,
            "resolution": self.resolution,
            "seed": self.seed,
            "of": self.of,
        }


def default_reference(method: Method) -> str:
    """Return what the maps of a method are held against where nothing is said and no mean map is kept."""
    looks = method.kind == "input" or method.name == "score-cam"
    return MEAN_DESIGN if looks or method.adds_up else "baseline"


def require_reference(word: str, *, kept: bool, where: str) -> None:
    """Refuse a word that names no reference, or a mean map where none is kept.

    Raises
    ------
    ConfigError
        With the references that there are.
    """
    if word not in REFERENCES:
        near = nearest(word, REFERENCES)
        allowed = f"{', '.join(REFERENCES)}, a sample or an input"
        raise ConfigError(explained(where=where, what="a reference", allowed=allowed, got=word, next_step=near))
    if word == MEAN_MAP and not kept:
        allowed = f"{MEAN_DESIGN}, baseline, a sample or an input"
        step = f"A mean map is kept for method ram on its own cells only; {MEAN_DESIGN} asks the same question"
        raise ConfigError(explained(where=where, what="a reference", allowed=allowed, got=word, next_step=step))


def require_level(level: float | None) -> None:
    """Refuse what is no share of samples; None stands for the run's own.

    Raises
    ------
    ConfigError
        For a number that is not between 0 and 1.
    """
    if level is not None and not 0 < level < 1:
        step = "Give 0.9 for intervals that hold 9 of 10 new samples"
        raise ConfigError(
            explained(
                where="level", what="the level of intervals", allowed="above 0 and below 1", got=level, next_step=step
            )
        )


def no_choice(where: str, what: str, got: str, known: Iterable[str]) -> str:
    """Say that a name is not one of those that are known."""
    known = list(known)
    return explained(
        where=where, what=what, allowed=f"one of {', '.join(known)}", got=got, next_step=nearest(got, known)
    )
