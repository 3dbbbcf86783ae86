"""``ram evaluate``: what the predictions of a run are worth, and with --maps what its maps are."""

from __future__ import annotations

__all__ = ["evaluate"]

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ram.cli.numbers import interval_figures, trust_lines
from ram.cli.output import AsJson, bar, figure, say, say_json, say_table
from ram.errors import ConfigError, explained, nearest

if TYPE_CHECKING:
    from ram.data.dataset import Dataset
    from ram.evaluation.leaderboard import Leaderboard
    from ram.runs.predictions import Predictions
    from ram.runs.run import Run

_PARTS = ("train", "validation", "test")


def evaluate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run, as ram train made it.")],
    *,
    data: Annotated[Path | None, typer.Option(metavar="FILE", help="Another file than the run's.")] = None,
    part: Annotated[
        str | None, typer.Option(help="train, validation or test; test if not said, all of another file.")
    ] = None,
    maps: Annotated[
        bool, typer.Option("--maps", help="Score maps of all methods beside maps without a net: the leaderboard.")
    ] = False,
    target: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of the maps; the first one with truth maps if not said.")
    ] = None,
    samples: Annotated[int, typer.Option(min=2, help="How many samples maps are scored on, at most.")] = 200,
    methods: Annotated[str | None, typer.Option(metavar="NAME,NAME", help="Of 'ram methods'; all if not said.")] = None,
    reference: Annotated[
        str | None,
        typer.Option(help="design: the file's, which truth is against (if there is one), or train-mean-design."),
    ] = None,
    beside: Annotated[
        list[Path] | None,
        typer.Option(metavar="RUN", help="A run that differs in its seed: how like are its maps? May be repeated."),
    ] = None,
    permuted: Annotated[
        Path | None, typer.Option(metavar="RUN", help="A run trained on permuted targets: how like are its maps?")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of all that is drawn.")] = 0,
    jobs: Annotated[int, typer.Option(min=1, help="Processes, each at the maps of one method.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Say what the predictions of RUN are worth on a part or another file; with --maps, what its maps are worth.

    The leaderboard is kept in the run's folder as leaderboard.json and leaderboard.png, and the report shows it. Choose
    a method with --part validation first: the board of the test part then says what that choice is worth.
    """
    import ram

    opened = ram.open_run(run)
    chosen, named = _samples(opened, data, part)
    if not maps:
        _require_maps({"--target": target, "--methods": methods, "--reference": reference, "--permuted": permuted})
        _accuracy(opened, chosen, named, stored=data is None, as_json=as_json)
        return
    board, written = _leaderboard(
        opened, chosen, part=named, own=_is_own(opened, chosen), target=target, samples=samples, methods=methods,
        reference=reference, beside=beside or (), permuted=permuted, seed=seed, jobs=jobs,
    )  # fmt: skip
    if as_json:
        say_json({**_as_dict(board), "written": [str(path) for path in written]})
        return
    _say_board(board)
    for path in written:
        say(f"{'picture' if path.suffix == '.png' else 'leaderboard'}: {path}")


def _samples(run: Run, data: Path | None, part: str | None) -> tuple[Dataset, str]:
    """Return the samples that are looked at, and what to call them."""
    if part is not None and part not in _PARTS:
        step = nearest(part, _PARTS)
        allowed = f"one of {', '.join(_PARTS)}"
        raise ConfigError(explained(where="--part", what="the part", allowed=allowed, got=repr(part), next_step=step))
    if data is None:
        return run.part(part or "test"), part or "test"
    other = run.open(data)
    if part is None and _is_own(run, other):
        part = "test"  # the run's own data, which lie elsewhere now
    if part is None:
        return other, "whole"
    return other.subset(part, split=run.config.data.split), part


def _is_own(run: Run, data: Dataset) -> bool:
    return bool(data.digest == run.provenance["data"]["digest"])


def _require_maps(given: dict[str, object]) -> None:
    for option, value in given.items():
        if value is not None:
            raise ConfigError(explained(where=option, what="it", allowed="given with --maps", got=f"{option} alone"))


def _accuracy(run: Run, data: Dataset, part: str, *, stored: bool, as_json: bool) -> None:
    from ram.training.results import figures_of

    predicted = run.predictions(part) if stored else _predicted(run, data)
    figures = figures_of(predicted, intervals=part in ("test", "whole"))
    if not figures:
        step = "Predict it instead: ram predict RUN FILE"
        raise ConfigError(
            explained(
                where=str(data.path), what="the file", allowed=f"with measured values of {', '.join(run.units)}",
                got="none", next_step=step,
            )
        )  # fmt: skip
    if as_json:
        say_json({"run": str(run.path), "data": str(data.path), "part": part, "metrics": figures})
        return
    heads, rows = ["target", "samples", "MAE", "RMSE", "MAPE", "R2"], []
    for name, of in figures.items():
        errors = [figure(of[key], unit=of["unit"]) for key in ("mae", "rmse")]  # type: ignore[arg-type]
        row = [name, f"{of['samples']:,}", *errors, figure(of["mape"], unit="%"), figure(of["r2"])]  # type: ignore[arg-type]
        rows.append([*row, *interval_figures(of)] if "coverage" in of else row)
    if any(len(row) > len(heads) for row in rows):
        heads += [f"{predicted.level:.4g} interval +-", "held"]
    say_table(f"{part} part of {data.path.name}" if part in _PARTS else f"all of {data.path.name}", heads, rows)
    if not stored:
        for line in trust_lines(run, predicted):
            say(line)


def _predicted(run: Run, data: Dataset) -> Predictions:
    with bar("predicting", total=len(data)) as progress:
        return run.predict(data, progress=progress)


def _leaderboard(
    run: Run, data: Dataset, *, part: str, own: bool, target: str | None, samples: int, methods: str | None,
    reference: str | None, beside: Sequence[Path], permuted: Path | None, seed: int, jobs: int,
) -> tuple[Leaderboard, list[Path]]:  # fmt: skip
    """Return the board, and the files that were written: none for other data than the run's."""
    import ram
    from ram.maps.methods import METHODS, method_called
    from ram.views.leaderboards import chosen_on_validation, evaluate_maps, write_leaderboard

    names = [name.strip() for name in methods.split(",") if name.strip()] if methods else list(METHODS)
    for name in names:
        method_called(name)
    with bar("scoring maps", total=1) as progress:
        board = evaluate_maps(
            run, data, target=target, methods=names, part=part, samples=samples, reference=reference, seed=seed,
            jobs=jobs, beside=[ram.open_run(path) for path in beside],
            permuted=None if permuted is None else ram.open_run(permuted), progress=progress,
        )  # fmt: skip
    if not own:
        return board, []
    board = chosen_on_validation(run, data, board)
    return board, write_leaderboard(run, data, board)


def _say_board(board: Leaderboard) -> None:
    from ram.views.leaderboard_sections import board_table
    from ram.views.leaderboard_words import chosen_words, headline

    table = board_table(board)
    say_table(table["caption"], table["head"][:-1], [row[:-1] for row in table["rows"]])
    for row in table["rows"]:
        if row[-1]:
            say(f"{row[0]}: {row[-1]}")
    say(headline(board))
    if words := chosen_words(board):
        say(words)


def _as_dict(board: Leaderboard) -> dict[str, Any]:
    from dataclasses import asdict

    best = board.best()
    return {**asdict(board), "deciding": board.deciding, "best": None if best is None else best.name}
