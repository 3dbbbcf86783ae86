"""``ram verify`` and ``ram rerun``: whether a run is what it was, and comes out the same again."""

from __future__ import annotations

__all__ = ["rerun", "verify"]

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ram.cli.output import AsJson, bar, say, say_json, stoppable
from ram.errors import ConfigError, explained

if TYPE_CHECKING:
    from ram.runs.differences import RunDifferences
    from ram.runs.manifest import Problem
    from ram.runs.verification import Deep
    from ram.training.rerun import Rerun


def verify(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run, as ram train made it.")],
    *,
    deep: Annotated[
        bool, typer.Option("--deep", help="Verify the data file too; compute predictions and maps again.")
    ] = False,
    data: Annotated[
        Path | None, typer.Option(metavar="FILE", help="With --deep: the run's data, where they lie elsewhere now.")
    ] = None,
    expect: Annotated[
        str | None, typer.Option(metavar="DIGEST", help="The run's digest, or 12 letters of it, as noted elsewhere.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say which files of RUN are not as they were written; exit code 1 where there are any."""
    from ram.runs.manifest import verify_files

    _require_a_run(run)
    if data is not None and not deep:
        raise ConfigError(explained(where="--data", what="it", allowed="given with --deep", got="--data alone"))
    problems = verify_files(run)
    digest = _digest(run, expect, problems)
    looked = _deep(run, data) if deep and _can_predict(run) else None
    problems += looked.problems if looked else ()
    if as_json:
        say_json(_as_dict(run, digest, problems, looked))
    else:
        _say(run, digest, problems, looked)
    if problems:
        raise typer.Exit(1)


def _require_a_run(run: Path) -> None:
    import ram

    if not (run / "manifest.json").is_file():
        ram.open_run(run)  # says what a folder without one is, or that there is none


def _digest(run: Path, expect: str | None, problems: list[Problem]) -> str | None:
    """Return the run's digest, None where the manifest is damaged; another one than expected is a problem."""
    from ram.runs.manifest import NAME, Problem, run_digest

    digest = None if any(one.file == NAME for one in problems) else run_digest(run)
    if expect is not None and not re.fullmatch(r"[0-9a-fA-F]{12,64}", expect):
        allowed = "64 hexadecimal digits, or the first 12 or more of them"
        raise ConfigError(explained(where="--expect", what="a run's digest", allowed=allowed, got=repr(expect)))
    if expect is not None and digest is not None and not digest.startswith(expect.lower()):
        problems.append(Problem(NAME, "changed", f"is of a run with digest {digest}, not {expect.lower()}"))
    return digest


def _can_predict(run: Path) -> bool:
    from ram.runs.run import ENSEMBLE_FILE

    if not (run / ENSEMBLE_FILE).is_file():
        return (run / "checkpoint.safetensors").is_file()
    step = "Each member is a run: ram verify RUN/MEMBER --deep"
    raise ConfigError(
        explained(where=str(run), what="--deep", allowed="asked of a single run", got="an ensemble", next_step=step)
    )


def _deep(run: Path, data: Path | None) -> Deep:
    import ram
    from ram.runs.verification import verify_deeply

    opened = ram.open_run(run)
    with bar("predicting", total=_predicted(run)) as progress:
        return verify_deeply(opened, data=data, progress=progress)


def _predicted(run: Path) -> int:
    """Return how many samples there are to predict; 0 where the stored predictions are damaged."""
    import ram
    from ram.errors import RamError

    try:
        return len(ram.open_run(run).all_predictions())
    except RamError:
        return 0


def _as_dict(run: Path, digest: str | None, problems: Sequence[Problem], looked: Deep | None) -> dict[str, Any]:
    return {
        "run": str(run),
        "good": not problems,
        "digest": digest,
        "problems": [{"file": one.file, "kind": one.kind, "text": one.text} for one in problems],
        **({"environment": {key: list(of) for key, of in looked.environment.items()}} if looked else {}),
    }


def _say(run: Path, digest: str | None, problems: Sequence[Problem], looked: Deep | None) -> None:
    for one in problems:
        say(f"{one.kind}: {one.file} {one.text}")
    if problems:
        say(f"{run}: {len(problems)} problem(s)")
        return
    say(f"{run}: every byte as it was written" + (_agreement(looked) if looked else ""))
    say(f"digest: {digest}")


def _agreement(looked: Deep) -> str:
    if not looked.environment:
        return "; data, predictions and maps are equal to the bit"
    names = ", ".join(looked.environment)
    return f"; data unchanged, predictions and maps equal to 1e-5 (the environment differs: {names})"


def rerun(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run, as ram train made it.")],
    *,
    data: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The run's data where they lie now; with --recipe, the file to make."),
    ] = None,
    recipe: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Make the data again by this recipe, whose code is run."),
    ] = None,
    options: Annotated[
        list[str] | None, typer.Option("--option", metavar="NAME=VALUE", help="Of the recipe. May be repeated.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="The new run's; a new one in runs if not said.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train RUN again from its own config and say 'identical', or what differs and by how much; exit code 1 then."""
    import ram
    from ram.training.rerun import make_again
    from ram.training.rerun import rerun as done_again

    opened = ram.open_run(run)
    if recipe is not None:
        data = data or Path(f"{output or run}".rstrip("/") + ".data.h5")
        make_again(opened, recipe, data, options=_options(options or ()))
    elif options:
        raise ConfigError(explained(where="--option", what="it", allowed="given with --recipe", got="--option alone"))
    with stoppable():
        found = done_again(opened, data=data, output=output)
    if as_json:
        say_json(_differences_as_dict(found))
    else:
        _say_differences(run, found)
    if not found.differences.identical:
        raise typer.Exit(1)


def _options(words: Sequence[str]) -> dict[str, str]:
    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not name or not equals:
            raise ConfigError(explained(where="--option", what="an option", allowed="NAME=VALUE", got=repr(word)))
        found[name] = value
    return found


def _differences_as_dict(found: Rerun) -> dict[str, Any]:
    of = found.differences
    return {
        "run": str(found.run.path),
        "identical": of.identical,
        "environment": {key: list(pair) for key, pair in of.environment.items()},
        "config": {key: list(pair) for key, pair in of.config.items()},
        "data": list(of.data) if of.data else None,
        "files": [{"file": one.file, "text": one.text, "sizes": dict(one.sizes)} for one in of.files],
        "equal": list(of.equal),
    }


def _say_differences(run: Path, found: Rerun) -> None:
    of = found.differences
    for what, pairs in (("environment", of.environment), ("config", of.config)):
        for key, pair in pairs.items():
            say(f"{what}: {key} was {pair.first}, is {pair.second}")
    for one in of.files:
        say(f"{one.file}: {one.text}")
    if of.identical:
        say(f"identical: {len(of.equal)} files of {found.run.path} have the bytes of {run}" + _although(of))
    else:
        say(f"not identical: {len(of.files)} of {len(of.files) + len(of.equal)} files differ from {run}")
    say(f"run: {found.run.path}")


def _although(of: RunDifferences) -> str:
    return ", in another environment" if of.environment else ""
