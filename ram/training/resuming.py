"""What must be as it was where a run is gone on with."""

from __future__ import annotations

__all__ = ["fingerprint", "is_finished", "require_run", "run_folder", "settle_provenance"]

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ram.errors import ConfigError, DataError, explained
from ram.runs.config import Experiment, load_experiment
from ram.runs.lock import LOCK, locked
from ram.runs.provenance import environment_differences
from ram.runs.settings import NOT_GIVEN, Difference, flat
from ram.storage.atomic import discard_leftovers, naming_disk_trouble, write_json

_MANY = 4


def fingerprint(experiment: Experiment) -> str:
    """Return a digest of what results depend on in a config."""
    return hashlib.sha256(json.dumps(experiment.decisive(), sort_keys=True).encode()).hexdigest()[:32]


def is_finished(folder: Path) -> bool:
    """Whether all of a run is there: the manifest is written last."""
    return (folder / "manifest.json").is_file()


def require_run(folder: Path) -> None:
    """Refuse a folder that no training has begun in.

    Raises
    ------
    ConfigError
        There is no config.toml.
    """
    if not (folder / "config.toml").is_file():
        got, step = "a folder without config.toml", "Give the experiment's TOML file, and the folder as --output"
        raise ConfigError(
            explained(where=str(folder), what="a run", allowed="begun by 'ram train'", got=got, next_step=step)
        )


@contextlib.contextmanager
def run_folder(path: Path, experiment: Experiment, *, resume: bool) -> Iterator[Path]:
    """Yield the folder of a run, made where it is new, and held against other processes unless the run is finished.

    Raises
    ------
    ConfigError
        It exists and is not to be gone on with, another process is at work there, or it holds another experiment or
        none.
    """
    made = _make(path, resume=resume)
    if is_finished(path):
        _require_same(path, experiment)
        yield path
        return
    try:
        with locked(path):
            discard_leftovers(path)
            _require_same(path, experiment)
            yield path
    finally:
        if made:
            with contextlib.suppress(OSError):
                path.rmdir()  # where nothing could be written


def _make(path: Path, *, resume: bool) -> bool:
    """Make the folder; returns whether it is new."""
    with naming_disk_trouble(path):
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            if not resume or not path.is_dir():
                raise ConfigError(_is_there(path)) from None
            return False
    return True


def _is_there(path: Path) -> str:
    begun = (path / "config.toml").is_file()
    return explained(
        where=str(path),
        what="the run's folder",
        allowed="new",
        got="a folder or file that exists",
        next_step=f"Choose another --output, {'add --resume to go on with it, ' if begun else ''}or remove it",
    )


def _require_same(folder: Path, experiment: Experiment) -> None:
    """Refuse a folder that holds another experiment, or something else."""
    kept = folder / "config.toml"
    if not kept.is_file():
        if any(file.name != LOCK for file in folder.iterdir()):
            require_run(folder)
        return
    before, now = (flat(one.decisive()) for one in (load_experiment(kept), experiment))
    pairs = {key: Difference(before.get(key, NOT_GIVEN), now.get(key, NOT_GIVEN)) for key in {**before, **now}}
    differences = _texts({key: pair for key, pair in pairs.items() if pair.first != pair.second})
    if differences:
        raise ConfigError(
            explained(
                where=str(folder),
                what="the experiment",
                allowed="the one that the run was begun with",
                got=_shortened(differences),
                next_step="Choose another --output for it",
            )
        )


def settle_provenance(folder: Path, now: Mapping[str, Any]) -> list[str]:
    """Write provenance.json, or hold it against `now`; returns what is other than it was, which is noted there too.

    Raises
    ------
    DataError
        The data are other ones.
    """
    path = folder / "provenance.json"
    if not path.is_file():
        write_json(path, now)
        return []
    before: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if before["data"]["digest"] != now["data"]["digest"]:
        raise DataError(
            explained(
                where=str(folder),
                what="the data",
                allowed=f"those that the run was begun with, digest {before['data']['digest']}",
                got=now["data"]["digest"],
                next_step="Give those with --data, or begin a new run",
            )
        )
    resumed = before.get("resumed", [])
    differences = _texts(environment_differences(before, now))
    if differences and differences not in resumed:
        write_json(path, {**before, "resumed": [*resumed, differences]})
    return differences


def _texts(differences: Mapping[str, Difference]) -> list[str]:
    """Return ``"section.key: old, now new"`` for everything that differs."""
    return [f"{key}: {_said(pair.first)}, now {_said(pair.second)}" for key, pair in sorted(differences.items())]


def _said(value: Any) -> str:
    return str(value) if value == NOT_GIVEN else json.dumps(value, ensure_ascii=False)


def _shortened(differences: list[str]) -> str:
    more = f" and {len(differences) - _MANY} more" if len(differences) > _MANY else ""
    return "; ".join(differences[:_MANY]) + more
