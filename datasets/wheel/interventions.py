"""Print how true changes of wheels go along with what maps claim, by how regions are drawn and how large patches are.

    python datasets/wheel/interventions.py runs/wheel_maps --samples 40

On the validation part, so that how regions are drawn can be chosen by it. Beside the exact RAM of the run stand the
solver's own contributions: no map that adds up can be expected to do better, for regions of a wheel work together.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import ram
from ram.data.simulators import load_simulator
from ram.evaluation.candidates import candidate_of_method, claims_on_inputs
from ram.evaluation.claims import intervention
from ram.evaluation.interventions import PATCH_SHARE, Interventions, intervene
from ram.evaluation.subject import Subject
from ram.views.leaderboards import subject_of

SIMULATOR, TARGET, VOID = "ram.physics.wheel:frequencies", "umbrella", "void"
SHARES = {1 / 64: "8 x 8", PATCH_SHARE: "16 x 16", 1 / 4: "32 x 32"}  # of 64 x 64 pixels


def rows(found: Interventions, maps: dict[str, np.ndarray], columns: list[int]) -> list[str]:
    """Return slope and R2 of each map, of some of the regions."""
    true, figures = found.changes[TARGET][:, columns], []
    for values in maps.values():
        one = intervention(true, found.claims(values)[:, columns])
        figures += [f"{one.slope:.2f}", f"{one.r2:.2f}"]
    return [*figures, f"{one.changes}", f"{one.mean_absolute:.1f}"]


def tables(run: ram.Run, subject: Subject, options: argparse.Namespace) -> Iterator[tuple[str, list[str]]]:
    """Yield the rows of the table."""
    part = run.part(options.part)
    place = {str(name): row for row, name in enumerate(part.ids)}
    data, simulator = part[[place[str(name)] for name in subject.ids]], load_simulator(SIMULATOR)
    candidate = candidate_of_method(subject, "ram", passes=np.inf, least=len(subject), options={}, seed=0)
    maps = {"solver": np.asarray(subject.contribution, np.float64), "ram": claims_on_inputs(subject, candidate)}
    for drawn, cells in (("pixels", None), ("cells", subject.cells)):
        for share, size in SHARES.items():
            if cells is None and share != PATCH_SHARE:
                continue
            found = intervene(
                data, simulator, share=share, cells=cells, jobs=options.jobs, cache=options.cache / f"{drawn} {size}"
            )
            patches = [at for at, name in enumerate(found.names) if name.startswith("patch")]
            if share == PATCH_SHARE:
                every = range(len(found.names))
                yield f"all, of {drawn}", rows(found, maps, list(every))
                yield f"all but {VOID}, of {drawn}", rows(found, maps, [at for at in every if found.names[at] != VOID])
                if cells is not None:
                    for at in every[: len(every) - len(patches)]:
                        yield f"{found.names[at]} alone, of {drawn}", rows(found, maps, [at])
            yield f"patches of {size} alone, of {drawn}", rows(found, maps, patches)


def main() -> None:
    """Read the options, ask the solver, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--samples", type=int, default=40)
    parser.add_argument("--part", default="validation")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--cache", type=Path, default=Path("build/interventions"))
    options = parser.parse_args()
    run = ram.open_run(options.run)
    subject = subject_of(run, run.part(options.part), TARGET, samples=options.samples)
    head = "| regions | solver: slope | R2 | RAM: slope | R2 | changes | mean size, Hz |\n|---|---|---|---|---|---|---|"
    print(f"{len(subject)} wheels of the {options.part} part, {TARGET}\n{head}")  # noqa: T201 - a command that prints
    for name, figures in tables(run, subject, options):
        print(f"| {name} | {' | '.join(figures)} |", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
