"""From one config to one run folder."""

from __future__ import annotations

__all__ = ["relative_path", "shown_samples", "train"]

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w

from ram.data.dataset import Dataset
from ram.data.workers import reading_ahead
from ram.errors import ConfigError, DataError, explained
from ram.maps.regression_map import save_maps
from ram.maps.sight import Sight
from ram.models.regressor import Regressor
from ram.randomness import seed_of
from ram.runs.config import Experiment, load_experiment
from ram.runs.manifest import write_manifest
from ram.runs.net import save_net
from ram.runs.provenance import provenance
from ram.runs.repeatable import repeatable
from ram.runs.run import ENSEMBLE_FILE, Run, open_run
from ram.storage.atomic import write_json, write_text
from ram.training.checkpoints import Checkpoints
from ram.training.loop import Epoch, Fit, fit
from ram.training.prepare import Prepared, prepare
from ram.training.progress import TrainingProgress, say_checked, say_differences, say_sight, say_warm
from ram.training.results import write_results
from ram.training.resuming import fingerprint, is_finished, require_run, run_folder, settle_provenance
from ram.training.starting import describing, start_digest, started_from, write_start
from ram.training.stopping import Stop, stopping
from ram.training.team import Team, alone
from ram.training.trackers import tracking
from ram.training.warm_start import WarmStart, given_net, source_left, source_of, warmed

Watch = Callable[[Epoch], None]


def train(
    config: str | Path | Mapping[str, Any] | Experiment,
    *,
    data: str | Path | Dataset | None = None,
    output: str | Path | None = None,
    overrides: Sequence[str] = (),
    resume: bool = False,
    seeds: int | Sequence[int] | None = None,
    progress: bool | None = None,
    net: Regressor | None = None,
    init_from: str | Path | None = None,
    on_epoch: Watch | None = None,
) -> Run:
    """Train the net of an experiment and return its run.

    SIGINT, SIGTERM and SIGUSR1 end the training after the step under way, its state kept in the run's folder; a second
    signal does what it did before.

    Parameters
    ----------
    config
        A TOML file, or what stands in one; with `resume` also the folder of a run.
    data
        Another data file than the config's.
    output
        The run's folder, which must not exist; ``runs/<name>-<digest>`` where it is not given.
    overrides
        Such as ``"training.epochs=50"``.
    resume
        Go on with the run where its folder exists, start it where it does not, return it where it is finished. The
        outcome has the same bytes as if the run had never been stopped.
    seeds
        Train so many nets, with the experiment's seed and those after it, or with these seeds; what is returned is
        their `ram.runs.ensemble.Ensemble`, which answers as one run. With `resume` members that are finished are
        kept, and the one under way is gone on with.
    progress
        Show progress; None: on a terminal only. Where it is False, nothing is said of the data check either; what
        it found is in the run's checks.json.
    net
        What to start from in place of drawn weights: what `ram.adapt` returned, or a trained net that the config's
        model describes. It is copied, and kept in the run's start.safetensors.
    init_from
        The folder of a run whose weights are begun with, as far as they fit by name and shape. What was taken and what
        not is said, and kept in start.json and provenance.json.
    on_epoch
        Called after each epoch, before the state is kept; what it raises ends the training.

    Raises
    ------
    ConfigError, DataError, ModelError
        Before anything is written, where config, data and net do not fit each other, or a run that is gone on with.
    TrainingError
        Where a loss is not finite; the best checkpoint so far and the state of the last epoch stay in the folder.
    Stopped
        By a signal; a KeyboardInterrupt that says how to go on.
    """
    if seeds is not None or _is_ensemble(config):
        from ram.training.ensemble import train_ensemble

        alone("several seeds")
        if init_from is not None:  # nets that begin alike disagree too little to say how far they are off
            raise ConfigError(explained(where="train", what="init_from", allowed="given without seeds", got="both"))
        return train_ensemble(
            config, seeds=seeds, data=data, output=output, overrides=overrides, resume=resume, progress=progress
        )
    experiment, wish = _asked(config, output, overrides, resume=resume)
    source = None if init_from is None else source_of(init_from, net=net)
    net = net if source is None else given_net(source)
    experiment = experiment if net is None else describing(net, experiment)
    with stopping() as stop, repeatable(experiment.training.threads), ExitStack() as held:
        team = Team.start(experiment.training)
        held.enter_context(team.together())

        def early() -> Path | None:
            """Take the folder at once where it is known: the data check may take minutes."""
            begun = wish is not None and (resume or wish.exists())
            return held.enter_context(run_folder(wish, experiment, resume=resume)) if wish and begun else None

        folder = team.told(early)
        if folder is not None:
            if team.told(partial(is_finished, folder)):
                return open_run(folder)
            net, source = started_from(folder, net), source_left(folder, source)
        with stop.at_once():
            prepared = prepare(experiment, data=data, net=net, processes=team.places.on_this_machine)
            warm = None if source is None else warmed(prepared.regressor, prepared.spec, source, given=net is not None)
        team.same(prepared.data.digest, what="the data's digest")
        if progress is not False and team.first:
            say_checked(prepared.findings, samples=len(prepared.data))
            say_sight(Sight.of(prepared.regressor, prepared.data.axes))
            say_warm(warm)
        if folder is None:
            folder = team.told(lambda: _named(wish, prepared, held, warm, resume=resume))
        stop.says = f"go on with 'ram train --resume {folder}'"
        if warm is not None and team.first:
            warm.write(folder)
        start = prepared.regressor if warm else net
        _execute(prepared, folder, stop, team, net=start, progress=progress, watch=on_epoch)
        team.wait()
    return open_run(folder)


