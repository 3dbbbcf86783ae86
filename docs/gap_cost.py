"""What global average pooling costs: measure the runs of experiments/wheel_dense_head.toml, and write their page.

``python docs/gap_cost.py measure RUNS`` reads the runs RUNS/dense-1, RUNS/gap-1, RUNS/adapted-1 ... and writes
experiments/wheel_dense_head.json and docs/gap_cost.png; ``python docs/gap_cost.py`` writes the tables of gap_cost.md.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

RESULT, PAGE, PICTURE = (
    Path("experiments/wheel_dense_head.json"),
    Path("docs/gap_cost.md"),
    Path("docs/gap_cost.png"),
)
BEGIN, END = "<!-- numbers: written by docs/gap_cost.py -->", "<!-- numbers end -->"
SEEDS = (1, 2, 3)
WAYS = {
    "dense": "dense head, 20 epochs",
    "continued": "the same, 6 epochs more",
    "gap": "GAP from the start, 20 epochs",
    "adapted": "`ram adapt`, 6 epochs at a third of the rate",
    "adapted20": "`ram adapt`, 20 epochs at the full rate",
}
ONE_SEED = {"blind-dense": "dense head, no radius channel", "blind-gap": "GAP, no radius channel"}
SHOWN = "umbrella"


def measured(folder: Path) -> dict[str, Any]:
    """Return what is committed of one run: errors of both parts, how its maps do, where it comes from."""
    import ram
    from ram.views.findings import explained_targets

    run = ram.open_run(folder)
    test = run.data().subset("test", split=run.config.data.split)
    maps = run.explain(test, target=SHOWN, method=run.method)
    found = explained_targets(run, test)
    return {
        "mae": {part: {name: of["mae"] for name, of in run.metrics[part].items()} for part in ("validation", "test")},
        "r2": {name: of["r2"] for name, of in run.metrics["test"].items()},
        "parameters": sum(weight.numel() for weight in run.regressor.parameters()),
        "epochs": len(run.history),
        "maps": {
            "method": run.method,
            "residual": float(np.abs(maps.residual).mean()),
            "difference": float(np.abs(maps.prediction - maps.baseline).mean()),
            "agreement": {name: one.agreement.mean for name, one in found.items() if one.agreement},
        },
        "adaptation": {
            **{when: _maes(run.adaptation[when]) for when in ("before", "start")},
            "ridge": run.adaptation["ridge"],
            "seconds": {key: value for key, value in run.times.items() if key.endswith(("before_s", "after_s"))},
        } if run.adaptation else None,
        "data": run.provenance["data"]["digest"],
        "commit": run.provenance["code"].get("commit"),
    }  # fmt: skip


def _maes(figures: dict[str, Any]) -> dict[str, float]:
    return {name: of["mae"] for name, of in figures["test"].items()}


def measure(runs: Path) -> None:
    """Measure all runs, and draw one wheel by three nets and by physics."""
    wanted = [f"{way}-{seed}" for way in WAYS for seed in SEEDS] + [f"{way}-1" for way in ONE_SEED]
    names = [name for name in wanted if (runs / name / "manifest.json").is_file()]
    result = {"units": {"umbrella": "Hz", "tilt": "Hz", "two_diameter": "Hz", "mass": "kg"}}
    result |= {"runs": {name: measured(runs / name) for name in names}}
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    draw(runs)


def draw(runs: Path) -> None:
    """Draw what each cell adds to the umbrella mode of one wheel, by Grad-RAM of the dense head and RAM of GAP nets."""
    import matplotlib.pyplot as plt

    import ram
    from ram.views.style import png, styled

    shown = {"dense-1": "dense head, Grad-RAM", "adapted20-1": "adapted, RAM", "gap-1": "GAP from the start, RAM"}
    maps = {}
    for name in shown:
        run = ram.open_run(runs / name)
        test = run.data().subset("test", split=run.config.data.split)
        maps[name] = run.explain(test, target=SHOWN, method=run.method)
    first = maps["gap-1"]
    row = int(np.abs(first.prediction - first.baseline).argmax())
    limit = max(float(np.abs(one.contributions[row]).max()) for one in maps.values())
    with styled():
        figure, axes = plt.subplots(1, 1 + len(maps), figsize=(11, 3.3), layout="constrained")
        fill, thickness = test[row].x
        axes[0].imshow(np.where(fill > 0, thickness, np.nan), cmap="cividis")
        axes[0].set_title("the wheel: thickness", fontsize=9)
        for axis, (name, one) in zip(axes[1:], maps.items(), strict=True):
            image = axis.imshow(one.contributions[row], cmap="RdBu_r", vmin=-limit, vmax=limit)
            wanted = one.prediction[row] - one.baseline[row]
            axis.set_title(f"{shown[name]}\n{_hertz(one.total[row])} of {_hertz(wanted)}", fontsize=9)
        for axis in axes:
            axis.set_xticks([])
            axis.set_yticks([])
        figure.colorbar(image, ax=axes[1:], label="Hz per cell", shrink=0.8)
        figure.suptitle(f"{SHOWN} of {first.ids[row]}: what each cell adds against the training mean", fontsize=10)
        PICTURE.write_bytes(png(figure))


def _hertz(value: float) -> str:
    return f"{value:+.1f} Hz".replace("-", "−")


def seeds_of(result: dict[str, Any], way: str) -> list[int]:
    """Return the seeds that a way was run with."""
    return [seed for seed in SEEDS if f"{way}-{seed}" in result["runs"]]


def spread(values: Sequence[float], *, digits: int = 2) -> str:
    """Return mean and standard deviation over seeds."""
    return f"{np.mean(values):.{digits}f}" + (f" ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else "")


def signed(per_cent: float) -> str:
    """Return whole per cents with their sign; zero has none.

    >>> signed(-0.3), signed(-2.6), signed(14.0)
    ('0', '−3', '+14')
    """
    return f"{round(per_cent):+d}".replace("+0", "0").replace("-", "−")


def table_of_errors(result: dict[str, Any]) -> str:
    """Return the errors of every way over three seeds, and how far they are from those of the dense head."""
    names, runs = list(result["units"]), result["runs"]
    head = "".join(f" {name} ({unit}) |" for name, unit in result["units"].items())
    rows = [f"| |{head} against the dense head |\n|---|{'---|' * (len(names) + 1)}\n"]
    for way, words in WAYS.items():
        seeds = seeds_of(result, way)
        every, dense = (
            [[runs[f"{one}-{seed}"]["mae"]["test"][name] for seed in seeds] for name in names] for one in (way, "dense")
        )
        some = "" if len(seeds) == len(SEEDS) else f" (seeds {', '.join(map(str, seeds))})"
        cells = "".join(f" {spread(v, digits=4 if n == 'mass' else 2)} |" for n, v in zip(names, every, strict=True))
        ratio = np.exp(np.mean(np.log(np.mean(every, axis=1) / np.mean(dense, axis=1)))) - 1
        rows.append(f"| {words}{some} |{cells} {signed(100 * ratio)} % |\n")
    return "".join(rows)


def table_of_start(result: dict[str, Any]) -> str:
    """Return what the adapted nets are worth before they are trained on, beside the nets they came from."""
    names, runs = list(result["units"]), result["runs"]
    rows = ["| |" + "".join(f" {name} ({unit}) |" for name, unit in result["units"].items()) + "\n|---|"]
    rows.append("---|" * len(names) + "\n")
    for when, words in (("before", "dense head"), ("start", "GAP, least squares, nothing trained")):
        every = [[runs[f"adapted-{seed}"]["adaptation"][when][name] for seed in SEEDS] for name in names]
        cells = "".join(f" {spread(v, digits=4 if n == 'mass' else 2)} |" for n, v in zip(names, every, strict=True))
        rows.append(f"| {words} |{cells}\n")
    return "".join(rows)


def table_of_sizes(result: dict[str, Any]) -> str:
    """Return parameters and processor time, before and after."""
    runs = result["runs"]
    every = [one["adaptation"]["seconds"] for one in runs.values() if one["adaptation"]]
    before, after = runs["dense-1"]["parameters"], runs["gap-1"]["parameters"]
    rows = [f"| | dense head | GAP | change |\n|---|---|---|---|\n| parameters | {before:,} | {after:,} |"]
    rows.append(f" {signed(100 * (after / before - 1))} % |\n")
    for kind, words in (("step", "gradient of a sample"), ("prediction", "prediction of a sample")):
        old, new = (min(one[f"{kind}_{when}_s"] for one in every) for when in ("before", "after"))
        rows.append(
            f"| {words}, processor | {1e3 * old:.2f} ms | {1e3 * new:.2f} ms | {signed(100 * (new / old - 1))} % |\n"
        )
    return "".join(rows)


def table_of_maps(result: dict[str, Any]) -> str:
    """Return by how much maps miss the predictions, and how well they agree with physics."""
    runs = result["runs"]
    targets = list(runs["gap-1"]["maps"]["agreement"])
    rows = [f"| | method | of the difference missed |{''.join(f' {name}, physics |' for name in targets)}\n"]
    rows.append(f"|---|---|---|{'---|' * len(targets)}\n")
    for way in ("dense", "adapted", "adapted20", "gap"):
        maps = [runs[f"{way}-{seed}"]["maps"] for seed in seeds_of(result, way)]
        missed = [100 * one["residual"] / one["difference"] for one in maps]
        said = f"{spread(missed, digits=0)} %" if max(missed) > 0.01 else "nothing"
        cells = "".join(f" {spread([one['agreement'][name] for one in maps])} |" for name in targets).replace("-", "−")
        rows.append(f"| {WAYS[way]} | `{maps[0]['method']}` | {said} |{cells}\n")
    return "".join(rows)


def table_of_blind(result: dict[str, Any]) -> str:
    """Return what both heads are worth without the channel that tells a net where it is; one seed."""
    names, runs = list(result["units"]), result["runs"]
    rows = ["| seed 1 |" + "".join(f" {name} ({unit}) |" for name, unit in result["units"].items()) + "\n|---|"]
    rows.append("---|" * len(names) + "\n")
    for way, words in {"dense": WAYS["dense"], "gap": WAYS["gap"], **ONE_SEED}.items():
        maes = runs[f"{way}-1"]["mae"]["test"]
        rows.append(f"| {words} |" + "".join(f" {maes[n]:.{4 if n == 'mass' else 2}f} |" for n in names) + "\n")
    return "".join(rows)


TABLES = {
    "errors": table_of_errors, "start": table_of_start, "sizes": table_of_sizes, "maps": table_of_maps,
    "blind": table_of_blind,
}  # fmt: skip


def written(page: str, result: dict[str, Any]) -> str:
    """Return the page with its tables between the marks, in order of `TABLES`."""
    for name, table in TABLES.items():
        begin = BEGIN.replace("numbers:", f"{name}:")
        before, rest = page.split(begin)
        page = f"{before}{begin}\n\n{table(result)}\n{END}{rest.split(END, 1)[1]}"
    return page


def main(words: list[str]) -> None:
    """Measure runs, or write the page."""
    if words[:1] == ["measure"]:
        measure(Path(words[1]))
        return
    result = json.loads(RESULT.read_text(encoding="utf-8"))
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8"), result), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
