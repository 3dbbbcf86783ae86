"""From one config to one run folder."""

from __future__ import annotations

__all__ = ["train"]

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
import torch

from ram.data.dataset import Dataset
from ram.errors import ConfigError, explained
from ram.maps.regression_map import save_maps
from ram.randomness import seed_of
from ram.runs.config import Experiment, load_experiment
from ram.runs.manifest import write_manifest
from ram.runs.net import save_net
from ram.runs.provenance import provenance
from ram.runs.run import Run, open_run
from ram.storage.atomic import write_json, write_text
from ram.training.loop import Epoch, Fit, fit
from ram.training.prepare import Prepared, prepare
from ram.training.progress import TrainingProgress, say_checked
from ram.training.results import write_results


def train(
    config: str | Path | Mapping[str, Any] | Experiment,
    *,
    data: str | Path | Dataset | None = None,
    output: str | Path | None = None,
    overrides: Sequence[str] = (),
    progress: bool | None = None,
) -> Run:
    """Train the net of an experiment and return its run.

    Parameters
    ----------
    config
        A TOML file, or what stands in one.
    data
        Another data file than the config's.
    output
        The run's folder, which must not exist; ``runs/<name>-<digest>`` where it is not given.
    overrides
        Such as ``"training.epochs=50"``.
    progress
        Show progress; None: on a terminal only. Where it is False, nothing is said of the data check either; what
        it found is in the run's checks.json.

    Raises
    ------
    ConfigError, DataError, ModelError
        Before anything is written, where config, data and net do not fit each other.
    TrainingError
        Where a loss is not finite; the best checkpoint so far stays in the folder.
    """
    experiment = load_experiment(config, overrides=overrides)
    if output is not None and Path(output).exists():
        raise ConfigError(_is_there(Path(output)))  # before the data are checked, which may take minutes
    with _repeatable(experiment.training.threads):
        prepared = prepare(experiment, data=data)
        if progress is not False:
            say_checked(prepared.findings, samples=len(prepared.data))
        folder = _create(output, prepared)
        write_text(folder / "config.toml", _complete_config(prepared, folder))
        write_json(folder / "provenance.json", _provenance(prepared))
        write_json(folder / "checks.json", _findings(prepared))
        times = _fit(prepared, folder, progress=progress)
        _finish(prepared, folder, times)
    return open_run(folder)


@contextmanager
def _repeatable(threads: int) -> Iterator[None]:
    """Fix the number of threads and ask for deterministic algorithms; both as before afterwards."""
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(mode=True)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1])


def _create(output: str | Path | None, prepared: Prepared) -> Path:
    """Make the run's folder; without a wish, the first free ``runs/<name>-<digest>``, ``...-2``, ``...-3``."""
    if output is not None:
        return _new_folder(Path(output))
    experiment = prepared.experiment
    digest = f"{seed_of(experiment.seed, experiment.model_dump_json(), prepared.data.digest):032x}"[:4]
    number = 1
    while True:
        suffix = "" if number == 1 else f"-{number}"
        try:
            return _new_folder(Path("runs") / f"{experiment.name}-{digest}{suffix}")
        except ConfigError:
            number += 1


def _new_folder(path: Path) -> Path:
    try:
        path.mkdir(parents=True)
    except FileExistsError:
        raise ConfigError(_is_there(path)) from None
    return path


def _is_there(path: Path) -> str:
    return explained(
        where=str(path),
        what="the run's folder",
        allowed="new",
        got="a folder or file that exists",
        next_step="Choose another --output, or remove it",
    )


def _complete_config(prepared: Prepared, folder: Path) -> str:
    content = prepared.experiment.model_dump(mode="json")
    content["data"]["file"] = _relative(prepared.data.path, folder)
    return tomli_w.dumps(content)


def _relative(path: Path, folder: Path) -> str:
    """`path` seen from the run's folder, so that a tree of data and runs can be moved or compared as one."""
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:  # another drive
        return str(Path(path).resolve())


def _provenance(prepared: Prepared) -> dict[str, Any]:
    experiment = prepared.experiment
    return provenance(
        prepared.data,
        loading=str(prepared.train.loading),
        seed=experiment.seed,
        threads=experiment.training.threads,
    )


def _findings(prepared: Prepared) -> list[dict[str, Any]]:
    """Return what was found in the data; the file by its name alone, so that runs of equal data have equal bytes."""
    return [finding.in_file(prepared.data.path.name).as_dict() for finding in prepared.findings]


def _fit(prepared: Prepared, folder: Path, *, progress: bool | None) -> dict[str, float]:
    """Train; history and the best checkpoint are in the folder afterwards. Returns wall-clock seconds."""
    experiment = prepared.experiment
    units = {target.name: target.unit for target in prepared.spec.targets}
    shown = TrainingProgress(
        epochs=experiment.training.epochs, samples=len(prepared.train), units=units, visible=progress
    )

    def on_epoch(epoch: Epoch) -> None:
        if epoch.best:
            save_net(folder / "checkpoint.safetensors", prepared.regressor, prepared.spec, epoch=epoch.epoch)
        with (folder / "history.jsonl").open("a", encoding="utf-8") as history:
            history.write(json.dumps(epoch.as_dict()) + "\n")
        shown.on_epoch(epoch)

    started = time.time()
    with shown:
        shown.say(str(prepared.train.loading))
        fit(
            prepared.regressor,
            prepared.train,
            prepared.validation,
            fit=Fit(
                experiment.training,
                experiment.seed,
                prepared.group,
                prepared.train.data.indices,
                on_epoch,
                shown.on_step,
            ),
        )
    return {"training_s": round(time.time() - started, 1)}


def _finish(prepared: Prepared, folder: Path, times: dict[str, float]) -> None:
    """Predict, explain and measure with the best checkpoint; the manifest comes last."""
    started = time.time()
    run = Run(folder)
    run.store_references(prepared.train.data)
    write_results(run, prepared.data)
    explain = prepared.experiment.explain
    shown = shown_samples(prepared.data.subset("test", split=prepared.experiment.data.split), explain.samples)
    save_maps(folder / "maps.h5", run.explain(shown, reference=explain.reference, method=run.method))
    write_json(folder / "times.json", {**times, "evaluation_s": round(time.time() - started, 1)})
    write_manifest(folder)


def shown_samples(test: Dataset, count: int) -> Dataset:
    """Return the first `count` samples of the test part, those with a truth map before those without."""
    kinds = [key for key in test.truth_kinds if key[1] == "contribution"]
    if not kinds:
        return test[:count]
    known = test.has_truth(*kinds[0])
    return test[np.sort(np.argsort(~known, kind="stable")[:count])]
