"""Errors that a user can act on.

Every message is one paragraph: where, what, what is allowed, what was found, what to do next.
An inner function raises the bare reason; the public boundary adds where (file, path in it, row).
"""

from __future__ import annotations

__all__ = [
    "ConfigError",
    "DataError",
    "ModelError",
    "RamError",
    "RelayedError",
    "SolverError",
    "Stopped",
    "StorageError",
    "TrainingError",
    "explained",
    "nearest",
]

import difflib
from collections.abc import Iterable


class RamError(Exception):
    """Base of all errors that this package raises on purpose; its text is meant for the user."""


class ConfigError(RamError):
    """A config, an option or an argument is not what it must be."""


class DataError(RamError):
    """A file or an array is not what it must be; the message names file, path in it and row."""


class StorageError(DataError):
    """A disk is full or broken; what it held before is whole, and nothing half-written is left behind."""


class ModelError(RamError):
    """A net does not fit the data or the method that was asked for."""


class SolverError(RamError):
    """A physical model could not be solved; raised for one design, never hidden."""


class TrainingError(RamError):
    """A training went wrong on the way (a loss that is not finite); the last good checkpoint is kept."""


class RelayedError(RamError):
    """Another process of the same training has failed, and says itself why.

    Attributes
    ----------
    of
        The kind of its error: this process ends with the same exit code.
    """

    def __init__(self, text: str, *, of: type[BaseException] = TrainingError) -> None:
        super().__init__(text)
        self.of = of


class Stopped(KeyboardInterrupt, SystemExit):
    """Work was stopped by a signal, and what is needed to go on with it is kept.

    It is an interrupt to whoever waits for one (Jupyter, ``except KeyboardInterrupt``); where nobody does, the process
    ends with exit code 75, "try again later" (EX_TEMPFAIL in sysexits.h).
    """

    code = 75


def explained(*, where: str, what: str, allowed: str, got: object, next_step: str = "") -> str:
    """Return the one paragraph that every error of this package uses.

    >>> explained(where="wheel.h5:/targets/umbrella row 3", what="a target", allowed="a finite number",
    ...           got="nan", next_step="Leave the row out or declare it as missing")
    'wheel.h5:/targets/umbrella row 3: a target must be a finite number. Got nan. \
Leave the row out or declare it as missing.'
    """
    text = f"{where}: {what} must be {allowed}. Got {got}."
    if next_step.endswith("?"):
        return f"{text} {next_step}"
    return f"{text} {next_step.rstrip('.')}." if next_step else text


def nearest(word: str, choices: Iterable[str]) -> str:
    """Return ``"Did you mean 'x'?"`` for the choice nearest to `word`, or an empty string.

    >>> nearest("epocs", ["epochs", "seed"])
    "Did you mean 'epochs'?"
    """
    found = difflib.get_close_matches(word, list(choices), n=1, cutoff=0.5)
    return f"Did you mean '{found[0]}'?" if found else ""
