"""Data sets made by recipes: a folder with a `recipe.py` whose `make(output, *, ...)` writes a data file."""

from __future__ import annotations

__all__ = ["Option", "check_output", "compute_in_order", "load_recipe", "make", "options_of", "partial_folder"]

import hashlib
import inspect
import os
import shutil
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from ram.data.cluster import on_cluster
from ram.data.computing import compute_in_order
from ram.data.modules import module_at
from ram.data.origin import Origin, made_by
from ram.errors import ConfigError, explained, nearest

_WORDS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
_GIVEN_BY_US = ("output", "progress")
_HOW = ("jobs", "cluster")  # how the work is shared out, which changes no byte


@dataclass(frozen=True)
class Option:
    """One option of a recipe: its name, type, default (``inspect.Parameter.empty`` where it must be given)."""

    name: str
    kind: typing.Any
    default: object

    @property
    def required(self) -> bool:
        """Whether it has no default."""
        return self.default is inspect.Parameter.empty

    @property
    def text(self) -> str:
        """As a user reads it: ``samples (int, 1000)``."""
        kind = self.kind.__name__ if isinstance(self.kind, type) else str(self.kind)
        return f"{self.name} ({kind}, {'required' if self.required else self.default})"


def make(
    folder: str | os.PathLike[str],
    output: str | os.PathLike[str],
    options: Mapping[str, str],
    *,
    overwrite: bool = False,
    progress: bool | Callable[[int, int], None] = True,
    cluster: str | None = None,
) -> Path:
    """Run the recipe in `folder`; its data file appears at `output` when it is whole.

    Parameters
    ----------
    folder
        Holds ``recipe.py``. Its code is run: only name a folder that you trust.
    output
        The data file. Finished parts are kept in ``<output>.partial`` until it is whole, so that the same
        command continues after an interruption.
    options
        Name -> text, turned into the types that the signature of the recipe's ``make`` declares.
    overwrite
        Whether a file at `output` may be replaced.
    progress
        Passed on to the recipe.
    cluster
        Address of a Dask scheduler whose workers compute the samples, such as ``tcp://node7:8786``. The bytes are those
        that one process would write.

    Raises
    ------
    ConfigError
        No recipe, an option that it does not have or of another type, an output that is there already, a cluster that
        cannot be reached or whose workers could compute something else.
    """
    target = Path(output)
    recipe = load_recipe(folder)
    values = _converted(options, options_of(recipe), where=str(recipe.__file__))
    check_output(target, overwrite=overwrite)
    with made_by(_origin(recipe, values)), on_cluster(cluster):
        recipe.make(target, **values, progress=progress)
    if not target.is_file():
        raise ConfigError(
            explained(where=str(recipe.__file__), what="make()", allowed=f"the writer of {target}", got="no file there")
        )
    shutil.rmtree(partial_folder(target), ignore_errors=True)
    return target


def _origin(recipe: ModuleType, values: Mapping[str, object]) -> Origin:
    path = Path(str(recipe.__file__))
    whole = {option.name: values.get(option.name, option.default) for option in options_of(recipe)}
    kept = {name: value for name, value in whole.items() if name not in _HOW and not isinstance(value, Path)}
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Origin(path.parent.name, digest, {name: _text(value) for name, value in kept.items()})


def _text(value: object) -> str:
    """Return a value as the command line has it."""
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def load_recipe(folder: str | os.PathLike[str]) -> ModuleType:
    """Return the module ``recipe.py`` of a folder.

    Raises
    ------
    ConfigError
        There is none, or it has no function ``make``.
    """
    path = Path(folder).resolve() / "recipe.py"
    if not path.is_file():
        raise ConfigError(_no_recipe(Path(folder)))
    module = module_at(path, kind="recipe")
    if not callable(getattr(module, "make", None)):
        raise ConfigError(
            explained(where=str(path), what="a recipe", allowed="a module with make(output, *, ...)", got="none")
        )
    return module


def options_of(recipe: ModuleType) -> tuple[Option, ...]:
    """Return the options that a recipe's ``make`` takes, in the order of its signature."""
    kinds = typing.get_type_hints(recipe.make)
    parameters = inspect.signature(recipe.make).parameters.values()
    return tuple(
        Option(parameter.name, kinds.get(parameter.name, str), parameter.default)
        for parameter in parameters
        if parameter.name not in _GIVEN_BY_US
    )


def partial_folder(output: str | os.PathLike[str]) -> Path:
    """Return the folder beside `output` that keeps finished parts until the file is whole."""
    return Path(f"{os.fspath(output)}.partial")


def _converted(options: Mapping[str, str], known: tuple[Option, ...], *, where: str) -> dict[str, object]:
    kinds = {option.name: option for option in known}
    values: dict[str, object] = {}
    for name, text in options.items():
        key = name.replace("-", "_")
        if key not in kinds:
            allowed = f"one of {', '.join(option.text for option in known) or 'none'}"
            raise ConfigError(
                explained(where=where, what="an option", allowed=allowed, got=repr(name), next_step=nearest(key, kinds))
            )
        try:
            values[key] = _value(text, kinds[key].kind)
        except ValueError as error:
            raise ConfigError(
                explained(where=where, what=f"option {name}", allowed=kinds[key].text, got=repr(text))
            ) from error
    missing = [option.name for option in known if option.required and option.name not in values]
    if missing:
        raise ConfigError(explained(where=where, what=f"option {missing[0]}", allowed="given", got="none"))
    return values


def _value(text: str, kind: typing.Any) -> object:
    """Return `text` as a value of a type; raise ValueError where it is none."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return _first_that_fits(text, arguments)
    if origin is typing.Literal:
        return {str(choice): choice for choice in arguments}[text] if text in map(str, arguments) else _unfit(text)
    if kind is bool:
        return _WORDS[text.lower()] if text.lower() in _WORDS else _unfit(text)
    if kind is types.NoneType:
        return None if text.lower() == "none" else _unfit(text)
    return kind(text) if kind in (int, float, str, Path) else _unfit(text)


def _first_that_fits(text: str, kinds: tuple[typing.Any, ...]) -> object:
    """Try the members of a union: None first, for any text would fit `str`."""
    for kind in sorted(kinds, key=lambda kind: kind is not types.NoneType):
        try:
            return _value(text, kind)
        except ValueError:
            continue
    return _unfit(text)


def _unfit(text: str) -> object:
    raise ValueError(text)


def check_output(path: Path, *, overwrite: bool) -> None:
    """Refuse an output before the work for it begins.

    Raises
    ------
    ConfigError
        Its folder is missing, it is a folder, or it is there and may not be replaced.
    """
    if not path.resolve().parent.is_dir():
        raise ConfigError(
            explained(where=str(path), what="the output", allowed="in a folder that is there", got=str(path.parent))
        )
    if path.exists() and not (overwrite and path.is_file()):
        raise ConfigError(
            explained(
                where=str(path),
                what="the output",
                allowed="a new file",
                got="a folder" if path.is_dir() else "one that is there already",
                next_step="Choose another name, or allow it to be replaced (overwrite)",
            )
        )


def _no_recipe(folder: Path) -> str:
    siblings = [path.parent.name for path in folder.parent.glob("*/recipe.py")] if folder.parent.is_dir() else []
    return explained(
        where=str(folder),
        what="the folder",
        allowed="one with a recipe.py",
        got="no such file",
        next_step=nearest(folder.name, siblings) or (f"There are {', '.join(sorted(siblings))}" if siblings else ""),
    )
