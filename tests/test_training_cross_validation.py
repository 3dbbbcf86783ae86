"""Groups that are left out: parts drawn by law, runs gone on with to the same bytes, figures held against numpy."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ram.data.dataset import Dataset, open_dataset
from ram.data.leaving_out import MANY_GROUPS, leave_out
from ram.errors import ConfigError, DataError, Stopped
from ram.evaluation.groups import GroupRow, group_rows, over_groups
from ram.runs.config import LeaveOut, load_experiment
from ram.runs.cross_validation import CrossValidation, fold_names
from ram.runs.settings import as_toml
from ram.training import cross_validation as training
from ram.training.cross_validation import cross_validate, folds_of

Write = Callable[..., Dataset]
Shell = Callable[..., tuple[int, str, str]]
GROUPS = ("first plate", "second/plate", "third")
COUNT = 40


def in_groups(names: tuple[str, ...]) -> Callable[[Any], Any]:
    return lambda record: replace(record, group=names[int(record.id[1:]) % len(names)])


@pytest.fixture(scope="module")
def plates(discs_in: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Discs of three plates; their experiment."""
    folder = tmp_path_factory.mktemp("plates")
    return discs_in(folder, in_groups(GROUPS), words=("epochs = 2", "epochs = 1"))


@pytest.fixture(scope="module")
def validated(plates: Path) -> CrossValidation:
    return cross_validate(plates, output=plates.parent / "groups", progress=False)


def parts_of(data: Dataset, out: tuple[str, ...], **words: Any) -> dict[str, Dataset]:
    arranged = leave_out(data, out, **({"split": "default", "share": 0.2, "by": "auto"} | words))
    return {part: arranged.subset(part) for part in ("train", "validation", "test")}


@pytest.mark.parametrize("count", [2, 3, 5, 9, 40])
@pytest.mark.parametrize("folds", [None, 2])
def test_every_sample_is_left_out_once_and_no_group_is_in_both_parts(measured: Write, count: int, folds: Any) -> None:
    data = measured(groups=[f"g{(row * row) % count}" for row in range(COUNT)])
    tested = []
    for out in folds_of(data, folds):
        parts = parts_of(data, out)
        assert set(parts["test"].groups) == set(out)
        assert not set(out) & {*parts["train"].groups, *parts["validation"].groups}
        ids = [set(part.ids) for part in parts.values()]
        assert all(ids)
        assert sum(map(len, ids)) == len(set.union(*ids)) == COUNT
        tested += parts["test"].ids.tolist()
    assert sorted(tested) == sorted(data.ids)


def test_folds_hold_about_as_many_samples(measured: Write) -> None:
    data = measured(groups=[f"g{int(row**0.5)}" for row in range(COUNT)])  # 1, 3, 5 ... samples
    sizes = [int(np.isin(data.groups, out).sum()) for out in folds_of(data, 3)]
    assert sum(sizes) == COUNT
    assert max(sizes) - min(sizes) <= 2


def test_whole_groups_validate_where_there_are_enough(measured: Write) -> None:
    for count, whole in ((MANY_GROUPS, False), (MANY_GROUPS + 1, True)):
        parts = parts_of(measured(groups=[f"g{row % count}" for row in range(COUNT)]), ("g0",))
        shared = set(parts["train"].groups) & set(parts["validation"].groups)
        assert bool(shared) is not whole
    parts = parts_of(measured(groups=[f"g{row % 3}" for row in range(COUNT)]), ("g0",), by="group")
    assert {len(set(parts[part].groups)) for part in ("train", "validation")} == {1}


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5])
def test_the_share_is_that_of_the_other_samples(measured: Write, share: float) -> None:
    parts = parts_of(measured(groups=[f"g{row % 2}" for row in range(COUNT)]), ("g0",), share=share)
    assert len(parts["validation"]) == round(share * 20)


def test_samples_without_weight_are_neither_tested_nor_validate(measured: Write) -> None:
    weights = np.where(np.arange(COUNT) % 4 == 0, 0.0, 1.0)
    data = measured(groups=[f"g{row // 20}" for row in range(COUNT)], weights=weights)
    parts = parts_of(data, ("g0",))
    assert sorted(parts["test"].ids) == sorted(data.ids[(weights > 0) & (data.groups == "g0")])
    assert (parts["validation"].weights > 0).all()
    assert not set(parts["train"].ids) & set(data.ids[data.groups == "g0"])
    assert (parts["train"].weights == 0).sum() == 5


def test_the_view_is_the_file_with_another_split(measured: Write) -> None:
    data = measured(groups=[f"g{row % 4}" for row in range(COUNT)])
    arranged = leave_out(data, ["g1"], split="mine", share=0.2, by="sample")
    assert arranged.splits == ("default", "mine")
    assert (arranged.split_array("default") == data.split_array("default")).all()
    again = pickle.loads(pickle.dumps(arranged[5:20]))
    assert (again.split_array("mine") == arranged.split_array("mine")[5:20]).all()
    assert (again.x() == data[5:20].x()).all()
    assert (again.digest, again.path.name) == (data.digest, data.path.name)
    twice = leave_out(arranged, ["g1"], split="mine", share=0.2, by="sample")
    assert (twice.split_array("mine") == arranged.split_array("mine")).all()


