"""How weights move: Muon against the singular value decomposition, and who is moved by whom."""

import pytest
import torch

from ram.models.backbones import build_backbone
from ram.models.regressor import Regressor, TargetScaling
from ram.runs.config import TrainingConfig
from ram.training.optimizers import Muon, optimizers, orthogonalised


def regressor(norm: str = "batch") -> Regressor:
    backbone = build_backbone("resnet", ndim=2, channels=1, widths=(4, 6), depth=1, norm=norm)
    return Regressor(backbone, targets=[TargetScaling("f", "Hz")], input_mean=[0.0], input_scale=[1.0])


@pytest.mark.parametrize("shape", [(5, 5), (4, 30), (30, 4), (1, 7)])
def test_a_step_has_the_directions_of_the_gradient_and_equal_sizes(shape):
    matrix = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    along = u.T @ orthogonalised(matrix) @ v.T  # diagonal where the directions are those of the gradient
    assert (along - along.diag().diag()).abs().max() < 1e-9
    assert along.diag().min() > 0.6
    assert along.diag().max() < 1.25


def test_a_gradient_of_zero_moves_nothing():
    weight = torch.nn.Parameter(torch.ones(3, 4))
    weight.grad = torch.zeros(3, 4)
    Muon([weight], lr=0.1).step()
    assert torch.equal(weight.detach(), torch.ones(3, 4))


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_the_size_of_the_gradient_does_not_matter(scale):
    gradient = torch.randn(8, 3, 3, 3, generator=torch.Generator().manual_seed(1))
    weight = torch.nn.Parameter(torch.zeros(8, 3, 3, 3))
    weight.grad = scale * gradient
    Muon([weight], lr=0.1).step()
    # The root mean square of AdamW's first step would be lr; Muon's is about a fifth of it, as its source chooses.
    assert 0.1 * 0.1 < weight.detach().square().mean().sqrt() < 0.1 * 0.3


def test_momentum_and_decay_follow_their_definition():
    weight = torch.nn.Parameter(torch.full((2, 2), 3.0, dtype=torch.float64))
    mover = Muon([weight], lr=0.1, weight_decay=0.5)
    first, second = torch.eye(2, dtype=torch.float64), torch.tensor([[0.0, 1.0], [-1.0, 0.0]], dtype=torch.float64)
    expected, momentum = weight.detach().clone(), torch.zeros_like(first)
    for gradient in (first, second):
        weight.grad = gradient.clone()
        mover.step()
        momentum = 0.95 * momentum + 0.05 * gradient
        ahead = 0.05 * gradient + 0.95 * momentum
        expected = expected * (1 - 0.1 * 0.5) - 0.1 * 0.2 * 2**0.5 * orthogonalised(ahead)
        torch.testing.assert_close(weight.detach(), expected)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_the_memory_format_does_not_matter(memory_format):
    gradient = torch.randn(8, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    weight = torch.nn.Parameter(torch.zeros(8, 3, 4, 4).to(memory_format=memory_format))
    weight.grad = gradient.to(memory_format=memory_format)
    Muon([weight], lr=0.1).step()
    reference = torch.nn.Parameter(torch.zeros(8, 3, 4, 4))
    reference.grad = gradient
    Muon([reference], lr=0.1).step()
    torch.testing.assert_close(weight.detach(), reference.detach())
    assert weight.is_contiguous(memory_format=memory_format)


@pytest.mark.parametrize("kind", ["muon", "adamw"])
@pytest.mark.parametrize("norm", ["none", "batch"])
def test_every_weight_is_moved_by_one_optimizer_and_only_kernels_decay(kind, norm):
    net = regressor(norm)
    movers = optimizers(net, TrainingConfig(optimizer=kind, weight_decay=0.3))
    moved = [id(weight) for mover in movers for group in mover.param_groups for weight in group["params"]]
    assert sorted(moved) == sorted(id(weight) for weight in net.parameters())
    for mover in movers:
        for group in mover.param_groups:
            if group["weight_decay"]:
                assert group["weight_decay"] == 0.3
                assert all(weight.ndim > 1 for weight in group["params"])
    assert isinstance(movers[0], Muon) == (kind == "muon")


def test_muon_takes_no_closure():
    with pytest.raises(NotImplementedError, match="Muon takes no closure"):
        Muon([torch.nn.Parameter(torch.ones(2, 2))], lr=0.1).step(lambda: 0.0)
