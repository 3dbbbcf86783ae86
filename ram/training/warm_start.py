"""Start a training with what fits of a run's weights: by name and shape, scales and units taken into account."""

from __future__ import annotations

__all__ = ["WarmStart", "given_net", "source_left", "source_of", "start_warm", "warmed"]

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ram.data.units import convert
from ram.errors import ConfigError, DataError, ModelError, explained
from ram.models.regressor import Regressor
from ram.runs.net import NetSpec
from ram.runs.run import Run, open_run
from ram.storage.atomic import write_json
from ram.training.starting import SOURCE_FILE, START_FILE, recipe_of

_HEAD = ("head.weight", "head.bias")


@dataclass(frozen=True)
class WarmStart:
    """What a training began with, and where that came from.

    Attributes
    ----------
    run, checkpoint_sha256, data
        Name of the run, digest of its checkpoint's bytes, digest of its data.
    taken
        Tensors, channels, targets and parameters that came from there.
    left
        What did not, and why; it begins as it would without a start.
    notes
        What is not the same there, though nothing had to be left out for it.
    """

    run: str
    checkpoint_sha256: str
    data: str
    taken: tuple[str, ...]
    left: Mapping[str, str]
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return asdict(self)

    def write(self, folder: Path) -> None:
        """Keep it in a run's folder, before the start itself."""
        if not (folder / START_FILE).exists():
            write_json(folder / SOURCE_FILE, self.as_dict())

    def __str__(self) -> str:
        """Return what a user is told: one line, and one for each thing that was left out or is not the same."""
        head = f"start: {len(self.taken)} of {len(self.taken) + len(self.left)} parts of {self.run}"
        return "\n".join([head, *(f"  not taken: {name}: {why}" for name, why in self.left.items()),
                          *(f"  note: {note}" for note in self.notes)])  # fmt: skip


def source_of(path: str | Path, *, net: Regressor | None) -> Run:
    """Return the run to start from.

    Raises
    ------
    ConfigError
        A net is given too.
    DataError
        There is no such run.
    """
    if net is not None:
        raise ConfigError(explained(where="train", what="init_from", allowed="given without net", got="both"))
    return open_run(path)


def given_net(source: Run) -> Regressor | None:
    """Return the net of `source` where no config describes it: one that was adapted is taken as a whole."""
    return source.regressor if recipe_of(source.regressor) is not None else None


def source_left(folder: Path, source: Run | None) -> Run | None:
    """Return the run that a training is still to begin from; None where it has begun.

    Raises
    ------
    ConfigError
        It has begun from another run.
    """
    if source is None or not (folder / START_FILE).is_file():
        return source
    kept = folder / SOURCE_FILE
    said: Any = json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else {}
    if said.get("checkpoint_sha256") != _checkpoint_digest(source):
        raise ConfigError(
            explained(
                where=str(folder),
                what="the run to start from",
                allowed=f"the one that it was begun with, {said.get('run', 'a net that was given')}",
                got=str(source.path),
                next_step="Leave --init-from out to go on, or choose another --output",
            )
        )
    return None


def _checkpoint_digest(run: Run) -> str:
    return hashlib.sha256((run.path / "checkpoint.safetensors").read_bytes()).hexdigest()


def warmed(regressor: Regressor, spec: NetSpec, source: Run, *, given: bool) -> WarmStart:
    """Start `regressor` from `source`, unless all of its net was given already, and say what was taken."""
    if not given:
        return start_warm(regressor, spec, source)
    digest = source.provenance["data"]["digest"]
    return WarmStart(source.name, _checkpoint_digest(source), digest, tuple(regressor.state_dict()), {}, ())


@dataclass
class _Account:
    """What has been taken and left so far."""

    taken: list[str] = field(default_factory=list)
    left: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def start_warm(regressor: Regressor, spec: NetSpec, source: Run) -> WarmStart:
    """Give `regressor` what fits of the weights of `source`, in place.

    Where channels, targets and parameters are the same, in whatever order and unit, the net then answers as that of
    `source` does, though its targets have the mean and scale of the new data. Channels and parameters that are new
    begin without effect, targets that are new as drawn. The linear unit is taken only where all features were.

    Raises
    ------
    ModelError
        Where none of the weights that see the input or the features of others fit.
    DataError
        Where the checkpoint of `source` cannot be read.
    """
    net, other = source.regressor, source.spec
    account = _Account()
    state, given = dict(regressor.state_dict()), net.state_dict()
    state |= _inputs(state, given, spec, other, account)
    state |= _levels(state, given, spec, other, account)
    state |= _weights(state, given, spec, other, account)
    _require_some(account, source)
    features = not any(name.startswith(("backbone.", "dense.")) for name in account.left)
    if features and state["head.weight"].shape[1] - len(spec.parameters) == _width(given, other):
        state |= _linear(state, given, spec, other, account)
    else:
        account.left |= {f"target {target.name}": "the features are others" for target in spec.targets}
    _note_axes(spec, other, account)
    regressor.load_state_dict(state)
    digest, checkpoint = source.provenance["data"]["digest"], _checkpoint_digest(source)
    return WarmStart(source.name, checkpoint, digest, tuple(account.taken), account.left, tuple(account.notes))


