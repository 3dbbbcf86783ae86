"""What a net of somebody else's answers, in the targets' units, and what it takes."""

from __future__ import annotations

__all__ = ["answers", "linear_unit_of", "processor_seconds"]

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from ram.data.batches import Batches
from ram.errors import ModelError, explained
from ram.maps.activation import parts_of
from ram.maps.head_calls import run_head
from ram.maps.heads import find_head
from ram.maps.inputs import first_weight
from ram.models.cutting import Cut
from ram.models.regressor import Regressor, TargetScaling

_TIMED_SAMPLES, _TIMED_REPEATS = 32, 5


def answers(
    net: nn.Module, regressor: Regressor, batches: Batches, scaling: Sequence[TargetScaling]
) -> NDArray[np.float64]:
    """Return the predictions of all samples, shape (sample, target).

    Parameters
    ----------
    net
        A `Regressor`, which answers in units; or any module, whose outputs mean what `scaling` says and whose inputs
        are scaled as `regressor` scales its own.
    """
    rows, device = [], regressor.head.weight.device
    with torch.no_grad():
        for batch in batches.stream():
            x, parameters = batch.x.to(device), batch.parameters.to(device)
            if isinstance(net, Regressor):
                rows.append(net(x, parameters).cpu().numpy())
                continue
            raw = columns(net(_as_given(regressor, net, x)), scaling).double().cpu().numpy()
            rows.append(np.stack([_in_unit(*one) for one in zip(raw.T, scaling, strict=True)], axis=1))
    return np.concatenate(rows)


def _as_given(regressor: Regressor, net: nn.Module, x: Tensor) -> Tensor:
    """Return inputs as the other net was trained on them, in its precision."""
    return regressor.standardised_inputs(x).to(first_weight(parts_of(net)).dtype)


def _in_unit(raw: NDArray[np.float64], scaling: TargetScaling) -> NDArray[np.float64]:
    values = scaling.mean + scaling.scale * raw
    return np.asarray(np.exp(values) if scaling.log else values)


def columns(y: Any, scaling: Sequence[TargetScaling]) -> Float[Tensor, "batch target"]:
    """Return the answer of a net as one column a target.

    Raises
    ------
    ModelError
        Where there are more or fewer columns than targets, or other names.
    """
    names = [one.name for one in scaling]
    if isinstance(y, Mapping):
        parts = [y[name] for name in names] if set(names) <= set(y) else []
    else:
        parts = list(y) if isinstance(y, (tuple, list)) else [y]
    fitting = all(isinstance(part, Tensor) and part.ndim in {1, 2} for part in parts)
    whole = (
        torch.cat([part[:, None] if part.ndim == 1 else part for part in parts], dim=1) if parts and fitting else None
    )
    if whole is None or whole.shape[1] != len(names):
        raise ModelError(
            explained(
                where="ram.adapt", what="the net's answer", allowed=f"one column for each of {', '.join(names)}",
                got=_shape_of(y), next_step="Name the targets in the order of the outputs",
            )
        )  # fmt: skip
    return whole


def _shape_of(y: Any) -> str:
    if isinstance(y, Tensor):
        return f"shape {tuple(y.shape)}"
    return f"a dictionary of {', '.join(map(str, y))}" if isinstance(y, Mapping) else f"a {type(y).__name__}"


def linear_unit_of(net: nn.Module, x: Tensor, found: Cut, *, outputs: int) -> tuple[Tensor, Tensor] | None:
    """Return weight (output, feature) and bias of a net that ends in GAP and a linear unit; None for any other.

    Linear units in a row without activation are folded into one.
    """
    if not isinstance(found.output, Tensor):
        return None
    rows = []
    for output in range(outputs):
        try:
            with torch.no_grad():
                call = run_head(net, x, find_head(net, x, output=output), output=output)
        except ModelError:
            return None
        if len(call.weights) != 1 or call.weights[0].shape[1] != found.features.shape[1]:
            return None
        rows.append((call.weights[0][0], call.bias[0]))
    weight, bias = (torch.stack(column).detach() for column in zip(*rows, strict=True))
    pooled = found.features.flatten(2).mean(dim=2).double()
    answered = pooled @ weight.double().T + bias.double()
    expected = found.output.reshape(len(x), -1).double()
    size = 1e-4 * (pooled.abs() @ weight.double().abs().T + bias.double().abs())
    return (weight, bias) if bool(((answered - expected).abs() <= size).all()) else None


def processor_seconds(net: nn.Module, regressor: Regressor, batches: Batches) -> dict[str, float]:
    """Return processor time a sample of predicting, and of a step of training, for both nets, one after the other.

    The smallest of a few repeats: what else runs on the machine adds to all of them.
    """
    batch = batches.take(np.arange(min(_TIMED_SAMPLES, len(batches))))
    device = regressor.head.weight.device
    x, parameters = batch.x.to(device), batch.parameters.to(device)

    def ask(one: nn.Module) -> Callable[[], Tensor]:
        if isinstance(one, Regressor):
            return lambda: one.standardised_prediction(x, parameters)
        return lambda: _sums(one(_as_given(regressor, one, x)))

    asked = {"before": (net, ask(net)), "after": (regressor, ask(regressor))}
    best: dict[str, float] = {}
    for _ in range(_TIMED_REPEATS):
        for name, (one, answer) in asked.items():
            for kind, work in (("prediction", _predict), ("step", _step)):
                seconds = _timed(work, answer, one) / len(x)
                best[f"{kind}_{name}"] = min(seconds, best.get(f"{kind}_{name}", seconds))
    return best


def _predict(answer: Callable[[], Tensor], _net: nn.Module) -> None:
    with torch.no_grad():
        answer()


def _step(answer: Callable[[], Tensor], net: nn.Module) -> None:
    """Take the gradient of all weights without leaving any behind."""
    weights = [weight for weight in net.parameters() if weight.requires_grad]
    if weights:
        with torch.enable_grad():
            torch.autograd.grad(answer().sum(), weights, allow_unused=True)


def _sums(y: Any) -> Tensor:
    """Return the sum of each output, which all weights have a part in."""
    parts = list(y.values()) if isinstance(y, Mapping) else list(y) if isinstance(y, (tuple, list)) else [y]
    return torch.stack([part.double().sum() for part in parts])


def _timed(work: Callable[..., None], answer: Callable[[], Tensor], net: nn.Module) -> float:
    started = time.process_time()
    work(answer, net)
    return time.process_time() - started
