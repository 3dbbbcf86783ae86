"""A run on signals of different length: padding is seen by nobody, from the first step to the report."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from ram.axes import Axis
from ram.data.dataset import Dataset, open_dataset
from ram.data.layout import write_dataset
from ram.data.spec import DatasetSpec, Record
from ram.errors import ConfigError
from ram.randomness import generator
from ram.runs.config import load_experiment
from ram.runs.exporting import export_onnx
from ram.runs.net import load_net, save_net
from ram.runs.run import Run, open_run
from ram.runs.verification import verify_deeply
from ram.training.train import train

COUNT, LONGEST = 40, 96


def lengths() -> np.ndarray:
    return generator(2, "lengths").integers(20, LONGEST + 1, size=COUNT)


def padded_file(path: Path, *, size: int = LONGEST, padding: float = 0.0, **words) -> Path:
    """Tones with an offset of 5 V, cut at lengths of their own: an average over padding would lose the offset."""
    draw = generator(3, "tones")
    frequency, offset = draw.uniform(40.0, 120.0, size=COUNT), draw.uniform(4.0, 6.0, size=COUNT)
    time_s = np.arange(size) * 1e-3
    x = offset[:, None] + np.sin(2 * np.pi * frequency[:, None] * time_s)
    usual = ("train", "train", "train", "validation", "test")
    records = (
        Record(
            id=f"s{row:03d}",
            x=np.where(np.arange(size) < length, x[row], padding)[None].astype(np.float32),
            targets={"offset": float(offset[row])},
            split={"default": usual[row % 5]},
            length=int(length),
        )
        for row, length in enumerate(lengths())
    )
    content = {
        "name": "tones",
        "axes": (Axis.uniform("time", "s", size=size, step=1e-3),),
        "channels": {"acc": "V"},
        "targets": {"offset": "V"},
        "lengths": True,
        "count": COUNT,
        "symmetries": ("reverse",),
    }
    return write_dataset(path, DatasetSpec(**(content | words)), records)


def experiment(file: Path, **model) -> dict:
    return {
        "name": "tones",
        "data": {"file": str(file), "targets": ["offset"]},
        "model": {"backbone": "resnet", "widths": [4, 6], "norm": "batch", **model},
        "training": {"epochs": 2, "batch_size": 8, "threads": 1},
        "explain": {"samples": 3},
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tones.h5 and a run on it; nothing may be written there."""
    folder = tmp_path_factory.mktemp("padded")
    train(experiment(padded_file(folder / "tones.h5")), output=folder / "run", progress=False)
    return folder


@pytest.fixture
def run(folder: Path) -> Run:
    return open_run(folder / "run")


def test_a_run_predicts_and_explains_each_signal_as_it_is_alone(run: Run) -> None:
    test = run.data().subset("test")
    assert run.spec.padded
    predicted = run.predict(test)
    np.testing.assert_array_equal(predicted.values, run.predictions("test").values)
    maps = run.explain(test, target="offset")
    np.testing.assert_allclose(maps.prediction, predicted.values[:, 0], rtol=1e-6)
    assert np.abs(maps.residual).max() < 1e-5
    net = run.regressor
    for row, sample in enumerate(test):
        shortest = int(net.shortest(torch.tensor([sample.length])))
        x = torch.from_numpy(sample.x[None, :, :shortest].copy())
        x[..., sample.length :] = net.input_mean
        with torch.no_grad():
            torch.testing.assert_close(net(x)[0, 0].item(), predicted.values[row, 0], rtol=1e-5, atol=1e-5)
    assert verify_deeply(run).problems == ()


def test_how_far_signals_are_padded_changes_nothing_but_rounding(folder: Path, run: Run, tmp_path: Path) -> None:
    """Not the order of the samples, not a weight; as nets learn, roundings grow."""
    file = padded_file(tmp_path / "tones.h5", size=128, padding=9.0)
    longer = train(experiment(file), output=tmp_path / "run", progress=False)
    for one, other in zip(run.history, longer.history, strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-5)
    np.testing.assert_allclose(longer.predictions("test").values, run.predictions("test").values, rtol=1e-5)


def test_a_file_that_is_padded_otherwise_gets_the_same_answers(run: Run, tmp_path: Path) -> None:
    known, expected = run.predict(run.data()), run.explain(run.data(), target="offset", reference="baseline")
    for size in (LONGEST + 5, LONGEST + 32):
        other = open_dataset(padded_file(tmp_path / f"{size}.h5", size=size, padding=3.0))
        np.testing.assert_allclose(run.predict(other).values, known.values, rtol=1e-6)
        maps = run.explain(other, target="offset", reference="baseline")
        np.testing.assert_allclose(maps.contributions, expected.contributions, atol=1e-6)


