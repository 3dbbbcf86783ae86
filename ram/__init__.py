"""Regression activation mapping for engineering signals and designs.

A net with global average pooling and a linear unit regresses a physical quantity; its map says, in the unit
of that quantity, which regions of the input the value comes from.

The names below are imported when they are first asked for, so that ``import ram`` is quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ram.axes import Axis
    from ram.data.dataset import Dataset, Sample, open_dataset
    from ram.errors import ConfigError, DataError, ModelError, RamError, SolverError, TrainingError
    from ram.maps.explain import explain
    from ram.maps.methods import METHODS
    from ram.maps.regression_map import RegressionMap
    from ram.models.regressor import Regressor
    from ram.runs.run import Run, open_run
    from ram.training.adapting import adapt
    from ram.training.train import train
    from ram.views.report import write_report

__version__ = "0.1.0"

__all__ = [
    "METHODS",
    "Axis",
    "ConfigError",
    "DataError",
    "Dataset",
    "ModelError",
    "RamError",
    "RegressionMap",
    "Regressor",
    "Run",
    "Sample",
    "SolverError",
    "TrainingError",
    "__version__",
    "adapt",
    "explain",
    "open_dataset",
    "open_run",
    "train",
    "write_report",
]

_HOMES = {
    "METHODS": "ram.maps.methods",
    "Axis": "ram.axes",
    "ConfigError": "ram.errors",
    "DataError": "ram.errors",
    "Dataset": "ram.data.dataset",
    "ModelError": "ram.errors",
    "RamError": "ram.errors",
    "RegressionMap": "ram.maps.regression_map",
    "Regressor": "ram.models.regressor",
    "Run": "ram.runs.run",
    "Sample": "ram.data.dataset",
    "SolverError": "ram.errors",
    "TrainingError": "ram.errors",
    "adapt": "ram.training.adapting",
    "explain": "ram.maps.explain",
    "open_dataset": "ram.data.dataset",
    "open_run": "ram.runs.run",
    "train": "ram.training.train",
    "write_report": "ram.views.report",
}


def __getattr__(name: str) -> object:
    """Import a public name where it is first used (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'ram' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
