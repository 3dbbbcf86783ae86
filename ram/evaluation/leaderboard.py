"""The leaderboard of maps: methods and trivial maps held against each other by the same scores, with intervals."""

from __future__ import annotations

__all__ = ["Column", "Leaderboard", "Row", "Stage", "load_leaderboard"]

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from ram.errors import DataError, explained, nearest
from ram.evaluation.bootstrap import Figure

SCHEMA = "ram-leaderboard/1"
METHOD, TRIVIAL = "method", "trivial"
_AGAIN = "Write it again with 'ram evaluate RUN --maps'"
_Named = TypeVar("_Named", "Column", "Row")
_WORSE = {"higher": lambda value: -value, "lower": lambda value: value, "zero": abs}


@dataclass(frozen=True)
class Column:
    """A score.

    Attributes
    ----------
    name, title
        What a script asks for, and what a table says.
    unit
        Of its figures; ``"1"`` where there is none.
    better
        ``"higher"``, ``"lower"``, or ``"zero"``: as near to it as may be, from either side.
    question
        What it answers, in a line.
    how
        How it was computed here: samples, cells, draws.
    chance
        What a map without knowledge has; None where that depends on the map.
    """

    name: str
    title: str
    unit: str
    better: str
    question: str
    how: str = ""
    chance: float | None = None


@dataclass(frozen=True)
class Stage:
    """What is left of a method's ranking where the last `layers` layers were drawn anew, with signs and of sizes."""

    layers: int
    signed: float
    absolute: float


@dataclass(frozen=True)
class Row:
    """What one method, or one trivial map, is worth.

    Attributes
    ----------
    name, kind
        ``"method"`` or ``"trivial"``.
    what
        What it shows, in a line.
    grade, reference
        How far the method's maps may be trusted, and what they are against.
    figures
        By column; what does not apply is not there.
    seconds
        Time for the map of one sample, on the machine that made the board; NaN where it was not measured.
    refused
        Why there is no map.
    notes
        What must be said beside the figures: options, few samples, a ranking that outlives the weights.
    cascade
        Stages of the randomisation test, from the linear unit down to the first layer; empty where it was not made.
    """

    name: str
    kind: str
    what: str = ""
    grade: str = ""
    reference: str = ""
    figures: Mapping[str, Figure] = field(default_factory=dict)
    seconds: float = float("nan")
    refused: str = ""
    notes: tuple[str, ...] = ()
    cascade: tuple[Stage, ...] = ()


@dataclass(frozen=True)
class Leaderboard:
    """Methods and trivial maps, scored on the same samples of one target.

    Attributes
    ----------
    run, data, digest, part
        Which net, which file with which digest, and which part of it.
    target, unit
        What is regressed, and the unit in which maps add up.
    samples, groups
        How many there are; groups are what intervals draw from, as many as samples where there are none.
    reference
        What maps and truth are against.
    against_truth
        Whether the samples have truth maps.
    columns, rows
        Scores, and who is scored.
    choice
        Where a method was chosen on the validation part: ``{"method": ..., "column": ..., "part": "validation"}``.
    """

    run: str
    data: str
    digest: str
    part: str
    target: str
    unit: str
    samples: int
    groups: int
    reference: str
    against_truth: bool
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    choice: Mapping[str, str] = field(default_factory=dict)

    def column(self, name: str) -> Column:
        """Return a column.

        Raises
        ------
        DataError
            There is none of this name.
        """
        return _named(self.columns, name, what="a column")

    def row(self, name: str) -> Row:
        """Return the row of a method or of a trivial map.

        Raises
        ------
        DataError
            There is none of this name.
        """
        return _named(self.rows, name, what="a row")

    @property
    def deciding(self) -> str:
        """The column by which rows are ordered and a method is chosen: agreement with the truth; without, deletion."""
        names = [column.name for column in self.columns]
        return next((name for name in ("spearman", "auc", "ordering") if name in names), names[0] if names else "")

    def ordered(self, column: str = "", *, kind: str = "") -> tuple[Row, ...]:
        """Return the rows that have a figure in the column, best first; of one kind if given."""
        name = column or self.deciding
        rows = [row for row in self.rows if name in row.figures and kind in ("", row.kind)]
        worse = _WORSE[self.column(name).better] if rows else abs
        return tuple(sorted(rows, key=lambda row: worse(row.figures[name].value)))

    def best(self, column: str = "", *, kind: str = METHOD) -> Row | None:
        """Return the best method by a column; None where none has a figure."""
        return next(iter(self.ordered(column, kind=kind)), None)

    def to_json(self) -> str:
        """Return all of it as JSON; a number that does not exist is null."""
        return json.dumps(_plain({"schema": SCHEMA, **asdict(self)}), indent=1, allow_nan=False, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Leaderboard:
        """Return what `to_json` wrote.

        Raises
        ------
        DataError
            Where the text is no leaderboard.
        """
        try:
            content = json.loads(text)
            if content.pop("schema") != SCHEMA:
                raise ValueError(f"the schema is not {SCHEMA}")
            columns = tuple(Column(**one) for one in content.pop("columns"))
            rows = tuple(_row(one) for one in content.pop("rows"))
            return cls(**content, columns=columns, rows=rows)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            allowed = f"of schema {SCHEMA}"
            raise DataError(
                explained(where="leaderboard", what="its text", allowed=allowed, got=error, next_step=_AGAIN)
            ) from None


def load_leaderboard(path: Path) -> Leaderboard:
    """Return the leaderboard in a file.

    Raises
    ------
    DataError
        Where it is missing or none; names the file.
    """
    try:
        return Leaderboard.from_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, DataError) as error:
        raise DataError(
            explained(where=str(path), what="a leaderboard", allowed="readable", got=f"'{error}'", next_step=_AGAIN)
        ) from None


def _named(several: Sequence[_Named], name: str, *, what: str) -> _Named:
    for one in several:
        if one.name == name:
            return one
    names = [one.name for one in several]
    step = nearest(name, names)
    raise DataError(
        explained(where="leaderboard", what=what, allowed=f"one of {', '.join(names)}", got=name, next_step=step)
    )


def _row(content: Mapping[str, Any]) -> Row:
    figures = {
        name: Figure(**{key: _number(of) for key, of in one.items()}) for name, one in content["figures"].items()
    }
    stages = tuple(Stage(**{key: _number(value) for key, value in one.items()}) for one in content["cascade"])
    own = {"figures": figures, "cascade": stages, "seconds": _number(content["seconds"])}
    return Row(**{**content, **own, "notes": tuple(content["notes"])})


def _number(value: Any) -> Any:
    return float("nan") if value is None else value


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
