"""A run as an ONNX file: prediction and exact map, by another runtime."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from ram.errors import ConfigError, ModelError
from ram.runs import exporting
from ram.runs.exporting import export_onnx
from ram.runs.run import open_run
from ram.training.train import train


@pytest.fixture
def run(disc_run):
    return open_run(disc_run)


def answers(path: Path, **given: np.ndarray) -> tuple[np.ndarray, ...]:
    return tuple(onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, given))


def test_the_file_predicts_and_explains_as_the_run_does(run, tmp_path) -> None:
    path = export_onnx(run, tmp_path / "net.onnx")
    data = run.data().subset("test")
    prediction, contributions, baseline = answers(path, inputs=data.x())
    np.testing.assert_allclose(prediction, run.predict(data).values, rtol=1e-5)
    for number, (name, one) in enumerate(run.explain(data, reference="baseline").items()):
        size = np.abs(one.contributions).sum()
        np.testing.assert_allclose(contributions[:, number], one.contributions, atol=1e-5 * size, err_msg=name)
        np.testing.assert_allclose(baseline[number], one.baseline, rtol=1e-6)
    total = baseline + contributions.sum(axis=(2, 3))
    np.testing.assert_allclose(total, prediction, rtol=1e-5)


def test_the_file_says_what_it_answers(run, tmp_path) -> None:
    model = onnx.load(export_onnx(run, tmp_path / "net.onnx"))
    words = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(words["targets"]) == [
        {"name": "umbrella", "unit": "Hz", "log": False},
        {"name": "mass", "unit": "kg", "log": False},
    ]
    assert json.loads(words["channels"]) == {"fill": "1", "thickness": "mm"}
    assert words["data_digest"] == run.data().digest
    assert [one.name for one in model.graph.output] == ["prediction", "contributions", "baseline"]


def test_parameters_logarithms_symmetries_and_coordinates_go_along(changed_discs, tmp_path) -> None:
    def loaded(record):
        return replace(record, parameters={"tyre_load": float(int(record.id[1:]) % 7)})

    overrides = [
        "data.log_targets=['umbrella']", "data.parameters=['tyre_load']", "model.symmetry_average=true",
        "model.coordinates=['radius']", "training.epochs=1", "model.backbone='resnet'",
    ]  # fmt: skip
    run = train(changed_discs(loaded, parameters={"tyre_load": "N"}), output=tmp_path / "run", overrides=overrides)
    data = run.data().subset("test")
    load = data.parameter_array(["tyre_load"])
    path = export_onnx(run, tmp_path / "net.onnx")
    prediction, contributions, baseline = answers(path, inputs=data.x(), parameters=load)
    np.testing.assert_allclose(prediction, run.predict(data).values, rtol=1e-5)
    one = run.explain(data, target="umbrella", reference="baseline")
    carried = one.parameter_contributions.sum(axis=1)
    np.testing.assert_allclose(
        np.exp(baseline[0] + contributions[:, 0].sum(axis=(1, 2)) + carried), prediction[:, 0], rtol=1e-5
    )


def test_a_file_that_answers_otherwise_is_not_kept(run, tmp_path, monkeypatch) -> None:
    class Other:
        def __init__(self, *_: object, **__: object) -> None: ...

        def run(self, _: object, given: dict[str, np.ndarray]) -> list[np.ndarray]:
            net = exporting._Answering(run_.regressor)
            found = [one.detach().numpy() for one in net(torch.from_numpy(given["inputs"]))]
            return [found[0] + 1.0, *found[1:]]

    run_ = run
    monkeypatch.setattr(onnxruntime, "InferenceSession", Other)
    with pytest.raises(ModelError, match=r"prediction by onnxruntime must be torch's within 0.0001. Got a diff"):
        export_onnx(run, tmp_path / "net.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_extra_is_named(run, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(exporting.importlib.util, "find_spec", lambda name: None if name == "onnx" else object())
    with pytest.raises(ConfigError, match=r"extra \[export\] must be installed. Got no onnx. Install it: pip"):
        export_onnx(run, tmp_path / "net.onnx")
