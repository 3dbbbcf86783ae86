"""`ram train`, `predict`, `explain` and `report`, and what the shell promises of all commands."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import ram
from ram.errors import DataError, SolverError, TrainingError
from ram.maps.regression_map import load_maps

Shell = Callable[..., tuple[int, str, str]]
COMMANDS = ["data make", "data info", "train", "predict", "explain", "methods", "export", "report"]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command_has_an_example(shell: Shell, command: str) -> None:
    code, out, _ = shell(*command.split(), "--help")
    assert code == 0
    assert f"Example: ram {command}" in " ".join(out.split())


def test_version(shell: Shell) -> None:
    assert shell("--version") == (0, f"ram {ram.__version__}\n", "")


@pytest.mark.parametrize(
    ("words", "message"),
    [(["trian", "x"], "Did you mean 'train'?"), (["train"], "Missing argument"), (["train", "x", "--sat"], "--set")],
)
def test_wrong_words_are_answered_with_the_right_ones(shell: Shell, words: list[str], message: str) -> None:
    code, _, err = shell(*words)
    assert code == 2
    assert message in err


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (DataError("a.h5: bad\n   news"), 2, "Error: a.h5: bad\nError: news\n"),
        (TrainingError("loss"), 1, "Error: loss\n"),
        (SolverError("wheel 3"), 1, "Error: wheel 3\n"),
        (PermissionError(13, "Permission denied", "a.h5"), 2, "Error: a.h5: Permission denied\n"),
        (OSError(5, "Input/output error"), 1, "Error: OSError: [Errno 5] Input/output error (--debug shows where)\n"),
        (KeyError("oops"), 1, "Error: KeyError: 'oops' (--debug shows where)\n"),
    ],
)
def test_errors_are_paragraphs_and_exit_codes(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, error: Exception, code: int, said: str
) -> None:
    def fail(_: object) -> None:
        raise error

    monkeypatch.setattr(ram, "open_run", fail)
    assert shell("report", "runs/x") == (code, "", said)


@pytest.mark.parametrize("words", [["--debug", "report", "none"], ["report", "none", "--debug"]])
def test_debug_shows_the_traceback_from_any_place(words: list[str]) -> None:
    from ram.cli import main

    with pytest.raises(DataError, match="none"):
        main(words)


def test_train_keeps_a_run_and_says_what_it_is_worth(shell: Shell, disc_folder: Path, tmp_path: Path) -> None:
    words = ["train", disc_folder / "discs.toml", "--set", "training.epochs=1", "--set", "seed=8"]
    code, out, err = shell(*words, "--output", tmp_path / "run")
    assert (code, err.splitlines()[0]) == (0, "data check: 30 samples, nothing found")
    assert [line[:20] for line in err.splitlines()[1:]] == ["net: each cell sees "]
    run = ram.open_run(tmp_path / "run")
    assert (run.config.training.epochs, run.config.seed) == (1, 8)
    assert f"{run.metrics['test']['umbrella']['mae']:.4g} Hz" in out
    assert f"run: {tmp_path / 'run'}\n" in out


def test_train_as_json_prints_nothing_else(shell: Shell, disc_folder: Path, tmp_path: Path) -> None:
    words = ["train", disc_folder / "discs.toml", "--set", "training.epochs=1", "--json"]
    code, out, _ = shell(*words, "--data", disc_folder / "discs.h5", "--output", tmp_path / "run")
    assert code == 0
    answer = json.loads(out)
    assert answer["run"] == str(tmp_path / "run")
    assert answer["metrics"] == ram.open_run(tmp_path / "run").metrics


def test_predict_prints_rows_for_a_script(shell: Shell, disc_run: Path, bare_discs: Path) -> None:
    code, out, _ = shell("predict", disc_run, bare_discs, "--json")
    assert code == 0
    rows = json.loads(out)
    expected = ram.open_run(disc_run).predict(ram.open_dataset(bare_discs)).rows()
    assert rows == [{k: None if v in (np.inf, -np.inf) else v for k, v in row.items()} for row in expected]


def test_predict_wants_to_know_where_to_put_its_table(shell: Shell, disc_run: Path, bare_discs: Path) -> None:
    code, _, err = shell("predict", disc_run, bare_discs)
    assert code == 2
    assert "--output must be given. Got nothing. Such as --output table.csv, or --json" in err


def test_predict_writes_a_table_for_a_file_without_targets(
    shell: Shell, disc_run: Path, disc_folder: Path, bare_discs: Path, tmp_path: Path
) -> None:
    code, out, err = shell("predict", disc_run, bare_discs, "--output", tmp_path / "table.csv")
    assert (code, err) == (0, "")
    with (tmp_path / "table.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [name for name in rows[0] if not name.endswith(("lower", "upper"))] == [
        "id", "umbrella_Hz", "mass_kg", "outside", "outside_p"
    ]  # fmt: skip
    expected = ram.open_run(disc_run).predict(ram.open_dataset(disc_folder / "discs.h5")).values
    np.testing.assert_array_equal([[float(row["umbrella_Hz"]), float(row["mass_kg"])] for row in rows], expected)
    assert "the first 5 of 30" in out


def test_explain_prints_sums_and_keeps_maps_and_pictures(shell: Shell, disc_run: Path, tmp_path: Path) -> None:
    words = ["--samples", "d004,d001", "--target", "umbrella", "--output", tmp_path / "maps.h5"]
    code, out, err = shell("explain", disc_run, *words, "--pictures", tmp_path / "pictures")
    assert (code, err) == (0, "")
    maps = load_maps(tmp_path / "maps.h5")
    assert list(maps) == ["umbrella"]
    assert maps["umbrella"].ids == ("d004", "d001")
    assert f"{maps['umbrella'].prediction[1]:.5g}" in out
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == ["umbrella_d001.png", "umbrella_d004.png"]


def test_pictures_of_samples_that_are_called_like_paths(
    shell: Shell, disc_run: Path, changed_discs: Callable[..., Path], tmp_path: Path
) -> None:
    odd = {"d000": "line 1/../../run", "d001": "D002"}
    config = changed_discs(lambda record: replace(record, id=odd.get(record.id, record.id)))
    samples = ",".join([*odd.values(), "d002"])
    words = ["--data", config.with_suffix(".h5"), "--samples", samples, "--target", "umbrella"]
    code, _, err = shell("explain", disc_run, *words, "--pictures", tmp_path / "pictures")
    assert (code, err) == (0, "")
    names = sorted(path.name.split("-")[0] for path in (tmp_path / "pictures").iterdir())
    assert names == ["umbrella_D002", "umbrella_d002", "umbrella_line 1_.._.._run"]


@pytest.mark.parametrize("reference", ["train-mean", "train-mean-design", "baseline", "d003"])
def test_explain_as_json_adds_up_against_each_reference(shell: Shell, disc_run: Path, reference: str) -> None:
    code, out, _ = shell("explain", disc_run, "--samples", "2", "--reference", reference, "--json")
    assert code == 0
    targets = json.loads(out)["targets"]
    assert set(targets) == {"umbrella", "mass"}
    for of in targets.values():
        for sample in of["samples"]:
            assert list(sample["carried"]) == ["void", "hub", "rim"]
            total = sample["baseline"] + sum(sample["carried"].values())
            assert total == pytest.approx(sample["prediction"], rel=1e-6)
            assert sample["residual"] == pytest.approx(sample["prediction"] - total, abs=1e-9)


def test_explain_against_a_sample_has_its_prediction_as_baseline(shell: Shell, disc_run: Path) -> None:
    answer = json.loads(shell("explain", disc_run, "--samples", "d003,d004", "--reference", "d003", "--json")[1])
    first, second = answer["targets"]["umbrella"]["samples"]
    assert first["baseline"] == pytest.approx(first["prediction"], rel=1e-7)
    assert second["baseline"] == pytest.approx(first["prediction"], rel=1e-7)


def test_explain_without_regions_gives_the_whole_map(shell: Shell, disc_run: Path, bare_discs: Path) -> None:
    code, out, _ = shell("explain", disc_run, "--data", bare_discs, "--samples", "1", "--json")
    assert code == 0
    sample = json.loads(out)["targets"]["mass"]["samples"][0]
    assert sample["baseline"] + sample["carried"]["map"] == pytest.approx(sample["prediction"], rel=1e-6)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--samples", "d00x"], "--samples: the value must be the id of a sample of"),
        (["--samples", "0"], "--samples: the number of samples must be at least 1. Got 0."),
        (["--reference", "train-maen"], "Got 'train-maen'. Did you mean 'train-mean'?"),
        (["--target", "umbrela"], "Did you mean 'umbrella'?"),
    ],
)
def test_explain_names_what_it_does_not_know(
    shell: Shell, disc_run: Path, tmp_path: Path, words: list[str], message: str
) -> None:
    code, out, err = shell("explain", disc_run, *words, "--output", tmp_path / "maps.h5")
    assert (code, out) == (2, "")
    assert message in err
    assert not list(tmp_path.iterdir())


def test_report_prints_where_to_look(shell: Shell, disc_run: Path, disc_folder: Path, tmp_path: Path) -> None:
    for name in ("run", "discs.h5"):
        source = disc_folder / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    code, out, _ = shell("report", tmp_path / "run")
    assert code == 0
    report, *pictures = [line.split(": ")[1] for line in out.splitlines() if not line.startswith(" ")]
    assert re.search(r"^  one file of \d\.\d MB that needs nothing else", out, re.MULTILINE)
    assert Path(report) == tmp_path / "run" / "report.html"
    assert len(pictures) == 3
    for path in (report, *pictures):
        assert Path(path).stat().st_size > 1000


def test_json_has_no_nan(capsys: pytest.CaptureFixture[str]) -> None:
    from ram.cli.output import say_json

    say_json({"a": [float("nan"), 1.5, float("inf")], "b": (Path("x"), None, True)})
    assert json.loads(capsys.readouterr().out) == {"a": [None, 1.5, None], "b": ["x", None, True]}


def test_tables_keep_their_columns_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    from ram.cli.output import say_table

    say_table("wide", ["id", "x" * 90, "y" * 90], [["w" * 40, "1", "2"]])
    assert "y" * 90 in capsys.readouterr().out.replace("\n", "")


def test_explain_by_another_method(shell: Shell, disc_run: Path) -> None:
    asked = ["--target", "umbrella", "--samples", "2", "--method", "integrated-gradients", "--option", "steps=8"]
    code, out, _ = shell("explain", disc_run, *asked, "--json")
    assert code == 0
    found = json.loads(out)["targets"]["umbrella"]
    assert (found["method"], found["grade"], found["reference"]) == (
        "integrated-gradients", "complete", "train-mean-design",
    )  # fmt: skip
    code, out, _ = shell("explain", disc_run, "--samples", "2", "--method", "gradient", "--channel", "thickness")
    assert code == 0
    assert "sums over regions in Hz/mm (gradient, sensitivity)" in out
    assert "residual" not in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--option", "steps"], "--option: an option must be NAME=NUMBER, such as steps=64. Got 'steps'."),
        (["--method", "occlusion", "--option", "windw=0.2"], "Did you mean 'window'?"),
        (["--method", "occlusoin"], "Did you mean 'occlusion'?"),
    ],
)
def test_explain_names_what_a_method_lacks(shell: Shell, disc_run: Path, words: list[str], message: str) -> None:
    code, _, err = shell("explain", disc_run, *words)
    assert code == 2
    assert message in err


def test_methods_are_listed_by_how_far_they_may_be_trusted(shell: Shell) -> None:
    code, out, _ = shell("methods")
    assert code == 0
    assert out.index("ram  ") < out.index("integrated-gradients") < out.index("grad-cam  ")
    code, out, _ = shell("methods", "--json")
    assert {row["method"] for row in json.loads(out)["methods"]} == set(ram.METHODS)


def test_processes_take_every_option_along(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[tuple[int, list[str]]] = []

    def run_together(processes: int, words: list[str]) -> int:
        started.append((processes, words))
        return 75

    monkeypatch.setattr("ram.training.launching.run_together", run_together)
    words = [
        "train",
        "e.toml",
        "--data",
        "d.h5",
        "--output",
        "o",
        "--init-from",
        "r",
        "--seeds",
        "1,2",
        "--set",
        "training.epochs=2",
        "--set",
        "seed=3",
    ]
    assert shell(*words, "--resume", "--json", "--processes", "2")[0] == 75
    assert started == [(2, [*words, "--resume", "--json"])]
