"""What a check may find (`Defect`) and what it has found in one file (`Finding`)."""

from __future__ import annotations

__all__ = ["Defect", "Finding", "Severity"]

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ram.data.dataset import Dataset
from ram.errors import explained

Severity = Literal["error", "warning"]

_MOST_SHOWN = 5
_MOST_KEPT = 1000  # a file may have ten million rows, and every one of them a trouble


@dataclass(frozen=True)
class Finding:
    """One trouble in one file.

    Attributes
    ----------
    code, severity
        The defect's. An error refuses training, a warning is said and kept with the run.
    file, path
        The file and the path inside it.
    rows, count
        Rows in the file, the first 1,000 of them; how many there are. Empty and 0 where it is of the whole array.
    text
        What the user reads, one paragraph.
    """

    code: str
    severity: Severity
    file: str
    path: str
    rows: tuple[int, ...]
    count: int
    text: str

    def __str__(self) -> str:
        """Return what the user reads."""
        return self.text

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return {**asdict(self), "rows": list(self.rows)}

    def in_file(self, name: str) -> Finding:
        """Return it with another name for the file, such as one that does not say whose disk it lies on."""
        return replace(self, file=name, text=self.text.replace(self.file, name))


@dataclass(frozen=True, kw_only=True)
class Defect:
    """One entry of the catalogue.

    Parameters
    ----------
    code
        The word that refers to it.
    severity
        ``"error"`` where training would give nonsense or fail, ``"warning"`` where a person must look.
    what, allowed
        "`what` must be `allowed`".
    rule
        When it is found, with the threshold.
    reason
        Why the threshold is where it is and what goes wrong otherwise.
    remedy
        What to do.
    """

    code: str
    severity: Severity
    what: str
    allowed: str
    rule: str
    reason: str
    remedy: str

    def found(
        self,
        data: Dataset,
        path: str,
        *,
        got: object,
        rows: NDArray[np.bool_] | NDArray[np.integer] | None = None,
        allowed: str = "",
        remedy: str | None = None,
    ) -> Finding:
        """Return what to say of it.

        Parameters
        ----------
        path
            The path inside the file.
        got
            What is there instead.
        rows
            Positions in `data`, or a mask over it; None where it is of the whole array.
        allowed, remedy
            In place of the catalogue's words, where the file lets one say it more exactly.
        """
        place = data.place(path)
        where = f"{data.path}:{place}"
        listed: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        if rows is not None:
            chosen = data[rows]
            listed = chosen.indices
            where += _named(chosen[:_MOST_SHOWN], listed.size)
        text = explained(
            where=where,
            what=self.what,
            allowed=allowed or self.allowed,
            got=got,
            next_step=self.remedy if remedy is None else remedy,
        )
        kept = tuple(listed[:_MOST_KEPT].tolist())
        return Finding(self.code, self.severity, str(data.path), place, kept, int(listed.size), text)


def _named(shown: Dataset, count: int) -> str:
    """Return the rows in the file with their ids, the first few of them."""
    named = ", ".join(f"{row} (id {name})" for row, name in zip(shown.indices, shown.ids, strict=True))
    more = f" and {count - _MOST_SHOWN} more" if count > _MOST_SHOWN else ""
    return f" row{'s' if count > 1 else ''} {named}{more}"
