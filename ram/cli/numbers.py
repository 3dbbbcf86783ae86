"""What the commands say of how far numbers may be trusted: intervals, what they hold, seeds, who is outside."""

from __future__ import annotations

__all__ = ["interval_figures", "members_of", "say_curve", "say_members", "seeds_in", "shares_in", "trust_lines"]

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ram.cli.output import figure, say_table
from ram.errors import ConfigError, explained

if TYPE_CHECKING:
    from ram.runs.learning_curve import LearningCurve
    from ram.runs.predictions import Predictions
    from ram.runs.run import Run


def seeds_in(words: str) -> int | list[int]:
    """Return how many seeds, or which.

    >>> seeds_in("5"), seeds_in("1,2,7")
    (5, [1, 2, 7])

    Raises
    ------
    ConfigError
        For a word that is no number.
    """
    numbers = [word.strip() for word in words.split(",") if word.strip()]
    if not numbers or not all(number.isdecimal() for number in numbers):
        allowed = "a number or numbers with commas between, such as 5 or 1,2,7"
        raise ConfigError(explained(where="--seeds", what="the seeds", allowed=allowed, got=f"'{words}'"))
    return int(numbers[0]) if "," not in words else [int(number) for number in numbers]


def shares_in(words: str) -> list[float]:
    """Return shares given with commas between.

    >>> shares_in("0.1,0.5,1")
    [0.1, 0.5, 1.0]

    Raises
    ------
    ConfigError
        For a word that is no number.
    """
    try:
        return [float(word) for word in words.split(",") if word.strip()]
    except ValueError:
        allowed = "numbers with commas between, such as 0.1,0.25,0.5,1"
        raise ConfigError(explained(where="--shares", what="the shares", allowed=allowed, got=f"'{words}'")) from None


def say_curve(curve: LearningCurve) -> None:
    """Print the error of each target against the number of training samples."""
    rows = []
    for row in curve.table:
        units = {"mae": row["unit"], "rmse": row["unit"], "mape": "%", "r2": "1"}
        pairs = [_pair({"mean": row[key], "std": row[f"{key}_std"]}, unit) for key, unit in units.items()]
        rows.append([row["target"], f"{row['share']:g}", f"{row['samples']:,}", *pairs])
    rows.sort(key=lambda row: row[0])
    say_table("test part", ["target", "share", "samples", "MAE", "RMSE", "MAPE", "R2"], rows)


def members_of(run: Run) -> dict[str, Any]:
    """Return what a script would ask of an ensemble's members; nothing for a single run."""
    from ram.runs.ensemble import Ensemble

    if not isinstance(run, Ensemble):
        return {}
    return {"members": [str(one.path) for one in run.members], "seeds": list(run.seeds), "spread": run.spread}


def say_members(run: Run) -> None:
    """Print how the runs of an ensemble spread over their seeds; nothing for a single run."""
    from ram.runs.ensemble import Ensemble

    if not isinstance(run, Ensemble):
        return
    rows = []
    for name, of in run.spread["test"].items():
        pairs = [
            _pair(of["mae"], of["unit"]),
            _pair(of["rmse"], of["unit"]),
            _pair(of["mape"], "%"),
            _pair(of["r2"], "1"),
        ]
        rows.append([name, *pairs])
    seeds = ", ".join(map(str, run.seeds))
    say_table(
        f"{len(run.seeds)} members, seeds {seeds}: mean +- standard deviation over the seeds",
        ["target", "MAE", "RMSE", "MAPE", "R2"],
        rows,
    )


def _pair(of: Mapping[str, Any], unit: str) -> str:
    if of["mean"] is None:
        return "-"
    words = f"{of['mean']:.4g}" if of["std"] is None else f"{of['mean']:.4g} +- {of['std']:.2g}"
    return words if unit == "1" else f"{words} {unit}"


def interval_figures(of: Mapping[str, Any]) -> list[str]:
    """Return half the mean width of a target's intervals, and the share of the test part that they hold."""
    half = "infinite" if of["width"] is None else figure(of["width"] / 2, unit=of["unit"])
    return [half, f"{100 * of['coverage']:.3g} %"]


def trust_lines(run: Run, predicted: Predictions) -> Iterator[str]:
    """Yield what a reader of predictions must know of them: what intervals promise, and who is outside."""
    if not predicted.has_intervals or run.calibration is None:
        return
    yield f"intervals hold {100 * predicted.level:.3g} % of new samples like the run's own"
    wide = [name for name, scores in run.calibration.errors.items() if math.isinf(scores.radius(predicted.level))]
    if wide:
        groups = min(run.calibration.errors[name].groups for name in wide)
        needed = math.ceil(predicted.level / (1 - predicted.level) - 1e-9)
        many = f"{groups} group{'s' if groups != 1 else ''}"
        why = f"{many} calibrated, {100 * predicted.level:.3g} % needs {needed}"
        yield f"intervals of {', '.join(wide)} are infinite: {why}"
    if predicted.alarm > 0:
        found = int(predicted.is_outside.sum())
        yield (
            f"{found} of {len(predicted)} samples {'is' if found == 1 else 'are'} unlike what the net was trained on "
            f"(column outside; {100 * predicted.alarm:.2g} % of good ones would be)"
        )
