"""Error against the size of the training part as one command: runs on nested shares, a table and a picture."""

from __future__ import annotations

__all__ = ["SHARES", "learning_curve", "shares_of"]

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ram.data.dataset import Dataset
from ram.errors import ConfigError, Stopped, explained
from ram.runs.config import Experiment, load_experiment
from ram.runs.ensemble import Ensemble
from ram.runs.learning_curve import CURVE_FILE, LearningCurve, Row, falls_as, folder_name
from ram.runs.lock import locked
from ram.runs.manifest import write_manifest
from ram.runs.run import Run
from ram.storage.atomic import write_bytes, write_json
from ram.training.resuming import is_finished
from ram.training.several import begin, folder_for
from ram.training.train import train

SHARES = (0.1, 0.25, 0.5, 1.0)
_FIGURES = ("mae", "rmse", "mape", "r2")


def learning_curve(
    config: str | Path | Mapping[str, Any] | Experiment,
    *,
    shares: Sequence[float] | None = None,
    seeds: int | Sequence[int] | None = None,
    same_steps: bool = False,
    data: str | Path | Dataset | None = None,
    output: str | Path | None = None,
    overrides: Sequence[str] = (),
    resume: bool = False,
    progress: bool | None = None,
) -> LearningCurve:
    """Train on shares of the training part, each of which holds the smaller ones; validation and test stay whole.

    Which samples belong to a share is a function of the experiment's seed and their groups (or ids).

    Parameters
    ----------
    shares
        Of the training part, above 0 to 1; `SHARES` where nothing is said.
    seeds
        Several for each share, as for `ram.train`: their spread is shown.
    same_steps
        Let every run take as many steps as that on the whole part, by more epochs: as long a training for each share,
        so that what is seen is the data and not the steps.
    config, data, output, overrides, resume, progress
        As for `ram.train`; with `resume` also the folder of a curve.

    Raises
    ------
    ConfigError
        For shares that are none, or a folder that is there and is not to be gone on with.
    DataError, ModelError, TrainingError, Stopped
        As for `ram.train`, for a run.
    """
    folder = None if output is None else Path(output)
    if isinstance(config, (str, Path)) and (Path(config) / CURVE_FILE).is_file():
        kept = LearningCurve(Path(config)).settings
        folder, config = folder or Path(config), Path(config) / "config.toml"
        shares, seeds = shares or kept["shares"], kept["seeds"] if seeds is None else seeds
        same_steps = same_steps or kept["same_steps"]
    experiment = load_experiment(config, overrides=overrides)
    chosen = shares_of(SHARES if shares is None else shares)
    listed = seeds if seeds is None or isinstance(seeds, int) else list(seeds)
    content = {"schema": "ram-learning-curve/1", "shares": list(chosen), "seeds": listed, "same_steps": same_steps}
    folder = folder_for(experiment, content, folder, kind="curve", resume=resume)
    with locked(folder):
        begin(folder, CURVE_FILE, content, experiment, data=data, what="the learning curve")
        if not is_finished(folder):
            runs = [_run(experiment, share, folder, content, data=data, progress=progress) for share in chosen]
            _finish(folder, runs, chosen)
    return LearningCurve(folder)


def shares_of(shares: Sequence[float]) -> tuple[float, ...]:
    """Return the shares, ascending.

    Raises
    ------
    ConfigError
        For fewer than two, one that is there twice, or one that is not above 0 and at most 1.
    """
    found = tuple(sorted(float(share) for share in shares))
    if len(found) < 2 or len(set(found)) < len(found) or not (found[0] > 0 and found[-1] <= 1):
        raise ConfigError(
            explained(
                where="shares",
                what="the shares of the training part",
                allowed="2 or more, distinct, above 0 and at most 1",
                got=", ".join(f"{share:g}" for share in found) or "none",
                next_step="Such as 0.1,0.25,0.5,1",
            )
        )
    return found


def _run(
    experiment: Experiment,
    share: float,
    folder: Path,
    content: Mapping[str, Any],
    *,
    data: str | Path | Dataset | None,
    progress: bool | None,
) -> Run:
    """Return the run on a share, trained or gone on with."""
    path = folder / folder_name(share)
    overrides = [f"data.train_share={share!r}"]
    if content["same_steps"]:
        overrides.append(f"training.epochs={round(experiment.training.epochs / share)}")
    try:
        return train(
            experiment,
            data=data,
            output=path,
            overrides=overrides,
            seeds=content["seeds"],
            resume=True,
            progress=progress,
        )
    except Stopped as stopped:
        said = str(stopped).replace(f"ram train --resume {path}", f"ram learning-curve --resume {folder}")
        raise Stopped(said) from None


def _finish(folder: Path, runs: Sequence[Run], shares: Sequence[float]) -> None:
    """Write table.json and learning_curve.png; the manifest comes last."""
    rows = [row for run, share in zip(runs, shares, strict=True) for row in _rows(run, share)]
    targets = dict.fromkeys(row["target"] for row in rows)
    slopes = {target: falls_as([row for row in rows if row["target"] == target]) for target in targets}
    write_json(folder / "table.json", {"rows": rows, "falls_as": slopes})
    with io.BytesIO() as buffer:
        LearningCurve(folder).plot().savefig(buffer, format="png", dpi=140, metadata={"Software": None})
        write_bytes(folder / "learning_curve.png", buffer.getvalue())
    write_manifest(folder)


def _rows(run: Run, share: float) -> list[Row]:
    """Return the figures of the test part: one run's, or mean and spread over the members of an ensemble."""
    samples = len(run.predictions("train"))
    rows = []
    for target, figures in run.metrics["test"].items():
        row: Row = {"share": share, "samples": samples, "target": target, "unit": figures["unit"]}
        for name in _FIGURES:
            several = run.spread["test"][target][name] if isinstance(run, Ensemble) else None
            row[name] = figures[name] if several is None else several["mean"]
            row[f"{name}_std"] = None if several is None else several["std"]
        rows.append(row)
    return rows
