"""Bad input: one clear paragraph, exit code 2, nothing half-written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from ram.data.spec import Record

Shell = Callable[..., tuple[int, str, str]]
Changed = Callable[..., Path]
PARTS = ("train", "validation", "test")  # of row 0, 1, 2: the bad one is in the test part


@pytest.fixture
def refused(shell: Shell, tmp_path: Path) -> Callable[..., str]:
    """Run a command that must be refused; returns its paragraph."""

    def run(*words: object) -> str:
        before = sorted(tmp_path.rglob("*"))
        code, out, err = shell(*words)
        assert (code, out) == (2, "")
        assert sorted(tmp_path.rglob("*")) == before, "something was written"
        assert err.startswith("Error: ")
        assert err.count("\n") == 1, "one paragraph"
        assert "Traceback" not in err
        return err

    return run


def with_nan(record: Record) -> Record:
    x = record.x.copy()
    x[1, 3, 3] = np.nan if record.id == "d002" else x[1, 3, 3]
    return replace(record, x=x)


def constant(record: Record) -> Record:
    return replace(record, targets={**record.targets, "umbrella": 512.0})


def few(record: Record) -> Record:
    return replace(record, split={"default": "train" if record.id == "d000" else "validation"})


def test_unknown_config_key_suggests_the_right_one(refused: Callable[..., str], changed_discs: Changed) -> None:
    config = changed_discs(words=("epochs", "epocs"))
    said = refused("train", config, "--output", config.parent / "run")
    assert f"{config}: a key must be one of epochs, " in said
    assert "Got 'training.epocs'. Did you mean 'epochs'?" in said


def test_unknown_key_on_the_command_line_too(refused: Callable[..., str], changed_discs: Changed) -> None:
    config = changed_discs()
    said = refused("train", config, "--set", "training.epochs=3", "--set", "model.width=[4]")
    assert "Got 'model.width'. Did you mean 'widths'?" in said


def test_value_of_another_type_is_named(refused: Callable[..., str], changed_discs: Changed) -> None:
    assert "'training.epochs' must be" in refused("train", changed_discs(), "--set", "training.epochs=many")


def test_missing_files_are_named(refused: Callable[..., str], changed_discs: Changed, disc_run: Path) -> None:
    config = changed_discs()
    folder = config.parent
    said = refused("train", folder / "disc.toml")
    assert f"{folder / 'disc.toml'}: an experiment must be a TOML file. Got no such file." in said
    assert "Did you mean 'discs.toml'?" in said
    for words in (
        ["train", config, "--data", folder / "disc.h5", "--output", folder / "run"],
        ["data", "info", folder / "disc.h5"],
        ["predict", disc_run, folder / "disc.h5", "--output", folder / "table.csv"],
        ["explain", disc_run, "--data", folder / "disc.h5", "--output", folder / "maps.h5"],
    ):
        assert f"{folder / 'disc.h5'}" in refused(*words)
    for command in (["report"], ["explain"], ["predict"]):
        rest = [folder / "discs.h5", "--output", folder / "t.csv"] if command == ["predict"] else []
        assert f"{folder / 'rum'}" in refused(*command, folder / "rum", *rest)


def test_file_of_another_schema_is_named(refused: Callable[..., str], changed_discs: Changed, disc_run: Path) -> None:
    config = changed_discs()
    lab, text = config.parent / "lab.h5", config.parent / "text.h5"
    with h5py.File(lab, "w") as file:
        file["traces"] = [[1.0, 2.0]]
    text.write_text("no HDF5", encoding="utf-8")
    for path, word in ((lab, "ram-dataset/1"), (text, "HDF5")):
        for words in (
            ["train", config, "--data", path, "--output", config.parent / "run"],
            ["predict", disc_run, path, "--output", config.parent / "table.csv"],
        ):
            said = refused(*words)
            assert str(path) in said
            assert word in said


def test_unit_that_does_not_fit_is_named(refused: Callable[..., str], changed_discs: Changed) -> None:
    config = changed_discs()
    for unit in ("kg", "herz"):
        said = refused("train", config, "--set", f"data.units.umbrella={unit}", "--output", config.parent / "run")
        assert f"must be convertible from the file's 'Hz'. Got '{unit}'." in said


def test_inputs_of_another_unit_are_refused_by_a_net(
    refused: Callable[..., str], changed_discs: Changed, disc_run: Path
) -> None:
    data = changed_discs(channels={"fill": "1", "thickness": "kg"}).parent / "discs.h5"
    said = refused("predict", disc_run, data, "--output", data.parent / "table.csv")
    assert "discs.h5:/inputs channel thickness: unit 'kg'" in said
    assert "convertible to 'mm'" in said


def test_nan_in_an_input_is_named_by_row_and_id(refused: Callable[..., str], changed_discs: Changed) -> None:
    config = changed_discs(with_nan)
    said = refused("train", config, "--output", config.parent / "run")
    assert "discs.h5:/inputs row 2 (id d002): an input must be finite. Got NaN or inf." in said


def test_nan_in_an_input_is_not_predicted(refused: Callable[..., str], changed_discs: Changed, disc_run: Path) -> None:
    data = changed_discs(with_nan).parent / "discs.h5"
    said = refused("predict", disc_run, data, "--output", data.parent / "table.csv")
    assert (
        "discs.h5:/inputs row 2 (id d002): the prediction must be finite. Got NaN or inf for 1 of 30 samples." in said
    )


def test_nan_in_the_test_part_is_found_before_training(refused: Callable[..., str], changed_discs: Changed) -> None:
    config = changed_discs(lambda record: replace(with_nan(record), split={"default": PARTS[int(record.id[1:]) % 3]}))
    said = refused("train", config, "--output", config.parent / "run")
    assert "discs.h5:/inputs row 2 (id d002): an input must be finite." in said


def test_constant_target_is_named(refused: Callable[..., str], changed_discs: Changed) -> None:
    config = changed_discs(constant)
    said = refused("train", config, "--output", config.parent / "run")
    assert "/targets/umbrella: the target must be different from sample to sample. Got 512 Hz in all of train." in said


def test_one_sample_is_not_enough(refused: Callable[..., str], changed_discs: Changed) -> None:
    config = changed_discs(few)
    said = refused("train", config, "--output", config.parent / "run")
    assert "/splits/default: the train part must be of at least 2 samples. Got 1." in said


def test_sizes_that_do_not_fit_the_net_are_named(refused: Callable[..., str], changed_discs: Changed) -> None:
    config = changed_discs()
    said = refused("train", config, "--set", "model.widths=[4,4,4,4,4,4,4]", "--output", config.parent / "run")
    assert "16" in said


def test_inputs_of_another_size_are_refused_by_a_net(
    refused: Callable[..., str], changed_discs: Changed, disc_run: Path, tmp_path: Path
) -> None:
    from ram.axes import Axis

    axes = tuple(Axis.uniform(name, "mm", size=12, step=10.0, start=-55.0) for name in ("y", "x"))
    cut = lambda record: replace(record, x=record.x[:, 2:14, 2:14], truth={}, regions=None)  # noqa: E731
    data = changed_discs(cut, axes=axes, truth={}, regions=(), reference=None).parent / "discs.h5"
    said = refused("predict", disc_run, data, "--output", tmp_path / "table.csv")
    assert "/y: the axis must be y from -75 mm in steps of 10. Got y from -55 mm in steps of 10." in said


def test_run_folder_that_is_there_is_not_touched(refused: Callable[..., str], changed_discs: Changed) -> None:
    config = changed_discs()
    (config.parent / "run").mkdir()
    assert "the run's folder must be new" in refused("train", config, "--output", config.parent / "run")
