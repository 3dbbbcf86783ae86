"""The keys of an experiment as a table: schema for editors, complete TOML for people, differences between two of them."""

from __future__ import annotations

__all__ = ["NOT_GIVEN", "REQUIRED", "Difference", "as_toml", "changed", "differences", "flat", "schema"]

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import tomli_w

from ram.runs.config import Experiment

NOT_GIVEN, REQUIRED = "not given", "required"
_MINIMAL = {"name": "n", "data": {"file": "f", "targets": ["t"]}}
_MUST = ("name", "data.file", "data.targets")
_HEAD = re.compile(r"\[(.+)\]$")
_KEY = re.compile(r"(\S+) = ")


class Difference(NamedTuple):
    """Two values of one key; `NOT_GIVEN` where there is none."""

    first: Any
    second: Any


def schema() -> dict[str, Any]:
    """Return the JSON schema (2020-12) of an experiment's file, with defaults and descriptions, for editors.

    >>> schema()["properties"]["training"]["$ref"]
    '#/$defs/TrainingConfig'
    """
    content: dict[str, Any] = _without_null(Experiment.model_json_schema())
    # Of a mapping all targets are regressed where none are named.
    data = content["$defs"]["DataConfig"]
    data["required"] = ["file"]
    data["anyOf"] = [{"required": ["targets"]}, {"required": ["mapping"]}]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **content, "title": "An experiment of ram"}


def _without_null(part: Any) -> Any:
    """Leave out what TOML has no word for."""
    if isinstance(part, list):
        return [_without_null(one) for one in part if one != {"type": "null"}]
    if not isinstance(part, dict):
        return part
    kept = {key: _without_null(value) for key, value in part.items() if not (key == "default" and value is None)}
    alone = kept.get("anyOf", ())
    if len(alone) == 1 and alone != part["anyOf"]:
        del kept["anyOf"]
        return {**alone[0], **kept}
    return kept


def as_toml(experiment: Experiment, *, marked: bool = False) -> str:
    """Return the experiment with every default written out; read again, it is the same.

    Parameters
    ----------
    marked
        Say behind each key that differs from its default what the default is.
    """
    text = tomli_w.dumps(experiment.model_dump(mode="json"))
    return _with_marks(text, changed(experiment)) if marked else text


def _with_marks(text: str, changes: Mapping[str, Difference]) -> str:
    lines, section = [], ""
    for line in text.splitlines():
        head, key = _HEAD.match(line), _KEY.match(line)
        section = f"{head[1]}." if head else section
        name = f"{section}{key[1]}" if key else ""
        lines.append(f"{line}  # {_default(changes[name])}" if name in changes else line)
    return "\n".join(lines) + "\n"


def _default(change: Difference) -> str:
    if change.second == NOT_GIVEN:
        return "not given by default"
    return REQUIRED if change.second == REQUIRED else f"default: {json.dumps(change.second)}"


def changed(experiment: Experiment) -> dict[str, Difference]:
    """Return the keys that differ from their default: value and default, by dotted name.

    >>> from ram.runs.config import load_experiment
    >>> wheel = load_experiment({"name": "wheel", "seed": 3, "data": {"file": "wheel.h5", "targets": ["umbrella"]}})
    >>> changed(wheel)["seed"]
    Difference(first=3, second=0)
    """
    found = differences(experiment, Experiment.model_validate(_MINIMAL))
    must = {key: Difference(value, REQUIRED) for key, value in _flat_of(experiment).items() if key in _MUST}
    return {key: must.get(key, found.get(key, Difference(None, None))) for key in (*must, *found)}


def differences(first: Experiment, second: Experiment) -> dict[str, Difference]:
    """Return the keys in which two experiments differ, by dotted name, in the order of the sections."""
    one, other = _flat_of(first), _flat_of(second)
    pairs = {key: Difference(one.get(key, NOT_GIVEN), other.get(key, NOT_GIVEN)) for key in {**one, **other}}
    return {key: pair for key, pair in pairs.items() if pair.first != pair.second}


def _flat_of(experiment: Experiment) -> dict[str, Any]:
    return flat(experiment.model_dump(mode="json"))


def flat(content: Mapping[str, Any], *, prefix: str = "") -> dict[str, Any]:
    """Return a nested table as one of dotted names.

    >>> flat({"seed": 3, "model": {"depth": 1, "widths": [8, 16]}})
    {'seed': 3, 'model.depth': 1, 'model.widths': [8, 16]}
    """
    found: dict[str, Any] = {}
    for key, value in content.items():
        name = f"{prefix}{key}"
        found |= flat(value, prefix=f"{name}.") if isinstance(value, Mapping) else {name: value}
    return found
