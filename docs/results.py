"""Keep a run's result beside its experiment, and write the tables of README.md, figures.md, methods.md, comparison.md.

``python docs/results.py keep runs/wheel experiments/wheel.json`` does the first, of a run or of a cross-validation;
``make numbers`` the second.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

BEGIN = "<!-- numbers: written by `make numbers` from experiments/*.json -->"
END = "<!-- numbers end -->"
METHODS_BEGIN = "<!-- methods: written by `make numbers` from ram.METHODS -->"
METHODS_END = "<!-- methods end -->"
SPEED_BEGIN = "<!-- speed: written by `make numbers` from benchmarks/results/maps.json -->"
SPEED_END = "<!-- speed end -->"
MEASURED = Path(__file__).resolve().parents[1] / "benchmarks" / "results"


def result_of(run: Path) -> dict[str, Any]:
    """Return what is committed of a run: the test part's figures, where they come from, how long it took."""
    metrics, provenance, times = (
        json.loads((run / name).read_text(encoding="utf-8"))
        for name in ("metrics.json", "provenance.json", "times.json")
    )
    return {"test": metrics["test"], **provenance, "times": times}


def groups_of(folder: Path) -> dict[str, Any]:
    """Return what is committed of a cross-validation: figures of each group left out, and what its runs came from."""
    said = json.loads((folder / "cross_validation.json").read_text(encoding="utf-8"))
    one = next(folder.glob("without-*/**/provenance.json"))
    provenance = json.loads(one.read_text(encoding="utf-8"))
    kept = ("data", "code", "versions", "platform", "threads")
    table = json.loads((folder / "table.json").read_text(encoding="utf-8"))
    return {"groups_left_out": table, "plan": said, **{key: provenance[key] for key in kept}}


HEAD = "| `experiments/` | target | MAE | RMSE | MAPE | R2 | largest error |\n|---|---|---|---|---|---|---|\n"


def rows_of(name: str, result: dict[str, Any], *, targets: int | None = None) -> str:
    """Return the rows of one result's first `targets`, of all if not said; what it is and how long it took first."""
    minutes = sum(result["times"].values()) / 60
    samples = next(iter(result["test"].values()))["samples"]
    said = f"`{name}`: {samples} samples, {minutes:.0f} min"
    rows = [row_of(target, of) for target, of in result["test"].items()][:targets]
    return "".join(f"| {said if number == 0 else ''} {row}" for number, row in enumerate(rows))


def row_of(target: str, of: dict[str, Any]) -> str:
    """Return what follows of the row of one target; a figure that does not exist is a dash."""
    unit = "" if of["unit"] == "1" else f" {of['unit']}"
    mape = "-" if of["mape"] is None else f"{of['mape']:.2f} %"
    r2 = "-" if of["r2"] is None else f"{of['r2']:.4f}"
    return (
        f"| {target} | {of['mae']:.3g}{unit} | {of['rmse']:.3g}{unit} | {mape} | {r2} "
        f"| {abs(of['worst_error']):.3g}{unit} |\n"
    )


def tables_of(folder: Path, *, targets: int | None = None) -> list[str]:
    """Return the table of the results kept in a folder; what compares several runs has a page of its own."""
    every = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}
    rows = [rows_of(name, result, targets=targets) for name, result in every.items() if "test" in result]
    return [HEAD + "".join(rows)] if rows else []


def table_of_methods() -> str:
    """Return the Markdown table of all methods."""
    import ram

    rows = [
        f"| `{one.name}` | {one.grade} | {one.summary} | {one.cost} | {one.paper} |\n" for one in ram.METHODS.values()
    ]
    return (
        "\n| method | grade | what it shows | cost | source |\n|---|---|---|---|---|\n"
        + "".join(rows)
        + "\n"
        + table_of_randomisation()
    )


