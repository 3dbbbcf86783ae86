"""What is said of a leaderboard in a line, and in which order its rows are shown."""

from __future__ import annotations

__all__ = ["chosen_words", "headline", "merged", "shortened", "with_interval", "written"]

from ram.evaluation.bootstrap import Figure
from ram.evaluation.leaderboard import METHOD, TRIVIAL, Column, Leaderboard, Row
from ram.views.numbers import NOTHING, figure, fixed

_SAME = 1e-6


def headline(board: Leaderboard) -> str:
    """Return the one sentence with the figures that matter."""
    column = board.column(board.deciding)
    method, trivial = board.best(), board.best(kind=TRIVIAL)
    if method is None:
        return f"{board.target}: no method has a map of this net"
    words = (
        f"{board.target}: {method.name} is best, {column.title} {with_interval(method.figures[column.name], column)}"
    )
    if trivial is None:
        return words
    return f"{words}; best map without a net: {trivial.name}, {written(trivial.figures[column.name].value, column)}"


def chosen_words(board: Leaderboard) -> str:
    """Say which method was chosen on the validation part, and what it is worth here; nothing where none was."""
    if not board.choice:
        return ""
    name, column = board.choice["method"], board.column(board.deciding)
    found = [row for row in board.rows if row.name == name and column.name in row.figures]
    here = with_interval(found[0].figures[column.name], column) if found else "not scored"
    return f"Chosen on the validation part by {board.choice['column']}: {name}. Here: {here}."


def merged(board: Leaderboard) -> list[tuple[str, Row]]:
    """Return the rows best first, methods whose maps are equal as one, and what to call each."""
    found: list[tuple[str, Row]] = []
    for row in board.ordered():
        place = next((at for at, (_, other) in enumerate(found) if _equal(row, other)), None)
        if place is None:
            found.append((row.name, row))
        else:
            found[place] = (f"{found[place][0]}, {row.name}", found[place][1])
    return found


def shortened(names: str) -> str:
    """Return the first of several names, and how many share its maps.

    >>> shortened("ram, grad-ram, hirescam"), shortened("ram")
    ('ram (2 others are equal)', 'ram')
    """
    first, *others = names.split(", ")
    many = "1 other is equal" if len(others) == 1 else f"{len(others)} others are equal"
    return f"{first} ({many})" if others else first


def _equal(row: Row, other: Row) -> bool:
    """Say whether two methods have the same maps, as their agreement with truth and net tells."""
    names = [name for name in ("spearman", "pearson", "ordering", "fidelity") if name in row.figures]
    if row.kind != METHOD or other.kind != METHOD or not names:
        return False
    return all(
        name in other.figures and abs(row.figures[name].value - other.figures[name].value) < _SAME for name in names
    ) and ("infidelity" in row.figures) == ("infidelity" in other.figures)


def written(value: float, column: Column) -> str:
    """Return a figure as a table shows it: two decimals where there is no unit, three digits where there is one.

    >>> written(0.4213, Column("a", "A", "1", "higher", "")), written(12.345, Column("b", "B", "Hz", "lower", ""))
    ('0.42', '12.3')
    """
    return fixed(value, decimals=2) if column.unit == "1" else figure(value)


def with_interval(found: Figure, column: Column) -> str:
    """Return a figure with its interval in brackets."""
    value, low, high = (written(number, column) for number in (found.value, found.low, found.high))
    return value if low == NOTHING else f"{value} ({low} … {high})"
