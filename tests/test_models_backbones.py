"""Backbones: one code for 1D, 2D and 3D, cells that lie symmetrically, sizes that do not fit refused."""

import numpy as np
import pytest
import torch

from ram.errors import ConfigError, ModelError
from ram.models.backbones import BACKBONES, build_backbone, parameter_count
from ram.models.geometry import trace_cells
from ram.models.layers import NORMS, Gain, InceptionBlock, InceptionModule, ResidualBlock

SIZES = {1: (32,), 2: (16, 24), 3: (8, 16, 8)}


def build(name: str, ndim: int, norm: str):
    with torch.random.fork_rng():
        torch.manual_seed(7)
        net = build_backbone(name, ndim=ndim, channels=2, widths=(4, 6), depth=2, norm=norm)
    return _awake(net).double().eval()


def _awake(net):
    """Give norms and gains that start at zero a value, so that every branch takes part."""
    for module in net.modules():
        if isinstance(module, Gain):
            torch.nn.init.constant_(module.factor, 0.7)
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            torch.nn.init.constant_(module.weight, 0.7)
            torch.nn.init.constant_(module.bias, 0.1)
    return net


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("name", BACKBONES)
def test_a_mirrored_input_gives_the_mirrored_features(name, ndim, norm):
    # Kernels are symmetrised: what is left is the layout of the cells, which must be symmetric.
    net = build(name, ndim, norm)
    for module in net.modules():
        if isinstance(module, (torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Conv3d)):
            with torch.no_grad():
                for axis in range(2, 2 + ndim):
                    module.weight.copy_((module.weight + module.weight.flip(axis)) / 2)
    x = torch.randn(2, 2, *SIZES[ndim], dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    features = net(x)
    assert features.std() > 0.01
    for axis in range(2, 2 + ndim):
        torch.testing.assert_close(net(x.flip(axis)), features.flip(axis), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize(
    ("name", "halvings"),
    [
        ("plain", 2),
        ("resnet", 2),
        ("encoder-decoder", 1),
        ("small-field", 1),
        ("fcn", 0),
        ("resnet-1d", 0),
        ("inception-time", 0),
    ],
)
def test_cells_and_features_are_as_documented(name, halvings, ndim):
    net = build(name, ndim, "none")
    features = net(torch.zeros(3, 2, *SIZES[ndim], dtype=torch.float64))
    cells = tuple(size // 2**halvings for size in SIZES[ndim])
    assert features.shape == (3, net.features, *cells)


def test_the_small_field_is_small():
    net = build_backbone("small-field", ndim=1, channels=1, widths=(32, 32, 32), depth=2).double().eval()
    x = torch.randn(1, 1, 128, dtype=torch.float64, requires_grad=True)
    _awake(net)(x)[0, :, 32].sum().backward()
    seen = torch.nonzero(x.grad[0, 0]).flatten()
    assert seen.max() - seen.min() + 1 == 4 + 2 * 2 * 2 * 3  # what the docstring promises


def test_the_encoder_decoder_sees_far_and_keeps_fine_cells():
    net = _awake(build_backbone("encoder-decoder", ndim=1, channels=1, widths=(32, 32, 32), depth=1).double()).eval()
    x = torch.randn(1, 1, 64, dtype=torch.float64, requires_grad=True)
    net(x)[0, :, 16].sum().backward()
    assert torch.nonzero(x.grad[0, 0]).numel() > 28


@pytest.mark.parametrize(
    ("name", "words", "seen"),
    [
        ("fcn", {"widths": (4, 8, 4)}, 7 + 4 + 2),  # kernels 7, 5, 3
        ("resnet-1d", {"widths": (4, 8, 8)}, 1 + 3 * (6 + 4 + 2)),  # three blocks of them
        ("inception-time", {"widths": (8, 8), "depth": 3, "kernel": 9}, 1 + 6 * 38),  # six modules of 39
        ("fcn", {"widths": (4, 8, 4), "halvings": 2}, 1 + 3 + 2 * 3 + 4 * (6 + 4 + 2)),
    ],
)
def test_nets_of_time_series_see_as_far_as_their_papers_kernels(name, words, seen):
    net = build_backbone(name, ndim=1, channels=1, **{"depth": 1, **words}).eval()
    (cells,) = trace_cells(net, torch.zeros(1, 1, 512))
    assert cells.receptive_field == seen
    assert cells.jump == 2 ** words.get("halvings", 0)


def test_the_papers_nets_have_their_number_of_weights():
    fcn = build_backbone("fcn", ndim=1, channels=1, widths=(128, 256, 128), depth=1, norm="batch")
    assert parameter_count(fcn) == 7 * 128 + 5 * 128 * 256 + 3 * 256 * 128 + 2 * (128 + 256 + 128)
    resnet = build_backbone("resnet-1d", ndim=1, channels=1, widths=(64, 128, 128), depth=1, norm="batch")
    bodies = sum(7 * c * n + (5 + 3) * n * n + 3 * 2 * n for c, n in ((1, 64), (64, 128), (128, 128)))
    assert parameter_count(resnet) == bodies + (64 + 2 * 64) + (64 * 128 + 2 * 128)
    inception = build_backbone("inception-time", ndim=1, channels=1, widths=(128, 128), depth=3, kernel=9, norm="batch")
    first = 32 * (9 + 19 + 39) + 32 + 2 * 128  # one channel: no bottleneck
    later = 128 * 32 + 32 * 32 * (9 + 19 + 39) + 128 * 32 + 2 * 128
    assert parameter_count(inception) == first + 5 * later + (128 + 2 * 128) + 2  # a shortcut, and two gains


@pytest.mark.parametrize("features", [1, 2, 3, 4, 6, 9])
def test_an_inception_module_makes_the_features_it_is_asked_for(features):
    net = InceptionModule(1, 2, features, norm="batch", kernel=3).eval()
    assert net(torch.zeros(1, 2, 32)).shape == (1, features, 32)
    filters = [w.shape[0] for name, w in net.named_parameters() if name.startswith("branches") and w.ndim == 3]
    assert max(filters) - min(filters) <= 1


def test_an_inception_module_is_what_its_branches_are_one_by_one():
    draw = np.random.default_rng(3)
    net = InceptionModule(1, 3, 8, norm="none", kernel=3).double()
    with torch.no_grad():
        for weight in net.parameters():
            weight.copy_(torch.from_numpy(draw.normal(size=tuple(weight.shape))))
    x = draw.normal(size=(3, 20))
    got = net(torch.from_numpy(x)[None])[0].detach().numpy()
    weights = {name: value.detach().numpy() for name, value in net.named_parameters()}
    narrowed = weights["bottleneck.0.weight"][:, :, 0] @ x + weights["bottleneck.0.bias"][:, None]
    beside = np.pad(x, ((0, 0), (1, 1)), constant_values=-np.inf)
    largest = np.max([beside[:, i : i + 20] for i in range(3)], axis=0)
    expected = []
    for number in range(3):
        kernels, bias = weights[f"branches.{number}.weight"], weights[f"branches.{number}.bias"]
        for kernel, offset in zip(kernels, bias, strict=True):
            rows = [np.correlate(row, one, mode="same") for row, one in zip(narrowed, kernel, strict=True)]
            expected.append(np.sum(rows, axis=0) + offset)
    mixed = weights["branches.3.1.weight"][:, :, 0] @ largest + weights["branches.3.1.bias"][:, None]
    assert [weights[f"branches.{number}.weight"].shape[2] for number in range(3)] == [15, 7, 3]
    np.testing.assert_allclose(got, np.maximum(np.concatenate([expected, mixed]), 0), rtol=1e-12, atol=1e-12)


def test_parameters_are_counted_by_hand():
    for norm, beside in (("none", 3), ("batch", 2 * 3)):
        net = build_backbone("plain", ndim=1, channels=2, widths=(3,), depth=1, kernel=3, norm=norm)
        assert parameter_count(net) == 2 * 3 * 4 + beside


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"name": "resnett"},
            r"model.backbone: a backbone must be one of plain.* Got resnett. Did you mean 'resnet'\?",
        ),
        ({"kernel": 4}, r"model.kernel: a kernel must be odd and positive. Got 4."),
        ({"norm": "group"}, r"model.norm: a norm must be one of none, batch. Got group."),
        ({"widths": ()}, r"model.widths: widths and depth must be 1 or more. Got widths \[\], depth 1."),
        ({"ndim": 4}, r"the number of space axes must be 1, 2 or 3. Got 4."),
        (
            {"halvings": 2},
            r"the backbone of a net with halvings must be one of fcn, resnet-1d, inception-time. Got resnet. Leave",
        ),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    given = {"name": "resnet", "ndim": 2, "channels": 1, "widths": (4,), "depth": 1, "kernel": 3, **arguments}
    with pytest.raises(ConfigError, match=message):
        build_backbone(given.pop("name"), **given)


def test_a_size_that_does_not_fit_is_named():
    net = build_backbone("resnet", ndim=2, channels=1, widths=(4, 4, 4), depth=1)
    with pytest.raises(
        ModelError, match=r"an input must be 2 axes, each a multiple of 8. Got 20 x 64. Crop or resample"
    ):
        net.check_size((20, 64))
    net = build_backbone("fcn", ndim=1, channels=1, widths=(4,), depth=1, halvings=3)
    with pytest.raises(
        ModelError, match=r"each a multiple of 8. Got 100. Crop or resample the inputs, or choose fewer ha"
    ):
        net.check_size((100,))


@pytest.mark.parametrize("norm", NORMS)
def test_a_residual_block_starts_as_its_shortcut(norm):
    blocks = (
        ResidualBlock(1, 2, 2, norm=norm),
        ResidualBlock(1, 2, 2, norm=norm, kernels=(7, 5, 3)),
        InceptionBlock(1, 2, 2, norm=norm, kernel=3, depth=2),
    )
    x = torch.rand(3, 2, 8, generator=torch.Generator().manual_seed(1))
    for block in blocks:
        torch.testing.assert_close(block.eval()(x), x, rtol=0, atol=0)


def test_the_signal_keeps_its_size_through_twenty_layers():
    # What He's first weights are for: 20 layers of torch's own would shrink it by 6^10.
    with torch.random.fork_rng():
        torch.manual_seed(3)
        net = build_backbone("plain", ndim=2, channels=2, widths=(64,), depth=20)
        power = net(torch.randn(4, 2, 32, 32)).square().mean()
    assert 0.2 < power < 5
