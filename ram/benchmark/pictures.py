"""One sample of a task: its input, what physics says, and what each net says, in one scale."""

from __future__ import annotations

__all__ = ["maps_picture"]

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from ram.benchmark.tasks import Task
from ram.runs.run import Run
from ram.views.findings import explained, has_truth
from ram.views.leaderboards import default_target
from ram.views.numbers import writer_for
from ram.views.panels import Scene, draw_contributions, draw_input, shared_scale
from ram.views.scenes import scenes
from ram.views.style import new_figure, png, styled

_LOOKED_AT = 40


def maps_picture(task: Task, runs: Mapping[str, Run]) -> bytes | None:
    """Return a PNG of the sample that physics moves farthest from the reference, by net; None where no truth is known.

    Parameters
    ----------
    runs
        By the net's name, all on the same data.
    """
    if not runs:
        return None
    first = next(iter(runs.values()))
    test = first.part("test")
    target = default_target(first, test)
    known = test[has_truth(first, test, target)][:_LOOKED_AT]
    if not len(known):
        return None
    sums = known.truth_array(target, "contribution").reshape(len(known), -1)
    # the most of both signs: a picture of one colour shows little
    chosen = int(np.minimum(np.clip(sums, 0, None).sum(axis=1), -np.clip(sums, None, 0).sum(axis=1)).argmax())
    drawn = {name: _scene(run, known[[chosen]], target) for name, run in runs.items()}
    with styled():
        return _drawn(task, drawn, first.units[target], target)


def _scene(run: Run, data: object, target: str) -> Scene:
    found = explained(run, data, [target], with_truth=True)[target]  # type: ignore[arg-type]
    writer = writer_for(run.units[target], error=run.metrics["test"][target]["mae"])
    return scenes(found, writer=writer)[0]


def _drawn(task: Task, drawn: Mapping[str, Scene], unit: str, target: str) -> bytes:
    scale = shared_scale(list(drawn.values()), unit=unit)
    first = next(iter(drawn.values()))
    signal = len(first.input_axes) == 1
    columns = 2 + len(drawn)
    figure = new_figure(7.2, 1.35 * columns) if signal else new_figure(2.35 * columns, 2.75)
    grid = figure.subplots(columns if signal else 1, 1 if signal else columns, squeeze=False, sharex=signal).ravel()
    grid[0].set_title(_title(f"Input: {first.input_label}", "Input", signal=signal))
    draw_input(grid[0], first, scale=scale)
    grid[1].set_title(_title(first.truth_title, "Physics", signal=signal))
    assert first.truth is not None, "the caller has looked"
    bar = draw_contributions(grid[1], first, first.truth, limit=scale.limit)
    for axes, (name, scene) in zip(grid[2:], drawn.items(), strict=True):
        draw_contributions(axes, replace(scene, lines=()), scene.net, limit=scale.limit)
        axes.set_title(_title(scene.net_title, f"Net, {name}", signal=signal))
    for axes in grid[:-1] if signal else grid[1:]:
        axes.set_xlabel("") if signal else axes.set_ylabel("")
    figure.colorbar(bar, ax=list(grid[1:]), label=scale.label, extend="both", shrink=0.8)
    figure.suptitle(f"{task.title}: what each cell adds to {target}, one sample of the test part", fontweight="bold")
    return png(figure)


def _title(title: str, who: str, *, signal: bool) -> str:
    """Return who and how much, on two lines where pictures stand side by side."""
    return f"{who}{': ' if signal else chr(10)}{title.partition(': ')[2]}"
