"""Where cells lie: against gradients, layer by layer, in one, two and three dimensions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from ram.axes import Axis
from ram.errors import ModelError
from ram.models.backbones import BACKBONES, build_backbone
from ram.models.geometry import CellGeometry, cell_axes, receptive_fields, trace_cells
from ram.models.symmetry import symmetry_group

NDIMS = (1, 2, 3)
CONVOLUTION = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
MAX = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}
MEAN = {1: nn.AvgPool1d, 2: nn.AvgPool2d, 3: nn.AvgPool3d}
ADAPTIVE = {1: nn.AdaptiveAvgPool1d, 2: nn.AdaptiveAvgPool2d, 3: nn.AdaptiveAvgPool3d}
ADAPTIVE_MAX = {1: nn.AdaptiveMaxPool1d, 2: nn.AdaptiveMaxPool2d, 3: nn.AdaptiveMaxPool3d}
NORM = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}

Net = Callable[[Tensor], Tensor]


def positive(net: nn.Module) -> nn.Module:
    """Weights above zero, so that a gradient is zero only where nothing is seen."""
    for weight in net.parameters():
        weight.data.abs_().add_(0.1)
    return net.double().eval()


def seen_by_gradient(net: Net, x: Tensor, axis: int) -> list[tuple[int, int]]:
    """First and last input that each cell along `axis` depends on."""
    seen = []
    for cell in range(net(x).shape[2 + axis]):
        leaf = x.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(net(leaf).select(2 + axis, cell).sum(), leaf)
        others = [dim for dim in range(x.ndim) if dim != 2 + axis]
        (index,) = torch.nonzero(gradient.abs().sum(others), as_tuple=True)
        seen.append((int(index.min()), int(index.max())))
    return seen


class Residual(nn.Module):
    def __init__(self, ndim: int) -> None:
        super().__init__()
        self.body = nn.Sequential(CONVOLUTION[ndim](1, 1, 4, stride=2, padding=1), NORM[ndim](1), nn.SiLU())
        self.shortcut = nn.Sequential(MEAN[ndim](2), CONVOLUTION[ndim](1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return functional.hardswish(torch.cat([self.body(x), self.shortcut(x)], dim=1).sum(dim=1, keepdim=True))


LAYERS: dict[str, Callable[[int], Net]] = {
    "stride 2": lambda n: CONVOLUTION[n](1, 1, 3, stride=2, padding=1),
    "valid": lambda n: CONVOLUTION[n](1, 1, 5),
    "same, odd": lambda n: CONVOLUTION[n](1, 1, 5, padding="same"),
    "dilated": lambda n: CONVOLUTION[n](1, 1, 3, dilation=2, padding=2),
    "reflect": lambda n: CONVOLUTION[n](1, 1, 3, padding=2, padding_mode="reflect"),
    "replicate": lambda n: CONVOLUTION[n](1, 1, 3, padding=2, padding_mode="replicate"),
    "mean pool": lambda n: MEAN[n](3, stride=2, padding=1),
    "mean pool, ceil": lambda n: nn.Sequential(CONVOLUTION[n](1, 1, 3), MEAN[n](3, stride=2, ceil_mode=True)),
    "adaptive mean": lambda n: ADAPTIVE[n](4),
    "transposed": lambda n: TRANSPOSED[n](1, 1, 4, stride=2, padding=1),
    "transposed, odd": lambda n: TRANSPOSED[n](1, 1, 3, stride=2, padding=1, output_padding=1),
    "nearest": lambda n: nn.Sequential(CONVOLUTION[n](1, 1, 3, stride=2), nn.Upsample(scale_factor=2)),
    "nearest, odd": lambda n: nn.Sequential(CONVOLUTION[n](1, 1, 3, stride=2), nn.Upsample(scale_factor=1.6)),
    "nearest-exact": lambda n: nn.Sequential(MEAN[n](2), nn.Upsample(size=7, mode="nearest-exact")),
    "linear": lambda n: nn.Sequential(CONVOLUTION[n](1, 1, 3, stride=2), nn.Upsample(size=10, mode=LINEAR[n])),
    "crop": lambda n: lambda x: x[(slice(None), slice(None), *[slice(1, -1, 2)] * n)],
    "crop to the end": lambda n: lambda x: functional.pad(x, (-1, -2) * n),
    "residual": Residual,
    "views": lambda n: lambda x: x.unsqueeze(0).transpose(2, -1).transpose(2, -1)[0].contiguous().view(x.shape),
    "gate over all": lambda n: lambda x: x * torch.sigmoid(x.detach().mean(dim=list(range(2, 2 + n)), keepdim=True)),
}


@pytest.mark.parametrize("ndim", NDIMS)
@pytest.mark.parametrize("layer", LAYERS)
def test_receptive_fields_are_those_of_the_gradient(layer: str, ndim: int) -> None:
    net = LAYERS[layer](ndim)
    net = positive(net) if isinstance(net, nn.Module) else net
    x = torch.rand(1, 1, *(11, 8, 9)[:ndim], dtype=torch.float64) + 1.0
    for axis, cells in enumerate(trace_cells(net, x)):
        assert cells.traced
        assert list(zip(cells.low, cells.high, strict=True)) == seen_by_gradient(net, x, axis)


@pytest.mark.parametrize("ndim", NDIMS)
@pytest.mark.parametrize("make", [lambda n: MAX[n](3, 2, padding=1, dilation=1), lambda n: ADAPTIVE_MAX[n](4)])
def test_a_maximum_may_see_all_of_its_window(make: Callable[[int], nn.Module], ndim: int) -> None:
    """A gradient sees the largest value only; each value of a window is the largest for some input."""
    net, torch_rng = make(ndim), torch.Generator().manual_seed(0)
    inputs = [torch.rand(1, 1, *[9] * ndim, generator=torch_rng) for _ in range(60)]
    for axis, cells in enumerate(trace_cells(net, inputs[0])):
        every = np.array([seen_by_gradient(net, x, axis) for x in inputs])
        np.testing.assert_array_equal(cells.low, every[:, :, 0].min(axis=0))
        np.testing.assert_array_equal(cells.high, every[:, :, 1].max(axis=0))


def test_offset_and_jump_by_hand() -> None:
    """Kernel 7 stride 2 padding 3, then pool 3 stride 2 padding 1: the stem of a ResNet."""
    net = nn.Sequential(nn.Conv2d(1, 1, 7, stride=2, padding=3), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
    for cells in trace_cells(net, torch.zeros(1, 1, 32, 32)):
        assert (cells.offset, cells.jump, cells.receptive_field) == (0.0, 4.0, 11)


@pytest.mark.parametrize("ndim", NDIMS)
@pytest.mark.parametrize("name", sorted(BACKBONES))
def test_every_backbone_has_mirrored_cells(name: str, ndim: int) -> None:
    net = build_backbone(name, ndim=ndim, channels=1, widths=(2, 3)).eval()
    for cells in trace_cells(net, torch.zeros(1, 1, *[16] * ndim)):
        assert cells.traced
        assert cells.agreed
        np.testing.assert_allclose(cells.centres, 15.0 - cells.centres[::-1])
        np.testing.assert_array_equal(cells.low, 15.0 - cells.high[::-1])


@pytest.mark.parametrize("ndim", NDIMS)
def test_shifting_a_point_by_one_stride_moves_the_response_by_one_cell(ndim: int) -> None:
    net = positive(nn.Sequential(CONVOLUTION[ndim](1, 1, 5, stride=3, padding=2)))
    (*_, cells) = trace_cells(net, torch.zeros(1, 1, *[24] * ndim, dtype=torch.float64))
    responses = []
    for index in (9, 12):
        x = torch.zeros(1, 1, *[24] * ndim, dtype=torch.float64)
        x[(0, 0, *[9] * (ndim - 1), index)] = 1.0
        responses.append((net(x) - net(0 * x)).sum(dim=list(range(2, 1 + ndim))).flatten())
    torch.testing.assert_close(responses[1][1:], responses[0][:-1])
    assert cells.jump == 3.0


def test_averaging_over_symmetries_averages_the_places() -> None:
    """Odd strides put cell 0 on sample 0; over all mirrored views the cells lie symmetrically."""
    net = nn.Conv2d(1, 1, 3, stride=2, padding=1)
    group = symmetry_group(["rotate90", "mirror"], space=(16, 16))

    def averaged(x: Tensor) -> Tensor:
        return torch.stack([element.undo(net(element.apply(x))) for element in group]).mean(dim=0)

    for cells in trace_cells(averaged, torch.zeros(1, 1, 16, 16)):
        assert cells.traced
        assert not cells.agreed
        np.testing.assert_allclose(cells.centres, np.arange(8) * 2 + 0.5)


@pytest.mark.parametrize(
    "net",
    [
        lambda x: torch.fft.fft(x).real[..., ::2],
        lambda x: x.flatten(2).cumsum(-1)[..., ::8].reshape(1, 1, 4, -1),
        lambda x: x.transpose(2, 3),
        lambda x: x + x.transpose(2, 3),
        lambda x: x.flip(-1),
    ],
    ids=["fft", "cumsum", "axes exchanged", "axes mixed", "backwards"],
)
def test_what_is_not_understood_parts_the_input_evenly_and_says_so(net: Net) -> None:
    cells = trace_cells(net, torch.zeros(1, 1, 8, 8))[-1]
    assert not cells.traced
    assert cells.centres[0] == pytest.approx(8 / cells.centres.size / 2 - 0.5)
    assert cells.receptive_field == 8


def test_constants_and_coordinates_have_no_place() -> None:
    grid = torch.linspace(0, 1, 8)

    def net(x: Tensor) -> Tensor:
        return functional.avg_pool1d(torch.cat([x, grid.expand(len(x), 1, 8)], dim=1), 2)

    (cells,) = trace_cells(net, torch.zeros(2, 1, 8))
    assert (cells.traced, cells.offset, cells.jump) == (True, 0.5, 2.0)


def test_cells_that_see_padding_only_stand_at_the_border() -> None:
    (cells,) = trace_cells(lambda x: functional.pad(x, (2, 0)), torch.zeros(1, 1, 4))
    np.testing.assert_array_equal(cells.centres, [-2, -1, 0, 1, 2, 3])
    np.testing.assert_array_equal(cells.low, [0, 0, 0, 1, 2, 3])


def test_another_number_of_axes_is_refused() -> None:
    with pytest.raises(ModelError, match=r"feature map: its shape must be \(batch, feature, 2 axes of cells\)"):
        trace_cells(lambda x: x.flatten(2), torch.zeros(1, 1, 4, 4))


def test_axes_of_cells_have_the_inputs_units() -> None:
    time = Axis.uniform("time", "s", size=64, step=0.25, start=10.0, long_name="time after the tap")
    geometries = trace_cells(nn.Conv1d(1, 1, 8, stride=4, padding=2), torch.zeros(1, 1, 64))
    (cells,) = cell_axes(geometries, [time])
    np.testing.assert_allclose(cells.centres, 10.0 + 0.25 * (1.5 + 4.0 * np.arange(16)))
    np.testing.assert_allclose(cells.edges[[0, 1, -1]], [9.875, 10.875, 25.875])
    assert (cells.name, cells.unit, cells.long_name) == ("time", "s", "time after the tap")
    assert receptive_fields(geometries, [time]) == (pytest.approx(2.0),)


def test_beyond_the_input_the_axis_goes_on() -> None:
    depth = Axis.from_centres("depth", "cm", [1.0, 2.0, 4.0, 8.0])
    geometry = CellGeometry(np.array([-1.5, 0.0, 3.0, 4.5]), np.zeros(4), np.full(4, 3.0), size=4)
    (cells,) = cell_axes([geometry], [depth])
    np.testing.assert_allclose(cells.centres, [-0.5, 1.0, 8.0, 14.0])
    np.testing.assert_allclose(cells.edges, [0.5, 0.5, 4.5, 10.0, 10.0])


def test_evaluation_leaves_no_trace() -> None:
    net = nn.Sequential(nn.Conv1d(1, 2, 3), nn.ReLU(inplace=True))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    trace_cells(net, torch.zeros(1, 1, 8))
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(weight.grad is None for weight in net.parameters())
    assert not torch.utils._python_dispatch._get_current_dispatch_mode_stack()