def _width(state: Mapping[str, Tensor], spec: NetSpec) -> int:
    """Return how many features the linear unit sees."""
    return int(state["head.weight"].shape[1]) - len(spec.parameters)


def _require_some(account: _Account, source: Run) -> None:
    if any(name.startswith(("backbone.", "dense.")) for name in account.taken):
        return
    allowed = "one whose weights fit by name and shape, at least some of them"
    got = f"{source.config.model.backbone} with widths {list(source.config.model.widths)}"
    step = "Give the config the [model] section of that run"
    raise ModelError(explained(where=str(source.path), what="the run to start from", allowed=allowed, got=got,
                               next_step=step))  # fmt: skip


def _affine(unit: str, to: str) -> tuple[float, float] | None:
    """Return (times, plus) from one unit to another; None where they do not fit.

    >>> [round(number, 2) for number in _affine("degC", "K")]
    [1.0, 273.15]
    """
    try:
        zero, one = convert(np.array([0.0, 1.0]), unit=unit, to=to)
    except DataError:
        return None
    return float(one - zero), float(zero)


def _inputs(
    state: Mapping[str, Tensor], given: Mapping[str, Tensor], spec: NetSpec, other: NetSpec, account: _Account
) -> dict[str, Tensor]:
    """Return means and scales of the channels that are there too, so that the first layer sees what it has learned."""
    mean, scale = state["input_mean"].clone(), state["input_scale"].clone()
    names = list(other.channels)
    for number, (name, unit) in enumerate(spec.channels.items()):
        steps = _affine(other.channels[name], unit) if name in names else None
        if steps is None:
            account.left[f"channel {name}"] = _why(name, unit, other.channels)
            continue
        times, plus = steps
        place = names.index(name)
        mean[number] = times * given["input_mean"][place].double() + plus
        scale[number] = times * given["input_scale"][place].double()
        account.taken.append(f"channel {name}")
    return {"input_mean": mean, "input_scale": scale}


def _levels(
    state: Mapping[str, Tensor], given: Mapping[str, Tensor], spec: NetSpec, other: NetSpec, account: _Account
) -> dict[str, Tensor]:
    """Return mean and standard deviation of the levels of the channels that are there too, of like spectrograms."""
    section = spec.model.spectrogram
    if section is None or section != other.model.spectrogram:
        return {}
    mean, deviation = state["front.mean"].clone(), state["front.deviation"].clone()
    for number, name in enumerate(spec.channels):
        if f"channel {name}" in account.left:
            continue
        place = list(other.channels).index(name)
        steps = _affine(other.channels[name], spec.channels[name])
        assert steps is not None, "or it would have been left"
        # A power is a square; in dB another unit moves the mean.
        times = 1.0 if section.scale == "dB" else steps[0] ** (2 if section.scale == "power" else 1)
        plus = 20.0 * np.log10(abs(steps[0])) if section.scale == "dB" else 0.0
        mean[number] = times * given["front.mean"][place].double() + plus
        deviation[number] = times * given["front.deviation"][place].double()
    return {"front.mean": mean, "front.deviation": deviation}


def _why(name: str, unit: str, there: Mapping[str, str]) -> str:
    return f"in {there[name]} there, in {unit} here" if name in there else "not there"


def _weights(
    state: Mapping[str, Tensor], given: Mapping[str, Tensor], spec: NetSpec, other: NetSpec, account: _Account
) -> dict[str, Tensor]:
    """Return the weights and statistics of backbone and dense layers that fit by name and shape."""
    found: dict[str, Tensor] = {}
    first = next((name for name, value in state.items() if name.startswith("backbone.") and value.ndim > 2), "")
    for name, value in state.items():
        if not name.startswith(("backbone.", "dense.")):
            continue
        there = given.get(name)
        if name == first and there is not None:
            there = _columns(there, value, spec, other, account)
        if there is None or there.shape != value.shape:
            account.left[name] = _misfit(value, given.get(name))
            continue
        found[name] = there.to(value.dtype)
        account.taken.append(name)
    return found


def _misfit(here: Tensor, there: Tensor | None) -> str:
    if there is None:
        return "not there"
    return f"{_size(there)} there, {_size(here)} here"


def _size(value: Tensor) -> str:
    return "x".join(map(str, value.shape)) or "one number"