def test_references_are_means_by_position(run: Run) -> None:
    data = run.part("train")
    bare = run.explain(data, target="offset", reference="baseline")
    mean = run.reference_maps()["offset"]
    np.testing.assert_allclose(mean.contributions[0], bare.contributions.mean(axis=0), atol=1e-6)
    assert mean.prediction[0] == pytest.approx(bare.prediction.mean(), rel=1e-6)
    inside, x = np.arange(LONGEST) < data.lengths[:, None, None], data.x().astype(np.float64)
    count = inside.sum(axis=0)
    expected = np.where(count > 0, np.where(inside, x, 0).sum(axis=0) / np.maximum(count, 1), 0.0)
    np.testing.assert_allclose(run.mean_input(), expected, rtol=1e-6)
    (design,) = run.reference_maps("train-mean-design")["offset"].prediction
    with torch.no_grad():
        mine = run.regressor(torch.from_numpy(expected[None]).float(), None, torch.tensor([data.lengths.max()]))
    assert design == pytest.approx(mine.item(), rel=1e-6)
    for reference in ("train-mean", "train-mean-design", data[0]):
        one = run.explain(run.data().subset("test"), target="offset", reference=reference)
        assert np.abs(one.residual).max() < 1e-5
    against = run.explain(data[:1], target="offset", reference=data[0], method="integrated-gradients")
    assert not against.contributions.any()


def test_stored_maps_know_where_signals_end(run: Run) -> None:
    shown = run.maps()["offset"]
    length = dict(zip(run.data().ids, run.data().lengths, strict=True))
    np.testing.assert_allclose(shown.ends, [(length[name] - 0.5) * 1e-3 for name in shown.ids])


def test_the_net_is_told_lengths_after_it_was_read_again(run: Run, tmp_path: Path) -> None:
    save_net(tmp_path / "net.safetensors", run.regressor, run.spec, epoch=1)
    assert load_net(tmp_path / "net.safetensors")[1].padded
    assert "padded" not in replace(run.spec, padded=False).as_dict()


def test_a_run_of_before_takes_padding_for_signal_as_it_did(run: Run, tmp_path: Path) -> None:
    """Its checkpoint does not say that it leaves padding out."""
    shutil.copytree(run.path, tmp_path / "run")
    save_net(tmp_path / "run" / "checkpoint.safetensors", run.regressor, replace(run.spec, padded=False), epoch=1)
    old, data = open_run(tmp_path / "run"), run.data().subset("test")
    with torch.no_grad():
        expected = run.regressor(torch.from_numpy(data.x())).numpy()
    np.testing.assert_allclose(old.predict(data).values, expected, rtol=1e-6)
    assert not np.allclose(old.predict(data).values, run.predict(data).values, rtol=1e-3)


def test_signals_of_one_length_and_dense_heads_ask_for_no_lengths(
    measured: Callable[..., Dataset], folder: Path
) -> None:
    from ram.training.prepare import prepare

    whole = measured(lengths=[256] * 40)
    config = experiment(whole.path)
    config["data"]["targets"] = ["frequency"]
    assert not prepare(load_experiment(config)).spec.padded
    dense = prepare(load_experiment(experiment(folder / "tones.h5", head="dense")))
    assert not dense.spec.padded
    assert dense.train.lengths is None


def test_quarter_turns_of_padded_samples_are_refused(measured: Callable[..., Dataset]) -> None:
    from ram.training.prepare import prepare

    draw = generator(1, "squares")
    x = draw.normal(size=(40, 1, 16, 16)).astype(np.float32)
    target = {"frequency": draw.normal(size=40)}
    whole = measured(x, targets=target, lengths=[8, 16] * 20, symmetries=("rotate90",))
    config = experiment(whole.path)
    config["data"]["targets"] = ["frequency"]
    with pytest.raises(ConfigError, match=r"symmetries must be without rotate90 where samples differ in length"):
        prepare(load_experiment(config))
    config["training"]["augment"] = False
    assert prepare(load_experiment(config)).spec.padded


def test_a_run_that_was_stopped_goes_on_to_the_same_bytes(run: Run, folder: Path, tmp_path: Path) -> None:
    def stop(_epoch) -> None:
        raise KeyError("enough")

    shutil.copy(folder / "tones.h5", tmp_path)
    config = experiment(tmp_path / "tones.h5")
    with pytest.raises(KeyError, match="enough"):
        train(config, output=tmp_path / "run", progress=False, on_epoch=stop)
    again = train(config, output=tmp_path / "run", progress=False, resume=True)
    for name in ("checkpoint.safetensors", "predictions.h5", "maps.h5", "references.h5", "calibration.h5"):
        assert (again.path / name).read_bytes() == (run.path / name).read_bytes()


@pytest.mark.slow
def test_the_onnx_file_takes_lengths(run: Run, tmp_path: Path) -> None:
    path, data = export_onnx(run, tmp_path / "net.onnx"), run.data().subset("test")
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    prediction, contributions, baseline = session.run(None, {"inputs": data.x(), "lengths": data.lengths})
    np.testing.assert_allclose(prediction, run.predict(data).values, rtol=1e-5)
    one = run.explain(data, target="offset", reference="baseline")
    np.testing.assert_allclose(contributions[:, 0], one.contributions, atol=1e-5)
    np.testing.assert_allclose(baseline + contributions.sum(axis=2), prediction, rtol=1e-5)
