"""Write the catalogue of defects into docs/checks.md: ``python docs/checks.py``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ram.data.checks import Defect

BEGIN = "<!-- catalogue: written by `python docs/checks.py` from ram.data.checks -->"
END = "<!-- catalogue end -->"
PAGE = Path(__file__).with_name("checks.md")


def catalogue() -> str:
    """Return the whole catalogue in Markdown: one table a subject."""
    from ram.data.checks import CATALOGUE

    defects = [defect for of in CATALOGUE.values() for defect in of]
    errors = sum(defect.severity == "error" for defect in defects)
    tables = [f"{len(defects)} defects: {errors} errors, {len(defects) - errors} warnings.\n"]
    for subject, of in CATALOGUE.items():
        rows = "".join(row_of(defect) for defect in of)
        tables.append(f"### {subject}\n\n| code | | found when | why | what to do |\n|---|---|---|---|---|\n{rows}")
    return "\n".join(tables)


def row_of(defect: Defect) -> str:
    """Return the row of one defect."""
    remedy = defect.remedy.rstrip("?") or "The message says it"
    return f"| `{defect.code}` | {defect.severity} | {defect.rule} | {defect.reason} | {remedy} |\n"


def with_catalogue(page: str) -> str:
    """Return `page` with the catalogue between the two marks."""
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n\n{catalogue()}\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    sys.path.pop(0)  # a script finds its neighbours first, and numbers.py here is not that of the standard library
    PAGE.write_text(with_catalogue(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print(PAGE)
