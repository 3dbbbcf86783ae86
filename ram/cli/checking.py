"""``ram data check``."""

from __future__ import annotations

__all__ = ["check"]

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from ram.cli.output import AsJson, bar, say, say_json

if TYPE_CHECKING:
    from ram.data.checks import Finding
    from ram.data.dataset import Dataset


def check(
    file: Annotated[Path, typer.Argument(help="A data file, or an experiment (TOML): its data as it would train.")],
    *,
    targets: Annotated[str | None, typer.Option(metavar="A,B", help="What is regressed; all if not said.")] = None,
    parameters: Annotated[
        str | None, typer.Option(metavar="A,B", help="What enters beside the input; none if not said.")
    ] = None,
    split: Annotated[str | None, typer.Option(metavar="NAME", help="Which split; the usual one if not said.")] = None,
    deep: Annotated[bool, typer.Option("--deep", help="Verify every value in the file against its digest.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Let warnings count as errors.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say what is wrong with FILE before it is trained on; exit code 2 where there are errors."""
    from ram.data.checks import find, unreadable
    from ram.errors import DataError

    try:
        usual = _asked(file)
    except DataError as error:
        _report(file, [unreadable(file, error)], samples=0, strict=strict, as_json=as_json)
        return
    data = usual.data
    with bar("checking", total=len(data)) as progress:
        found = list(
            find(
                data,
                targets=usual.targets if targets is None else _names(targets),
                parameters=usual.parameters if parameters is None else _names(parameters),
                split=usual.split if split is None else split,
                deep=deep,
                progress=progress,
            )
        )
    _report(file, found, samples=len(data), strict=strict, as_json=as_json)


def _report(file: Path, found: Sequence[Finding], *, samples: int, strict: bool, as_json: bool) -> None:
    """Print what was found, and leave with exit code 2 where it refuses training."""
    good = not any(finding.severity == "error" or strict for finding in found)
    if as_json:
        say_json(_as_dict(file, found, samples=samples, good=good))
    else:
        _say(file, found, samples=samples)
    if not good:
        raise typer.Exit(2)


class _Asked(NamedTuple):
    """A data set and what of it is meant; None: what is usual."""

    data: Dataset
    targets: Sequence[str] | None = None
    parameters: Sequence[str] | None = None
    split: str | None = None


def _asked(file: Path) -> _Asked:
    if file.suffix.lower() != ".toml":
        import ram

        return _Asked(ram.open_dataset(file))
    from ram.runs.config import load_experiment
    from ram.runs.opening import open_data

    section = load_experiment(file).data
    return _Asked(open_data(section), section.targets, section.parameters, section.split)


def _names(words: str) -> list[str]:
    return [word.strip() for word in words.split(",") if word.strip()]


def _as_dict(file: Path, found: Sequence[Finding], *, samples: int, good: bool) -> dict[str, object]:
    return {
        "file": str(file),
        "samples": samples,
        "good": good,
        "errors": _count(found, "error"),
        "warnings": _count(found, "warning"),
        "findings": [finding.as_dict() for finding in found],
    }


def _say(file: Path, found: Sequence[Finding], *, samples: int) -> None:
    for finding in found:
        say(f"{finding.severity} {finding.code}: {finding.text}")
    errors, warnings = _count(found, "error"), _count(found, "warning")
    if not found:
        say(f"{file}: {samples:,} samples, nothing found")
        return
    next_step = "train refuses this file" if errors else "train takes this file, and keeps the warnings with the run"
    say(f"{file}: {samples:,} samples, {errors} error(s), {warnings} warning(s); {next_step} (docs/checks.md)")


def _count(found: Sequence[Finding], severity: str) -> int:
    return sum(finding.severity == severity for finding in found)
