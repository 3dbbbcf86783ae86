"""ram.explain on nets of any make: found, refused with a reason, and left as they were."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from ram.axes import Axis
from ram.errors import ConfigError, DataError, ModelError
from ram.maps.explain import explain, explain_regressor
from ram.maps.methods import METHODS
from ram.models.backbones import build_backbone
from ram.models.regressor import Regressor, TargetScaling


def body(features: int = 4) -> nn.Sequential:
    torch.manual_seed(5)
    return nn.Sequential(nn.Conv2d(1, features, 3, stride=2, padding=1), nn.BatchNorm2d(features), nn.ReLU())


def images(batch: int = 3, size: int = 8) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(batch, 1, size, size)).astype(np.float32)


def regressor(**options: Any) -> Regressor:
    torch.manual_seed(2)
    backbone = build_backbone("plain", ndim=2, channels=1, widths=(3, 4), depth=1)
    options = {
        "targets": [TargetScaling("umbrella", "Hz", 560.0, 80.0), TargetScaling("mass", "kg", 7.0, 1.0)]
    } | options
    return Regressor(backbone, input_mean=[0.0], input_scale=[1.0], **options)


class Written(nn.Module):
    """A net whose end is written as `end(features, linear)`."""

    def __init__(self, end: Callable[[Tensor, nn.Linear], Tensor], *, outputs: int = 1) -> None:
        super().__init__()
        self.body, self.fc, self.end = body(), nn.Linear(4, outputs), end

    def forward(self, x: Tensor) -> Tensor:
        return self.end(self.body(x), self.fc)


ENDS: dict[str, Callable[[Tensor, nn.Linear], Tensor]] = {
    "x.mean": lambda a, fc: fc(a.mean((2, 3))),
    "mean of a flat map": lambda a, fc: fc(a.flatten(2).mean(-1)),
    "mean axis by axis": lambda a, fc: fc(a.mean(3).mean(2)),
    "adaptive pool": lambda a, fc: fc(functional.adaptive_avg_pool2d(a, 1).flatten(1)),
    "pool of its size": lambda a, fc: fc(functional.avg_pool2d(a, a.shape[2:])[:, :, 0, 0]),
    "pool in two steps": lambda a, fc: fc(functional.avg_pool2d(a, 2).mean((2, 3))),
    "sum over its size": lambda a, fc: fc(a.sum((2, 3)) / 16),
    "einsum": lambda a, fc: fc(torch.einsum("bkyx->bk", a) / 16),
    "relu as a function": lambda a, fc: fc(functional.relu(a - 0.5).mean((2, 3))),
    "dropout between": lambda a, fc: fc(functional.dropout(a.mean((2, 3)), training=False)),
    "linear as a function": lambda a, fc: functional.linear(a.mean((2, 3)), weight=fc.weight, bias=fc.bias),
    "without bias": lambda a, fc: functional.linear(a.mean((2, 3)), fc.weight),
    "answer of shape (batch,)": lambda a, fc: fc(a.mean((2, 3))).squeeze(1),
}


@pytest.mark.parametrize("end", ENDS)
def test_the_end_of_a_net_is_found_by_its_numbers(end: str) -> None:
    net = Written(ENDS[end]).eval()
    one = explain(net, images())
    features = net.body(torch.from_numpy(images()))
    if end == "relu as a function":
        features = functional.relu(features - 0.5)
    expected = torch.einsum("k,bkyx->byx", net.fc.weight[0], features) / 16
    np.testing.assert_allclose(one.contributions, expected.detach().numpy(), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(one.residual, 0.0, atol=1e-6)
    assert one.axes[0].size == 4


def test_a_sum_instead_of_a_mean_is_found_too() -> None:
    net = Written(lambda a, fc: fc(a.sum((2, 3)))).eval()
    one = explain(net, images())
    features = net.body(torch.from_numpy(images()))
    expected = torch.einsum("k,bkyx->byx", net.fc.weight[0], features).detach().numpy()
    np.testing.assert_allclose(one.contributions, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(one.completeness(), 0.0, atol=1e-5)


def test_linear_units_in_a_row_are_one() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(body(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 6), nn.Dropout(), nn.Linear(6, 3))
    net = net.double()
    one = explain(net, images(), output=2)
    weight = net[5].weight @ net[3].weight
    features = net.eval()[0](torch.from_numpy(images()).double())
    expected = torch.einsum("k,bkyx->byx", weight[2], features) / 16
    np.testing.assert_allclose(one.contributions, expected.detach().numpy(), rtol=1e-12)
    np.testing.assert_allclose(one.residual, 0.0, atol=1e-14)


def test_a_column_may_stand_elsewhere_in_the_answer() -> None:
    net = Written(lambda a, fc: fc(a.mean((2, 3))).flip(1), outputs=3)
    plain = Written(lambda a, fc: fc(a.mean((2, 3))), outputs=3)
    plain.load_state_dict(net.state_dict())
    np.testing.assert_array_equal(
        explain(net, images()).contributions, explain(plain, images(), output=2).contributions
    )


def test_a_named_layer() -> None:
    net = Written(lambda a, fc: fc(a.mean((2, 3))))
    np.testing.assert_array_equal(
        explain(net, images(), layer="body").contributions, explain(net, images()).contributions
    )
    with pytest.raises(
        ModelError, match=r"layer must be one of body, body.0, body.1, body.2, fc. Got bodi. Did you mean"
    ):
        explain(net, images(), layer="bodi")
    with pytest.raises(ModelError, match=r"Got layer body.0, whose mean is not what goes into fc"):
        explain(net, images(), layer="body.0")


def test_new_weights_are_seen_and_a_rebuilt_net_is_found_anew() -> None:
    net = Written(lambda a, fc: fc(a.mean((2, 3))))
    before = explain(net, images())
    with torch.no_grad():
        net.fc.weight.mul_(2.0)
    np.testing.assert_allclose(explain(net, images()).contributions, 2 * before.contributions, rtol=1e-6)
    net.end = lambda a, fc: fc(functional.relu(a * 1.0 - 0.3).mean((2, 3)))
    np.testing.assert_allclose(explain(net, images()).residual, 0.0, atol=1e-6)
    net.body[0].stride = (1, 1)
    assert explain(net, images()).contributions.shape == (3, 8, 8)


class Halving(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mul_(0.5)


def test_a_rebuilt_net_that_overwrites_its_input_sees_it_once() -> None:
    net = Written(lambda a, fc: fc(a.mean((2, 3))))
    net.body.insert(0, Halving())
    explain(net, images())
    net.end = lambda a, fc: fc(functional.relu(a * 1.0 - 0.3).mean((2, 3)))
    found = explain(net, images())
    np.testing.assert_array_equal(found.contributions, explain(copy.deepcopy(net), images()).contributions)


@pytest.mark.parametrize(
    ("net", "said"),
    [
        (lambda: nn.Sequential(body(), nn.Flatten(), nn.Linear(64, 1)), r"Got 64 inputs of 2 that are no such mean"),
        (
            lambda: nn.Sequential(body(), nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(4, 1)),
            r"4 inputs of 3 that are no such mean \(activations of 4 channels have cells \(1, 1\), another mean\)",
        ),
        (
            lambda: nn.Sequential(body(1), nn.AdaptiveMaxPool2d(1), nn.Flatten()),
            r"Got a Sequential without a linear unit.*For this net as it is: method integrated-gradients \(complete\)",
        ),
        (
            lambda: nn.Sequential(body(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 1), nn.Softplus()),
            r"changes the output of its last linear unit, 3. End the net in .* leave what follows it to target_mean",
        ),
        (
            lambda: nn.Sequential(
                body(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 1)
            ),
            r"4 inputs of 5 that are no such mean",
        ),
        (body, r"the net's output must be of shape \(batch,\) or \(batch, outputs\). Got a tensor of shape"),
    ],
)
def test_a_net_of_another_kind_is_told_why(net: Callable[[], nn.Module], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        explain(net(), images())


def test_what_is_asked_must_exist() -> None:
    net = Written(lambda a, fc: fc(a.mean((2, 3))), outputs=3)
    with pytest.raises(ModelError, match=r"output must be 0 to 2, the net has 3 outputs. Got 3"):
        explain(net, images(), output=3)
    with pytest.raises(ConfigError, match=r"method must be one of ram, cam, .* Got rum. Did you mean 'ram'\?"):
        explain(net, images(), method="rum")
    with pytest.raises(
        ConfigError, match=r"targets must be one of umbrella, mass. Got umbrela. Did you mean 'umbrella'"
    ):
        explain_regressor(regressor(), images(), targets=["umbrela"])
    with pytest.raises(ConfigError, match=r"output must be one of 0, 1, umbrella, mass. Got 2"):
        explain(regressor(), images(), output=2)
    mean = explain_regressor(regressor(), images())["mass"].mean()
    with pytest.raises(ConfigError, match=r"the maps of the reference must be one of mass. Got umbrella"):
        explain_regressor(regressor(), images(), reference=mean)


@pytest.mark.parametrize(
    ("x", "said"),
    [
        (images()[0, 0], r"x must be an array or tensor of shape \(batch, channel, \*space\).* Got shape \(8, 8\)"),
        (images()[:0], r"none empty. Got shape \(0, 1, 8, 8\)"),
        ([[1.0]], r"Got list. Give a single sample as x\[None\]"),
        (
            images() * np.nan,
            r"explain, sample 0: the prediction of umbrella must be a finite number. Got nan. Look for",
        ),
    ],
)
def test_inputs_that_cannot_be_explained(x: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        explain_regressor(regressor(), x)


def test_inputs_and_axes_must_fit() -> None:
    with pytest.raises(DataError, match=r"the input's axes must be of sizes \(8, 8\), as x. Got \(8,\)"):
        explain_regressor(regressor(), images(), input_axes=[Axis.uniform("x", "mm", size=8, step=1.0)])
    with pytest.raises(ModelError, match=r"inputs must be of shape \(batch, 1, 2 space axes\)"):
        explain_regressor(regressor(), np.zeros((1, 2, 8, 8)))
    with pytest.raises(DataError, match=r"the length of ids must be 3. Got 2"):
        explain_regressor(regressor(), images(), ids=["a", "b"])


LAYOUTS: dict[str, Callable[[np.ndarray], Any]] = {
    "float64": lambda x: x.astype(np.float64),
    "big-endian": lambda x: x.astype(">f4"),
    "Fortran": np.asfortranarray,
    "reversed view": lambda x: x[::-1].copy()[::-1],
    "read-only": lambda x: np.frombuffer(x.tobytes(), dtype=x.dtype).reshape(x.shape),
    "tensor": torch.from_numpy,
    "channels last": lambda x: torch.from_numpy(x).contiguous(memory_format=torch.channels_last),
    "expanded": lambda x: torch.from_numpy(x)[:, :1].expand(-1, 1, -1, -1),
    "wants gradients": lambda x: torch.from_numpy(x).requires_grad_(),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_memory_layout_gives_the_same_map(layout: str) -> None:
    expected = explain_regressor(regressor(), images())["umbrella"].contributions
    found = explain_regressor(regressor(), LAYOUTS[layout](images()))["umbrella"].contributions
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_integers_are_numbers_too() -> None:
    x = (100 * images()).astype(np.int16)
    found = explain_regressor(regressor(), x)["umbrella"].contributions
    np.testing.assert_array_equal(found, explain_regressor(regressor(), x.astype(np.float32))["umbrella"].contributions)


def test_a_regressor_brings_its_own_words() -> None:
    net = regressor()
    one = explain(net, images(), output=1, ids=["a", "b", "c"])
    assert repr(one) == "RegressionMap of mass: 3 samples, 2x2 cells, kg, exact"
    assert one.ids == ("a", "b", "c")
    both = explain_regressor(net, images())["mass"]
    np.testing.assert_allclose(one.contributions, both.contributions, rtol=1e-5, atol=1e-7)


def test_targets_come_in_the_order_asked_for() -> None:
    every = explain_regressor(regressor(), images())
    for names in (["mass", "umbrella"], ["mass"], ["umbrella"]):
        found = explain_regressor(regressor(), images(), targets=names)
        assert list(found) == names
        for name in names:
            np.testing.assert_allclose(found[name].contributions, every[name].contributions, rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(found[name].residual, 0.0, atol=1e-3)


def test_a_reference_design_brings_its_own_parameters() -> None:
    net = regressor(parameters={"load": "N"}, parameter_mean=[3.0], parameter_scale=[2.0]).double()
    own, nominal = np.array([[5.0], [4.0], [3.0]]), np.array([[4.0]])
    options = {"parameters": own, "reference": images()[1]}
    found = explain_regressor(net, images(), **options, reference_parameters=nominal, reference_name="nominal")["mass"]
    np.testing.assert_allclose(found.total[1], 0.0, atol=1e-12)
    assert found.reference == "nominal"
    mean = explain_regressor(net, images(), **options)["mass"]
    np.testing.assert_allclose(mean.parameter_contributions[2], 0.0, atol=1e-12)
    with pytest.raises(ModelError, match=r"the design parameters must be of shape \(3, 1\): load. Got none"):
        explain_regressor(net, images())


def test_methods_say_what_they_are() -> None:
    assert all(method.name == name for name, method in METHODS.items())
    assert METHODS["ram"].grade == "exact"


@pytest.mark.slow  # loads torch's compiler
def test_a_compiled_net_is_explained_as_it_was_written() -> None:
    net = Written(ENDS["x.mean"])
    found = explain(torch.compile(net, backend="eager"), images())
    np.testing.assert_array_equal(found.contributions, explain(net, images()).contributions)


def test_explaining_within_inference_mode() -> None:
    net = Written(ENDS["x.mean"])
    expected = explain(net, images()).contributions
    with torch.inference_mode():
        np.testing.assert_array_equal(explain(net, images()).contributions, expected)


class Twice(nn.Module):
    """One ReLU called twice, and a linear unit whose weight is made of others."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.first, self.second, self.relu = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1), nn.ReLU()
        self.fc = nn.utils.parametrizations.weight_norm(nn.Linear(4, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.relu(self.second(self.relu(self.first(x)))).mean((2, 3)))


def test_modules_that_run_twice_or_make_their_weights_are_followed_by_their_calls() -> None:
    net = Twice().double().eval()
    one, again = explain(net, images()), explain(net, images())
    features = net.relu(net.second(net.relu(net.first(torch.from_numpy(images()).double()))))
    expected = torch.einsum("k,bkyx->byx", net.fc.weight[0], features).detach().numpy() / 64
    np.testing.assert_allclose(one.contributions, expected, rtol=1e-12, atol=1e-15)
    np.testing.assert_array_equal(again.contributions, one.contributions)
