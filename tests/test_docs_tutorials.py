"""docs/ten_minutes.md is followed to the letter: its files are saved, its commands typed, its Python run."""

from __future__ import annotations

import functools
import importlib.util
import re
import shlex
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import ram

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE = (DOCS / "ten_minutes.md").read_text(encoding="utf-8")
Shell = Callable[..., tuple[int, str, str]]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    specification = importlib.util.spec_from_file_location("folders", DOCS / "tutorials" / "folders.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    monkeypatch.chdir(tmp_path)
    return module


def follow(shell: Shell, *, changes: tuple[tuple[str, str], ...] = (), without: str = "inspect") -> str:
    """Do what the page says; return all that was printed. The page in the browser would not come back."""
    for text in blocks("toml"):
        name = re.match(r"# (\w+\.toml)\n", text)
        assert name is not None
        for old, _ in changes:
            assert old in text
        changed = functools.reduce(lambda so_far, change: so_far.replace(*change), changes, text)
        Path(name[1]).write_text(changed, encoding="utf-8")
    printed = ""
    for line in "".join(blocks("sh")).splitlines():
        if re.match(rf"ram ({without})", line):
            continue
        code, out, err = shell(*shlex.split(line)[1:])
        assert code == 0, f"{line}: {err}"
        printed += out
    return printed


def test_the_page_is_followed_with_small_folders(
    folders: ModuleType, shell: Shell, capsys: pytest.CaptureFixture[str]
) -> None:
    folders.make_recordings(Path(), plates=12, taps=2)
    folders.make_scans(Path(), castings=24)
    folders.make_recorder_file(Path("lab.h5"), records=24)
    long = "inspect|report|data check|train lab|explain runs/lab"  # done by the slow test
    printed = follow(shell, changes=(("epochs = 30", "epochs = 1"),), without=long)
    for words in ("target depth", "24 WAV PCM_16", "24 PNG 8 bit", "[data.mapping]"):
        assert words in printed
    assert len(list(Path("pictures").glob("*.png"))) >= 6
    lab = tomllib.loads(Path("lab.toml").read_text(encoding="utf-8"))["data"]
    assert ram.open_dataset(lab["file"], mapping=lab["mapping"]).targets == {"f1": "Hz"}
    for name, target in (("taps", "depth"), ("scans", "strength")):
        run = ram.open_run(f"runs/{name}")
        maps = run.explain(run.data().subset("test"), target=target)
        np.testing.assert_allclose(maps.contributions.reshape(len(maps), -1).sum(1) + maps.baseline, maps.prediction)
    exec(blocks("python")[0], {})
    assert re.search(r"\d\.\d+\n$", capsys.readouterr().out)


@pytest.mark.slow
def test_the_figures_of_the_page(folders: ModuleType, shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    folders.make_recordings(Path())
    folders.make_scans(Path())
    folders.make_recorder_file(Path("lab.h5"))
    follow(shell)
    for name, target in (("taps", "depth"), ("scans", "strength"), ("lab", "f1")):
        assert ram.open_run(f"runs/{name}").metrics["test"][target]["r2"] > 0.95
    names: dict[str, object] = {}
    exec(blocks("python")[0], names)
    assert float(capsys.readouterr().out.splitlines()[-1]) > 0.95  # pores carry what they cost
    before, after = what_a_millisecond_carries()
    assert after > 5 * before


def what_a_millisecond_carries() -> np.ndarray:
    """By how much a millisecond's contribution differs between plates: before the tap, and in 1 ms after it."""
    import openpyxl

    run = ram.open_run("runs/taps")
    test = run.data().subset("test")
    maps = run.explain(test, target="depth", reference="baseline")
    sheet = openpyxl.load_workbook("measurements.xlsx").active
    assert sheet is not None
    onsets_s = {str(row[0])[:-4]: 1e-3 * float(str(row[2])) for row in sheet.iter_rows(min_row=2, values_only=True)}
    carried = []  # (sample, 2) in cm per ms
    for row, onset_s in enumerate(onsets_s[str(name)] for name in test.ids):
        spans = ((0.0, onset_s), (onset_s, onset_s + 1e-3))
        carried.append([maps[row].within(time=span).item() / (1e3 * (span[1] - span[0])) for span in spans])
    return np.std(carried, axis=0)
