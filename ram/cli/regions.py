"""What regions of maps carry, as ``ram explain`` says it: those that are asked for, and the few that carry most."""

from __future__ import annotations

__all__ = ["largest_of", "regions_asked", "say_largest", "say_regions"]

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ram.cli.output import say, say_table

if TYPE_CHECKING:
    from ram.maps.bounds import Bounds
    from ram.maps.regression_map import RegressionMap


def regions_asked(maps: RegressionMap, bounds: Sequence[Bounds]) -> list[dict[str, object]]:
    """Return bounds, words and what each region carries in each sample, for a script."""
    from ram.maps.bounds import in_words

    return [
        {
            "bounds": {name: list(ends) for name, ends in one.items()},
            "words": in_words(one, maps.axes),
            "carried": dict(zip(maps.ids, map(float, maps.within(**one)), strict=True)),
        }
        for one in bounds
    ]


def say_regions(maps: RegressionMap, bounds: Sequence[Bounds]) -> None:
    """Print what each region carries, and with regions that do not overlap what is left."""
    import numpy as np

    from ram.maps.bounds import in_words

    words = [in_words(one, maps.axes) for one in bounds]
    carried = np.stack([maps.within(**one) for one in bounds], axis=1)
    cells = maps.contributions.reshape(len(maps), -1).sum(axis=1)
    apart = not any(_overlap(one, other) for one, other in itertools.combinations(bounds, 2))
    heads = [*words, "the rest", "whole map"] if apart else [*words, "whole map"]
    rows = []
    for name, parts, whole in zip(maps.ids, carried, cells, strict=True):
        rest = [whole - parts.sum()] if apart else []
        rows.append([str(name), *(_value(maps, part) for part in (*parts, *rest, whole))])
    say_table(_headed(maps, "what regions carry"), ["sample", *heads], rows)
    if not apart:
        say("regions overlap: they do not add up")


def largest_of(maps: RegressionMap, index: int, most: int) -> dict[str, object]:
    """Return the regions of one sample that carry most, and what is left, for a script."""
    from ram.maps.bounds import in_words
    from ram.maps.carriers import carriers

    found = carriers(maps, index, most=most)
    return {
        "largest": [
            {
                "bounds": {name: list(ends) for name, ends in one.bounds.items()},
                "words": in_words(one.bounds, maps.axes),
                "cells": one.cells,
                "carried": one.contribution,
            }
            for one in found
        ],
        "rest": float(maps.contributions[index].sum()) - sum(one.contribution for one in found),
    }


def say_largest(maps: RegressionMap, most: int) -> None:
    """Print for each sample the regions that carry most, the largest first, and the rest; they add up to the map."""
    from ram.maps.bounds import in_words
    from ram.maps.carriers import carriers

    for index, name in enumerate(maps.ids):
        found = carriers(maps, index, most=most)
        rows = [[in_words(one.bounds, maps.axes), f"{one.cells}", _value(maps, one.contribution)] for one in found]
        whole = float(maps.contributions[index].sum())
        left = maps.contributions[index].size - sum(one.cells for one in found)
        rows.append(["the rest", f"{left}", _value(maps, whole - sum(one.contribution for one in found))])
        shares = zip(maps.parameter_names, maps.parameter_contributions[index], strict=True)
        rows += [[parameter, "-", _value(maps, share)] for parameter, share in shares]
        said = f"{name}: {maps.target} {maps.prediction[index]:.5g} {maps.unit}"
        if maps.adds_up:
            said += f" = {maps.baseline[index]:.5g} ({maps.reference}) {'x' if maps.log else '+'} these"
        say_table(said, ["region", "cells", _carried(maps)], rows)


def _overlap(one: Bounds, other: Bounds) -> bool:
    """Whether two regions have a place in common; an axis that is not named is whole."""
    return all(one[name][0] < other[name][1] and other[name][0] < one[name][1] for name in one.keys() & other.keys())


def _value(maps: RegressionMap, value: float) -> str:
    return f"x {math.exp(value):.4f}" if maps.log and maps.adds_up else f"{value:+.4g}"


def _carried(maps: RegressionMap) -> str:
    if maps.log and maps.adds_up:
        return "carries (factor)"
    return "carries" if maps.map_unit in ("", "1") else f"carries ({maps.map_unit})"


def _headed(maps: RegressionMap, words: str) -> str:
    unit = "factors" if maps.log and maps.adds_up else "no unit" if maps.grade == "relative" else maps.map_unit
    against = f", against {maps.reference}" if maps.adds_up else ""
    return f"{maps.target}: {words}, {unit}{against} ({maps.method}, {maps.grade})"
