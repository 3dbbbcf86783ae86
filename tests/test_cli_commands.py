"""What is promised of every command: help with an example, JSON where a script would read, exit codes, no traceback."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from ram.cli import app

Shell = Callable[..., tuple[int, str, str]]
# These make a file and say where it is: there is no answer to read.
WITHOUT_JSON = {"data make", "config schema", "export", "report"}


def commands(group: Any = None, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every command, those of groups too, by the words that call it."""
    for name, command in (group or typer.main.get_command(app)).commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", command


ALL = dict(commands())


def test_these_are_the_commands() -> None:
    expected = {
        "data make", "data import", "data info", "data check", "config schema", "config show", "train", "predict",
        "explain", "methods", "export", "report", "verify", "rerun", "compare",
    }  # fmt: skip
    assert expected <= set(ALL)


@pytest.mark.parametrize("name", ALL)
def test_help_says_what_it_does_with_an_example(shell: Shell, name: str) -> None:
    code, out, err = shell(*name.split(), "--help")
    assert (code, err) == (0, "")
    assert f"Example: ram {name}" in " ".join(out.split())
    for option in ALL[name].params:
        assert option.help or option.name in ("context", "help"), f"{name}: {option.name} says nothing of itself"


@pytest.mark.parametrize("name", ALL)
def test_a_script_can_read_the_answer(name: str) -> None:
    options = {word for option in ALL[name].params for word in option.opts}
    assert ("--json" in options) != (name in WITHOUT_JSON)


@pytest.mark.parametrize("name", ALL)
def test_a_wrong_option_leaves_with_two_and_no_traceback(shell: Shell, name: str, tmp_path: Path) -> None:
    code, _, err = shell(*name.split(), *([tmp_path, "--output"] if name == "data make" else []), "--no-such-option")
    assert code == 2
    assert "Traceback" not in err
    assert err


@pytest.mark.parametrize("name", sorted(set(ALL) - {"methods", "config schema"}))
def test_something_that_is_not_there_leaves_with_two(
    shell: Shell, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    needed = [option for option in ALL[name].params if option.param_type_name == "argument" and option.required]
    words = ["nowhere.toml"] * max(1, len(needed)) + (["another"] if name == "compare" else [])
    for option in ALL[name].params:
        if option.param_type_name == "option" and option.required:
            words += [option.opts[0], "made.out"]
    code, _, err = shell(*name.split(), *words)
    assert code == 2
    assert "nowhere" in err or "Missing" in err or "must be given" in err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []
