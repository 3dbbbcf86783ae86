"""The tutorials run from end to end."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import ram

TAPS = Path(__file__).resolve().parents[1] / "docs" / "tutorials" / "taps.py"


@pytest.fixture
def taps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    specification = importlib.util.spec_from_file_location("tutorial_taps", TAPS)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    monkeypatch.chdir(tmp_path)  # and back, when the tutorial has gone into its folder
    return module


def test_from_wav_and_excel_to_a_run_and_a_map(
    taps: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    taps.tutorial(tmp_path, plates=12, taps=2, epochs=2)
    printed = capsys.readouterr().out
    for words in ("target depth", "24 WAV PCM_16", "run: runs/taps", "what a millisecond carries differs by"):
        assert words in printed
    run = ram.open_run(tmp_path / "runs/taps")
    maps = run.explain(run.data().subset("test"), target="depth")
    np.testing.assert_allclose(maps.contributions.sum(axis=1) + maps.baseline, maps.prediction, atol=1e-4)
    assert len(list((tmp_path / "pictures").glob("depth_*.png"))) == 3


@pytest.mark.slow
def test_the_depth_is_heard_after_the_tap(taps: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    taps.tutorial(tmp_path)
    before, after = (float(word) for word in capsys.readouterr().out.splitlines()[-1].split() if word[0].isdigit())
    assert after > 5 * before
    assert ram.open_run(tmp_path / "runs/taps").metrics["test"]["depth"]["r2"] > 0.8
