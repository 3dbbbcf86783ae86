"""``ram evaluate``: accuracy as it was stored, and the leaderboard of maps in the run's folder and report."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import ram
from ram.evaluation.leaderboard import load_leaderboard
from ram.runs.differences import run_differences
from ram.runs.manifest import verify_files
from ram.views.leaderboard_sections import leaderboards

Shell = Callable[..., tuple[int, str, str]]


METHODS = "ram,gradient,gradient-x-input,grad-cam"


def beside_its_data(run: Path, folder: Path) -> Path:
    """A copy of a run that may be written to, its data beside it."""
    for data in run.parent.glob("*.h5"):
        shutil.copy(data, folder)
    return Path(shutil.copytree(run, folder / "run"))


@pytest.fixture(scope="module")
def scored(disc_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the run of discs, whose maps have been scored on the validation part, then on the test part."""
    from ram.cli import main

    copy = beside_its_data(disc_run, tmp_path_factory.mktemp("scored"))
    for part in ("validation", "test"):
        with pytest.raises(SystemExit) as end:
            main(["evaluate", str(copy), "--maps", "--part", part, "--methods", METHODS])
        assert end.value.code == 0
    return copy


def test_accuracy_is_what_training_measured(shell: Shell, disc_run: Path) -> None:
    code, out, _ = shell("evaluate", disc_run, "--json")
    assert code == 0
    stored = json.loads((disc_run / "metrics.json").read_text())
    assert json.loads(out)["metrics"] == stored["test"]
    code, out, _ = shell("evaluate", disc_run, "--part", "validation", "--json")
    assert json.loads(out)["metrics"] == stored["validation"]
    code, out, _ = shell("evaluate", disc_run)
    assert "umbrella" in out
    assert "held" in out


def test_accuracy_on_another_file(shell: Shell, disc_run: Path, disc_folder: Path, bare_discs: Path) -> None:
    code, out, _ = shell("evaluate", disc_run, "--data", disc_folder / "discs.h5", "--part", "test", "--json")
    assert code == 0
    found, stored = json.loads(out)["metrics"], json.loads((disc_run / "metrics.json").read_text())["test"]
    assert found["umbrella"]["mae"] == pytest.approx(stored["umbrella"]["mae"], rel=1e-5)
    code, _, err = shell("evaluate", disc_run, "--data", bare_discs)
    assert code == 2
    assert "the file must be with measured values of umbrella, mass. Got none" in " ".join(err.split())


def test_the_board_is_kept_in_the_run_which_stays_whole(scored: Path) -> None:
    assert verify_files(scored) == []
    board = load_leaderboard(scored / "leaderboard.json")
    assert (board.part, board.target, board.unit, board.samples) == ("test", "umbrella", "Hz", 6)
    assert board.reference == "the file's reference design"
    assert board.against_truth
    assert (scored / "leaderboard.png").read_bytes()[:4] == b"\x89PNG"
    validation = load_leaderboard(scored / "leaderboard.validation.json")
    assert not validation.against_truth  # the file has truth for its test part alone
    best = validation.best()
    assert best is not None
    assert board.choice == {"method": best.name, "column": validation.deciding, "part": "validation"}


def test_a_board_is_of_the_maps_that_explain_makes(scored: Path) -> None:
    from ram.evaluation.localisation import rank_agreement, summed_on_cells

    run = ram.open_run(scored)
    data = run.part("test")
    maps = run.explain(data, target="umbrella", reference=data.reference_design())
    truth = summed_on_cells(
        data.truth_array("umbrella", "contribution").astype(float), source=maps.input_axes, cells=maps.axes
    )
    fill = (data.x()[:, 0] > 0) | (data.reference_design()[0] > 0)
    where = summed_on_cells(fill.astype(float), source=maps.input_axes, cells=maps.axes) > 0
    expected = np.nanmean(rank_agreement(maps.contributions, truth, where=where))
    board = load_leaderboard(scored / "leaderboard.json")
    assert board.row("ram").figures["spearman"].value == pytest.approx(expected, abs=1e-6)


