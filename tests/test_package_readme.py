"""What README and docs show is run: their Python, their commands, their links."""

from __future__ import annotations

import importlib.util
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = ["README.md", "CONTRIBUTING.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))]
Shell = Callable[..., tuple[int, str, str]]


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    """Each `ram ...` line of the pages and of the experiments' headers."""
    lines = [line for page in PAGES for block in blocks(page, "[a-z]*") for line in block.splitlines()]
    for path in (ROOT / "experiments").glob("*.toml"):
        lines += [line.removeprefix("#") for line in path.read_text(encoding="utf-8").splitlines() if line[:1] == "#"]
    found = (re.match(r"\s*(?:\.venv\\Scripts\\)?(ram [a-z].*)", line) for line in lines)
    return sorted({match[1] for match in found if match})


@pytest.fixture
def workplace(disc_folder: Path, disc_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which the names that the pages use are the small test data and their run."""
    (tmp_path / "experiments").mkdir()
    (tmp_path / "build").mkdir()
    for name in ("wheel.h5", "build/wheel_demo.h5", "experiments/discs.h5"):
        shutil.copy(disc_folder / "discs.h5", tmp_path / name)
    for name in ("wheel", "impact_echo_raw"):
        shutil.copy(disc_folder / "discs.toml", tmp_path / f"experiments/{name}.toml")
    shutil.copytree(disc_run, tmp_path / "runs/wheel_demo")
    shutil.copy(disc_folder / "discs.h5", tmp_path / "runs/discs.h5")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "page",
    ["README.md", *(f"docs/{page}.md" for page in "quickstart train explain data checks trust groups".split())],  # noqa: SIM905
)
@pytest.mark.usefixtures("workplace")
def test_python_of_the_pages_runs(page: str) -> None:
    code = blocks(page, "python")
    assert code
    names: dict[str, object] = {}
    for block in code:
        exec(compile(block, page, "exec"), names)


@pytest.mark.usefixtures("workplace")
def test_readme_map_adds_up(capsys: pytest.CaptureFixture[str]) -> None:
    exec(blocks("README.md", "python")[0], {})
    printed = capsys.readouterr().out
    differences = re.search(r"\n\[([-+.e\d\s]*)\]\n", printed)
    assert differences is not None
    assert max(abs(float(word)) for word in differences[1].split()) < 1e-2


@pytest.mark.parametrize("line", commands())
def test_commands_of_the_pages_are_understood(shell: Shell, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every option that a page shows exists; the work behind it has its own tests."""
    import ram
    from ram.benchmark import running
    from ram.data import importing, info, making
    from ram.inspector import inspection
    from ram.runs import config, manifest, opening, settings
    from ram.training import cross_validation, launching, learning_curve

    reached = []

    def stop(*_: object, **__: object) -> None:
        reached.append(line)
        raise SystemExit(0)

    places = [(ram, "train"), (ram, "open_run"), (ram, "open_dataset"), (making, "make"), (info, "describe")]
    places += [(learning_curve, "learning_curve"), (launching, "run_together")]
    places += [(cross_validation, "cross_validate"), (inspection, "open_inspection"), (running, "run_benchmark")]
    places += [(manifest, "verify_files"), (settings, "schema"), (config, "load_experiment")]
    for home, name in (*places, (importing, "prepared"), (importing, "load_plan"), (opening, "open_data")):
        monkeypatch.setattr(home, name, stop)
    code, _, err = shell(*shlex.split(line, comments=True)[1:])
    assert (code, err) == (0, "")
    assert reached or "--help" in line


def test_there_are_commands_to_test() -> None:
    assert len(commands()) >= 8


@pytest.mark.parametrize("page", PAGES)
def test_links_of_the_pages_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert ((ROOT / page).parent / target).exists(), f"{page}: {target}"


@pytest.mark.parametrize("page", PAGES)
def test_make_targets_of_the_pages_exist(page: str) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"`?\bmake ([a-z-]+)`", (ROOT / page).read_text(encoding="utf-8")):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"{page}: make {target}"


def test_readme_is_one_screen() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 100


@pytest.fixture
def results() -> ModuleType:
    specification = importlib.util.spec_from_file_location("docs_results", ROOT / "docs/results.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("file", "table", "marks"),
    [("methods.md", "table_of_methods", "METHODS"), ("comparison.md", "table_of_speed", "SPEED")],
)
def test_the_tables_of_the_pages_are_current(results: ModuleType, file: str, table: str, marks: str) -> None:
    page = (ROOT / "docs" / file).read_text(encoding="utf-8")
    begin, end = getattr(results, f"{marks}_BEGIN"), getattr(results, f"{marks}_END")
    written = results.with_numbers(page, [getattr(results, table)()], begin=begin, end=end)
    assert written == page, "run make numbers"


def test_the_table_of_speed_names_the_quickest_other_package(results: ModuleType) -> None:
    figures = {"forward": {"milliseconds": 2.0}, "ram, own net": {"forwards": 1.0}, "ram, any net": {"forwards": 1.25}}
    assert results.beside(figures) == "1.25"
    others = {"captum LayerGradCam": {"forwards": 2.0}, "torchcam CAM": {"forwards": 1.5}}
    assert results.beside({**figures, **others}) == "1.25 (torchcam 1.50)"
