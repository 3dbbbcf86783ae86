"""The page of a cross-validation by groups: figures of each group, a picture, and the runs they come from."""

from __future__ import annotations

__all__ = ["write_cross_validation"]

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ram.data.leaving_out import MANY_GROUPS
from ram.evaluation.groups import GroupRow
from ram.runs.cross_validation import CrossValidation
from ram.runs.manifest import extend_manifest
from ram.storage.atomic import write_bytes, write_text
from ram.views.groups import MOST_SHOWN, group_picture, group_table
from ram.views.numbers import NOTHING, fixed, writer_for
from ram.views.plain_page import Table, plain_page, section
from ram.views.style import embedded, png, styled

_WHAT = (
    "Each group was left out once: the net that answers for it has seen no sample of it, and nothing was chosen on it. "
    "MAE: mean absolute error; RMSE: root of the mean squared error; bias: mean of predicted − measured; R²: against "
    "the group's own mean; shifted: after the one shift of all predictions that suits the group best; of the mean: "
    "error of always saying the mean of the training part. In the mean over groups each group has the same weight (± "
    "is the standard deviation over the groups)."
)
_BY_SAMPLE = (
    "{share:.0f} % of the samples of the other groups chose the best epoch and calibrated the intervals. They belong "
    "to groups that the net was trained on, so that the epoch that is kept may not be the best for a new group, and "
    "intervals are too narrow for one. From {many} groups beside the one left out, whole ones validate."
)
_BY_GROUP = "Whole groups, about {share:.0f} % of the other samples, chose the best epoch and calibrated the intervals."


def write_cross_validation(found: CrossValidation) -> Path:
    """Write ``report.html`` and ``groups.png`` into the folder; return the page's path.

    Raises
    ------
    DataError
        Where it is not finished, or the data file is gone or another one.
    """
    with styled():
        drawn = {name: _picture(found, name, of) for name, of in found.table.items()}
        sections = [
            _target(found, name, of, embedded(drawn[name], _title(name, of))) for name, of in found.table.items()
        ]
        title = f"{found.runs[0].config.name}: each group left out once"
        page = plain_page(title, [*sections, _runs(found)])
        images = {f"groups{_ending(number)}.png": png(figure) for number, figure in enumerate(drawn.values())}
    for name, content in images.items():
        write_bytes(found.path / name, content)
    write_text(found.path / "report.html", page)
    extend_manifest(found.path, ["report.html", *images])
    return found.path / "report.html"


def _ending(number: int) -> str:
    return f"-{number + 1}" if number else ""


def _rows(of: Mapping[str, Any]) -> list[GroupRow]:
    return [GroupRow.of(row) for row in of["groups"]]


def _title(name: str, of: Mapping[str, Any]) -> str:
    mean, writer = of["over_groups"]["mae"]["mean"], writer_for(of["unit"], error=of["over_samples"]["mae"])
    return f"{name}: mean absolute error on groups never seen, {writer.value(mean)} over {len(of['groups'])} groups"


def _picture(found: CrossValidation, name: str, of: Mapping[str, Any]) -> Any:
    return group_picture(*found.predictions.column(name), found.groups, _rows(of), title=_title(name, of))


def _target(found: CrossValidation, name: str, of: Mapping[str, Any], picture: Mapping[str, str]) -> dict[str, Any]:
    writer, rows = writer_for(of["unit"], error=of["over_samples"]["mae"]), _rows(of)
    table = group_table(rows, over_groups=of["over_groups"], over_samples=of["over_samples"], writer=writer)
    unit = "" if of["unit"] == "1" else f" ({of['unit']})"
    many = f", the {MOST_SHOWN} groups with the largest errors" if len(rows) > MOST_SHOWN else ""
    words = [_WHAT, _validation_words(found)]
    if of["one_net"] is not None:
        mae, seeds = of["one_net"]["mae"]["over_groups"], ", ".join(map(str, of["one_net"]["seeds"]))
        words.append(
            f"The figures are of the mean of nets with seeds {seeds}; one of these nets has a mean over groups of "
            f"{writer.value(mae['mean'])} ± {writer.value(mae['std'])} (standard deviation over the seeds)."
        )
    content = Table(f"{name}{unit}, samples of groups that were left out{many}", table["head"], table["rows"])
    return section(name, [content], words=words, pictures=[picture])


def _validation_words(found: CrossValidation) -> str:
    first, share = found.runs[0], 100 * found.settings["validation_share"]
    data = first.data()
    learned, chosen = (set(data.subset(p, split=first.config.data.split).groups) for p in ("train", "validation"))
    if learned & chosen:
        return _BY_SAMPLE.format(share=share, many=MANY_GROUPS)
    return _BY_GROUP.format(share=share)


def _runs(found: CrossValidation) -> dict[str, Any]:
    rows = []
    for groups, run in zip(found.left_out, found.runs, strict=True):
        counts = [len(run.predictions(part)) for part in ("train", "validation", "test")]
        kept = max((row["epoch"] for row in run.history if row["best"]), default=0)
        shown = ", ".join(groups[:5]) + (f" and {len(groups) - 5} more" if len(groups) > 5 else "")
        maes = [
            NOTHING if (mae := run.metrics["validation"].get(name, {}).get("mae")) is None else fixed(mae, decimals=3)
            for name in found.table
        ]
        rows.append((shown, *(f"{count:,}" for count in counts), str(kept), *maes, run.name))
    heads = [f"MAE on validation, {name}" for name in found.table]
    head = ("left out", "train", "validation", "test", "epoch kept", *heads, "run")
    return section(
        "Runs", [Table("one run for each fold; each has a report of its own (ram report)", head, tuple(rows))]
    )
