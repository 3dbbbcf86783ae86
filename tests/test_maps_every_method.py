"""What each grade claims, of every method, in 1D, 2D and 3D, of one output and of three; what none leaves behind."""

from __future__ import annotations

import gc
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ram.errors import ModelError
from ram.maps.explain import explain
from ram.maps.methods import METHODS
from ram.maps.regression_map import RegressionMap

CONVOLUTION = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
NORM = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
POOL = {1: nn.AdaptiveAvgPool1d, 2: nn.AdaptiveAvgPool2d, 3: nn.AdaptiveAvgPool3d}
SHAPE = {1: (3, 2, 16), 2: (3, 2, 8, 12), 3: (3, 2, 4, 4, 8)}
SIZES = [(ndim, outputs) for ndim in (1, 2, 3) for outputs in (1, 3)]
OF_LAYER = [name for name, method in METHODS.items() if method.kind == "layer"]
every_method = pytest.mark.parametrize("name", METHODS)
every_size = pytest.mark.parametrize(("ndim", "outputs"), SIZES)


def net_of(ndim: int, *, outputs: int = 1, curved: bool = True, bends: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    """A net with a dense head (curved), or one that ends in pooling and a linear unit, as exact maps need it."""
    torch.manual_seed(2)
    head: list[nn.Module] = [POOL[ndim](1), nn.Flatten(), nn.Linear(6, outputs)]
    if curved:
        head = [POOL[ndim](2), nn.Flatten(), nn.Linear(6 * 2**ndim, 7), bends(), nn.Linear(7, outputs)]
    first, second = CONVOLUTION[ndim](2, 5, 4, stride=2, padding=1), CONVOLUTION[ndim](5, 6, 3, padding=1)
    net = nn.Sequential(first, bends(), second, bends(), *head).double().eval()
    if curved:
        with torch.no_grad():  # one way that nothing blocks, so that no map is blank
            net[-3].weight[0], net[-3].bias[0], net[-1].weight[:, 0] = 0.1, 1.0, 0.5
    return net


def inputs(ndim: int = 2) -> Tensor:
    return torch.rand(SHAPE[ndim], dtype=torch.float64, generator=torch.Generator().manual_seed(ndim))


def regions(ndim: int) -> np.ndarray:
    codes = np.zeros(SHAPE[ndim][2:], dtype=np.uint8)
    codes[..., 3:6], codes[..., 6:] = 4, 9
    return codes


def asked(name: str, ndim: int) -> dict[str, Any]:
    """What a method wants besides net and inputs, and few draws."""
    wanted: dict[str, Any] = {"method": name, "seed": 4}
    if METHODS[name].grade == "sensitivity":
        wanted["channel"] = 1
    if "region" in name:
        wanted["regions"] = regions(ndim)
    if "samples" in METHODS[name].options:
        wanted["options"] = {"samples": 3}
    return wanted


def maps_of(name: str, ndim: int, outputs: int, **options: Any) -> tuple[nn.Module, Tensor, RegressionMap]:
    """A net that the method can explain, its inputs, and the maps of its last output."""
    net, x = net_of(ndim, outputs=outputs, curved=METHODS[name].kind != "head"), inputs(ndim)
    return net, x, explain(net, x, output=outputs - 1, **asked(name, ndim) | options)


@every_method
@every_size
def test_the_prediction_is_the_nets_and_the_parts_belong_to_it(name: str, ndim: int, outputs: int) -> None:
    words = {"target_mean": 50.0, "target_scale": 10.0, "unit": "Hz"}
    words |= {"channel_unit": "mm"} if METHODS[name].grade == "sensitivity" else {}
    net, x, one = maps_of(name, ndim, outputs, **words)
    expected = 50 + 10 * net(x)[:, outputs - 1].detach().numpy()
    np.testing.assert_allclose(one.prediction, expected, rtol=1e-12)
    assert np.ptp(one.contributions) > 0
    assert (one.grade, one.method) == (METHODS[name].grade, name)
    assert one.map_unit == {"sensitivity": "Hz/mm", "relative": "1"}.get(one.grade, "Hz")
    cells = x.shape[2:] if METHODS[name].kind == "input" else tuple(size // 2 for size in x.shape[2:])
    assert one.contributions.shape == (len(x), *cells)
    if not one.adds_up:
        assert np.isnan(one.baseline).all()
        assert np.isnan(one.residual).all()
        return
    np.testing.assert_allclose(one.baseline + one.total + one.residual, expected, rtol=1e-12)
    if one.grade == "exact":
        np.testing.assert_allclose(one.residual, 0.0, atol=1e-12 * 500)


@every_method
@every_size
def test_a_sample_gets_the_same_map_alone_and_in_any_batch(name: str, ndim: int, outputs: int) -> None:
    net, x, whole = maps_of(name, ndim, outputs)
    parts = explain(net, x, output=outputs - 1, batch_size=2, **asked(name, ndim))
    np.testing.assert_allclose(parts.contributions, whole.contributions, rtol=1e-8, atol=1e-12)
    alone = explain(net, x[1:2], output=outputs - 1, **asked(name, ndim))
    np.testing.assert_allclose(alone.contributions[0], whole.contributions[1], rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(alone.baseline[0], whole.baseline[1], rtol=1e-10)


@every_method
@every_size
def test_scaling_the_unit_scales_the_map(name: str, ndim: int, outputs: int) -> None:
    _, _, one = maps_of(name, ndim, outputs)
    _, _, scaled = maps_of(name, ndim, outputs, target_scale=1e-3, target_mean=7.0)
    np.testing.assert_allclose(scaled.contributions, 1e-3 * one.contributions, rtol=1e-10, atol=1e-16)
    if one.adds_up:
        np.testing.assert_allclose(scaled.baseline, 7.0 + 1e-3 * one.baseline, rtol=1e-12)


@every_method
@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_an_output_of_several_is_explained_as_if_it_were_the_only_one(name: str, ndim: int) -> None:
    net, x, _ = maps_of(name, ndim, 3)
    single = net_of(ndim, curved=METHODS[name].kind != "head")
    single.load_state_dict({**net.state_dict(), f"{len(net) - 1}.weight": net[-1].weight[1:2],
                            f"{len(net) - 1}.bias": net[-1].bias[1:2]})  # fmt: skip
    several, alone = (explain(one, x, output=k, **asked(name, ndim)) for one, k in ((net, 1), (single, 0)))
    np.testing.assert_allclose(several.contributions, alone.contributions, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if method.grade == "complete"])
@every_size
def test_complete_maps_sum_to_the_difference_from_the_reference(name: str, ndim: int, outputs: int) -> None:
    """On a smooth net, where an integral by steps converges; what is drawn at random does so in the mean alone."""
    net, x = net_of(ndim, outputs=outputs, bends=nn.Softplus), inputs(ndim)
    reference = torch.full(x.shape[1:], 0.4, dtype=torch.float64)
    options = {"integrated-gradients": {"steps": 64}, "gradient-shap": {"samples": 400}}.get(name)
    wanted = asked(name, ndim) | ({"options": options} if options else {})
    one = explain(net, x, output=outputs - 1, reference=reference, **wanted)
    behind = net(reference[None])[0, outputs - 1].item()
    np.testing.assert_allclose(one.baseline, behind, rtol=1e-12)
    np.testing.assert_allclose(one.total + one.residual, net(x)[:, outputs - 1].detach().numpy() - behind, rtol=1e-9)
    assert one.completeness().max() < {"gradient-shap": 0.05}.get(name, 1e-5)


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if method.grade == "first-order"])
@every_size
def test_first_order_maps_are_exact_where_the_net_is_a_plane(name: str, ndim: int, outputs: int) -> None:
    net, x = net_of(ndim, outputs=outputs, bends=nn.Identity), inputs(ndim)
    layer = {"layer": "2"} if METHODS[name].kind == "layer" else {}
    one = explain(net, x, output=outputs - 1, **asked(name, ndim), **layer)
    if name == "grad-ram":  # a mean gradient is the gradient where it is the same everywhere, and pooling by 2 is not
        net = net_of(ndim, outputs=outputs, curved=False, bends=nn.Identity)
        one = explain(net, x, output=outputs - 1, **asked(name, ndim), **layer)
    assert one.completeness().max() < 1e-9
    curved = maps_of(name, ndim, outputs, **({"layer": "1"} if layer else {}))[2]
    assert curved.completeness().max() > 1e-4  # and says so where it is none


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if method.grade == "sensitivity"])
@every_size
def test_sensitivities_are_slopes(name: str, ndim: int, outputs: int) -> None:
    bends = nn.Identity if name == "smoothgrad" else nn.ReLU  # the mean of slopes around is the slope on a plane
    net, x = net_of(ndim, outputs=outputs, bends=bends), inputs(ndim)
    one = explain(net, x, output=outputs - 1, target_scale=10.0, **asked(name, ndim))
    step = torch.zeros_like(x)
    step[:, 1] = 1e-7 * torch.randn(x[:, 1].shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    risen = 10 * (net(x + step) - net(x - step))[:, outputs - 1].detach().numpy() / 2
    along = (one.contributions * step[:, 1].numpy()).reshape(3, -1).sum(axis=1)
    np.testing.assert_allclose(along, risen, rtol=1e-5, atol=1e-13)  # what rounding leaves of a difference of 1e-7


@every_size
def test_effects_are_what_is_lost(ndim: int, outputs: int) -> None:
    net, x, one = maps_of("region-ablation", ndim, outputs)
    for code in (0, 4, 9):
        inside = regions(ndim) == code
        lost = (net(x) - net(x * torch.from_numpy(~inside)))[:, outputs - 1].detach().numpy()
        np.testing.assert_allclose(one.within_mask(inside), lost, rtol=1e-9)
    whole = explain(net, x, method="occlusion", output=outputs - 1, options={"window": 1.0}, channel=0)
    hidden = x * torch.tensor([0.0, 1.0], dtype=torch.float64).view(2, *(1,) * ndim)  # the channel that is asked about
    lost = (net(x) - net(hidden))[:, outputs - 1].detach().numpy()
    np.testing.assert_allclose(whole.contributions.reshape(3, -1), np.tile(lost[:, None], x[0, 0].numel()), rtol=1e-6)


@pytest.mark.parametrize("name", ["grad-cam", "grad-cam++", "layercam"])
@every_size
def test_what_is_published_with_a_relu_has_one_and_says_that_it_is_relative(name: str, ndim: int, outputs: int) -> None:
    _, _, one = maps_of(name, ndim, outputs)
    assert one.contributions.min() >= 0
    assert (one.grade, one.map_unit) == ("relative", "1")


class Lively(nn.Module):
    """Changes buffers, draws numbers, is half in training mode; and fails in the pass that it is told to fail in."""

    def __init__(self, *, dense: bool) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.body = nn.Sequential(nn.Conv2d(2, 4, 3, stride=2, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
        self.pool, self.dropout = nn.AdaptiveAvgPool2d(2 if dense else 1), nn.Dropout(0.5)
        self.bend = nn.ReLU() if dense else nn.Identity()
        self.flat = nn.Flatten()
        self.hidden, self.head = nn.Linear(16 if dense else 4, 5), nn.Linear(5, 2)
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))
        self.fails_in, self.passes = 0, 0
        self.failure: BaseException = RuntimeError("in the forward pass")

    def forward(self, x: Tensor) -> Tensor:
        self.count += 1
        self.passes += 1
        torch.rand(2)
        a = self.body(x)
        if self.passes == self.fails_in:
            raise self.failure
        return self.head(self.bend(self.hidden(self.dropout(self.flat(self.pool(a))))))


def lively(name: str) -> Lively:
    net = Lively(dense=METHODS[name].kind != "head").double().train()
    net.body[1].eval()
    net.body[0].weight.requires_grad_(False)  # noqa: FBT003 - torch's
    net.head.weight.grad = torch.ones_like(net.head.weight)
    net.body.register_forward_hook(lambda *_: None)
    return net


def state_of(net: nn.Module) -> dict[str, Any]:
    hooks = (
        "_forward_hooks",
        "_forward_pre_hooks",
        "_backward_hooks",
        "_backward_pre_hooks",
        "_forward_hooks_with_kwargs",
    )
    return {
        "values": [value.clone() for value in net.state_dict().values()],
        "identity": [id(value) for value in net.state_dict(keep_vars=True).values()],
        "training": [part.training for part in net.modules()],
        "kinds": [type(part) for part in net.modules()],
        "inplace": [getattr(part, "inplace", None) for part in net.modules()],
        "gradients": [(id(w.grad), None if w.grad is None else w.grad.clone()) for w in net.parameters()],
        "requires_grad": [weight.requires_grad for weight in net.parameters()],
        "hooks": [list(getattr(part, name)) for part in net.modules() for name in hooks],
        "random": torch.get_rng_state(),
        "modes": (torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.get_num_threads()),
    }


def same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor):
        return torch.equal(a, b)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


