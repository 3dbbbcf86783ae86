"""The page of the benchmark: tables and sentences, all of them written from figures."""

from __future__ import annotations

__all__ = ["page"]

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ram.benchmark.measure import TRUTH
from ram.benchmark.tasks import PLAIN, TASKS, Task, net_order
from ram.views.numbers import NOTHING, figure, fixed, per_cent

Results = Mapping[str, Sequence[Mapping[str, Any]]]
Found = Mapping[str, Any]
_FORGETS = 0.2
_GOOD_AUC = 0.95

_HEAD = """# Do the maps tell the truth?

A regressor can be right for a wrong reason, and its map then shows the wrong reason. Here that is measured, on tasks
where a solver or a formula says what every point of the input adds to the target, against the reference of the map. All
figures are of test parts that no choice has looked at; methods are chosen on validation parts. Every number and
sentence below is written by `ram truth bench`, from figures that it measures.

- **Spearman, Pearson**: agreement of map and truth cell by cell, signed; 1 is perfect, 0 is chance.
- **AUC**: the chance that a cell of the true region carries more than one outside; 0.5 is chance. Where the data name
  no region it is the truth's strongest tenth.
- **Intervention**: a region is given the reference's design and the solver is asked again. True change against the
  change that the map claims, over regions and samples: slope 1 and R2 1 for a map that says what would happen.
- **Without a net**: the best of maps that need no training, such as the image, its edges, the mean sensitivity.
"""
_FINDING = """## Impact echo: a finding

Measured waveforms have no true map, but physics names bands: the thickness resonance of the plate, and the bending of
the plate above a void. How much of a net's contributions lies in each stands in the data set's card,
`datasets/impact_echo/card.md`, printed by `datasets/impact_echo/findings.py`. A map
that leaves the textbook's band is no error there: over shallow voids it is not the thickness that rings.
"""
_MADE = """## Made by
```
{command}
```
Planted tasks are made, trained and measured by the command; wheels and taps by runs of their own
(`experiments/wheel_maps.toml`, `experiments/tap_spectrogram.toml`), whose folder is given by `--runs`; leaderboards
that `ram evaluate RUN --maps` wrote there are taken as they are. What was measured is kept in the cache, and not
measured again while run, data and options are the same.
"""


def page(results: Results, *, pictures: Mapping[str, str], command: str) -> str:
    """Return the page as Markdown.

    Parameters
    ----------
    results
        By task: what `ram.benchmark.measure.measured` returned, run by run.
    pictures
        By task: where its picture lies, seen from the page.
    command
        That made it.
    """
    tasks = [TASKS[name] for name in TASKS if results.get(name)]
    sections = [
        _HEAD,
        _overview([task for task in tasks if "board" in results[task.name][0]], results),
        *(_shortcut(task, results[task.name]) for task in tasks if task.name.startswith("shortcut")),
        *(_wheel(task, results[task.name]) for task in tasks if task.name == "wheel"),
        _pictures(tasks, pictures),
        _methods(tasks, results),
        *(_scores(task, results[task.name]) for task in tasks if task.name == "wheel"),
        *(_tap(results[task.name]) for task in tasks if task.name == "tap"),
        _FINDING,
        _MADE.format(command=command),
    ]
    return "\n".join(section.rstrip() + "\n" for section in sections if section)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)]) + "\n"


def _nets(found: Sequence[Found]) -> dict[str, list[Found]]:
    """Return the runs of each net, the plain one first, then by the share of maps that they had."""
    groups: dict[str, list[Found]] = {}
    for one in found:
        groups.setdefault(one["net"], []).append(one)
    return dict(sorted(groups.items(), key=lambda pair: net_order(pair[0])))


def _spread(found: Sequence[Found], value: Callable[[Found], float], *, decimals: int = 2) -> str:
    """Return the mean over runs, with the standard deviation where there are several."""
    values = np.array([value(one) for one in found], dtype=np.float64)
    if not np.isfinite(values).all():
        return NOTHING
    mean = fixed(float(values.mean()), decimals=decimals)
    return mean if len(values) == 1 else f"{mean} ± {fixed(float(values.std(ddof=1)), decimals=decimals)}"


