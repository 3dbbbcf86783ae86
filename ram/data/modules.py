"""Python files that the user names, a recipe or a simulator: their code is run."""

from __future__ import annotations

__all__ = ["module_at"]

import hashlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import cloudpickle  # type: ignore[import-untyped]


def module_at(path: Path, *, kind: str) -> ModuleType:
    """Return the module of a Python file; it runs, and what it raises passes through.

    Workers, who cannot import it by its name, are sent its code.

    Parameters
    ----------
    kind
        What it is, such as ``"recipe"``: the module's name begins with it.
    """
    path = path.resolve()
    name = f"ram_{kind}_{path.parent.name}_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    specification = importlib.util.spec_from_file_location(name, path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module  # dataclasses look their module up
    cloudpickle.register_pickle_by_value(module)
    specification.loader.exec_module(module)
    return module
