"""Cells of tables as people write them: decimal commas, missing values, units in headers, quantities with a unit."""

from __future__ import annotations

__all__ = [
    "as_name",
    "decimal_mark",
    "is_missing",
    "known_unit",
    "number",
    "quantity",
    "shared_decimal_mark",
    "split_header",
]

import math
import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache

import numpy as np

from ram.errors import ConfigError, DataError, explained

_MISSING = {"", "-", "--", "---", "?", "n/a", "#n/a", "na", "nan", "n.a.", "none", "null", "nil", "missing", "k.a."}
_BRACKETED = re.compile(r"(?P<name>.*?)\s*(?:\((?P<round>[^()]*)\)|\[(?P<square>[^\[\]]*)\])\s*")
_SLASHED = re.compile(r"(?P<name>.+?)\s+(?:/|in)\s+(?P<unit>\S+)")
_QUANTITY = re.compile(r"\s*(?P<number>[-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?)\s*(?P<unit>.*?)\s*")
_THOUSANDS = re.compile(r"[-+]?\d{1,3}(?:,\d{3})+")


def is_missing(cell: object) -> bool:
    """Whether a cell says that nothing was measured: empty, ``n/a``, ``-``, NaN.

    >>> is_missing(" n/a"), is_missing(None), is_missing(0)
    (True, True, False)
    """
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return True
    return isinstance(cell, str) and cell.strip().lower() in _MISSING


def number(cell: object, *, decimal: str = ".") -> float:
    """Return the number in a cell, NaN where nothing was measured.

    Parameters
    ----------
    decimal
        ``"."`` or ``","``; the other one may part thousands.

    Raises
    ------
    ValueError
        The cell holds something else.

    >>> number("1.234,5", decimal=","), number("2e3"), number(7)
    (1234.5, 2000.0, 7.0)
    """
    if is_missing(cell):
        return math.nan
    if not isinstance(cell, str):
        if isinstance(cell, (int, float, np.number)) and not isinstance(cell, (bool, np.timedelta64)):
            return float(cell)
        raise ValueError(cell)
    text = cell.strip().replace("\u2212", "-").replace("\u00a0", "").replace("'", "")
    if decimal == ",":
        text = _with_point(text)
    elif _THOUSANDS.match(text):
        text = text.replace(",", "")
    if "_" in text:  # Python reads 1_000 as a number; nobody's instrument writes it
        raise ValueError(cell)
    return float(text)


def _with_point(text: str) -> str:
    """Return a number of a column with decimal commas as Python reads it; a point can only part thousands there."""
    whole, comma, rest = text.partition(",")
    if "." in whole:
        if not re.fullmatch(r"[-+]?[1-9]\d{0,2}(?:\.\d{3})+", whole):
            raise ValueError(text)
        whole = whole.replace(".", "")
    return f"{whole}.{rest}" if comma else whole


def decimal_mark(cells: Iterable[object]) -> str:
    """Return ``","`` where the numbers of a column have decimal commas, else ``"."``; ``"?"`` where both could be.

    >>> decimal_mark(["0,5", "12,25"]), decimal_mark(["1,234.5"]), decimal_mark(["1,234", "2,500"])
    (',', '.', '?')
    """
    texts = [cell.strip() for cell in cells if isinstance(cell, str) and "," in cell]
    if not texts:
        return "."
    if any("." in text and text.rfind(".") > text.rfind(",") for text in texts):
        return "."
    return "?" if all(_THOUSANDS.fullmatch(text) and not text.startswith("0") for text in texts) else ","


def shared_decimal_mark(columns: Iterable[Sequence[object]]) -> str:
    """Return the mark that the columns without a doubt have in common, ``"?"`` where there is none or they differ.

    >>> shared_decimal_mark([["5,000", "5,143"], ["800,0"], ["Berlin, Mitte"]]), shared_decimal_mark([["5,000"], ["7"]])
    (',', '?')
    """
    marks = {mark for cells in columns for mark in (",", ".") if _has_mark(cells, mark)}
    return marks.pop() if len(marks) == 1 else "?"


