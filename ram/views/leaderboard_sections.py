"""A leaderboard as tables and words, for the shell and for the report."""

from __future__ import annotations

__all__ = ["board_table", "leaderboards", "shown_columns"]

from collections.abc import Sequence
from typing import Any

from ram.evaluation.leaderboard import Column, Leaderboard, Row, load_leaderboard
from ram.runs.run import Run
from ram.views.leaderboard_pictures import board_picture
from ram.views.leaderboard_words import chosen_words, headline, merged, with_interval, written
from ram.views.numbers import NOTHING, figure
from ram.views.style import embedded

Content = dict[str, Any]
_SHOWN = ("spearman", "pearson", "top", "sign", "auc", "mass", "regions_share", "ordering", "deletion", "road",
          "infidelity", "kept", "seeds")  # fmt: skip
_IN_REPORT = ("spearman", "auc", "top", "regions_share", "ordering", "infidelity", "kept", "seeds")
_WORDS = (
    "Every method explained the same samples of the {part} part; maps that need no net stand beside them. In brackets: "
    "where 95 % of the figures lie when samples{groups} are drawn anew."
)
_TRUTH = (
    "Agreement with physics says whether the net is right; ordering and deletion say whether the map is of the net."
)
_ALONE = (
    "The file holds no truth for these samples: the figures say whether a map is of the net, not whether the net is "
    "right."
)


def shown_columns(board: Leaderboard, *, names: Sequence[str] = _SHOWN) -> list[Column]:
    """Return the columns that a table shows, of those in `names`; the file holds all."""
    return [board.column(name) for name in names if name in {column.name for column in board.columns}]


def board_table(board: Leaderboard, *, names: Sequence[str] = _SHOWN) -> Content:
    """Return caption, head and rows of a board, best first, and those that refused at the end."""
    columns = shown_columns(board, names=names)
    rows = [[name, *_cells(row, columns, deciding=board.deciding)] for name, row in merged(board)]
    scored = {row.name for row in board.ordered()}
    left = [row for row in board.rows if row.name not in scored]
    rows += [[row.name, *[NOTHING] * len(columns), _seconds(row), _notes(row)] for row in left]
    head = ["map", *map(_title, columns), "s a sample", "notes"]
    truth = "with physics" if board.against_truth else "without a truth"
    caption = f"{board.target}, {board.samples:,} samples of the {board.part} part, {truth}, against {board.reference}"
    return {"caption": caption, "head": head, "rows": rows}


def _title(column: Column) -> str:
    return column.title if column.unit in ("", "1", "%") else f"{column.title} ({column.unit})"


def _cells(row: Row, columns: Sequence[Column], *, deciding: str) -> list[str]:
    cells = []
    for column in columns:
        found = row.figures.get(column.name)
        if found is None:
            cells.append(NOTHING)
        else:
            cells.append(with_interval(found, column) if column.name == deciding else written(found.value, column))
    return [*cells, _seconds(row), _notes(row)]


def _seconds(row: Row) -> str:
    return figure(row.seconds, digits=2)


def _notes(row: Row) -> str:
    return row.refused or "; ".join(row.notes)


def leaderboards(run: Run) -> Content | None:
    """Return the section of a report about the boards in a run's folder; None where there is none."""
    boards = [load_leaderboard(path) for path in sorted(run.path.glob("leaderboard*.json"))]
    if not boards:
        return None
    boards.sort(key=lambda board: (board.target, board.part != "test"))
    return {"words": [_TRUTH if any(one.against_truth for one in boards) else _ALONE], "cards": [*map(_card, boards)]}


def _card(board: Leaderboard) -> Content:
    groups = "" if board.groups == board.samples else f" (in {board.groups:,} groups, drawn whole)"
    names = [name for name in _IN_REPORT if name != "auc" or board.deciding == "auc"]
    asked = [f"{_title(column)}: {column.question}" for column in shown_columns(board, names=names)]
    words = [_WORDS.format(part=board.part, groups=groups), chosen_words(board), " ".join(asked)]
    picture = embedded(board_picture(board), headline(board))
    return {"table": board_table(board, names=names), "picture": picture, "words": [word for word in words if word]}