@contextmanager
def nothing_changes(net: nn.Module, x: Tensor) -> Iterator[None]:
    before, kept = state_of(net), x.clone()
    yield
    after = state_of(net)
    assert [what for what in before if not same(before[what], after[what])] == []
    assert torch.equal(x, kept)
    assert torch.overrides._get_current_function_mode_stack() == []
    assert torch.utils._python_dispatch._get_current_dispatch_mode_stack() == []


@every_method
def test_explaining_changes_nothing(name: str) -> None:
    net, x = lively(name), inputs()
    for _ in range(2):  # the second call knows the net
        with nothing_changes(net, x):
            explain(net, x, **asked(name, 2))


@pytest.mark.parametrize("name", OF_LAYER)
def test_a_layer_that_is_not_there_changes_nothing(name: str) -> None:
    net, x = lively(name), inputs()
    with nothing_changes(net, x), pytest.raises(ModelError, match="layer must be one of"):
        explain(net, x, layer="nowhere", **asked(name, 2))
    with nothing_changes(net, x), pytest.raises(ModelError, match="the result of layer head must be an activation"):
        explain(net, x, layer="head", **asked(name, 2))


@every_method
@pytest.mark.parametrize(
    "failure", [RuntimeError("in the forward pass"), KeyboardInterrupt()], ids=["error", "interrupt"]
)
def test_a_failure_in_any_pass_changes_nothing(name: str, failure: BaseException) -> None:
    """The first pass fails, the second, and so on, as far as the method goes."""
    reached = 0
    for number in (1, 2, 3, 4, 6, 9):
        net, x = lively(name), inputs()
        net.fails_in, net.failure = number, failure
        try:
            with nothing_changes(net, x), pytest.raises(type(failure)):
                explain(net, x, **asked(name, 2))
        except pytest.fail.Exception:
            break  # no pass has that number
        reached = number
    assert reached >= 1
    if reached > 2 and METHODS[name].kind != "head":
        net, x = lively(name), inputs()
        healthy = explain(net, x, **asked(name, 2))
        net.passes, net.fails_in, net.failure = 0, 1, failure
        with pytest.raises(type(failure)):
            explain(net, x, **asked(name, 2))
        np.testing.assert_array_equal(explain(net, x, **asked(name, 2)).contributions, healthy.contributions)