def _figure(row: str, column: str) -> Callable[[Found], float]:
    """Return what reads a figure of a leaderboard; NaN where there is none."""

    def read(one: Found) -> float:
        figures = one.get("board", {}).get("rows", {}).get(row, {}).get("figures", {})
        return float(figures.get(column, [np.nan])[0])

    return read


def _first_value(name: str) -> Callable[[Found], float]:
    return lambda one: float(one["value"][one["target"]][name])


def _asked(method: str, name: str) -> Callable[[Found], float]:
    return lambda one: float(one.get("interventions", {}).get("methods", {}).get(method, {}).get(name, np.nan))


def _trivial(found: Sequence[Found], column: str) -> tuple[str, float]:
    """Return the best map without a net by a column."""
    rows = found[0]["board"]["rows"]
    own = {
        name: float(row["figures"][column][0])
        for name, row in rows.items()
        if row["kind"] == "trivial" and column in row["figures"]
    }
    best = max(own, key=lambda name: own[name], default="")
    return best, own.get(best, float("nan"))


def _overview(tasks: Sequence[Task], results: Results) -> str:
    rows, sentences = [], []
    for task in tasks:
        for net, found in _nets(results[task.name]).items():
            cells = " x ".join(map(str, found[0]["cells"]))
            figures = [_spread(found, _figure("ram", name)) for name in ("spearman", "pearson", "auc")]
            asked = [_spread(found, _asked("ram", name)) for name in ("slope", "r2")]
            rows.append([task.title, net, _spread(found, _first_value("r2"), decimals=3), cells, *figures, *asked])
        sentences.append(_sentence(task, results[task.name]))
    head = ["task", "net", "R2 of the value", "cells", "Spearman", "Pearson", "AUC", "slope", "R2 of interventions"]
    words = "\n".join(f"- {one}" for one in sentences)
    return f"## Exact RAM against the truth\n\n{_table(head, rows)}\n{words}\n"


def _sentence(task: Task, found: Sequence[Found]) -> str:
    """Say what a task shows."""
    nets = _nets(found)
    parts = []
    for net, own in nets.items():
        auc, pearson = (float(np.mean([_figure("ram", name)(one) for one in own])) for name in ("auc", "pearson"))
        good = "above" if auc > _GOOD_AUC else "not above"
        parts.append(f"{net}: AUC {fixed(auc, decimals=3)}, {good} {_GOOD_AUC}, Pearson {fixed(pearson, decimals=2)}")
    first = next(iter(nets.values()))
    name, value = _trivial(first, "pearson")
    words = f"**{task.title}**. {'; '.join(parts)}. Best Pearson without a net: {name}, {fixed(value, decimals=2)}."
    truth = _asked(TRUTH, "slope")(first[0])
    if np.isfinite(truth):
        r2 = fixed(_asked(TRUTH, "r2")(first[0]), decimals=2)
        words += f" The true map itself has slope {fixed(truth, decimals=2)} and R2 {r2} under intervention"
        words += ", for each factor of a product is worth all of it." if truth > 1.5 else "."
    return words


def _shortcut(task: Task, found: Sequence[Found]) -> str:
    rows = []
    nets = _nets(found)
    for net, own in nets.items():
        place = own[0]["regions"]["names"].index("sticker")
        share = [_spread(own, _share(key, place), decimals=0) for key in ("carried", "answered", "influence")]
        warned = sum(bool(one["regions"]["warnings"]) for one in own)
        values = [_spread(own, _first_value(name), decimals=2) for name in ("r2", "mae")]
        rows.append([net, *values, *(f"{one} %" for one in share), f"{warned} of {len(own)}"])
    unit = found[0]["unit"]
    head = [
        "net",
        "test R2",
        f"test MAE ({unit})",
        "sticker: of the map",
        "of the net's answers",
        "of physics",
        "warned",
    ]
    before, words = nets.get(PLAIN, found)[0], ""
    if before["regions"]["warnings"]:
        words = f"> {before['regions']['warnings'][0]}\n\n"
    return (
        f"## The shortcut caught: {task.title}\n\nA sticker has no influence, but follows the target in training and "
        "validation part, which come from one laboratory; the test part comes from another. The report of the plain "
        f"net says:\n\n{words}{_table(head, rows)}"
    )


