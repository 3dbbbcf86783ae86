"""What `import ram` gives, and what it costs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import ram

PUBLIC = {
    "METHODS", "Axis", "ConfigError", "DataError", "Dataset", "ModelError", "RamError", "RegressionMap", "Regressor",
    "Run", "Sample", "SolverError", "TrainingError", "__version__", "adapt", "explain", "open_dataset", "open_run",
    "train", "write_report",
}  # fmt: skip
HEAVY = {"torch", "matplotlib", "scipy", "h5py", "sklearn", "skfem", "pandas", "lightning_fabric", "pint"}


def loaded_after(code: str) -> set[str]:
    """Names of the modules in a fresh interpreter after `code`."""
    command = [sys.executable, "-c", f"{code}\nimport sys; sys.stdout.write('\\n' + '\\n'.join(sys.modules))"]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


def test_public_names_are_these_and_at_most_twenty() -> None:
    assert set(ram.__all__) == PUBLIC
    assert len(PUBLIC) <= 20
    assert set(dir(ram)) == PUBLIC


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_each_public_name_is_there_under_its_own_name(name: str) -> None:
    value = getattr(ram, name)
    assert getattr(value, "__name__", name) == name


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'ram' has no attribute 'heatmap'"):
        ram.heatmap  # noqa: B018


def test_import_ram_is_light() -> None:
    assert not HEAVY & loaded_after("import ram")


@pytest.mark.parametrize("words", [["--help"], ["train", "--help"], ["data", "make", "--help"], ["--version"]])
def test_help_is_light(words: list[str]) -> None:
    code = f"import ram.cli\ntry:\n    ram.cli.main({words!r})\nexcept SystemExit as end:\n    assert end.code == 0"
    assert not HEAVY & loaded_after(code)


def test_names_are_typed_where_they_live() -> None:
    """The lazy table and the imports that mypy sees are one list."""
    source = Path(ram.__file__).read_text(encoding="utf-8")
    for name, home in ram._HOMES.items():
        line = next(line for line in source.splitlines() if line.strip().startswith(f"from {home} import"))
        assert name in line.split("import")[1].replace(",", " ").split()
