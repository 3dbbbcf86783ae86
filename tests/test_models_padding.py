"""Signals of different length in one batch: what a net says of each is what it says of the signal alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from ram.errors import ModelError
from ram.models.backbones import BACKBONES, build_backbone
from ram.models.dense import DenseLayers
from ram.models.geometry import trace_cells
from ram.models.layers import NORMS, Gain
from ram.models.padding import Padding, normalised
from ram.models.regressor import Regressor, TargetScaling
from ram.models.spectrogram import Spectrogram
from ram.models.symmetry import Symmetry, augment, symmetry_group
from ram.models.trunk import Trunk

MEAN = (0.3, -1.0)
SIZE, LENGTHS = 32, (32, 17, 8, 1)
HEADS = {"last stage": {}, "apart": {"channels_apart": 2}, "two stages": {"head_stages": (1, 2)}}


def awake(net: nn.Module) -> nn.Module:
    """Give gains and norms a value, so that every branch takes part."""
    draw = torch.Generator().manual_seed(5)
    for part in net.modules():
        if isinstance(part, Gain):
            part.factor.data.fill_(0.7)
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            for values, low, high in ((part.weight, 0.5, 1.5), (part.bias, 0.2, 0.6), (part.running_var, 0.5, 2.0)):
                values.data.uniform_(low, high, generator=draw)
            part.running_mean.data.uniform_(-0.3, 0.3, generator=draw)
        if hasattr(part, "bias") and isinstance(part.bias, nn.Parameter):
            part.bias.data.uniform_(0.1, 0.5, generator=draw)  # what padding becomes where nobody looks after it
    return net


def regressor(
    name: str = "plain", *, ndim: int = 1, norm: str = "none", head: str = "last stage", **options
) -> Regressor:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        words = {"widths": (3, 4), "depth": 1, "channels": 2, **options.pop("model", {}), **HEADS[head]}
        backbone = build_backbone(name, ndim=ndim, norm=norm, **words)
        targets = [TargetScaling("f", "Hz", mean=100.0, scale=10.0)]
        net = Regressor(backbone, targets=targets, input_mean=MEAN, input_scale=[1.5, 0.7], **options)
    return awake(net).double().eval()


def signals(ndim: int = 1, *, size: int = SIZE, batch: int = len(LENGTHS), padding: float = 0.0) -> torch.Tensor:
    draw = torch.Generator().manual_seed(1)
    x = torch.randn(batch, 2, *[8] * (ndim - 1), SIZE, dtype=torch.float64, generator=draw)
    for row, length in zip(x, LENGTHS, strict=False):
        row[..., length:] = padding
    return functional.pad(x, (0, size - SIZE), value=padding)


def alone(net: Regressor, x: torch.Tensor, row: int) -> torch.Tensor:
    """One signal as the shortest input that the net takes, zeros for the net behind its end."""
    length = LENGTHS[row]
    shortest = int(net.shortest(torch.tensor([length])))
    one = x[row : row + 1, ..., :shortest].clone()
    for channel, mean in enumerate(net.input_mean.tolist()):
        one[:, channel, ..., length:] = mean
    return one


def lengths_of(x: torch.Tensor) -> torch.Tensor:
    return torch.tensor(LENGTHS[: len(x)])


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("ndim", [1, 2])
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("name", sorted(BACKBONES))
def test_a_padded_signal_is_predicted_as_it_is_alone(name: str, head: str, ndim: int, norm: str) -> None:
    net, x = regressor(name, ndim=ndim, norm=norm, head=head), signals(ndim)
    with torch.no_grad():
        padded = net(x, None, lengths_of(x))
        for row in range(len(x)):
            torch.testing.assert_close(padded[row : row + 1], net(alone(net, x, row)), rtol=1e-12, atol=1e-10)
        whole = net(x[:1], None, lengths_of(x)[:1])
        torch.testing.assert_close(whole, net(x[:1]), rtol=0, atol=0)  # nothing is padding
    assert padded.std() > 0.01


@pytest.mark.parametrize("name", sorted(BACKBONES))
def test_neither_how_far_nor_with_what_a_signal_is_padded_matters(name: str) -> None:
    net, x = regressor(name), signals()
    with torch.no_grad():
        known = net(x, None, lengths_of(x))
        for other in (signals(size=64), signals(padding=1e6), signals(padding=float("nan"))):
            torch.testing.assert_close(net(other, None, lengths_of(x)), known, rtol=1e-12, atol=1e-10)
        assert not torch.allclose(net(x), known)  # as signal it does


def test_a_batch_is_what_its_signals_are_one_by_one() -> None:
    net, x = regressor("resnet-1d"), signals()
    with torch.no_grad():
        each = [net(x[row : row + 1], None, lengths_of(x)[row : row + 1]) for row in range(len(x))]
        torch.testing.assert_close(net(x, None, lengths_of(x)), torch.cat(each), rtol=1e-13, atol=1e-11)


def test_a_small_net_by_loops() -> None:
    net = regressor("plain", model={"widths": (2,), "kernel": 3})
    x, scale = signals().numpy(), np.float32([1.5, 0.7]).astype(float)
    kernel, bias = (p.detach().numpy() for p in net.backbone.parameters())
    expected = []
    for row, length in zip(x, LENGTHS, strict=True):
        cells, seen = -(-length // 2), (row[:, :length] - np.float32(MEAN).astype(float)[:, None]) / scale[:, None]
        features = np.zeros(2)
        for cell in range(cells):
            for number in range(2):
                total = bias[number]
                for channel in range(2):
                    for tap in range(4):
                        place = 2 * cell - 1 + tap
                        if 0 <= place < length:
                            total += kernel[number, channel, tap] * seen[channel, place]
                features[number] += max(total, 0.0) / cells
        weight = net.head.weight.detach().numpy()[0]
        expected.append(100.0 + 10.0 * (features @ weight + net.head.bias.item()))
    with torch.no_grad():
        got = net(torch.from_numpy(x), None, torch.tensor(LENGTHS))[:, 0].numpy()
    np.testing.assert_allclose(got, expected, rtol=1e-12)


@pytest.mark.parametrize("name", sorted(BACKBONES))
def test_own_cells_lie_where_those_of_the_signal_alone_lie(name: str) -> None:
    net, x = regressor(name), signals()
    net.backbone.register_forward_hook(lambda _net, _given, maps: maps + 0.1)  # no cell is silent by chance
    whole = trace_cells(net.features, x[:1])[-1]
    with torch.no_grad():
        maps = net.features(x, lengths=lengths_of(x))
    for row in range(len(x)):
        (own,) = trace_cells(net.features, alone(net, x, row))
        held = own.centres.size
        assert not maps[row, :, held:].any()
        assert maps[row, :, held - 1].any()
        np.testing.assert_allclose(whole.centres[:held], own.centres)


def test_features_over_symmetries_are_averaged_within_each_signal() -> None:
    net, x = regressor("resnet", symmetries=symmetry_group(["reverse"], space=[SIZE])), signals()
    with torch.no_grad():
        padded = net(x, None, lengths_of(x))
        for row in range(len(x)):
            torch.testing.assert_close(padded[row : row + 1], net(alone(net, x, row)), rtol=1e-12, atol=1e-10)
        turned = torch.stack(
            [torch.cat([one[:, :n].flip(-1), one[:, n:]], 1) for one, n in zip(x, LENGTHS, strict=True)]
        )
        whole = [0, 2]  # the others lie otherwise on the net's cells when they run backwards
        torch.testing.assert_close(net(turned, None, lengths_of(x))[whole], padded[whole], rtol=1e-12, atol=1e-10)


def test_augmentation_turns_signals_and_not_their_padding() -> None:
    x = torch.tensor([[[1.0, 2.0, 3.0, 0.0]], [[1.0, 2.0, 0.0, 0.0]], [[1.0, 2.0, 3.0, 4.0]]])
    group = symmetry_group(["reverse"], space=[4])
    turned = augment(x, group, np.array([1, 0, 1]), lengths=torch.tensor([3, 2, 4]))
    assert turned[:, 0].tolist() == [[3, 2, 1, 0], [1, 2, 0, 0], [4, 3, 2, 1]]


@pytest.mark.parametrize("name", ["resnet", "inception-time"])
def test_a_step_of_training_knows_nothing_of_padding(name: str) -> None:
    """Batch norms count a signal's own cells alone, so that gradients and statistics do not see the padding."""
    found = []
    for size in (SIZE, 64):
        net, x = regressor(name, norm="batch").train(), signals(size=size)
        net(x, None, lengths_of(x)).square().sum().backward()
        gradients = [p.grad for p in net.parameters()]
        found.append((gradients, list(net.buffers())))
    for one, other in zip(*found, strict=True):
        for mine, theirs in zip(one, other, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-9)