def _share(key: str, place: int) -> Callable[[Found], float]:
    return lambda one: 100 * float(one["regions"][key][place])


def _wheel(task: Task, found: Sequence[Found]) -> str:
    rows = []
    nets = _nets(found)
    for net, own in nets.items():
        figures = [_spread(own, _figure("ram", name), decimals=3) for name in ("spearman", "pearson", "top")]
        off = _spread(own, _figure("ram", "regions_share"), decimals=0)
        asked = [_spread(own, _asked("ram", name)) for name in ("slope", "r2")]
        rows.append([net, str(len(own)), f"{_spread(own, _first_value('mape'))} %", *figures, f"{off} %", *asked])
    head = [
        "maps of the training part",
        "seeds",
        "MAPE",
        "Spearman",
        "Pearson",
        "top tenth",
        "regions off",
        "slope",
        "R2",
    ]
    target = found[0]["target"]
    plain = nets.get(PLAIN)
    words = ""
    if plain:
        chosen = plain[0]["chosen"]
        name, value = _trivial(plain, "spearman")
        reached = [fixed(_figure(one, "spearman")(plain[0]), decimals=2) for one in ("ram", chosen)]
        words = (
            f"Without any map the exact RAM has {reached[0]}; the method chosen on the validation part, {chosen}, has "
            f"{reached[1]}; the best map without a net, {name}, {fixed(value, decimals=2)}."
        )
    return (
        f"## {task.title}: what maps of the solver are worth\n\nTarget {target}. The share is of the training wheels "
        f"whose maps were fitted beside the value.\n\n{_table(head, rows)}\n{words} {_ceiling(task, nets)}\n"
    )


def _ceiling(task: Task, nets: Mapping[str, Sequence[Found]]) -> str:
    """Say what the solver's own contributions reach under intervention, with the regions that hold nothing and without.

    No map that adds up can be expected to do better: regions of a wheel work together.
    """
    first = next(iter(nets.values()))[0]
    regions = ", ".join(name for name in first["interventions"]["regions"] if not name.startswith("patch"))
    empty = " and ".join(task.emptied)

    def both(one: Found, kind: str, method: str) -> str:
        figures = one["interventions"].get(kind, {}).get(method, {})
        slope, r2 = (fixed(figures.get(name, np.nan), decimals=2) for name in ("slope", "r2"))
        return f"slope {slope} and R2 {r2}"

    words = (
        f"Under intervention ({regions} and random patches, of whole cells) the solver's own contributions have "
        f"{both(first, 'methods', TRUTH)}."
    )
    if not first["interventions"].get("filled"):
        return words
    own = "; ".join(f"{net}: {both(of[0], 'filled', 'ram')}" for net, of in nets.items())
    return (
        f"{words} Without the region {empty} material is only taken away, and what is left must do without both: the "
        f"solver's own contributions then have {both(first, 'filled', TRUTH)}, exact RAM of the nets ({own})."
    )


def _pictures(tasks: Sequence[Task], pictures: Mapping[str, str]) -> str:
    drawn = [
        f"![{task.title}: input, physics, nets]({pictures[task.name]})\n" for task in tasks if task.name in pictures
    ]
    return (
        "## How it looks\n\nRed raises the target, blue lowers it; one scale in each picture.\n\n" + "\n".join(drawn)
        if drawn
        else ""
    )


def _methods(tasks: Sequence[Task], results: Results) -> str:
    """Return the leaderboards of the plain nets, and which methods outlive the weights."""
    nets = {task.title: _nets(results[task.name]) for task in tasks if "board" in results[task.name][0]}
    boards = {title: of[PLAIN][0] for title, of in nets.items() if PLAIN in of}
    if not boards:
        return ""
    several = list(boards.values())
    kinds = {name: row["kind"] for one in several for name, row in one["board"]["rows"].items()}
    ordered = sorted(kinds, key=lambda name: (kinds[name], -_mean(several, name)))
    rows = [
        [
            f"`{name}`" if kinds[name] == "method" else name,
            *(_interval(one, name) for one in several),
            fixed(_kept(several, name), decimals=2),
        ]
        for name in ordered
    ]
    flagged = ", ".join(f"`{name}`" for name in ordered if _kept(several, name) > _FORGETS)
    return (
        "## All methods, and maps without a net\n\nMaps of the plain nets: Pearson with the truth, 95 % interval over "
        "the samples. The last column is the randomisation test: the rank correlation of a map's sizes with those of "
        "the same net without its weights, the largest over the tasks.\n\n"
        f"{_table(['map', *boards, 'keeps without weights'], rows)}\nAbove {_FORGETS} are {flagged or 'none'}: so "
        "much of their order is there whatever the net has learned.\n"
    )


