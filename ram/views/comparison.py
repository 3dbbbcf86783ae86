"""Several runs side by side as tables for a terminal, as one page, or as a folder of pictures."""

from __future__ import annotations

__all__ = ["tables", "write_comparison"]

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from ram.runs.comparison import Comparison
from ram.storage.atomic import write_bytes, write_json, write_text
from ram.views.comparison_pictures import error_bars, map_rows, scatter_rows
from ram.views.plain_page import Table, plain_page, section
from ram.views.style import embedded, png, styled

_LONGEST = 40


def tables(comparison: Comparison) -> dict[str, list[Table]]:
    """Return the tables by section: runs, metrics, config, environment, agreement."""
    return {
        "runs": [_runs(comparison)],
        "metrics": [_metrics(comparison, part) for part in ("test", "validation", "train") if comparison.metrics[part]],
        "config": _not_shared(comparison, comparison.config, "keys of the configs that are not the same"),
        "environment": _not_shared(comparison, comparison.environment, "what is not the same in the environments"),
        "agreement": [*_predictions(comparison), *_maps(comparison)],
    }


def _runs(comparison: Comparison) -> Table:
    rows = []
    for name, of in comparison.facts.items():
        course = (str(of["epochs"]), _text(of["kept_epoch"]), _text(of["training_s"]))
        rows.append((name, of["backbone"], f"{of['weights']:,}", *course, of["data"][:12]))
    return Table("runs", ("run", "backbone", "weights", "epochs", "kept", "training (s)", "data"), tuple(rows))


def _metrics(comparison: Comparison, part: str) -> Table:
    rows = []
    for target, runs in comparison.metrics[part].items():
        for name, of in runs.items():
            known = {**of, "difference": None} if name == next(iter(runs)) else of  # the measure of the others
            errors = [_figure(known[key], of["unit"]) for key in ("mae", "difference", "rmse", "bias")]
            mape = _figure(of["mape"], "%")
            rows.append((target, name, f"{of['samples']}", *errors, mape, _figure(of["r2"], "1", digits=5)))
    first = comparison.names[0]
    head = ("target", "run", "samples", "MAE", f"MAE minus that of {first}", "RMSE", "bias", "MAPE", "R2")
    return Table(f"{part} part", head, tuple(rows))


def _not_shared(comparison: Comparison, values: Mapping[str, Sequence[Any]], caption: str) -> list[Table]:
    rows = tuple((key, *map(_text, each)) for key, each in values.items())
    return [Table(caption, ("key", *comparison.names), rows)] if rows else []


def _predictions(comparison: Comparison) -> list[Table]:
    rows = tuple(
        (one.target, f"{one.first}, {one.second}", f"{one.samples}", _figure(one.difference, one.unit),
         _figure(one.correlation, "1", digits=5))
        for one in comparison.predictions
    )  # fmt: skip
    head = ("target", "runs", "samples", "mean difference", "correlation")
    return [Table("predictions for the samples that are in the test part of both", head, rows)] if rows else []


def _maps(comparison: Comparison) -> list[Table]:
    rows = []
    for one in comparison.maps:
        of, runs = one.as_dict(), f"{one.first}, {one.second}"
        if one.why_not:
            rows.append((one.target, runs, "0", one.why_not, "-", "-", "-", "-"))
            continue
        share = of["difference"] / of["size"] if of["size"] else math.nan
        signs = _figure(100 * of["signs"], "%")
        unit = "1" if of["unit"] == "log" else of["unit"]
        rows.append(
            (one.target, runs, f"{len(one.ids)}", one.grid, _figure(of["correlation"], "1"), signs,
             _figure(of["difference"], unit), _figure(100 * share, "%"))
        )  # fmt: skip
    head = ("target", "runs", "samples", "grid", "correlation", "same sign", "sum of |difference|", "of sum of |map|")
    return [Table("stored maps of the same samples, means over them", head, tuple(rows))] if rows else []


def _figure(value: float | None, unit: str, *, digits: int = 4) -> str:
    if value is None or not math.isfinite(value):
        return "-"
    return f"{value:.{digits}g}" if unit in ("", "1") else f"{value:.{digits}g} {unit}"


def _text(value: object) -> str:
    text = "-" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def write_comparison(comparison: Comparison, output: Path) -> list[Path]:
    """Write one page that needs nothing else, or into a folder the page, its pictures and the figures as JSON.

    Parameters
    ----------
    output
        A file that ends in ``.html``, or a folder, which is made where it is not there.

    Returns
    -------
    The files that were written, the page first.
    """
    with styled():
        drawn = {
            "errors": error_bars(comparison),
            "predictions": scatter_rows(comparison),
            "maps": map_rows(comparison),
        }
        pictures = {name: figure for name, figure in drawn.items() if figure is not None}
        page = _page(comparison, pictures)
        if output.suffix.lower() == ".html":
            write_text(output, page)
            return [output]
        images = {f"{name}.png": png(figure) for name, figure in pictures.items()}
    output.mkdir(parents=True, exist_ok=True)
    write_text(output / "comparison.html", page)
    write_json(output / "comparison.json", _finite(comparison.as_dict()))
    for name, content in images.items():
        write_bytes(output / name, content)
    return [output / name for name in ("comparison.html", "comparison.json", *images)]


def _finite(value: Any) -> Any:
    """Return `value` with None for every number that JSON has no word for."""
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _page(comparison: Comparison, pictures: Mapping[str, Figure]) -> str:
    found = tables(comparison)
    shown = {name: [embedded(figure, f"{name} of the runs")] for name, figure in pictures.items()}
    return plain_page(
        f"{', '.join(comparison.names)} side by side",
        [
            section("Runs", found["runs"]),
            section("Accuracy", found["metrics"], pictures=[*shown["errors"], *shown["predictions"]]),
            section("Agreement", found["agreement"], pictures=shown.get("maps", []), words=[_AGREEMENT]),
            section("Where the configs differ", found["config"], nothing="They do not."),
            section("Where the environments differ", found["environment"], nothing="They do not."),
        ],
    )


_AGREEMENT = (
    "Correlation and signs are counted cell by cell in each sample, and averaged over the samples; the sum of absolute "
    "differences is over all cells of a sample, in the target's unit, and is also given as a share of the sum of the "
    "absolute contributions. In the picture the samples go from the least to the most agreement."
)
