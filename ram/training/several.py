"""Folders that hold several runs: made once, described at once, gone on with as they were begun."""

from __future__ import annotations

__all__ = ["begin", "folder_for"]

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w

from ram.data.dataset import Dataset
from ram.errors import ConfigError, explained
from ram.randomness import seed_of
from ram.runs.config import Experiment
from ram.storage.atomic import write_json, write_text
from ram.training.train import relative_path


def folder_for(
    experiment: Experiment, content: Mapping[str, Any], output: Path | None, *, kind: str, resume: bool
) -> Path:
    """Return the folder for several runs, made; without a wish the first free ``runs/<name>-<kind>-<digest>``.

    Raises
    ------
    ConfigError
        It is there, and is not to be gone on with.
    """
    said = json.dumps([experiment.decisive(), dict(content)], sort_keys=True)
    digest = f"{seed_of(0, said):032x}"[:4]
    wish = output or Path("runs") / f"{experiment.name}-{kind}-{digest}"
    path, number = wish, 1
    while path.exists() and not resume:
        if output is not None:
            step = "Choose another --output, add --resume to go on with it, or remove it"
            got = "a folder or file that exists"
            raise ConfigError(
                explained(where=str(path), what="the folder for several runs", allowed="new", got=got, next_step=step)
            )
        number += 1
        path = wish.with_name(f"{wish.name}-{number}")
    path.mkdir(parents=True, exist_ok=True)
    return path


def begin(
    folder: Path,
    name: str,
    content: Mapping[str, Any],
    experiment: Experiment,
    *,
    data: str | Path | Dataset | None,
    what: str,
) -> None:
    """Write what the folder is (file `name`) and its config, or hold `content` against what is there.

    Raises
    ------
    ConfigError
        It was begun with something else; `what` that is, in words.
    """
    path = folder / name
    if not path.is_file():
        file = data.path if isinstance(data, Dataset) else Path(data or experiment.data.file)
        said = experiment.model_dump(mode="json")
        said["data"]["file"] = relative_path(file, folder)
        write_text(folder / "config.toml", tomli_w.dumps(said))
        write_json(path, content)
        return
    kept = json.loads(path.read_text(encoding="utf-8"))
    different = [key for key in content if kept.get(key) != content[key]]
    if different:
        before, now = (", ".join(str(of.get(key)) for key in different) for of in (kept, content))
        step = "Choose another --output"
        raise ConfigError(
            explained(where=str(folder), what=what, allowed=f"as it was begun, {before}", got=now, next_step=step)
        )
