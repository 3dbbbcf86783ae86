"""The bed: requirements, pinned versions, targets of the Makefile, numbers in the README."""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import json
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from ram.data.modules import module_at

ROOT = Path(__file__).resolve().parents[1]


def project() -> dict[str, object]:
    content: dict[str, object] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return content


def plain(requirement: str) -> str:
    """`scikit-fem>=10.0` -> `scikit-fem`; names as pip compares them."""
    return re.split(r"[<>=!~;\[ ]", requirement)[0].lower().replace("_", "-")


def imported_modules() -> set[str]:
    """First names of all that the package and the recipes import when they run."""
    found = set()
    for path in [*(ROOT / "ram").rglob("*.py"), *(ROOT / "datasets").rglob("*.py")]:
        for node in at_run_time(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.split(".")[0])
    return found - set(sys.stdlib_module_names) - {"ram", "__future__"}


def at_run_time(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes below `node`, those for the type checker left out."""
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            yield child
            yield from at_run_time(child)


# A library and the part of it that is a distribution of its own.
COMES_WITH = {"pydantic-core": "pydantic", "markupsafe": "jinja2"}
# Extras that code imports where it is asked for what they do.
OPTIONAL = ("inspect", "netcdf", "tables", "export", "sweep", "cluster", "trackers")


def test_requirements_are_what_the_code_imports() -> None:
    providers = importlib.metadata.packages_distributions()
    imported = {plain(providers[module][0]) for module in imported_modules()}
    required = {plain(requirement) for requirement in project()["dependencies"]}  # type: ignore[attr-defined]
    extras = {plain(requirement) for name in OPTIONAL for requirement in project()["optional-dependencies"][name]}  # type: ignore[index]
    by_others = {"onnxscript", "dask", "tensorboard", "alembic"}  # torch, distributed and MLflow import them
    assert {COMES_WITH.get(name, name) for name in imported} | by_others == required | extras


def test_every_requirement_is_pinned_and_torch_without_its_local_suffix() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    pinned = {plain(name) for name in pins}
    extras = [name for names in project()["optional-dependencies"].values() for name in names]  # type: ignore[attr-defined]
    wanted = {plain(requirement) for requirement in [*project()["dependencies"], *extras]}  # type: ignore[misc]
    assert wanted - {project()["name"]} <= pinned  # an extra may name others
    assert re.fullmatch(r"\d+\.\d+\.\d+", pins["torch"])


def test_makefile_helps_with_each_target() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    assert phony is not None
    for target in phony[1].split():
        assert re.search(rf"^{target}:.* ## ", text, re.MULTILINE), f"{target} has no help"
    assert {"demo", "test", "test-all", "lint", "bench", "docs", "clean", "help"} <= set(phony[1].split())


@pytest.fixture
def numbers() -> ModuleType:
    specification = importlib.util.spec_from_file_location("numbers_command", ROOT / "docs" / "results.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_numbers_of_a_run_are_kept_and_written(
    numbers: ModuleType, disc_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("experiments").mkdir()
    numbers.main(["keep", str(disc_run), "experiments/discs.json"])
    kept = json.loads(Path("experiments/discs.json").read_text(encoding="utf-8"))
    assert kept["test"] == json.loads((disc_run / "metrics.json").read_text(encoding="utf-8"))["test"]
    Path("README.md").write_text(f"before\n{numbers.BEGIN}\nold\n{numbers.END}\nafter\n", encoding="utf-8")
    Path("docs").mkdir()
    for page, marks in (
        ("figures", (numbers.BEGIN, numbers.END)),
        ("methods", (numbers.METHODS_BEGIN, numbers.METHODS_END)),
        ("comparison", (numbers.SPEED_BEGIN, numbers.SPEED_END)),
    ):
        Path(f"docs/{page}.md").write_text("\n".join(marks), encoding="utf-8")
    numbers.main([])
    assert "| `ram` | exact |" in Path("docs/methods.md").read_text(encoding="utf-8")
    assert "| exact map | plain |" in Path("docs/comparison.md").read_text(encoding="utf-8")
    assert "| mass |" in Path("docs/figures.md").read_text(encoding="utf-8")
    once = Path("README.md").read_text(encoding="utf-8")
    assert "| mass |" not in once  # the first target alone
    numbers.main([])
    assert Path("README.md").read_text(encoding="utf-8") == once
    mape = kept["test"]["umbrella"]["mape"]
    assert re.search(rf"\| umbrella \| .* Hz \| .* Hz \| {mape:.2f} % \|", once)
    assert "old" not in once
    assert once.startswith("before\n")
    assert once.endswith("\nafter\n")


@pytest.mark.parametrize(("page", "targets"), [("README.md", 1), ("docs/figures.md", None)])
def test_numbers_of_the_pages_are_those_of_the_kept_results(
    numbers: ModuleType, page: str, targets: int | None
) -> None:
    tables = numbers.tables_of(ROOT / "experiments", targets=targets)
    text = (ROOT / page).read_text(encoding="utf-8")
    assert numbers.with_numbers(text, tables) == text, "run `make numbers`"


def test_numbers_refuse_a_readme_without_marks(numbers: ModuleType) -> None:
    with pytest.raises(ValueError, match="not enough values to unpack"):
        numbers.with_numbers("no marks", [])


SCRIPTS = [path for path in sorted((ROOT / "datasets").glob("*/*.py")) if path.name != "recipe.py"]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: "/".join(path.parts[-2:]))
def test_scripts_that_print_the_figures_of_cards_can_be_run(path: Path) -> None:
    assert callable(module_at(path, kind="script").main)
