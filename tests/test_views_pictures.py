"""What the pictures say: one colour scale, sums that are kept, numbers in titles, words that are no formulas."""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.text import Text

from ram.axes import Axis
from ram.evaluation.regions import RegionRow
from ram.maps.regression_map import RegressionMap
from ram.views.findings import Explained
from ram.views.numbers import Writer, writer_for
from ram.views.panels import Scene, gallery, panel, shared_scale
from ram.views.pictures import Cloud, errors, region_bars, scatter, training_curve
from ram.views.scenes import equation, scenes
from ram.views.style import png, styled

HERTZ = Writer("Hz", 1)


@pytest.fixture(autouse=True)
def style() -> Iterator[None]:
    with styled():
        yield


def axes(*sizes: int, cells: int = 1) -> tuple[Axis, ...]:
    names = ("z", "y", "x")[-len(sizes) :]
    return tuple(
        Axis.uniform(name, "mm", size=size // cells, step=2.0 * cells) for name, size in zip(names, sizes, strict=True)
    )


def scene(net: np.ndarray, truth: np.ndarray | None, **changes: Any) -> Scene:
    """A design of 8 x 8 points on cells of 4 x 4, solid in its left half."""
    solid = np.broadcast_to(np.arange(8) < 4, (8, 8))
    content: dict[str, Any] = {
        "name": "w1", "heading": "w1: 572.3 Hz", "input": np.where(solid, np.arange(64.0).reshape(8, 8), np.nan),
        "input_label": "thickness (mm)", "input_axes": axes(8, 8), "net": net, "truth": truth,
        "cells": axes(8, 8, cells=2), "solid": solid, "net_title": "Net: +1.0 Hz", "truth_title": "Physics: +2.0 Hz",
    }  # fmt: skip
    return Scene(**(content | changes))


def meshes(figure: Figure) -> list[QuadMesh]:
    """The coloured cells of a figure, colour bars left out."""
    return [item for one in figure.axes for item in one.collections if isinstance(item, QuadMesh) and one.get_title()]


def words(figure: Figure) -> set[str]:
    return {text.get_text() for text in figure.findobj(Text)}


def test_net_and_physics_share_one_scale_centred_on_zero() -> None:
    draw = np.random.default_rng(2)
    shown = [scene(draw.normal(size=(4, 4)), 2 * draw.normal(size=(4, 4))) for _ in range(3)]
    scale = shared_scale(shown, unit="Hz")
    reach = [np.percentile(np.abs(v), 99.5) for s in shown for v in (s.net, s.truth) if v is not None]
    assert scale.limit == pytest.approx(max(reach))
    assert scale.label == "Hz per cell of 4 x 4 mm"
    assert (scale.low, scale.high) == (0.0, 59.0)  # of the solid half: the corner at 63 is void
    found = meshes(gallery(shown, scale=scale, title="umbrella"))
    limits = {(mesh.norm.vmin, mesh.norm.vmax) for mesh in found}
    assert len(found) == 9
    assert limits == {(0.0, 59.0), (-scale.limit, scale.limit)}


def test_a_pale_map_is_shown_once_more_on_a_scale_that_says_so() -> None:
    pale = [scene(0.1 * np.ones((4, 4)), np.ones((4, 4)))]
    scale = shared_scale(pale, unit="Hz")
    assert scale.parts == ("input", "net", "truth", "close")
    assert meshes(panel(pale[0], "net", scale=scale))[0].norm.vmax == pytest.approx(1.0)
    close = panel(pale[0], "close", scale=scale)
    assert meshes(close)[0].norm.vmax == pytest.approx(0.1)
    assert "Net, colours × 10" in words(close)
    assert shared_scale([scene(np.ones((4, 4)), np.ones((4, 4)))], unit="Hz").parts == ("input", "net", "truth")


def test_a_map_of_nothing_has_a_scale_all_the_same() -> None:
    nothing = [scene(np.zeros((4, 4)), None)]
    assert shared_scale(nothing, unit="Hz").limit == 1.0
    assert png(gallery(nothing, scale=shared_scale(nothing, unit="Hz"), title="")).startswith(b"\x89PNG")


def test_a_picture_carries_its_number_unit_and_axes() -> None:
    one = scene(np.ones((4, 4)), np.ones((4, 4)))
    scale = shared_scale([one], unit="Hz")
    assert {"Net: +1.0 Hz", "Hz per cell of 4 x 4 mm", "x (mm)", "y (mm)"} <= words(panel(one, "net", scale=scale))
    assert {"Physics: +2.0 Hz", "Hz per cell of 4 x 4 mm"} <= words(panel(one, "truth", scale=scale))
    assert {"Input: thickness (mm)", "thickness (mm)"} <= words(panel(one, "input", scale=scale))


def test_a_signal_is_drawn_over_what_its_cells_carry() -> None:
    time = (Axis.uniform("time", "ms", size=8, step=0.5),)
    cells = (Axis.uniform("time", "ms", size=4, step=1.0, start=0.25),)
    one = scene(
        np.array([1.0, -2.0, 0.5, 0.0]), None,
        input=np.sin(np.arange(8.0)), input_axes=time, cells=cells, input_label="acceleration (m/s^2)", solid=None,
    )  # fmt: skip
    scale = shared_scale([one], unit="cm")
    drawn = panel(one, "net", scale=scale)
    (mesh,) = meshes(drawn)
    np.testing.assert_array_equal(np.ravel(mesh.get_array()), one.net)
    np.testing.assert_array_equal(drawn.axes[0].lines[0].get_ydata(), one.input)
    assert {"time (ms)", "acceleration (m/s^2)", "cm per cell of 1 ms"} <= words(drawn)
    assert png(panel(one, "input", scale=scale)).startswith(b"\x89PNG")


def explained(*, contributions: np.ndarray, truth: np.ndarray | None, log: bool = False) -> Explained:
    """Maps of a block of 4 x 4 x 4 points on cells of 2 x 2 x 2."""
    total = contributions.reshape(len(contributions), -1).sum(axis=1)
    base = np.full(len(total), 561.04)
    maps = RegressionMap(
        contributions, base, base * np.exp(total) if log else base + total, "umbrella", "Hz",
        axes(4, 4, 4, cells=2), axes(4, 4, 4), log=log,
    )  # fmt: skip
    x = np.arange(len(total) * 2 * 64, dtype=np.float32).reshape(-1, 2, 4, 4, 4)
    data: Any = SimpleNamespace(x=lambda: x, channels={"fill": "1", "density": "kg/m^3"}, region_names=())
    return Explained(data, maps, truth, None, None)


def test_a_block_is_shown_as_its_middle_slice_and_the_sums_behind_it() -> None:
    draw = np.random.default_rng(3)
    found = explained(contributions=draw.normal(size=(2, 2, 2, 2)), truth=draw.normal(size=(2, 4, 4, 4)))
    assert found.truth is not None
    for number, one in enumerate(scenes(found, writer=HERTZ)):
        np.testing.assert_allclose(one.net, found.maps.contributions[number].sum(axis=0))
        assert one.truth is not None
        assert one.truth.sum() == pytest.approx(found.truth[number].sum())
        np.testing.assert_array_equal(one.input, found.data.x()[number, 1, 2])
        assert [axis.name for axis in one.cells] == ["y", "x"]
        assert one.input_label == "density (kg/m^3)"
        assert one.truth_title == f"Physics: {HERTZ.signed(found.truth[number].sum())}"


def test_the_equation_adds_up_as_it_is_written() -> None:
    """561.04 + 11.24 = 572.28 is written 561.0 and 572.3: the last number must then be 11.3."""
    found = explained(contributions=np.full((1, 2, 2, 2), 11.24 / 8), truth=None)
    line = equation(found.maps, 0, words="training mean", writer=HERTZ)
    assert line.replace("\N{NO-BREAK SPACE}", " ") == "572.3 Hz = 561.0 Hz (training mean) + 11.3 Hz"
    assert scenes(found, writer=HERTZ)[0].net_title == "Net: +11.3\N{NO-BREAK SPACE}Hz"
    lower = explained(contributions=np.full((1, 2, 2, 2), -11.24 / 8), truth=None)
    assert equation(lower.maps, 0, words="it", writer=HERTZ).endswith("(it) − 11.2\N{NO-BREAK SPACE}Hz")


def test_the_equation_of_a_log_target_multiplies() -> None:
    found = explained(contributions=np.full((1, 2, 2, 2), np.log(1.02) / 8), truth=None, log=True)
    line = equation(found.maps, 0, words="training mean", writer=HERTZ)
    total, base, factor = map(float, re.findall(r"[\d.]+", line))
    assert total == pytest.approx(base * factor, abs=0.1)
    (one,) = scenes(found, writer=HERTZ)
    assert one.net_title == "Net: × 1.0200"
    assert one.net.sum() == pytest.approx(100 * np.log(1.02))


def test_accuracy_pictures_show_every_sample_and_the_number() -> None:
    measured = np.linspace(400, 600, 50)
    cloud = Cloud("tilt", "Hz", measured + np.linspace(-3, 2, 50), measured, "MAE 1.4 Hz")
    drawn = scatter(cloud)
    points = drawn.axes[0].lines[1].get_xydata()
    np.testing.assert_array_equal(points, np.stack([cloud.measured, cloud.predicted], axis=1))
    assert {"tilt: MAE 1.4 Hz", "measured (Hz)", "predicted (Hz)"} <= words(drawn)
    histogram = errors(cloud)
    assert sum(bar.get_height() for bar in histogram.axes[0].patches) == 50
    assert {"tilt: 9 of 10 within ±2.5 Hz", "predicted − measured (Hz)"} <= words(histogram)


def test_perfect_predictions_and_a_single_sample_can_be_drawn() -> None:
    for count in (1, 3):
        cloud = Cloud("tilt", "1", np.full(count, 5.0), np.full(count, 5.0))
        assert png(scatter(cloud)).startswith(b"\x89PNG")
        assert png(errors(cloud)).startswith(b"\x89PNG")


def test_region_bars_are_the_rows_and_physics_only_where_it_is_known() -> None:
    rows = [
        RegionRow("hub", 1.0, 2.0, 0.4, -3.0, 3.0, 0.5, 4.0),
        RegionRow("$rim$", -1.0, 3.0, 0.6, 2.0, 3.0, 0.5, 3.0),
    ]
    drawn = region_bars(rows, unit="Hz", title="umbrella")
    widths = [[bar.get_width() for bar in one.patches] for one in drawn.axes]
    assert widths == [[1.0, -1.0, -3.0, 2.0], [2.0, 3.0, 3.0, 3.0]]
    assert {"net", "physics", "hub", "$rim$", "signed mean (Hz)", "mean absolute value (Hz)"} <= words(drawn)
    unknown = [RegionRow("hub", 1.0, 2.0, 1.0, *[float("nan")] * 4)]
    assert "physics" not in words(region_bars(unknown, unit="Hz", title=""))


def test_training_curves_mark_the_epoch_that_was_kept_in_plain_numbers() -> None:
    history = [
        {"epoch": e, "loss": 1 / e, "validation": {"tilt": 50 / e, "mass": 0.4 / e}, "best": e in (1, 3)}
        for e in range(1, 6)
    ]
    drawn = training_curve(history, units={"tilt": "Hz", "mass": "kg"})
    drawn.canvas.draw()
    assert {"mean absolute validation error: epoch 3 is kept", "tilt (Hz)", "mass (kg)"} <= words(drawn)
    assert not [text for text in words(drawn) if "$" in text or "math" in text]
    assert {"50", "0.5", "0.1"} <= words(drawn)


@pytest.mark.parametrize(
    ("error", "written"),
    [(4.7, "572.3"), (18.2, "572.3"), (0.47, "572.31"), (470.0, "572"), (0.0021, "572.3140"), (0.0, "572.314")],
)
def test_numbers_have_the_digits_that_their_error_allows(error: float, written: str) -> None:
    assert writer_for("1", error=error).value(572.314) == written


def test_what_does_not_exist_is_a_dash() -> None:
    assert [HERTZ.value(None), HERTZ.signed(float("nan")), HERTZ.bare(float("inf"))] == ["–", "–", "–"]
    assert [HERTZ.signed(-0.01), HERTZ.signed(0.04)] == ["0.0\N{NO-BREAK SPACE}Hz"] * 2
