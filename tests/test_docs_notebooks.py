"""The notebooks: what is committed is what their code says, and their code runs."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ram.data.modules import module_at

nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed: pip install -e '.[dev]'")
FOLDER = Path(__file__).resolve().parents[1] / "docs" / "notebooks"
NAMES = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
LARGEST_BYTES = 600_000
# Of this machine's folders, of a colleague's, of Windows.
PATHS = r"(?:/home/|/root/|/tmp/|/work/|/Users/|/opt/|/usr/|/private/|site-packages|[A-Z]:\\)"


def opened(name: str) -> Any:
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def code_of(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def words_of(output: Any) -> str:
    """What an output says; pictures in it left out."""
    if output.output_type == "stream":
        return str(output.text)
    texts = [str(value) for kind, value in output.data.items() if kind.startswith("text/")]
    return re.sub(r'src="data:image/png;base64,[^"]+"', "", " ".join(texts))


@pytest.fixture(scope="module")
def runner() -> ModuleType:
    return module_at(FOLDER / "execute.py", kind="script")


def test_there_are_three() -> None:
    assert NAMES == ["any_net", "taps", "wheel"]


@pytest.mark.parametrize("name", NAMES)
def test_committed_outputs_are_those_of_the_committed_code(name: str, runner: ModuleType) -> None:
    notebook = opened(name)
    nbformat.validate(notebook)
    step = f"run `python docs/notebooks/execute.py {name}`"
    assert notebook.metadata["ram"][runner.DIGEST] == runner.digest_of(notebook), step
    cells = code_of(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1)), step
    outputs = [output for cell in cells for output in cell.outputs]
    assert {output.output_type for output in outputs} <= {"stream", "execute_result", "display_data"}
    assert not [output.text for output in outputs if output.output_type == "stream" and output.name == "stderr"]


@pytest.mark.parametrize("name", NAMES)
def test_they_are_small_and_say_nothing_of_the_machine(name: str) -> None:
    path = FOLDER / f"{name}.ipynb"
    assert path.stat().st_size < LARGEST_BYTES
    said = [words_of(output) for cell in code_of(opened(name)) for output in cell.outputs]
    assert not re.search(PATHS, " ".join([*said, *(cell.source for cell in opened(name).cells)]))
    assert "regression activation map" in " ".join(said)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_they_run_from_top_to_bottom(name: str, runner: ModuleType, tmp_path: Path) -> None:
    """What is drawn and printed may differ in digits; what kind of output each cell has may not."""
    pytest.importorskip("ipykernel", reason="ipykernel is not installed: pip install -e '.[dev]'")
    again = runner.execute(FOLDER / f"{name}.ipynb", tmp_path / name)
    kinds = [
        [[output.output_type for output in cell.outputs] for cell in code_of(one)] for one in (again, opened(name))
    ]
    assert kinds[0] == kinds[1]
