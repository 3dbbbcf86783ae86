"""What an import understood, as a user checks it before trusting the file."""

from __future__ import annotations

__all__ = ["account_of"]

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from ram.data.importing.building import Import
from ram.data.importing.cells import is_missing
from ram.data.importing.columns import Values
from ram.data.importing.form import bytes_of
from ram.data.importing.tables import Column
from ram.data.spec import PARTS

_FIRST = 3
_LONGEST = 18


def account_of(found: Import) -> dict[str, Any]:
    """Return what was understood: the table's columns, the inputs, the split, and what was left out.

    Keys: ``table`` (path, rows, said), ``columns``, ``inputs``, ``targets``, ``parameters``, ``split``, ``left_out``.
    """
    table = found.opened.table
    return {
        "table": None if table is None else {"path": str(table.path), "rows": len(table), "said": list(table.said)},
        "columns": [] if table is None else [_column(found, column) for column in table.columns],
        "inputs": _inputs(found),
        "targets": [_values(values) for values in found.targets],
        "parameters": [_values(values) for values in found.parameters],
        "split": _split(found),
        "left_out": [*found.opened.left_out, *_unmeasured(found.targets)],
    }


def _column(found: Import, column: Column) -> dict[str, Any]:
    first = [_shown(cell) for cell in list(column.cells[:_FIRST])]
    return {
        "name": column.name,
        "unit": column.unit,
        "used as": _role(found, column),
        "missing": sum(map(is_missing, column.cells)),
        "first rows": first,
    }


def _role(found: Import, column: Column) -> str:
    """Return what a column is used for; empty where it is not."""
    plan = found.plan
    names = {column.name, column.header}
    roles = [f"target {of.name}" for of in found.targets if of.header == column.header]
    roles += [f"parameter {of.name}" for of in found.parameters if of.header == column.header]
    named = {
        "id": (plan.id,),
        "group": plan.group,
        "weight": (plan.weight,),
        "split": (plan.split,),
        "rate": (plan.rate_column,),
        "file": plan.file_column,
        "time": (plan.time_column, plan.start_column, plan.end_column),
    }
    roles += [word for word, columns in named.items() if names & set(columns)]
    if not roles and any(f"files by column {column.name!r}" in text for text in found.opened.said):
        roles = ["file"]
    return ", ".join(roles)


def _inputs(found: Import) -> dict[str, Any]:
    form = found.form
    return {
        "count": len(found),
        "shape": [len(form.channels), *(axis.size for axis in form.axes)],
        "dtype": form.packing.dtype,
        "scale": form.packing.scale,
        "offset": form.packing.offset,
        "bytes": bytes_of(form, len(found)),
        "channels": dict(form.channels),
        "axes": [
            {
                "name": axis.name,
                "unit": axis.unit,
                "cells": axis.size,
                "step": float((axis.edges[-1] - axis.edges[0]) / axis.size),
                "first": float(axis.centres[0]),
                "last": float(axis.centres[-1]),
            }
            for axis in form.axes
        ],
        "said": [*found.opened.said, *found.known.said, *form.said],
    }


def _values(values: Values) -> dict[str, Any]:
    known = values.values[np.isfinite(values.values)]
    low, middle, high = np.quantile(known, [0.0, 0.5, 1.0]).tolist() if known.size else (None, None, None)
    return {
        "name": values.name,
        "unit": values.unit,
        "column": values.header,
        "min": low,
        "median": middle,
        "max": high,
        "missing": int(values.values.size - known.size),
        "said": values.said,
    }


def _split(found: Import) -> dict[str, Any]:
    counts = Counter(found.parts)
    groups = {
        part: len({group for group, of in zip(found.groups, found.parts, strict=True) if of == part}) for part in PARTS
    }
    plan = found.plan
    by = f"column {plan.split!r}" if plan.split else f"seed {plan.seed}"
    return {"by": by, "groups": groups, "samples": {part: counts[part] for part in PARTS}}


def _unmeasured(targets: Sequence[Values]) -> list[str]:
    """Say how many samples have no target at all; they stay in the file."""
    if not targets:
        return []
    none = int(np.all([~np.isfinite(values.values) for values in targets], axis=0).sum())
    return [f"of training: {none:,} samples without a target; they stay in the file"] * bool(none)


def _shown(cell: object) -> str:
    text = "" if cell is None else f"{cell:.6g}" if isinstance(cell, float) else str(cell)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