def tensors() -> int:
    gc.collect()
    return sum(issubclass(type(thing), Tensor) for thing in gc.get_objects())


def held(calls: Callable[[], object], *, times: int) -> tuple[int, float]:
    """How many tensors, and how many MiB of the largest resident size, many calls add to what a few have taken."""
    for _ in range(2):
        calls()
    before, size = tensors(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(times):
        calls()
    return tensors() - before, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - size) / 1024


def test_calls_leave_no_tensor_and_no_hook() -> None:
    """Five of each method and five that fail; a thousand of each are a slow test."""
    nets = {name: (net_of(1, curved=METHODS[name].kind != "head"), lively(name)) for name in METHODS}

    def ask() -> None:
        for name, (net, failing) in nets.items():
            explain(net, inputs(1), **asked(name, 1))
            failing.passes, failing.fails_in, failing.failure = 0, 2, RuntimeError("stop")
            with suppress(RuntimeError):
                explain(failing, inputs(2), **asked(name, 2))

    hooks = [state_of(net)["hooks"] for pair in nets.values() for net in pair]
    assert held(ask, times=5)[0] <= 0
    assert [state_of(net)["hooks"] for pair in nets.values() for net in pair] == hooks


@pytest.mark.slow
@every_method
def test_a_thousand_calls_leave_nothing_and_take_no_more_memory(name: str) -> None:
    net, x = net_of(2, curved=METHODS[name].kind != "head"), inputs(2)
    count, grown = held(lambda: explain(net, x, **asked(name, 2)), times=1000)
    assert count <= 0
    assert grown < 2.0  # the pages of an allocator; one kept map of 96 cells a call would be as much
