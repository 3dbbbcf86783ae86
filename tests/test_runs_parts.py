"""A run whose net pools several stages and keeps its channels apart: config, references, shell, report, ONNX."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from ram.errors import ConfigError
from ram.maps.explain import explain_regressor
from ram.maps.regression_map import RegressionMap, load_maps
from ram.runs.exporting import export_onnx
from ram.runs.references import reference_maps
from ram.runs.run import Run, open_run
from ram.training.train import train
from ram.views.map_sections import parts
from ram.views.sections import page
from ram.views.story import tell

MODEL = "widths = [4, 6]\nhead_stages = [1, 2]\nchannels_apart = true"


@pytest.fixture(scope="module")
def apart(disc_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run; what tests write there is the report's alone."""
    folder = tmp_path_factory.mktemp("apart")
    text = (disc_folder / "discs.toml").read_text(encoding="utf-8")
    text = text.replace("widths = [4, 6]", MODEL).replace('"discs.h5"', f'"{disc_folder / "discs.h5"}"')
    (folder / "apart.toml").write_text(text, encoding="utf-8")
    return train(folder / "apart.toml", output=folder / "run", progress=False).path


@pytest.fixture
def run(apart: Path) -> Run:
    return open_run(apart)


def test_channels_share_a_prediction_out_against_every_reference(run: Run) -> None:
    data = run.data().subset("test")
    for reference in ("train-mean", "train-mean-design", "baseline", data[0]):
        for target, one in run.explain(data, reference=reference).items():
            assert (one.part_names, one.part_kind) == (("fill", "thickness"), "channel")
            size = np.abs(one.contributions).reshape(len(one), -1).sum(axis=1)
            size = np.maximum(size, float(run.regressor.target_scale.max()))
            missing = one.baseline + one.part_totals.sum(axis=1) - one.prediction
            assert (np.abs(missing) <= 1e-5 * size).all()
            assert one.contributions.shape[1:] == (8, 8), target
    train_maps = run.explain(run.data().subset("train"), target="mass", reference="baseline")
    stored = run.reference_maps()["mass"]
    expected = train_maps.part_contributions.mean(axis=0)
    np.testing.assert_allclose(stored.part_contributions[0], expected, atol=1e-5 * np.abs(expected).max())


def test_the_mean_map_of_several_batches_is_that_of_all_samples(run: Run) -> None:
    def explain(x: np.ndarray, parameters: np.ndarray, lengths: np.ndarray | None) -> dict[str, RegressionMap]:
        return explain_regressor(run.regressor, x, parameters=parameters, lengths=lengths)

    x = run.data().subset("train").x()
    found = reference_maps(explain, [(some, np.empty((len(some), 0)), None) for some in (x[:5], x[5:])])
    expected = explain(x, np.empty((len(x), 0)), None)["mass"].part_contributions.mean(axis=0)
    stored = found["train-mean/mass"].part_contributions[0]
    np.testing.assert_allclose(stored, expected, atol=1e-5 * np.abs(expected).max())


def test_the_shell_shows_what_each_channel_carries(run: Run, shell, tmp_path: Path) -> None:
    maps = load_maps(run.path / "maps.h5")["umbrella"]
    code, out, _ = shell("explain", run.path, "--target", "umbrella", "--samples", maps.ids[0])
    assert code == 0
    assert "umbrella: what each channel carries" in out
    assert "fill (Hz)" in out
    first, second = (f"{value:+.4g}" for value in maps.part_totals[0])
    assert any(line.split() == [maps.ids[0], first, second] for line in out.splitlines())
    code, out, _ = shell("explain", run.path, "--target", "umbrella", "--samples", maps.ids[0], "--json")
    said = json.loads(out)["targets"]["umbrella"]["samples"][0]["channel"]
    assert said == pytest.approx(dict(zip(("fill", "thickness"), maps.part_totals[0], strict=True)))


def test_the_report_has_a_section_of_channels(run: Run) -> None:
    told = tell(run)
    found = parts(told)
    assert found is not None
    assert found["title"] == "Which channel carries how much?"
    assert [row[0] for row in found["tables"][0]["rows"]] == ["fill", "thickness"]
    assert found["tables"][-1]["head"] == ["sample", "fill", "thickness", "all together"]
    assert len(found["tables"]) == 3  # one for each target, one for the samples shown
    assert ("parts", "Parts") in page(told)["sections"]


@pytest.mark.slow  # the exporter takes seconds
def test_the_onnx_file_holds_the_sum_over_stages_and_channels(run: Run, tmp_path: Path) -> None:
    path = export_onnx(run, tmp_path / "net.onnx")
    data = run.data().subset("test")
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    prediction, contributions, baseline = session.run(None, {"inputs": data.x()})
    for number, one in enumerate(run.explain(data, reference="baseline").values()):
        size = np.abs(one.contributions).sum()
        np.testing.assert_allclose(contributions[:, number], one.contributions, atol=1e-5 * size)
        total = baseline[number] + contributions[:, number].sum(axis=(1, 2))
        np.testing.assert_allclose(total, prediction[:, number], rtol=1e-5)


def test_stages_that_the_net_does_not_have(apart: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"model.head_stages: stages must be ascending numbers from 1 to 2, one for"):
        train(apart.parent / "apart.toml", output=tmp_path / "run", overrides=["model.head_stages=[3]"], progress=False)


def test_methods_of_the_input_tell_channels_apart_by_name(disc_run: Path, shell) -> None:
    run = open_run(disc_run)
    data = run.data().subset("test")
    slopes = run.explain(data, target="umbrella", method="gradient", channel="each")
    assert slopes.part_names == ("fill", "thickness")
    assert slopes.part_units == ("Hz", "Hz/mm")
    alone = run.explain(data, target="umbrella", method="gradient", channel="thickness")
    np.testing.assert_allclose(slopes.part("thickness").contributions, alone.contributions, rtol=1e-6)
    words = ["explain", disc_run, "--target", "umbrella", "--samples", "2", "--method"]
    code, out, _ = shell(*words, "integrated-gradients", "--channel", "each")
    assert code == 0
    assert "umbrella: what each channel carries" in out
    code, out, _ = shell(*words, "gradient", "--channel", "each")
    assert code == 0
    assert "thickness (Hz/mm)" in out
    assert "nan" not in out
    code, out, _ = shell(*words, "grad-ram", "--layer", "backbone.stages.0", "--layer", "backbone")
    assert code == 0
    assert "umbrella: what each layer carries" in out
    code, _, err = shell(*words, "grad-ram", "--channel", "eachh")
    assert code == 2
    assert "a channel must be one of fill, thickness" in err
