"""Pictures of maps: what is drawn, where, in which colours, with which words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib import colormaps
from matplotlib.collections import PolyCollection, QuadMesh
from matplotlib.figure import Figure

from ram.axes import Axis
from ram.errors import DataError
from ram.maps.ensemble_map import EnsembleMap
from ram.maps.plots import plot_map
from ram.maps.regression_map import RegressionMap


def made(ndim: int = 2, *, batch: int = 2, scale: float = 1.0) -> RegressionMap:
    values = scale * np.random.default_rng(ndim).normal(size=(batch, *[4] * ndim))
    names = ("z", "y", "x")[-ndim:] if ndim > 1 else ("time",)
    unit = "mm" if ndim > 1 else "s"
    cells = tuple(Axis.uniform(name, unit, size=4, step=8.0, start=4.0) for name in names)
    grid = tuple(Axis.uniform(name, unit, size=16, step=2.0, start=1.0) for name in names)
    total = values.reshape(batch, -1).sum(axis=1)
    base = np.full(batch, 561.04)
    return RegressionMap(values, base, base + total, "umbrella", "Hz", cells, grid, reference="train-mean")


def mesh_of(figure: Figure) -> QuadMesh:
    return [thing for thing in figure.axes[0].collections if isinstance(thing, QuadMesh)][-1]


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_cells_are_drawn_where_they_lie_with_their_numbers(ndim: int) -> None:
    one = made(ndim)
    figure = one.plot(1)
    drawn = np.ma.getdata(mesh_of(figure).get_array())
    expected = one.contributions[1].sum(axis=0) if ndim == 3 else one.contributions[1]
    np.testing.assert_array_equal(drawn.reshape(expected.shape), expected)
    corners = mesh_of(figure).get_coordinates()
    np.testing.assert_array_equal(corners[0, :, 0], one.axes[-1].edges)
    if ndim > 1:
        np.testing.assert_array_equal(corners[:, 0, 1], one.axes[-2].edges)


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_colours_are_centred_on_zero_and_shared_by_the_batch(ndim: int) -> None:
    one = made(ndim)
    every = one.contributions.sum(axis=1) if ndim == 3 else one.contributions
    limits = [mesh_of(one.plot(index)).get_clim() for index in range(2)]
    assert limits[0] == limits[1] == (-np.abs(every).max(), np.abs(every).max())
    assert mesh_of(one.plot(limit=7.0)).get_clim() == (-7.0, 7.0)
    assert mesh_of(one.plot()).get_cmap().name == "RdBu_r"
    below, above = colormaps["RdBu_r"]([0.1, 0.9])
    assert below[2] > below[0]
    assert above[0] > above[2]


def test_words_and_units() -> None:
    one = made()
    one = replace(one, prediction=np.array([572.34, 549.7]))
    figure = one.plot(0)
    picture, bar = figure.axes
    assert picture.get_title() == "umbrella 572.3 Hz = train-mean 561.0 Hz + 11.3 Hz"
    assert one.plot(1).axes[0].get_title() == "umbrella 549.7 Hz = train-mean 561.0 Hz - 11.3 Hz"
    assert (picture.get_xlabel(), picture.get_ylabel()) == ("x (mm)", "y (mm)")
    assert bar.get_ylabel() == "contribution in Hz per cell of 8 x 8 mm"
    assert made(1).plot().axes[1].get_ylabel() == "contribution in Hz per cell of 8 s"
    assert made(1).plot().axes[0].get_xlabel() == "time (s)"


def test_the_title_adds_up_as_written_and_breaks_where_it_is_long() -> None:
    one = replace(made(), baseline=np.full(2, 0.12349), prediction=np.full(2, 0.12371))
    assert one.plot().axes[0].get_title() == "umbrella 0.123710 Hz\n= train-mean 0.123490 Hz + 0.000220 Hz"
    still = replace(made(), baseline=np.full(2, 5.0), prediction=np.full(2, 5.0))
    assert still.plot().axes[0].get_title() == "umbrella 5.00 Hz = train-mean 5.00 Hz + 0.00 Hz"


def test_a_log_target_is_shown_in_per_cent() -> None:
    one = made(scale=0.01)
    one = replace(one, log=True, unit="h", baseline=np.full(2, 100.0), prediction=100.0 * np.exp(one.total))
    figure = one.plot()
    drawn = np.ma.getdata(mesh_of(figure).get_array())
    np.testing.assert_allclose(drawn.reshape(4, 4), 100 * (one.factors[0] - 1), rtol=1e-12)
    assert figure.axes[1].get_ylabel() == "factor - 1 in % per cell of 8 x 8 mm"
    assert figure.axes[0].get_title().endswith(f"x {np.exp(one.total[0]):.4f}")


def test_over_a_design_each_point_has_its_cells_colour_and_voids_are_faint() -> None:
    one = made()
    fill = np.zeros((16, 16))
    fill[4:12, 4:12] = 1.0
    figure = one.plot(image=fill)
    mesh = mesh_of(figure)
    drawn = np.ma.getdata(mesh.get_array()).reshape(16, 16)
    np.testing.assert_array_equal(drawn, np.kron(one.contributions[0], np.ones((4, 4))))
    alpha = np.asarray(mesh.get_alpha()).reshape(16, 16)
    assert alpha[8, 8] == 0.8
    assert alpha[0, 0] == 0.25
    assert len(figure.axes[0].collections) == 3  # design, map, outline


def test_a_signal_is_drawn_over_its_map() -> None:
    signal = np.sin(np.arange(16.0))
    (line,) = made(1).plot(image=signal).axes[0].lines
    np.testing.assert_array_equal(line.get_ydata(), signal)
    np.testing.assert_array_equal(line.get_xdata(), made(1).input_axes[0].centres)


def test_an_image_of_another_size_is_refused() -> None:
    with pytest.raises(DataError, match=r"plot: image must be of shape \(16, 16\), the input's grid. Got \(4, 4\)"):
        made().plot(image=np.zeros((4, 4)))


def test_a_map_of_zeros_can_be_drawn(tmp_path: Path) -> None:
    one = replace(made(), contributions=np.zeros((2, 4, 4)))
    one.plot(image=np.zeros((16, 16))).savefig(tmp_path / "zero.png")
    assert mesh_of(one.plot()).get_clim() == (-1.0, 1.0)


def test_given_axes_are_drawn_in_and_pyplot_knows_nothing() -> None:
    import matplotlib.pyplot as plt

    figure = Figure()
    left, right = figure.subplots(1, 2)
    assert plot_map(made(), 0, ax=right) is figure
    assert not left.collections
    assert right.get_title().startswith("umbrella")
    assert plt.get_fignums() == []


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_disputed_cells_are_hatched_where_they_lie(ndim: int) -> None:
    members = [replace(made(ndim), contributions=made(ndim).contributions + shift) for shift in (-0.8, 0.0, 0.9)]
    mean = EnsembleMap.of(members)
    figure = mean.plot(1)
    (hatched,) = [thing for thing in figure.axes[0].collections if isinstance(thing, PolyCollection)]
    assert hatched.get_hatch() == "////"
    each = np.stack([one.contributions[1].sum(axis=0) if ndim == 3 else one.contributions[1] for one in members])
    disputed = np.argwhere((each > 0).any(axis=0) & (each < 0).any(axis=0))
    assert len(disputed) > 0
    lefts = sorted(path.vertices[:, 0].min() for path in hatched.get_paths())
    np.testing.assert_allclose(lefts, sorted(mean.axes[-1].edges[place[-1]] for place in disputed))
    share = 100 * mean[1].undisputed_share()[0]
    assert f"3 members agree on the sign of {share:.0f} % of it" in figure.axes[0].get_title()


def test_members_that_agree_hide_nothing() -> None:
    mean = EnsembleMap.of([made(), made()])
    assert not any(isinstance(thing, PolyCollection) for thing in mean.plot().axes[0].collections)