def _columns(there: Tensor, here: Tensor, spec: NetSpec, other: NetSpec, account: _Account) -> Tensor:
    """Return the kernel that sees the input with its columns in the order of the channels here; new ones are zero."""
    own, names = _seen(spec), _seen(other)
    if there.shape[0] != here.shape[0] or there.shape[2:] != here.shape[2:] or there.shape[1] != len(names):
        return there
    result = there.new_zeros(here.shape)
    for number, name in enumerate(own):
        if name in names and f"channel {name}" not in account.left:
            result[:, number] = there[:, names.index(name)]
        else:
            account.notes.append(f"{name} begins without effect")
    return result


def _seen(spec: NetSpec) -> list[str]:
    return [*spec.channels, *(f"coordinate {name}" for name in spec.model.coordinates)]


def _linear(
    state: Mapping[str, Tensor], given: Mapping[str, Tensor], spec: NetSpec, other: NetSpec, account: _Account
) -> dict[str, Tensor]:
    """Return the linear unit with the rows of the targets that are there too, as the same function of the input."""
    weight, bias = (state[name].double().clone() for name in _HEAD)
    rows = {target.name: number for number, target in enumerate(other.targets)}
    for number, target in enumerate(spec.targets):
        there = other.targets[rows[target.name]] if target.name in rows else None
        steps = _affine(there.unit, target.unit) if there else None
        if there is None or steps is None or there.log != target.log or (target.log and steps[1]):
            account.left[f"target {target.name}"] = _why_not(target, there)
            continue
        row, (times, plus) = rows[target.name], steps
        mean, scale = given["target_mean"][row].item(), given["target_scale"][row].item()
        own_mean, own_scale = state["target_mean"][number].item(), state["target_scale"][number].item()
        ratio = (1.0 if target.log else times) * scale / own_scale
        moved = mean + np.log(times) if target.log else times * mean + plus
        weight[number] = 0.0
        features = _width(given, other)
        weight[number, :features] = ratio * given["head.weight"][row, :features].double()
        bias[number] = ratio * given["head.bias"][row].double() + (moved - own_mean) / own_scale
        bias[number] += _parameters(weight[number, features:], given["head.weight"][row, features:].double() * ratio,
                                    state, given, spec, other)  # fmt: skip
        account.taken.append(f"target {target.name}")
    for name, unit in spec.parameters.items():
        known = name in other.parameters and _affine(unit, other.parameters[name]) is not None
        if known:
            account.taken.append(f"parameter {name}")
        else:
            account.left[f"parameter {name}"] = _why(name, unit, other.parameters)
    return {"head.weight": weight.to(state["head.weight"].dtype), "head.bias": bias.to(state["head.bias"].dtype)}


def _why_not(target: Any, there: Any) -> str:
    if there is None:
        return "not there"
    words = [f"{'the logarithm of ' if one.log else ''}{one.unit}" for one in (there, target)]
    return f"in {words[0]} there, in {words[1]} here"


def _parameters(  # noqa: PLR0917
    weight: Tensor,
    there: Tensor,
    state: Mapping[str, Tensor],
    given: Mapping[str, Tensor],
    spec: NetSpec,
    other: NetSpec,
) -> float:
    """Write the weights of the design parameters, shape (parameter,), and return what the bias gains.

    There a parameter counts as w (c p + d - mean') / scale'; here as w' (p - mean) / scale.
    """
    gained, names = 0.0, list(other.parameters)
    for number, (name, unit) in enumerate(spec.parameters.items()):
        steps = _affine(unit, other.parameters[name]) if name in names else None
        if steps is None:
            continue
        place = names.index(name)
        mean, scale = state["parameter_mean"][number].item(), state["parameter_scale"][number].item()
        slope = there[place].item() / given["parameter_scale"][place].item()
        weight[number] = slope * steps[0] * scale
        gained += slope * (steps[0] * mean + steps[1] - given["parameter_mean"][place].item())
    return gained


def _note_axes(spec: NetSpec, other: NetSpec, account: _Account) -> None:
    """Say where the input's cells are of another size: the same kernel then spans another length."""
    if spec.model.spectrogram != other.model.spectrogram:
        account.notes.append("the spectrogram is another one here: the same kernel then spans other hertz and seconds")
    for mine, theirs in zip(spec.axes, other.axes, strict=False):
        steps = [float(np.median(np.diff(axis.edges))) for axis in (mine, theirs)]
        if mine.unit != theirs.unit or abs(steps[0] - steps[1]) > 1e-6 * abs(steps[1]):
            here, there = (f"{step:.4g} {axis.unit}" for step, axis in zip(steps, (mine, theirs), strict=True))
            account.notes.append(f"cells along {mine.name} are {here} here, {there} there")
