"""Start a training from a net that is there: one that was adapted, or trained before."""

from __future__ import annotations

__all__ = [
    "SOURCE_FILE",
    "START_FILE",
    "describing",
    "recipe_of",
    "start_digest",
    "started_from",
    "take_over",
    "write_start",
]

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ram.errors import ModelError, explained
from ram.models.regressor import Regressor
from ram.models.trunk import Recipe, Trunk
from ram.runs.config import GIVEN, Experiment
from ram.runs.net import NetSpec, load_net, save_net
from ram.storage.atomic import write_json

START_FILE, SOURCE_FILE = "start.safetensors", "start.json"
_WHERE = "the net to start from"


def recipe_of(net: Regressor) -> Recipe | None:
    """Return the recipe of a backbone that was cut from a net of somebody else's; None for one of ours."""
    return net.backbone.recipe if isinstance(net.backbone, Trunk) else None


def describing(net: Regressor, experiment: Experiment) -> Experiment:
    """Return the experiment, saying of a backbone that no config can describe that it is given."""
    if recipe_of(net) is None:
        return experiment
    changes = {"backbone": GIVEN, "head": "gap", "head_stages": (), "coordinates": (), "channels_apart": False}
    return experiment.model_copy(update={"model": experiment.model.model_copy(update=changes)})


def take_over(regressor: Regressor, net: Regressor) -> None:
    """Give `regressor`, as built from config and data, the weights and input scaling of `net`.

    The targets' mean and scale stay those of the training part, by which the loss is measured; where those of `net`
    are others, its linear unit is written anew, as the same function.

    Raises
    ------
    ModelError
        Where the two regress other targets or are built otherwise.
    """
    _require_same("the targets", _targets(net), _targets(regressor))
    _require_same("the design parameters", list(net.parameter_names), list(regressor.parameter_names))
    _require_same("the weights", _shapes(net), _shapes(regressor))
    state = dict(net.state_dict())
    scaling = ("target_mean", "target_scale")
    if not all(torch.equal(getattr(net, name).cpu(), getattr(regressor, name).cpu()) for name in scaling):
        state |= _rescaled(net, regressor)
    regressor.to(net.head.weight.dtype)
    regressor.load_state_dict(state)


def _rescaled(net: Regressor, regressor: Regressor) -> dict[str, Tensor]:
    """Return the linear unit in the scale of `regressor`: m + s (W a + b) = m' + s' (W' a + b')."""
    mean, scale = (getattr(regressor, name).to(net.target_mean.device) for name in ("target_mean", "target_scale"))
    ratio = net.target_scale / scale
    with torch.no_grad():
        weight = ratio[:, None] * net.head.weight.double()
        bias = (net.target_mean - mean) / scale + ratio * net.head.bias.double()
    kind = net.head.weight.dtype
    return {"head.weight": weight.to(kind), "head.bias": bias.to(kind), "target_mean": mean, "target_scale": scale}


def _targets(net: Regressor) -> list[str]:
    words = zip(net.target_names, net.target_units, net.target_log, strict=True)
    return [f"{name} ({'logarithm of ' if log else ''}{unit})" for name, unit, log in words]


def _shapes(net: Regressor) -> list[str]:
    return [f"{name} {'x'.join(map(str, value.shape))}" for name, value in net.state_dict().items()]


def _require_same(what: str, got: list[str], expected: list[str]) -> None:
    if got == expected:
        return
    own, other = (
        [one for one in mine if one not in set(others)] for mine, others in ((got, expected), (expected, got))
    )
    step = "Name the same targets, units and parameters, or give the config's [model] the sections of that net"
    raise ModelError(
        explained(
            where=_WHERE, what=what, allowed=f"as the config and its data have them: {_few(other or expected)}",
            got=_few(own or got), next_step=step,
        )
    )  # fmt: skip


def _few(names: list[str]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "") if names else "nothing"


def write_start(folder: Path, regressor: Regressor, spec: NetSpec, *, net: Regressor) -> None:
    """Keep what a training starts from in the run's folder, once, and what is known of it where `net` was adapted.

    ``start.safetensors`` is a checkpoint like any other, so that the run can be gone on with, and made again, from its
    folder alone.
    """
    if (folder / START_FILE).exists():
        return
    if net.adaptation is not None:
        write_json(folder / "adaptation.json", net.adaptation.as_dict())
        seconds = {f"{name}_s": value for name, value in net.adaptation.seconds.items()}
        write_json(folder / "times.json", {"training_s": 0.0, **seconds})
    save_net(folder / START_FILE, regressor, spec, epoch=0)


def started_from(folder: Path, net: Regressor | None) -> Regressor | None:
    """Return the net that the training in a folder began with, where it began with one; `net` where it is new."""
    kept = folder / START_FILE
    return load_net(kept)[0] if kept.is_file() else net


def start_digest(folder: Path) -> dict[str, Any]:
    """Return what provenance.json says of the start: digest and source; nothing where weights were drawn."""
    kept, said = folder / START_FILE, folder / SOURCE_FILE
    if not kept.is_file():
        return {}
    source = {"start": json.loads(said.read_text(encoding="utf-8"))} if said.is_file() else {}
    return {"start_sha256": hashlib.sha256(kept.read_bytes()).hexdigest(), **source}
