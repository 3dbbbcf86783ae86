"""What the report says of how far its numbers may be trusted, for a run, an ensemble and a run without calibration."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ram.runs.conformal import coverage_by_chance
from ram.runs.ensemble import Ensemble
from ram.runs.run import open_run
from ram.views import trust_sections
from ram.views.report import write_report
from ram.views.sections import page
from ram.views.story import tell


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    for place in ("ram.views.style.png", "ram.views.report.png"):
        monkeypatch.setattr(place, lambda _: b"a picture")


def plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ")


@pytest.mark.usefixtures("undrawn")
def test_a_run_says_what_its_intervals_hold_and_who_is_outside(many_run: Path, tmp_path: Path) -> None:
    told, run = tell(open_run(many_run)), open_run(many_run)
    content = page(told)
    trust, words = content["trust"], plain(" ".join(content["trust"]["words"]))
    assert "30 samples that took part neither in training nor in choosing" in words
    assert "hold 90 % of new samples" in words
    test = run.predictions("test")
    assert f"{test.is_outside.sum()} of 60 samples of the test part" in words
    row = trust["tables"][0]["rows"][0]
    figures = run.metrics["test"]["umbrella"]
    assert row[0] == "umbrella"
    assert row[2] == f"{100 * figures['coverage']:.1f} %"
    low, high = coverage_by_chance(0.9, calibrated=30, tested=60)
    assert row[3] == f"{100 * low:.0f} % to {100 * high:.0f} %"
    shutil.copy(run.path.parent / "discs.h5", tmp_path / "discs.h5")
    shutil.copytree(many_run, tmp_path / "old", ignore=shutil.ignore_patterns("calibration.h5"))
    old = trust_sections.trust(replace(told, run=open_run(tmp_path / "old")))
    assert old["tables"] == []
    assert "was not calibrated" in old["words"][0]
    if test.is_outside.any():
        named = [row[0] for row in trust["tables"][1]["rows"]]
        assert set(named) == set(test.ids[test.is_outside].tolist())
    half = plain(told.writers["umbrella"].value(figures["width"] / 2))
    summary = plain(content["summary"])
    assert f"Intervals of ± {half} are meant to hold 90 % of new samples, and hold {row[2]}" in summary
    assert "30 more decided when it was best, 30 calibrated its intervals" in content["summary"]


@pytest.mark.usefixtures("undrawn")
def test_a_run_with_one_calibrating_group_says_that_it_promises_nothing(disc_run: Path) -> None:
    words = " ".join(trust_sections.trust(tell(open_run(disc_run)))["words"])
    assert "The intervals of umbrella, mass are infinite: 90 % needs 9 samples or groups that calibrate" in words
    assert "Too few samples calibrated to say which ones are unlike the training part" in words


@pytest.mark.usefixtures("undrawn")
def test_an_ensemble_reports_like_a_run_and_what_its_members_dispute(many_discs: Path, many_ensemble: Path) -> None:
    run = open_run(many_ensemble)
    assert isinstance(run, Ensemble)
    told = tell(run)
    content = page(told)
    words = plain(" ".join(content["trust"]["words"]))
    assert "2 nets were trained that differ in their seed alone (3, 4)" in words
    captions = [table["caption"] for table in content["trust"]["tables"]]
    members = content["trust"]["tables"][captions.index("Test part, over the seeds")]["rows"][0]
    writer, of = told.writers["umbrella"], run.spread["test"]["umbrella"]["mae"]
    assert members[1] == f"{writer.value(of['mean'])} ± {writer.value(of['std'])}"
    assert members[2] == writer.value(run.metrics["test"]["umbrella"]["mae"])
    agreed = content["trust"]["tables"][captions.index("umbrella of the samples shown: what the members agree on")]
    shares = told.shown.maps.undisputed_share()
    assert [row[3] for row in agreed["rows"]] == [f"{100 * share:.0f} %" for share in shares]
    assert "Hatched grey cells are disputed" in " ".join(content["gallery"]["words"])
    for number, scene in enumerate(told.scenes):
        np.testing.assert_array_equal(scene.disputed, told.shown.maps.disputed[number])


@pytest.mark.slow
def test_the_page_of_an_ensemble_is_written(many_discs: Path, many_ensemble: Path, tmp_path: Path) -> None:
    shutil.copy(many_discs / "discs.h5", tmp_path / "discs.h5")
    shutil.copytree(many_ensemble, tmp_path / "ensemble")
    text = write_report(open_run(tmp_path / "ensemble")).read_text(encoding="utf-8")
    assert "How far may a number be trusted?" in text
    assert text.count("<h2>") >= 7
