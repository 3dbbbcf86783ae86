"""Finer maps: the sum, every coarse cell's total, and what a finer net would say."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch
from torch import nn

from ram.axes import Axis, overlap
from ram.errors import ConfigError, ModelError
from ram.maps.explain import explain, explain_regressor
from ram.maps.regression_map import RegressionMap, load_maps, save_maps
from ram.maps.resolution import keeping_totals
from ram.models.backbones import build_backbone
from ram.models.regressor import Regressor, TargetScaling
from ram.models.symmetry import symmetry_group

SHAPE = {1: (2, 2, 64), 2: (2, 2, 32, 32), 3: (1, 2, 16, 16, 16)}
STEP = {1: 0.5, 2: 2.0, 3: 1.0}


def regressor(ndim: int, name: str = "resnet", **options: object) -> Regressor:
    torch.manual_seed(5)
    backbone = build_backbone(name, ndim=ndim, channels=2, widths=(3, 4, 5), depth=1)
    targets = [TargetScaling("f", "Hz", 500.0, 80.0), TargetScaling("m", "kg", 7.0, 0.5)]
    net = Regressor(backbone, targets=targets, input_mean=[0.5, 0.2], input_scale=[0.3, 0.4], **options)
    for part, weight in net.named_parameters():
        if part.endswith("factor"):
            weight.data.fill_(0.6)
    return net.double()


def axes(ndim: int) -> tuple[Axis, ...]:
    return tuple(
        Axis.uniform(n, "mm", size=s, step=STEP[ndim]) for n, s in zip("zyx"[-ndim:], SHAPE[ndim][2:], strict=True)
    )


def within_cells(fine: RegressionMap, cells: tuple[Axis, ...]) -> np.ndarray:
    """What the fine map carries within each coarse cell, asked cell by cell."""
    shape = tuple(axis.size for axis in cells)
    found = np.empty((len(fine), *shape))
    for place in np.ndindex(shape):
        bounds = {axis.name: (axis.edges[i], axis.edges[i + 1]) for axis, i in zip(cells, place, strict=True)}
        found[(slice(None), *place)] = fine.within(**bounds)
    return found


@pytest.mark.parametrize("times", [2, 4])
@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("name", ["plain", "resnet"])
def test_every_coarse_cell_keeps_its_total(name: str, ndim: int, times: int) -> None:
    net, x = regressor(ndim, name), torch.rand(SHAPE[ndim], dtype=torch.float64)
    coarse = explain_regressor(net, x, input_axes=axes(ndim))
    fine = explain_regressor(net, x, input_axes=axes(ndim), resolution=times)
    for target in ("f", "m"):
        one = fine[target]
        assert one.grade == "exact"
        assert all(
            size > (times - 1) * 0.8 * few.size
            for size, few in zip(one.contributions.shape[1:], coarse[target].axes, strict=True)
        )
        np.testing.assert_allclose(one.residual, 0.0, atol=1e-9)
        size = np.abs(coarse[target].contributions).max()
        np.testing.assert_allclose(
            within_cells(one, coarse[target].axes), coarse[target].contributions, rtol=1e-9, atol=1e-9 * size
        )
        assert one.correction.shape == (len(x),)
        assert (one.correction > 0).all()
        assert (one.correction < 1).all()


def test_without_the_correction_the_map_is_the_finer_nets_own() -> None:
    """A net of 1 x 1 convolutions behind its stride: the fine value is the net's answer for a shifted input."""
    torch.manual_seed(1)
    net = nn.Sequential(nn.Conv1d(1, 3, 4, stride=4), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(3, 1))
    net = net.double().eval()
    x = torch.rand(1, 1, 32, dtype=torch.float64)
    fine = explain(net, x, resolution=4)
    a = torch.relu(nn.functional.conv1d(x, net[0].weight, net[0].bias, stride=1))
    value = torch.einsum("k,bkc->bc", net[4].weight[0], a).detach().numpy()[0]
    share = np.diff(fine.axes[0].edges) / 32
    rest = fine.contributions[0] - value * share
    assert np.abs(rest).sum() / np.abs(fine.contributions[0]).sum() == pytest.approx(fine.correction[0])
    density = rest / np.diff(fine.axes[0].edges)  # even within each coarse cell
    inner = [i for i in range(value.size) if i % 4 == 0]
    np.testing.assert_allclose(fine.axes[0].centres[inner], 1.5 + 4 * np.arange(len(inner)))
    assert density.size == 29


def test_a_correction_of_nothing_where_nothing_is_missing() -> None:
    fine, coarse = Axis.uniform("x", "1", size=8, step=1.0), Axis.uniform("x", "1", size=4, step=2.0, start=0.5)
    maps, correction = keeping_totals(np.full((1, 8), 3.0), [fine], np.full((1, 4), 0.75), [coarse])
    np.testing.assert_allclose(maps, 3 / 8)
    np.testing.assert_allclose(correction, 0, atol=1e-12)
    maps, correction = keeping_totals(np.zeros((1, 8)), [fine], np.array([[1.0, 2.0, 0.0, -1.0]]), [coarse])
    np.testing.assert_allclose(maps[0], [0.5, 0.5, 1, 1, 0, 0, -0.5, -0.5])
    np.testing.assert_allclose(correction, 1)