def table_of_randomisation() -> str:
    """Return what is left of each method's ranking when layers are drawn anew."""
    found = json.loads((MEASURED / "randomisation.json").read_text(encoding="utf-8"))
    first, second = found["seven"], found["four"]
    layers = first["layers"]
    head = (
        "What outlives the weights: rank correlation of a map with that of the trained net when its last layers, of "
        f"{layers[-1]}, are drawn anew (`python benchmarks/randomisation.py`, Adebayo et al. 2018, arXiv:1810.03292; "
        f"R2 of the trained net {first['r2']:.2f}). What multiplies by the input keeps its edges.\n\n"
    )
    middle = (
        "\nOne net says little about another. On this one guided backpropagation keeps more than the gradient at every "
        f"depth; on a second, of {second['layers'][-1]} layers (R2 {second['r2']:.2f}), it does not:\n\n"
    )
    return head + _ranks(first) + middle + _ranks(second) + "\n"


def _ranks(found: dict[str, Any]) -> str:
    layers, rows = found["layers"], found["rank_correlation"].items()
    head = f"| method | {' | '.join(map(str, layers))} |\n|---|{'---|' * len(layers)}\n"
    return head + "".join(f"| `{name}` | {' | '.join(f'{v:.2f}' for v in row)} |\n" for name, row in rows)


def table_of_speed() -> str:
    """Return what maps cost beside the quickest of the other packages, and what memory they take."""
    found = json.loads((MEASURED / "maps.json").read_text(encoding="utf-8"))
    cases = list(dict.fromkeys(row["case"] for row in found["times"]))
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for row in found["times"]:
        counted = f" (by count {row['arithmetic']:.2f})" if "arithmetic" in row else ""
        rows.setdefault((row["family"], row["net"]), {})[row["case"]] = beside(row["figures"]) + counted
    machine = found["machine"]
    versions = ", ".join(f"{name} {of}" for name, of in machine["versions"].items())
    head = (
        f"\nOne thread, {machine['cores']} cores, {machine['cpu']}; {versions}.\n\n"
        f"| map | net | {' | '.join(cases)} |\n|---|---|{'---|' * len(cases)}\n"
    )
    lines = [f"| {a} | {b} | {' | '.join(of.get(case, '-') for case in cases)} |\n" for (a, b), of in rows.items()]
    return head + "".join(lines) + table_of_memory(found["memory"])


def beside(figures: dict[str, dict[str, float]]) -> str:
    """Return what ram takes on the same plain net and what the quickest other package takes, in forward passes."""
    of = {name: one["forwards"] for name, one in figures.items() if not name.startswith(("forward", "ram"))}
    best = min(of, key=lambda name: of[name], default=None)
    return f"{figures['ram, any net']['forwards']:.2f}" + (
        f" ({best.split()[0].rstrip(',')} {of[best]:.2f})" if best else ""
    )


def table_of_memory(found: list[dict[str, Any]]) -> str:
    """Return how far the memory of a process rises in one call."""
    where = f"{found[0]['net']} net, {found[0]['case']}"
    head = f"\nMemory that one call takes, MiB, {where}:\n\n| map | by | MiB |\n|---|---|---|\n"
    return head + "".join(f"| {one['family']} | {one['contestant']} | {one['mib']:.0f} |\n" for one in found) + "\n"


def with_numbers(readme: str, tables: list[str], *, begin: str = BEGIN, end: str = END) -> str:
    """Return `readme` with `tables` between the two marks."""
    before, rest = readme.split(begin)
    return f"{before}{begin}\n" + "\n".join(tables) + end + rest.split(end)[1]


def main(words: list[str]) -> None:
    """Keep one result, or write all kept results into the README and the methods into their page."""
    if words[:1] == ["keep"]:
        run, file = map(Path, words[1:])
        result = groups_of(run) if (run / "cross_validation.json").is_file() else result_of(run)
        file.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
        return
    experiments = Path("experiments")
    write("README.md", *tables_of(experiments, targets=1))
    write("docs/figures.md", *tables_of(experiments))
    write("docs/methods.md", table_of_methods(), begin=METHODS_BEGIN, end=METHODS_END)
    write("docs/comparison.md", table_of_speed(), begin=SPEED_BEGIN, end=SPEED_END)


def write(page: str, *tables: str, begin: str = BEGIN, end: str = END) -> None:
    """Put tables between the marks of a page."""
    text = Path(page).read_text(encoding="utf-8")
    Path(page).write_text(with_numbers(text, list(tables), begin=begin, end=end), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
