"""Write docs/wheel.png, the picture of the README: a test wheel, what physics says of it, and what the net says.

ram train experiments/wheel_maps.toml --output runs/wheel_maps  # the data: see the head of that file
python docs/wheel_picture.py runs/wheel_maps wheel-1-000020
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from ram.maps.regression_map import RegressionMap
from ram.runs.run import open_run
from ram.views.findings import explained
from ram.views.numbers import writer_for
from ram.views.panels import draw_contributions, draw_input, shared_scale
from ram.views.scenes import scenes
from ram.views.style import INK, new_figure, png, styled

Region = dict[str, tuple[float, float]]
# mm; and where in the picture the words stand
REGIONS: dict[str, tuple[Region, tuple[float, float]]] = {
    "spoke root": ({"x": (41.3, 96.4), "y": (41.3, 96.4)}, (0.69, 0.93)),
    "opening": ({"x": (-55.1, 55.1), "y": (-123.9, -68.9)}, (0.5, 0.07)),
}


def picture(path: Path, sample: str, *, target: str) -> bytes:
    """Return the three panels as PNG, with the same regions framed and summed in both maps."""
    run = open_run(path)
    test = run.part("test")
    found = explained(run, test[np.flatnonzero(test.ids == sample)], [target], with_truth=True)[target]
    assert found.truth_on_cells is not None, "the file has no contributions of this sample"
    unit = run.units[target]
    writer = writer_for(unit, error=run.metrics["test"][target]["mae"])
    (scene,) = scenes(found, writer=writer)
    assert scene.truth is not None
    scale = shared_scale([scene], unit=unit)
    total = writer.rounded(float(np.nansum(scene.truth)))
    with styled():
        figure = new_figure(9.6, 3.35)
        axes = figure.subplots(1, 3)
        draw_input(axes[0], scene, scale=scale)
        axes[0].set_title(f"A wheel, {scale.low:.0f} to {scale.high:.0f} mm thick")
        for ax, cells, who in ((axes[1], scene.truth, "Physics (finite elements)"), (axes[2], scene.net, "Net")):
            mesh = draw_contributions(ax, scene, cells, limit=scale.limit)
            ax.set_title(f"{who}: {writer.signed(float(cells.sum()))}")
            ax.set_ylabel("")
            for words, (region, place) in REGIONS.items():
                mark(ax, region, f"{words}: {writer.signed(carried(found.maps, cells, region))}", place)
        figure.colorbar(mesh, ax=list(axes[1:]), label=scale.label, extend="both", shrink=0.8)
        higher = "higher" if total > 0 else "lower"
        figure.suptitle(
            f"Why does this wheel ring {writer.value(abs(total))} {higher} than the average design ({target} mode)?",
            fontweight="bold",
        )
        return png(figure)


def carried(maps: RegressionMap, cells: np.ndarray, region: Region) -> float:
    """Return what a region carries, by the map's own rule, of any contributions on its cells."""
    return float(replace(maps, contributions=cells[None]).within(**region)[0])


def mark(ax: Axes, region: Region, words: str, place: tuple[float, float]) -> None:
    """Frame a region, and write what it carries beside it."""
    (left, right), (low, high) = region["x"], region["y"]
    ax.add_patch(Rectangle((left, low), right - left, high - low, fill=False, edgecolor=INK, linewidth=1.6))
    ax.annotate(
        words,
        xy=((left + right) / 2, high if place[1] > 0.5 else low),
        xytext=place,
        textcoords="axes fraction",
        ha="center",
        fontweight="bold",
        bbox={"boxstyle": "round", "facecolor": "white", "edgecolor": INK, "linewidth": 0.6},
        arrowprops={"arrowstyle": "-", "color": INK, "linewidth": 0.8},
    )


def main() -> None:
    """Draw the sample that is named, of the run that is named."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("run", type=Path)
    asked.add_argument("sample")
    asked.add_argument("--target", default="umbrella")
    said = asked.parse_args()
    Path(__file__).with_name("wheel.png").write_bytes(picture(said.run, said.sample, target=said.target))


if __name__ == "__main__":
    main()
