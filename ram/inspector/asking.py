"""Which question has which answer, whoever answers it: the server, or a process beside it."""

from __future__ import annotations

__all__ = ["QUESTIONS", "answered", "is_slow", "slow_answers"]

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ram.inspector import answers, files
from ram.inspector.files import Taken
from ram.inspector.inspection import Inspection, open_inspection
from ram.inspector.questions import Cohort, Column, Comparison, Download, Hearing, MapOf, Rows, Within
from ram.runs.predictions import Predictions
from ram.storage.sections import Section

Answer = bytes | Taken

_ANSWERS: Mapping[type[Section], Callable[[Inspection, Any], Answer]] = MappingProxyType(
    {
        Column: answers.column,
        MapOf: answers.map_answer,
        Within: answers.within,
        Comparison: answers.comparison,
        Cohort: answers.cohort,
        Download: files.as_file,
        Hearing: files.hearing,
        Rows: files.table,
    }
)
QUESTIONS: Mapping[str, type[Section]] = MappingProxyType(
    {
        "column": Column,
        "map": MapOf,
        "within": Within,
        "comparison": Comparison,
        "cohort": Cohort,
        "download": Download,
        "sound": Hearing,
        "table": Rows,
    }
)
"""Question by the last word of its address."""


def answered(looked: Inspection, question: Section) -> Answer:
    """Return the answer to a question."""
    return _ANSWERS[type(question)](looked, question)


def is_slow(looked: Inspection, question: Section) -> bool:
    """Whether a question is for a process of its own: it takes seconds, or draws at random."""
    return isinstance(question, Cohort) or (isinstance(question, MapOf) and looked.is_slow(question))


def slow_answers(path: Path, data: Path | None, predictions: Predictions) -> Callable[[Section], Answer]:
    """Return what answers slow questions, with a net of its own; for a helper process."""
    looked = open_inspection(path, data, predictions=predictions)
    return lambda question: answered(looked, question)
