"""Finer features on the same weights: every n-th cell is what the net itself computes."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from ram.errors import ConfigError, ModelError
from ram.models.backbones import build_backbone
from ram.models.finer import finer_features, strides_of

CONVOLUTION = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
SHAPE = {1: (2, 2, 64), 2: (2, 2, 32, 48), 3: (1, 2, 16, 16, 32)}


def awake(net: nn.Module) -> nn.Module:
    """Give gains and norms a value, so that every branch takes part."""
    torch.manual_seed(3)
    for part in net.modules():
        for name, weight in part.named_parameters(recurse=False):
            if name == "factor":
                weight.data.fill_(0.7)
            elif weight.ndim == 1:
                weight.data.uniform_(0.3, 1.2)
    for part in net.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.running_mean.uniform_(-0.2, 0.2)
            part.running_var.uniform_(0.5, 2.0)
    return net.double().eval()


def same_on_own_grid(net: nn.Module, x: torch.Tensor, *, times: int) -> torch.Tensor:
    with torch.no_grad():
        coarse, fine = net(x), finer_features(net, x, times=times)
    own = fine[(..., *[slice(None, None, times)] * (x.ndim - 2))]
    torch.testing.assert_close(own, coarse, rtol=1e-10, atol=1e-12)
    assert all(many >= times * (few - 1) + 1 for many, few in zip(fine.shape[2:], coarse.shape[2:], strict=True))
    return fine


@pytest.mark.parametrize("times", [1, 2, 4, 8])
@pytest.mark.parametrize("norm", ["none", "batch"])
@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("name", ["plain", "resnet"])
def test_our_own_nets(name: str, ndim: int, norm: str, times: int) -> None:
    net = awake(build_backbone(name, ndim=ndim, channels=2, widths=(3, 4, 5), depth=2, norm=norm))
    x = torch.rand(SHAPE[ndim], dtype=torch.float64)
    assert strides_of(net, x) == (8,) * ndim
    same_on_own_grid(net, x, times=times)


@pytest.mark.parametrize("name", ["fcn", "resnet-1d", "inception-time"])
def test_halvings_before_the_nets_of_time_series(name: str) -> None:
    net = awake(build_backbone(name, ndim=1, channels=2, widths=(3, 4), depth=2, norm="batch", halvings=2))
    x = torch.rand(SHAPE[1], dtype=torch.float64)
    assert strides_of(net, x) == (4,)
    same_on_own_grid(net, x, times=4)


class Classic(nn.Module):
    """The layout of a ResNet as one finds it: odd kernels, max pool with padding, projections of stride 2."""

    def __init__(self, ndim: int) -> None:
        super().__init__()
        conv = CONVOLUTION[ndim]
        norm = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}[ndim]
        pool = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}[ndim]
        self.stem = nn.Sequential(conv(2, 4, 7, stride=2, padding=3), norm(4), nn.ReLU(inplace=True), pool(3, 2, 1))
        self.body = nn.Sequential(conv(4, 6, 3, stride=2, padding=1), norm(6), nn.ReLU(), conv(6, 6, 3, padding=1))
        self.side = conv(4, 6, 1, stride=2)
        self.last = conv(6, 6, 3, padding=2, dilation=2, groups=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        return torch.relu(self.last(functional.relu(self.body(x) + self.side(x))))


@pytest.mark.parametrize("times", [2, 4, 8])
@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_a_net_as_one_finds_it(ndim: int, times: int) -> None:
    same_on_own_grid(awake(Classic(ndim)), torch.rand(SHAPE[ndim], dtype=torch.float64), times=times)


@pytest.mark.parametrize("size", [31, 32, 33])
def test_odd_sizes(size: int) -> None:
    x = torch.rand(1, 2, size, size + 1, dtype=torch.float64)
    same_on_own_grid(awake(Classic(2)), x, times=4)


POOLS = {
    "average": nn.AvgPool2d(2),
    "average with padding": nn.AvgPool2d(3, 2, 1),
    "average, padding not counted": nn.AvgPool2d(3, 2, 1, count_include_pad=False),
    "maximum": nn.MaxPool2d(2),
    "wide maximum": nn.MaxPool2d(3, 2, 1),
}


@pytest.mark.parametrize("pool", POOLS)
def test_pools_before_and_after_the_stride_that_is_removed(pool: str) -> None:
    net = awake(
        nn.Sequential(POOLS[pool], nn.Conv2d(2, 3, 3, padding="same"), nn.ELU(), POOLS[pool], nn.Conv2d(3, 3, 1))
    )
    for times in (2, 4):
        same_on_own_grid(net, torch.rand(SHAPE[2], dtype=torch.float64) - 0.5, times=times)


def test_the_finest_grid_is_what_shifting_the_input_gives() -> None:
    """Shift and stitch, the slow way to the same features, away from the border."""
    net = awake(build_backbone("plain", ndim=1, channels=2, widths=(3, 4), depth=1))
    x = torch.rand(1, 2, 64, dtype=torch.float64)
    with torch.no_grad():
        fine = finer_features(net, x, times=4)
        for shift in range(4):
            shifted = net(torch.roll(x, -shift, dims=2))
            torch.testing.assert_close(fine[..., 8 + shift : 40 : 4], shifted[..., 2:10], rtol=1e-10, atol=1e-12)


REFUSED = {
    "reflect": (nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect"), "got|pad"),
    "instance": (nn.InstanceNorm2d(2), "instance_norm"),
    "group": (nn.GroupNorm(1, 2), "group_norm"),
    "upsample": (nn.Upsample(scale_factor=2), "interpolate"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_finer_grid_would_change_is_refused(name: str) -> None:
    layer, message = REFUSED[name]
    net = nn.Sequential(nn.Conv2d(2, 2, 2, stride=2), layer, nn.Conv2d(2, 2, 1)).eval()
    with pytest.raises(ModelError, match=rf"zero padding.*({message}).*Take a smaller resolution"):
        finer_features(net, torch.rand(1, 2, 16, 16), times=2)


def test_squeeze_and_excitation_is_refused() -> None:
    class Squeezed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.gate = nn.Conv2d(2, 4, 2, stride=2), nn.Conv2d(4, 4, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            a = self.body(x)
            return a * torch.sigmoid(self.gate(a.mean((2, 3), keepdim=True)))

    with pytest.raises(ModelError, match="Got mean"):
        finer_features(Squeezed().eval(), torch.rand(1, 2, 16, 16), times=2)


def test_a_resolution_that_the_strides_do_not_have() -> None:
    net = build_backbone("plain", ndim=2, channels=2, widths=(3, 4), depth=1).eval()
    with pytest.raises(ConfigError, match=r"resolution must be one of 1, 2, 4\. Got 3"):
        finer_features(net, torch.rand(1, 2, 16, 16), times=3)