def _has_mark(cells: Sequence[object], mark: str) -> bool:
    """Whether all cells are numbers with this decimal mark, and one of them can be read in no other way."""
    texts = [cell.strip() for cell in cells if isinstance(cell, str) and not is_missing(cell)]
    clear = any(mark in text and not _THOUSANDS.fullmatch(text.replace(mark, ",")) for text in texts)
    if not clear or decimal_mark(texts) != mark:
        return False
    try:
        return all(math.isfinite(number(text, decimal=mark)) for text in texts)
    except ValueError:
        return False


def split_header(header: str) -> tuple[str, str]:
    """Return name and unit of a column's header; the unit is empty where the header has none.

    >>> split_header("f1 (Hz)"), split_header("depth [cm]"), split_header("mass / kg"), split_header("tap (left)")
    (('f1', 'Hz'), ('depth', 'cm'), ('mass', 'kg'), ('tap (left)', ''))
    """
    text = " ".join(str(header).split())
    bracketed = _BRACKETED.fullmatch(text)
    if bracketed and bracketed["name"]:
        unit = known_unit(bracketed["round"] if bracketed["round"] is not None else bracketed["square"])
        if unit:
            return bracketed["name"], unit
    slashed = _SLASHED.fullmatch(text)
    if slashed and known_unit(slashed["unit"]):
        return slashed["name"], known_unit(slashed["unit"])
    return text, ""


@cache
def known_unit(text: str) -> str:
    """Return a unit as this package writes it, ``"1"`` for ``-``, and an empty text for what is no unit.

    >>> known_unit("[m/s²]"), known_unit("-"), known_unit("left")
    ('m/s²', '1', '')
    """
    from ram.data.units import checked_unit

    word = text.strip().strip("[]()").strip()
    if word in {"-", "--", "1"}:
        return "1"
    if not word or word[0].isdigit() or len(word) > 24:
        return ""
    try:
        return checked_unit(word, where="a header")
    except DataError:
        return ""


def as_name(text: str) -> str:
    """Return a name that a data file may hold: letters, digits, ``_-.``, beginning with a letter.

    >>> as_name("1. Eigenfrequenz"), as_name("Länge"), as_name("labels/freq")
    ('n1._Eigenfrequenz', 'Laenge', 'freq')
    """
    last = text.strip().strip("/").split("/")[-1] or "unnamed"
    for letter, plain in (("ä", "ae"), ("ö", "oe"), ("ü", "ue"), ("ß", "ss"), ("Ä", "Ae"), ("Ö", "Oe"), ("Ü", "Ue")):
        last = unicodedata.normalize("NFC", last).replace(letter, plain)
    plain_text = unicodedata.normalize("NFKD", last).encode("ascii", "ignore").decode()
    word = re.sub(r"[^A-Za-z0-9_.\-]+", "_", plain_text).strip("_") or "unnamed"
    return (word if word[0].isalpha() else f"n{word}")[:80]


def quantity(text: str | float, *, unit: str, where: str) -> float:
    """Return a quantity given with or without its unit, such as ``"0.5 s"``, as a number of `unit`.

    >>> quantity("48 kHz", unit="Hz", where="--sample-rate"), quantity(0.25, unit="s", where="--hop")
    (48000.0, 0.25)

    Raises
    ------
    ConfigError
        It is no number with a unit that fits.
    """
    from ram.data.units import convert

    found = _QUANTITY.fullmatch(str(text))
    try:
        if found is None:
            raise ValueError(text)
        value = convert(np.array([float(found["number"])]), unit=found["unit"] or unit, to=unit)
    except (DataError, ValueError, TypeError, AttributeError, AssertionError) as error:
        allowed = f"a number with a unit that can be given in {unit}"
        raise ConfigError(explained(where=where, what="the value", allowed=allowed, got=repr(text))) from error
    except Exception as error:  # pint raises a dozen kinds for text that is no unit
        allowed = f"a number with a unit that can be given in {unit}"
        raise ConfigError(explained(where=where, what="the value", allowed=allowed, got=repr(text))) from error
    return float(value[0])