def test_a_run_trained_again_without_a_board_is_the_same_run(scored: Path, disc_run: Path) -> None:
    assert run_differences(ram.open_run(disc_run), ram.open_run(scored)).identical


def test_the_report_shows_the_boards(scored: Path, disc_run: Path, tmp_path: Path) -> None:
    copy = beside_its_data(scored, tmp_path)
    page = ram.write_report(ram.open_run(copy)).read_text(encoding="utf-8")
    board = load_leaderboard(copy / "leaderboard.json")
    assert "Which maps can be trusted?" in page
    assert f"Chosen on the validation part by {board.choice['column']}: {board.choice['method']}." in page
    assert page.count("image (thickness)") >= 2
    assert verify_files(copy) == []
    (copy / "leaderboard.json").write_text("{}")
    with pytest.raises(ram.DataError, match=r"leaderboard\.json: a leaderboard must be readable"):
        leaderboards(ram.open_run(copy))


def test_members_of_an_ensemble_stand_beside_each_other(shell: Shell, many_ensemble: Path, tmp_path: Path) -> None:
    copy = beside_its_data(many_ensemble, tmp_path)
    code, out, _ = shell("evaluate", copy, "--maps", "--methods", "ram", "--samples", 4, "--target", "mass",
                         "--permuted", copy / "seed-3", "--json")  # fmt: skip
    assert code == 0, out
    found = json.loads(out)
    figures = found["rows"][0]["figures"]
    assert {"seeds", "permuted"} <= set(figures)
    assert found["best"] == "ram"
    assert figures["permuted"]["value"] == pytest.approx(1.0)  # the first member itself
    assert [Path(path).name for path in found["written"]] == ["leaderboard.mass.json", "leaderboard.mass.png"]


def test_another_file_gives_a_board_that_is_not_kept(shell: Shell, disc_run: Path, bare_discs: Path) -> None:
    before = sorted(path.name for path in disc_run.iterdir())
    code, out, _ = shell("evaluate", disc_run, "--data", bare_discs, "--maps", "--methods", "ram,shapley-regions",
                         "--samples", 3)  # fmt: skip
    assert code == 0
    assert "regions must be given" in out
    assert sorted(path.name for path in disc_run.iterdir()) == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("--part", "tset"),
            "--part: the part must be one of train, validation, test. Got 'tset'. Did you",
        ),
        (("--target", "mass"), "--target: it must be given with --maps. Got --target alone."),
        (("--maps", "--target", "mas"), "a target must be one of umbrella, mass. Got mas. Did you mean 'mass'?"),
        (("--maps", "--methods", "rom"), "explain: method must be one of ram"),
        (
            ("--maps", "--reference", "none"),
            "evaluate: a reference must be one of design, train-mean-design. Got",
        ),
    ],
)
def test_what_is_wrong_is_named(shell: Shell, disc_run: Path, words: tuple[str, ...], said: str) -> None:
    code, _, err = shell("evaluate", disc_run, *words)
    assert code == 2
    assert said in " ".join(err.split())


def test_nets_of_other_inputs_are_not_compared(shell: Shell, disc_run: Path, burst_run: Path) -> None:
    code, _, err = shell("evaluate", disc_run, "--maps", "--methods", "ram", "--beside", burst_run)
    assert code == 2
    assert "a run to compare maps with must be of the same channels, axes and parameters as" in " ".join(err.split())


def test_maps_over_spectrograms_are_scored_too(shell: Shell, burst_run: Path, tmp_path: Path) -> None:
    copy = beside_its_data(burst_run, tmp_path)
    code, out, _ = shell("evaluate", copy, "--maps", "--methods", "ram,gradient-x-input", "--samples", 4, "--json")
    assert code == 0, out
    found = json.loads(out)
    assert found["reference"] == "the training part's mean input"
    assert {"ordering", "infidelity", "residual"} <= set(found["rows"][0]["figures"])
    names = [row["name"] for row in found["rows"]]
    assert "image - reference (acc_1)" in names