def _is_ensemble(config: str | Path | Mapping[str, Any] | Experiment) -> bool:
    """Whether what is to be gone on with is a folder with runs of several seeds."""
    return isinstance(config, (str, Path)) and (Path(config) / ENSEMBLE_FILE).is_file()


def _asked(
    config: str | Path | Mapping[str, Any] | Experiment,
    output: str | Path | None,
    overrides: Sequence[str],
    *,
    resume: bool,
) -> tuple[Experiment, Path | None]:
    """Return the experiment and the folder that is asked for, if one is."""
    wish = None if output is None else Path(output)
    if isinstance(config, (str, Path)) and Path(config).is_dir():
        folder = Path(config)
        if not resume:
            step = "Add --resume to go on with the run in this folder"
            raise ConfigError(
                explained(
                    where=str(config), what="an experiment", allowed="a TOML file", got="a folder", next_step=step
                )
            )
        require_run(folder)
        return load_experiment(folder / "config.toml", overrides=overrides), wish or folder
    return load_experiment(config, overrides=overrides), wish


def _named(wish: Path | None, prepared: Prepared, held: ExitStack, warm: WarmStart | None, *, resume: bool) -> Path:
    """Return the run's folder, locked; without a wish ``runs/<name>-<digest>``, or the first free ``...-2``, ``-3``."""
    experiment = prepared.experiment
    if wish is not None:
        return held.enter_context(run_folder(wish, experiment, resume=resume))
    said = json.dumps(experiment.decisive(), sort_keys=True)
    begun = () if warm is None else (warm.checkpoint_sha256,)
    digest = f"{seed_of(experiment.seed, said, prepared.data.digest, *begun):032x}"[:4]
    path = free = Path("runs") / f"{experiment.name}-{digest}"
    number = 1
    while free.exists() and not resume:
        number += 1
        free = path.with_name(f"{path.name}-{number}")
    return held.enter_context(run_folder(free, experiment, resume=resume))


def _execute(
    prepared: Prepared,
    folder: Path,
    stop: Stop,
    team: Team,
    *,
    net: Regressor | None,
    progress: bool | None,
    watch: Watch | None,
) -> None:
    """Train and measure in a folder that is held, from wherever it stands; nothing where the run is finished."""
    if team.told(lambda: is_finished(folder)):
        return
    team.told(lambda: _begin(prepared, folder, net=net, progress=progress))
    if not team.first:
        _fit(prepared, folder, stop, team, progress=False, watchers=())
        return
    units = {target.name: target.unit for target in prepared.spec.targets}
    with tracking(prepared.experiment, folder, units) as tracked:
        watchers = (tracked.on_epoch, *([watch] if watch else []))
        with _timed(folder) as times:
            _fit(prepared, folder, stop, team, progress=progress, watchers=watchers)
        _finish(prepared, folder, stop, times)
        run = Run(folder)
        tracked.on_test(run.metrics["test"], epoch=len(run.history))


