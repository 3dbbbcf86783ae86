"""A deep look at a run: data, net, stored predictions and stored maps agree, or what does not is named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ram.maps.regression_map import save_maps
from ram.runs.manifest import verify_files, write_manifest
from ram.runs.net import load_net, save_net
from ram.runs.run import open_run
from ram.runs.verification import verify_deeply

Shell = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(disc_folder: Path, disc_run: Path, tmp_path: Path) -> Path:
    """A copy of a run beside a copy of its data."""
    shutil.copy(disc_folder / "discs.h5", tmp_path / "discs.h5")
    shutil.copytree(disc_run, tmp_path / "run")
    return tmp_path / "run"


def kinds(run: Path, **words: Path) -> list[tuple[str, str]]:
    """What a deep look finds; the bytes themselves must have been made to fit."""
    write_manifest(run)
    assert verify_files(run) == []
    return [(one.file, one.kind) for one in verify_deeply(open_run(run), **words).problems]


def test_an_untouched_run_agrees_to_the_bit(run: Path) -> None:
    steps: list[int] = []
    found = verify_deeply(open_run(run), progress=steps.append)
    assert (found.problems, found.environment) == ((), {})
    assert sum(steps) == 30


def test_other_predictions_are_found_and_said_in_units(run: Path) -> None:
    stored = open_run(run).all_predictions()
    values = stored.values.copy()
    values[7, 0] = np.nextafter(values[7, 0], np.inf)
    replace(stored, values=values).save(run / "predictions.h5")
    assert kinds(run) == [("predictions.h5", "predictions")]
    values[7, 0] += 0.5
    replace(stored, values=values).save(run / "predictions.h5")
    (problem,) = verify_deeply(open_run(run)).problems
    assert problem.text == "predictions of umbrella are up to 0.5 Hz from those computed"


def test_other_measured_values_are_found(run: Path) -> None:
    stored = open_run(run).all_predictions()
    measured = stored.measured.copy()
    measured[3, 1] += 1.0
    replace(stored, measured=measured).save(run / "predictions.h5")
    (problem,) = verify_deeply(open_run(run)).problems
    assert problem.text == "measured values of mass are up to 1 kg from those computed"


@pytest.mark.parametrize("change", [{"ids": np.arange(30).astype(str)}, {"units": ("kHz", "kg")}])
def test_predictions_of_something_else_are_found(run: Path, change: dict[str, object]) -> None:
    replace(open_run(run).all_predictions(), **change).save(run / "predictions.h5")  # type: ignore[arg-type]
    (problem,) = verify_deeply(open_run(run)).problems
    assert "other samples, targets or units" in problem.text


def test_other_weights_are_found_though_their_digest_fits(run: Path) -> None:
    net, spec = load_net(run / "checkpoint.safetensors")
    with torch.no_grad():
        net.head.weight[0, 0] += 0.01
    save_net(run / "checkpoint.safetensors", net, spec, epoch=1)
    assert set(kinds(run)) == {("predictions.h5", "predictions"), ("maps.h5", "maps")}


def test_a_checkpoint_of_another_net_is_found(run: Path) -> None:
    text = (run / "config.toml").read_text(encoding="utf-8")
    (run / "config.toml").write_text(text.replace("depth = 1", "depth = 2"), encoding="utf-8")
    assert ("checkpoint.safetensors", "checkpoint") in kinds(run)


def test_a_damaged_checkpoint_is_found(run: Path) -> None:
    path = run / "checkpoint.safetensors"
    content = bytearray(path.read_bytes())
    content[-9] ^= 1
    path.write_bytes(content)
    assert kinds(run) == [("checkpoint.safetensors", "checkpoint")]


def test_other_maps_are_found(run: Path) -> None:
    maps = open_run(run).maps()
    one = maps["mass"]
    save_maps(run / "maps.h5", maps | {"mass": replace(one, contributions=one.contributions * 1.5)})
    assert kinds(run) == [("maps.h5", "maps")]


def test_a_flipped_bit_in_the_data_is_found(run: Path) -> None:
    path = run.parent / "discs.h5"
    content = bytearray(path.read_bytes())
    place = content.find(open_run(run).data().x()[5].tobytes())
    content[place + 700] ^= 4
    path.write_bytes(content)
    assert kinds(run) == [("discs.h5", "data")]
    assert "/inputs row 5" in verify_deeply(open_run(run)).problems[0].text


def test_data_that_are_gone_or_moved(run: Path, tmp_path: Path) -> None:
    moved = (run.parent / "discs.h5").rename(tmp_path / "moved.h5")
    assert kinds(run) == [("provenance.json", "data")]
    assert kinds(run, data=moved) == []


def test_other_data_are_found(run: Path, changed_discs: Callable[..., Path]) -> None:
    changed_discs(lambda record: replace(record, x=record.x + np.float32(1)))
    (problem,) = verify_deeply(open_run(run)).problems
    assert "the data of this run must be those with digest" in problem.text


def test_in_another_environment_the_last_bits_are_free_and_it_is_said(shell: Shell, run: Path) -> None:
    said = json.loads((run / "provenance.json").read_text(encoding="utf-8"))
    said["versions"]["torch"] = "1.0"
    (run / "provenance.json").write_text(json.dumps(said), encoding="utf-8")
    stored = open_run(run).all_predictions()
    spread = stored.values.std(axis=0)
    replace(stored, values=stored.values + 0.9e-5 * spread).save(run / "predictions.h5")
    assert kinds(run) == []
    code, out, _ = shell("verify", run, "--deep")
    assert code == 0
    assert "predictions and maps equal to 1e-5 (the environment differs: versions.torch)" in out
    replace(stored, values=stored.values + 1.2e-5 * spread).save(run / "predictions.h5")
    assert kinds(run) == [("predictions.h5", "predictions")] * 2


def test_what_libraries_set_when_they_are_imported_is_no_other_environment(
    shell: Shell, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KMP_INIT_AT_FORK", "FALSE")  # scikit-learn's imports do
    assert "equal to the bit" in shell("verify", run, "--deep")[1]
    monkeypatch.setenv("KMP_BLOCKTIME", "0")
    assert "the environment differs: environment.KMP_BLOCKTIME" in shell("verify", run, "--deep")[1]


def test_verify_deep_in_the_shell(shell: Shell, run: Path) -> None:
    code, out, err = shell("verify", run, "--deep")
    assert (code, err) == (0, "")
    assert "every byte as it was written; data, predictions and maps are equal to the bit" in out
    (run / "checkpoint.safetensors").unlink()
    code, out, _ = shell("verify", run, "--deep")
    assert code == 1
    assert "missing: checkpoint.safetensors is not there" in out
    code, out, _ = shell("verify", run, "--deep", "--json", "--data", run.parent / "discs.h5")
    assert (code, json.loads(out)["good"]) == (1, False)