def test_a_batch_norm_is_that_of_the_signals_in_a_row() -> None:
    x, own = signals(), [row[:, :length] for row, length in zip(signals(), LENGTHS, strict=True)]
    mine, theirs = (awake(nn.BatchNorm1d(2)).double().train() for _ in range(2))
    got = normalised(mine, x, Padding(lengths_of(x), SIZE))
    expected = theirs(torch.cat(own, dim=1)[None])[0]
    found = torch.cat([row[:, :length] for row, length in zip(got, LENGTHS, strict=True)], dim=1)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    for one, other in zip(mine.state_dict().values(), theirs.state_dict().values(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def spectrogram_net(**options) -> Regressor:
    front = Spectrogram(2, sample_rate_hz=1000.0, length=8, hop=4, divisor=2)
    return regressor("plain", ndim=2, model={"widths": (3,)}, front=front, **options)


def test_a_spectrogram_net_says_what_it_says_alone() -> None:
    net, x = spectrogram_net(), signals()
    with torch.no_grad():
        padded = net(x, None, lengths_of(x))
        for row in range(len(x)):
            one = alone(net, x, row)
            assert one.shape[-1] == (32, 24, 8, 8)[row]
            torch.testing.assert_close(padded[row : row + 1], net(one), rtol=1e-12, atol=1e-10)
        signal = x[1:2, :, :17]  # it needs no rounding: what is behind the end are zeros already
        torch.testing.assert_close(padded[1:2], net(signal), rtol=1e-12, atol=1e-10)


@pytest.mark.parametrize(
    "lengths",
    [[32, 17, 8, 0], [32, 17, 8, 33], [32, 17, 8], [32.0, 17.0, 8.0, 1.0]],
    ids=["zero", "too long", "too few", "no whole numbers"],
)
def test_lengths_that_do_not_fit_are_named(lengths) -> None:
    with pytest.raises(
        ModelError, match=r"regressor: lengths must be 4 whole numbers from 1 to 32, one a sample. Got s"
    ):
        regressor()(signals(), None, torch.tensor(lengths))


def test_nets_that_cannot_tell_padding_say_so() -> None:
    x, lengths = signals(), torch.tensor(LENGTHS)
    dense = regressor(dense=DenseLayers(4 * 8, [3]))
    with pytest.raises(ModelError, match=r"leaves padding out. Got one with dense layers. Leave lengths out"):
        dense(x, None, lengths)
    square = torch.zeros(4, 2, 32, 32, dtype=torch.float64)
    turned = regressor(ndim=2, symmetries=(Symmetry(), Symmetry(1)))
    with pytest.raises(ModelError, match=r"Got one averaged over quarter turns"):
        turned(square, None, lengths)
    steps = [{"name": "conv", "do": "layer", "of": "0", "given": [{"step": "x"}], "options": {}}]
    layers = {"0": ["Conv1d", {"in_channels": 2, "out_channels": 2, "kernel_size": 3}]}
    words = {"ndim": 1, "features": 2, "input": "x", "output": "conv", "layers": layers, "tensors": {}}
    net = Regressor(
        Trunk({**words, "steps": steps, "frozen": []}), targets=[TargetScaling("f", "Hz")], input_mean=MEAN,
        input_scale=[1.0, 1.0],
    )  # fmt: skip
    with pytest.raises(ModelError, match=r"one of ram's own backbones. Got an adapted net. Leave lengths out"):
        net(x.float(), None, lengths)