def _begin(prepared: Prepared, folder: Path, *, net: Regressor | None, progress: bool | None) -> None:
    """Write what the run is of, or hold it against what stands there."""
    if net is not None:  # before the config, by which a run is known: none is there without its start
        write_start(folder, prepared.regressor, prepared.spec, net=net)
    if not (folder / "config.toml").exists():
        write_text(folder / "config.toml", _complete_config(prepared, folder))
    differences = settle_provenance(folder, _provenance(prepared) | start_digest(folder))
    if differences and progress is not False:
        say_differences(differences)
    write_json(folder / "checks.json", _findings(prepared))


def _complete_config(prepared: Prepared, folder: Path) -> str:
    content = prepared.experiment.model_dump(mode="json")
    content["data"]["file"] = relative_path(prepared.data.path, folder)
    return tomli_w.dumps(content)


def relative_path(path: Path, folder: Path) -> str:
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


def _fit(
    prepared: Prepared,
    folder: Path,
    stop: Stop,
    team: Team,
    *,
    progress: bool | None,
    watchers: Sequence[Watch],
) -> None:
    """Train; history, state and the best checkpoint are in the folder afterwards."""
    experiment = prepared.experiment
    units = {target.name: target.unit for target in prepared.spec.targets}
    shown = TrainingProgress(
        epochs=experiment.training.epochs, samples=len(prepared.train), units=units, visible=progress
    )

    def on_epoch(epoch: Epoch) -> None:
        if epoch.best:
            save_net(folder / "checkpoint.safetensors", prepared.regressor, prepared.spec, epoch=epoch.epoch)
        shown.on_epoch(epoch)
        for watch in watchers:
            watch(epoch)

    checkpoints = Checkpoints(
        folder,
        belongs_to={"config": fingerprint(experiment), "data": prepared.data.digest},
        minutes=experiment.training.checkpoint_minutes,
        stop=stop,
        team=team,
    )
    rows = prepared.train.data.indices
    parts, settings = (prepared.train, prepared.validation), experiment.training
    ahead = reading_ahead(parts, count=settings.workers, start=settings.worker_start)
    with shown, ahead:
        shown.say(str(prepared.train.loading))
        fit(
            prepared.regressor,
            prepared.train,
            prepared.validation,
            fit=Fit(
                experiment.training,
                experiment.seed,
                prepared.group,
                rows,
                on_epoch,
                shown.on_step,
                checkpoints,
                team,
                prepared.supervision,
            ),
        )


@contextmanager
def _timed(folder: Path) -> Iterator[dict[str, float]]:
    """Yield what will say how long training took, earlier parts of it that were stopped by a signal included."""
    path, times, started = folder / "times.json", {"training_s": 0.0}, time.monotonic()
    if path.is_file():
        times |= json.loads(path.read_text(encoding="utf-8"))
    try:
        yield times
    except BaseException:
        with suppress(DataError):  # a full disk may be why
            write_json(path, {**times, "training_s": round(times["training_s"] + time.monotonic() - started, 1)})
        raise
    times["training_s"] = round(times["training_s"] + time.monotonic() - started, 1)


def _finish(prepared: Prepared, folder: Path, stop: Stop, times: dict[str, float]) -> None:
    """Predict, explain and measure with the best checkpoint; the manifest comes last."""
    started = time.monotonic()

    def progress(_: int) -> None:
        stop.check()

    run = Run(folder)
    run.store_references(prepared.train.data, progress=progress)
    write_results(run, prepared.data, progress=progress)
    explain = prepared.experiment.explain
    shown = shown_samples(prepared.data.subset("test", split=prepared.experiment.data.split), explain.samples)
    stop.check()
    save_maps(folder / "maps.h5", run.explain(shown, reference=explain.reference, method=run.method))
    write_json(folder / "times.json", {**times, "evaluation_s": round(time.monotonic() - started, 1)})
    stop.check()
    write_manifest(folder)


def shown_samples(test: Dataset, count: int) -> Dataset:
    """Return the first `count` samples of the test part, those with a truth map before those without."""
    kinds = [key for key in test.truth_kinds if key[1] == "contribution"]
    if not kinds:
        return test[:count]
    known = test.has_truth(*kinds[0])
    return test[np.sort(np.argsort(~known, kind="stable")[:count])]