def uneven(edges: list[float]) -> Axis:
    known = np.asarray(edges)
    return Axis("x", "mm", 0.5 * (known[1:] + known[:-1]) + 1e-3 * np.arange(known.size - 1), known)


def test_the_correction_is_that_of_whole_matrices() -> None:
    """Cells that lie across two, cells without extent at the ends, two axes of their own: the formula, written out."""
    fine = [uneven([0, 0, 1, 2.5, 3, 4.25, 6, 7, 8, 8]), uneven([0, 1, 2, 3, 5, 6])]
    cells = [uneven([0, 2, 4, 7.5, 8]), uneven([0, 2.75, 6])]
    random = np.random.default_rng(4)
    values, coarse = random.normal(size=(2, 3, 9, 5)), random.normal(size=(2, 3, 4, 2))
    found, share = keeping_totals(values, fine, coarse, cells)
    even = values * np.multiply.outer(np.diff(fine[0].edges) / 8, np.diff(fine[1].edges) / 6)
    a, b = (overlap(one, cell) for one, cell in zip(fine, cells, strict=True))
    c, d = (overlap(cell, one) for one, cell in zip(fine, cells, strict=True))
    rest = np.linalg.inv(a @ c) @ (coarse - a @ even @ b.T) @ np.linalg.inv(b @ d).T
    np.testing.assert_allclose(found, even + c @ rest @ d.T, rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(a @ found @ b.T, coarse, rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(share, np.abs(c @ rest @ d.T).sum(axis=(2, 3)) / np.abs(found).sum(axis=(2, 3)))


def test_a_long_signal_takes_no_more_than_its_cells() -> None:
    """Whole matrices of 8192 by 2048 cells would be 134 MB each."""
    fine = Axis.uniform("time", "s", size=8192, step=1.0)
    cells = Axis.uniform("time", "s", size=2048, step=4.0, start=1.5)
    values, coarse = np.ones((1, 8192)), np.full((1, 2048), 2.0)
    keeping_totals(values, [fine], coarse, [cells])  # what is imported at first use
    tracemalloc.start()
    try:
        found, _ = keeping_totals(values, [fine], coarse, [cells])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    np.testing.assert_allclose(found, 0.5)
    assert peak < 10e6


def test_symmetries_are_kept() -> None:
    group = symmetry_group(("rotate90", "mirror"), space=(32, 32))
    net, x = regressor(2, symmetries=group), torch.rand(SHAPE[2], dtype=torch.float64)
    fine = explain_regressor(net, x, resolution=2)["f"]
    for element in group:
        turned = explain_regressor(net, element.apply(x), resolution=2)["f"]
        back = element.undo(torch.tensor(turned.contributions)).numpy()
        np.testing.assert_allclose(back, fine.contributions, rtol=1e-9, atol=1e-12)


def test_nets_of_the_users_own_and_a_sum_in_place_of_the_mean() -> None:
    class Summed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = nn.Conv2d(2, 3, 4, stride=4), nn.Linear(3, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(torch.tanh(self.body(x)).sum((2, 3)))

    torch.manual_seed(2)
    net, x = Summed().double(), torch.rand(3, 2, 16, 16, dtype=torch.float64)
    coarse, fine = explain(net, x, output=1), explain(net, x, output=1, resolution=2)
    np.testing.assert_allclose(fine.total, coarse.total, rtol=1e-10)
    np.testing.assert_allclose(within_cells(fine, coarse.axes), coarse.contributions, rtol=1e-9, atol=1e-12)
    assert fine.correction.max() < 0.6


def test_a_reference_and_the_file_of_a_fine_map(tmp_path) -> None:
    net, x = regressor(2), torch.rand(SHAPE[2], dtype=torch.float64)
    fine = explain_regressor(net, x, resolution=2, reference=x[0])["f"]
    np.testing.assert_allclose(fine.contributions[0], 0, atol=1e-12)
    np.testing.assert_allclose(fine.residual, 0, atol=1e-9)
    save_maps(tmp_path / "maps.h5", {"f": fine})
    np.testing.assert_array_equal(load_maps(tmp_path / "maps.h5")["f"].correction, fine.correction)
    assert fine[[1]].correction.tolist() == [fine.correction[1]]


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"resolution": 3}, ConfigError, r"resolution must be one of 1, 2, 4, 8\. Got 3"),
        ({"resolution": 0}, ConfigError, r"resolution must be a whole number, 1 or more\. Got 0"),
        ({"resolution": 2.0}, ConfigError, r"resolution must be a whole number, 1 or more\. Got 2.0"),
        ({"resolution": 2, "method": "grad-ram"}, ConfigError, r"method grad-ram: resolution must be 1\. Got 2"),
    ],
)
def test_what_cannot_be_is_named(given: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        explain_regressor(regressor(2), torch.rand(SHAPE[2], dtype=torch.float64), **given)


def test_a_net_that_a_finer_grid_would_change_is_refused() -> None:
    net = regressor(2, "encoder-decoder")
    with pytest.raises(ModelError, match="resolution: the net behind the first stride that is removed must be made of"):
        explain_regressor(net, torch.rand(SHAPE[2], dtype=torch.float64), resolution=2)
