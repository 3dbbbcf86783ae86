"""What scripts and tables read: values as JSON and CSV have them."""

from __future__ import annotations

__all__ = ["as_csv", "plain"]

import csv
import io
import math
from collections.abc import Mapping, Sequence


def plain(value: object) -> object:
    """Return `value` as JSON has it; a number that is not finite, which JSON lacks, becomes None.

    >>> plain({"mae": float("nan"), "ids": ("a", "b")})
    {'mae': None, 'ids': ['a', 'b']}
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def as_csv(rows: Sequence[Mapping[str, object]]) -> str:
    """Return `rows` as a table whose first line names the columns.

    >>> print(as_csv([{"id": "w0", "umbrella_Hz": 571.5}]), end="")
    id,umbrella_Hz
    w0,571.5
    """
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
