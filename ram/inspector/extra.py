"""Whether the libraries that serve the page are there."""

from __future__ import annotations

__all__ = ["require_extra"]

import importlib.util

from ram.errors import ConfigError, explained


def require_extra() -> None:
    """Refuse to start where the extra ``[inspect]`` is not installed.

    Raises
    ------
    ConfigError
        Names what is missing.
    """
    missing = [name for name in ("starlette", "uvicorn") if importlib.util.find_spec(name) is None]
    if missing:
        step = "pip install 'regression-activation-mapping[inspect]'"
        raise ConfigError(
            explained(where="ram inspect", what="the extra [inspect]", allowed="installed",
                      got=f"no {' and no '.join(missing)}", next_step=step)
        )  # fmt: skip
