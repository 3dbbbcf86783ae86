"""From maps of samples to what their pictures need, and to the line that says what a prediction is made of."""

from __future__ import annotations

__all__ = ["equation", "scenes", "share"]

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from ram.axes import Axis, readable
from ram.data.lines import Line
from ram.maps.ensemble_map import EnsembleMap
from ram.maps.plots import disputed_cells
from ram.maps.regression_map import RegressionMap
from ram.views.findings import Explained
from ram.views.numbers import Writer
from ram.views.panels import Scene


def equation(maps: RegressionMap, position: int, *, words: str, writer: Writer) -> str:
    """Return what a prediction is made of, such as ``"572.3 Hz = 561.0 Hz (mean design) + 11.3 Hz"``.

    The last number is the difference of the two others as they are written, so that the line adds up.
    """
    total, base = writer.rounded(maps.prediction[position]), writer.rounded(maps.baseline[position])
    if maps.log:
        return f"{writer.value(total)} = {writer.value(base)} ({words}) × {total / base:.4f}"
    sign = "−" if total < base else "+"
    return f"{writer.value(total)} = {writer.value(base)} ({words}) {sign} {writer.value(abs(total - base))}"


def share(maps: RegressionMap, contribution: float, *, writer: Writer) -> str:
    """Return a contribution as its map counts it: ``"+11.3 Hz"``, or ``"× 1.0199"`` for a log target."""
    return f"× {np.exp(contribution):.4f}" if maps.log else writer.signed(contribution)


def _total(maps: RegressionMap, position: int, writer: Writer) -> str:
    """Return what the cells carry together: of exact maps without parameters the number in the line of `equation`."""
    if maps.log or maps.parameter_names or maps.grade != "exact":
        return share(maps, maps.contributions[position].sum(), writer=writer)
    return writer.signed(writer.rounded(maps.prediction[position]) - writer.rounded(maps.baseline[position]))


def scenes(
    found: Explained,
    *,
    writer: Writer,
    inputs: Float[np.ndarray, "sample channel *space"] | None = None,
    channels: Mapping[str, str] | None = None,
    lines: Sequence[Line] = (),
) -> list[Scene]:
    """Return one scene for each sample of `found`.

    Parameters
    ----------
    inputs, channels
        What the maps lie over, with name and unit of each channel; the file's own if not given.
    lines
        That physics expects on the maps.
    """
    maps = found.maps
    inputs = found.data.x() if inputs is None else inputs
    solid, truth = _solid(found), found.truth_on_cells
    label = _channel_label(found.data.channels if channels is None else channels)
    pairs = [readable(*pair) for pair in zip(maps.input_axes, maps.axes, strict=True)]
    grid, cells = _last_two(tuple(pair[0] for pair in pairs)), _last_two(tuple(pair[1] for pair in pairs))
    drawn = [(line, line.places(found.data, grid)) for line in lines]
    result, last = [], maps.input_axes[-1]
    for number, name in enumerate(map(str, maps.ids)):
        known = truth is not None and bool(np.isfinite(truth[number]).all())
        values = None if truth is None or not known else truth[number]
        outline = None if solid is None else solid[number]
        shown = np.where(True if outline is None else outline, inputs[number, -1].astype(np.float64), np.nan)
        end = float(np.interp(maps.ends[number], last.edges, grid[-1].edges)) if maps.ends.size else None
        if end is not None:
            shown = np.where(grid[-1].edges[:-1] < end, shown, np.nan)  # padding
        net = maps.contributions[number] * (100 if maps.log else 1)  # a small logarithm is so many per cent
        result.append(
            Scene(
                name=name,
                heading=f"{name}: {writer.value(maps.prediction[number])}",
                input=_slice(shown),
                input_label=label,
                input_axes=grid,
                net=_summed(net),
                truth=None if values is None else _summed(values),
                cells=cells,
                solid=None if outline is None else _slice(outline),
                net_title=f"Net: {_total(maps, number, writer)}",
                truth_title="" if values is None else f"Physics: {writer.signed(values.sum())}",
                disputed=disputed_cells(maps, number) if isinstance(maps, EnsembleMap) else None,
                end=end,
                lines=tuple((line.axis, float(places[number])) for line, places in drawn),
            )
        )
    return result


def _channel_label(channels: Mapping[str, str]) -> str:
    """Return name and unit of the channel shown: the last one."""
    name, unit = list(channels.items())[-1]
    return name if unit == "1" else f"{name} ({unit})"


def _solid(found: Explained) -> Bool[np.ndarray, "sample *space"] | None:
    """Return where the designs are, for files that name a region ``void`` and maps that lie over the file's inputs."""
    data = found.data
    if "void" not in data.region_names or not found.over_inputs:
        return None
    solid: Bool[np.ndarray, "sample *space"] = data.regions_array() != data.region_names.index("void")
    return solid


def _slice(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the middle slice along the first axis of something in 3D."""
    return values[len(values) // 2] if values.ndim == 3 else values


def _summed(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return sums along the first axis of something in 3D."""
    return values.sum(axis=0) if values.ndim == 3 else values


def _last_two(axes: tuple[Axis, ...]) -> tuple[Axis, ...]:
    return axes[-2:]