def test_groups_that_cannot_be_left_out(measured: Write) -> None:
    data = measured(groups=[f"plate{row % 2}" for row in range(COUNT)])
    with pytest.raises(DataError, match=r"/groups: a group that is left out must be one of plate0, plate1. Got 'plat"):
        parts_of(data, ("plate3",))
    with pytest.raises(
        DataError, match=r"/groups without plate1: the groups that are left must be at least 2, .* Got 1"
    ):
        parts_of(data, ("plate1",), by="group")
    with pytest.raises(
        DataError, match=r"the samples that are left must be at least 2, .* Got 0. Leave fewer groups out"
    ):
        parts_of(data, ("plate0", "plate1"))


@pytest.mark.parametrize(
    ("groups", "folds", "message"),
    [
        ([""] * COUNT, None, r":/groups: a group must be given for every sample. Got none for 40 of 40. Say which"),
        ([""] + ["g"] * (COUNT - 1), None, r"a group must be given for every sample. Got none for 1 of 40"),
        (["g"] * COUNT, None, r"the groups must be of at least two kinds. Got g for all 40 samples. Nothing here says"),
        (["a"] * 38 + ["b"] * 2, None, r"/groups without a: the samples that are left must be at least 3, .* Got 2"),
        (["a", "b"] * 20, 1, r"folds: the number of folds must be 2 to 2, the number of groups. Got 1"),
        (["a", "b"] * 20, 3, r"folds: the number of folds must be 2 to 2, the number of groups. Got 3"),
    ],
)
def test_groups_that_are_none(measured: Write, groups: list[str], folds: int | None, message: str) -> None:
    with pytest.raises((DataError, ConfigError), match=message):
        folds_of(measured(groups=groups), folds)


def test_figures_of_groups_are_their_formulas() -> None:
    draw = np.random.default_rng(3)
    groups = np.array(["a"] * 7 + ["b"] * 1 + ["c"] * 4 + ["d"] * 2)
    measured = draw.normal(10, 3, groups.size)
    measured[8:12], measured[12:] = 5.0, np.nan
    predicted, constant = measured + draw.normal(1, 1, groups.size), draw.normal(10, 1, groups.size)
    held = np.where(groups == "a", np.nan, [1.0, 0.0] * 7)
    rows = group_rows(predicted, measured, groups, unit="cm", constant=constant, held=held)
    assert [(row.group, row.samples) for row in rows] == [("a", 7), ("b", 1), ("c", 4)]
    for row in rows:
        here = groups == row.group
        error = predicted[here] - measured[here]
        assert row.mae == pytest.approx(np.abs(error).mean())
        assert row.rmse == pytest.approx(np.sqrt((error**2).mean()))
        assert row.bias == pytest.approx(error.mean())
        assert row.constant_mae == pytest.approx(np.abs(constant[here] - measured[here]).mean())
        shifts = error[:, None] - np.linspace(error.min(), error.max(), 4001)
        assert row.shifted_mae == pytest.approx(np.abs(shifts).mean(axis=0).min(), abs=2e-3)
    first, single, constant_one = rows
    spread = ((measured[:7] - measured[:7].mean()) ** 2).sum()
    assert first.r2 == pytest.approx(1 - ((predicted - measured)[:7] ** 2).sum() / spread)
    assert np.isnan([single.r2, constant_one.r2, first.held, first.outside]).all()
    assert constant_one.held == 0.5
    mean = over_groups(rows)
    assert mean["mae"]["mean"] == pytest.approx(np.mean([row.mae for row in rows]))
    assert mean["mae"]["std"] == pytest.approx(np.std([row.mae for row in rows], ddof=1))
    assert (mean["r2"], mean["outside"]) == ({"mean": first.r2, "std": None}, {"mean": None, "std": None})
    assert GroupRow.of(first.as_dict()).as_dict() == first.as_dict()


def test_each_run_has_never_seen_its_group(validated: CrossValidation, plates: Path) -> None:
    data = open_dataset(plates.parent / "discs.h5")
    assert validated.left_out == tuple((name,) for name in GROUPS)
    for (out,), run in zip(validated.left_out, validated.runs, strict=True):
        assert run.config.data.leave_out == LeaveOut(groups=(out,))
        for part in ("train", "validation", "test"):
            own = set(data.groups[np.isin(data.ids, run.predictions(part).ids)])
            assert (own == {out}) is (part == "test")
            assert part == "test" or out not in own
            assert set(run.predictions(part).ids) == set(run.data().subset(part).ids)
    assert sorted(validated.predictions.ids) == sorted(data.ids)