_SHOWN = (
    "spearman", "pearson", "top", "regions_share", "sensitivity", "ordering", "deletion", "insertion", "road",
    "infidelity", "fidelity", "residual", "max_sensitivity", "kept", "kept_signed",
)  # fmt: skip


def _scores(task: Task, found: Sequence[Found]) -> str:
    """Return the whole leaderboard of the first run of each net, and how each score was computed."""
    parts = [f"## {task.title}: every method, every score\n"]
    for net, runs in _nets(found).items():
        board = runs[0]["board"]
        shown = [name for name in _SHOWN if name in board["columns"]]
        head = ["map", "samples", *(_title(board["columns"][name]) for name in shown)]
        worst = [name for name in board["rows"] if abs(_figure(name, "kept")(runs[0])) > _FORGETS]
        rows = [
            [
                f"`{name}`" if row["kind"] == "method" else name,
                str(row["samples"]),
                *(_flagged(row["figures"], one, unit=board["columns"][one]["unit"]) for one in shown),
            ]
            for name, row in sorted(board["rows"].items(), key=lambda pair: -_figure(pair[0], "spearman")(runs[0]))
        ]
        flags = ", ".join(f"`{name}` {fixed(_figure(name, 'kept')(runs[0]), decimals=2)}" for name in worst)
        parts.append(
            f"Net: {net}. Flagged (**bold**), for they keep more than {_FORGETS} of the order of their sizes after the "
            f"whole cascade: {flags or 'none'}.\n\n{_table(head, rows)}"
        )
        hows = [f"- {board['columns'][name]['title']}: {board['columns'][name]['how']}" for name in shown]
    return "\n".join([*parts, "How each was computed:\n", *hows]) + "\n"


def _title(column: Mapping[str, str]) -> str:
    unit = column["unit"]
    return column["title"] if unit in ("1", "%") else f"{column['title']} ({unit})"


def _flagged(figures: Mapping[str, Sequence[float]], name: str, *, unit: str) -> str:
    """Return a figure of a row; bold where the ranking outlives the weights."""
    value = figures.get(name, [None])[0]
    if value is None:
        return NOTHING
    text = fixed(value, decimals=2) if unit == "1" else figure(value)
    return f"**{text}**" if name.startswith("kept") and abs(value) > _FORGETS else text


def _mean(boards: Iterable[Found], name: str) -> float:
    return float(np.nan_to_num(np.mean([np.nan_to_num(_figure(name, "pearson")(one)) for one in boards])))


def _interval(one: Found, name: str) -> str:
    figures = one["board"]["rows"].get(name, {}).get("figures", {}).get("pearson")
    if figures is None or figures[0] is None:
        return NOTHING
    value, low, high = (fixed(number, decimals=2) for number in figures)
    return f"{value} ({low} … {high})"


def _kept(boards: Iterable[Found], name: str) -> float:
    values = [abs(_figure(name, "kept")(one)) for one in boards]
    return max((value for value in values if np.isfinite(value)), default=float("nan"))


def _tap(found: Sequence[Found]) -> str:
    rows = [
        [one["net"], str(one["seed"]), target, per_cent(inside), per_cent(chance)]
        for one in found
        for target, (inside, chance) in one.get("ridges", {}).items()
    ]
    head = ["net", "seed", "target, against", "on the ridges of the pair", "by chance"]
    return (
        "## Tap tests: on the ridges?\n\nA crack moves one of two tilt modes; the pair's ridges are where the answer "
        f"is. Share of the absolute contributions that lies there:\n\n{_table(head, rows)}"
    )