def test_the_table_is_that_of_the_runs_predictions(validated: CrossValidation, plates: Path) -> None:
    data = open_dataset(plates.parent / "discs.h5")
    for target, of in validated.table.items():
        errors = []
        for (out,), run, row in zip(validated.left_out, validated.runs, of["groups"], strict=True):
            (predicted, measured), (_, learned) = (run.predictions(part).column(target) for part in ("test", "train"))
            assert (row["group"], row["samples"], row["unit"]) == (out, 10, data.targets[target])
            assert row["mae"] == pytest.approx(run.metrics["test"][target]["mae"])
            assert row["constant_mae"] == pytest.approx(np.abs(measured - learned.mean()).mean())
            errors.append(predicted - measured)
        assert of["over_groups"]["mae"]["mean"] == pytest.approx(np.mean([np.abs(error).mean() for error in errors]))
        assert of["over_samples"]["mae"] == pytest.approx(np.abs(np.concatenate(errors)).mean())
        assert of["one_net"] is None


def test_it_goes_on_to_the_same_bytes(validated: CrossValidation, plates: Path, tmp_path: Path) -> None:
    folder = validated.path.with_name(f"groups-{tmp_path.name}")
    shutil.copytree(validated.path, folder)
    last = fold_names(validated.left_out)[-1]
    for name in ("manifest.json", "table.json", "predictions.h5"):
        (folder / name).unlink()
    shutil.rmtree(folder / last)
    with pytest.raises(
        DataError, match=r"must be finished. Got no table.json. Go on with 'ram cross-validate --resume"
    ):
        CrossValidation(folder).table  # noqa: B018
    with pytest.raises(ConfigError, match=r"the cross-validation must be as it was begun, None, .* Got 2, "):
        cross_validate(plates, folds=2, output=folder, resume=True, progress=False)
    again = cross_validate(folder, resume=True, progress=False)
    for name in ("table.json", "predictions.h5", f"{last}/checkpoint.safetensors", f"{last}/config.toml"):
        assert (again.path / name).read_bytes() == (validated.path / name).read_bytes()


def test_a_stop_says_how_to_go_on(plates: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object, output: Path, **__: object) -> None:
        raise Stopped(f"stopped by SIGTERM: go on with 'ram train --resume {output}'")

    monkeypatch.setattr(training, "train", stopped)
    with pytest.raises(Stopped, match=rf"go on with 'ram cross-validate --resume {tmp_path / 'c'}'"):
        cross_validate(plates, output=tmp_path / "c", progress=False)


def test_what_a_fold_refuses_is_said_with_its_group(discs_in: Callable[..., Path], tmp_path: Path) -> None:
    def two_masses(record: Any) -> Any:
        group = "light" if int(record.id[1:]) % 2 else "heavy"
        return replace(record, group=group, targets=record.targets | {"mass": 3.0 if group == "light" else 9.0})

    with pytest.raises(
        DataError, match=r"Without heavy: .*/targets/mass: the target must be .*Got 3 kg in all of train"
    ):
        cross_validate(discs_in(tmp_path, two_masses), output=tmp_path / "c", progress=False)


def test_a_config_without_it_is_as_it_was(plates: Path) -> None:
    experiment = load_experiment(plates)
    assert "leave_out" not in as_toml(experiment)
    assert "leave_out" not in experiment.decisive()["data"]
    left = load_experiment(plates, overrides=['data.leave_out.groups=["third"]'])
    assert load_experiment(left).data.leave_out == LeaveOut(groups=("third",))
    with pytest.raises(ConfigError, match=r"cross-validate: 'validation_share' must be less than 1. Got 1.5"):
        cross_validate(plates, validation_share=1.5, progress=False)


@pytest.mark.slow
def test_several_seeds_and_folds(shell: Shell, discs_in: Callable[..., Path], tmp_path: Path) -> None:
    config = discs_in(tmp_path, in_groups(tuple("abcdef")), words=("epochs = 2", "epochs = 1"))
    code, out, _ = shell("cross-validate", config, "--folds", 2, "--seeds", 2, "--output", tmp_path / "c", "--json")
    assert code == 0
    said = json.loads(out)
    found = CrossValidation(tmp_path / "c")
    assert [len(groups) for groups in found.left_out] == [3, 3]
    for target, of in said["targets"].items():
        assert [row["group"] for row in of["groups"]] == list("abcdef")
        one = of["one_net"]["mae"]["over_samples"]
        members = zip(*(run.members for run in found.runs), strict=True)  # type: ignore[attr-defined]
        for mae, runs in zip(one["members"], members, strict=True):
            errors = np.concatenate([np.subtract(*run.predictions("test").column(target)) for run in runs])
            assert mae == pytest.approx(np.abs(errors).mean())
        assert one["std"] == pytest.approx(np.std(one["members"], ddof=1))
    assert "nets with seeds 3, 4" in (tmp_path / "c" / "report.html").read_text(encoding="utf-8")
