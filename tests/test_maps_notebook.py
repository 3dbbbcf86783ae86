"""Maps as a notebook shows them: numbers, pictures of the samples that were asked about, and nothing that could run."""

from __future__ import annotations

import base64
import io
import pickle
import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import ram
from ram.axes import Axis
from ram.maps.ensemble_map import EnsembleMap
from ram.maps.notebook import as_html
from ram.maps.pictured import Keeping, Pictured
from ram.maps.regression_map import RegressionMap
from ram.runs.run import open_run

HOSTILE = "<img src=x onerror=alert(1)>\"'$\\frac{1}$"


def net_of(ndim: int) -> nn.Module:
    torch.manual_seed(ndim)
    convolution = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[ndim - 1]
    pool = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)[ndim - 1]
    return nn.Sequential(convolution(2, 3, 2, stride=2), nn.ReLU(), pool(1), nn.Flatten(), nn.Linear(3, 1))


def made(ndim: int, *, batch: int = 2, **words: object) -> RegressionMap:
    x = np.random.default_rng(ndim).normal(size=(batch, 2, *[8] * ndim)).astype(np.float32)
    return ram.explain(net_of(ndim), x, target="force", unit="kN", **words)  # type: ignore[arg-type]


def pictures(html: str) -> list[Image.Image]:
    found = re.findall(r'src="data:image/png;base64,([^"]+)"', html)
    return [Image.open(io.BytesIO(base64.b64decode(one, validate=True))) for one in found]


def words(html: str) -> str:
    return unescape(" ".join(re.sub(r"<[^>]+>", " ", html).split()))


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_each_sample_has_its_numbers_and_its_picture(ndim: int) -> None:
    one = made(ndim)
    html = one._repr_html_()
    said = words(html)
    assert said.startswith(
        "force in kN : regression activation map, 2 samples method ram, exact: sums to the prediction"
    )
    assert f"{' x '.join(['4'] * ndim)} cells of 2 " in said
    written = [float(number) for number in re.findall(r"([+-]?\d\.\d+) kN", said)]
    for row in range(2):
        for value in (one.prediction[row], one.baseline[row], one.contributions[row].sum()):
            assert min(abs(value - number) for number in written) < 2e-3
    assert len(pictures(html)) == 2
    assert len(html) < 400_000


def test_nothing_in_it_runs_or_is_fetched_and_names_are_words() -> None:
    one = replace(made(2), target=HOSTILE, unit=HOSTILE, reference=HOSTILE, ids=(HOSTILE, "b"), pictured=Pictured())
    axes = tuple(replace(axis, name=HOSTILE, unit=HOSTILE, long_name=HOSTILE) for axis in one.axes)
    html = replace(one, axes=axes, input_axes=axes, parameter_names=(HOSTILE,), parameter_contributions=np.ones((2, 1)))
    text = html._repr_html_()
    assert "<img src=x" not in text
    assert words(text).count("<img src=x onerror=alert(1)>") > 6
    tags = {tag.lower() for tag in re.findall(r"<([a-zA-Z]+)", text)}
    assert tags <= {"div", "b", "table", "thead", "tbody", "tr", "th", "td", "figure", "figcaption", "img"}
    assert not re.search(r"<script|javascript:|https?:|@import|url\(", text, re.IGNORECASE)


def test_the_first_samples_are_drawn_and_the_rest_is_counted() -> None:
    one = made(1, batch=20)
    assert len(pictures(as_html(one))) == 3
    assert "Drawn: the first 3 of 20. maps[3:6] shows the next." in words(as_html(one))
    assert words(as_html(one)).count(" kN") < 60  # eight rows, not twenty
    assert len(pictures(as_html(one, most=5))) == 5
    assert "Drawn" not in words(as_html(one[:2]))


def test_a_map_brings_the_sample_that_it_was_made_from() -> None:
    x = torch.arange(2 * 2 * 8.0).reshape(2, 2, 8)
    one = ram.explain(net_of(1), x, ids=["a", "b"])
    x.zero_()  # what the caller does with it later is no matter of the picture
    kept, called = one[1].pictured.of("b") or (None, "")
    np.testing.assert_array_equal(kept, np.arange(24.0, 32.0))
    assert called == "channel 1"
    assert one.mean().pictured.of("a") is None
    assert one.difference(one[0]).pictured.of("b") is not None
    with_it, without = (
        pictures(as_html(replace(one, pictured=looks)[0]))[0].size for looks in (one.pictured, Pictured())
    )
    assert with_it[1] > without[1]  # the signal stands over its map


def test_a_run_names_the_channel_and_leaves_voids_white(disc_run: Path) -> None:
    run = open_run(disc_run)
    test = run.data().subset("test")
    one = run.explain(test[:1], target="umbrella")
    kept, called = one.pictured.of(one.ids[0]) or (np.empty(0), "")
    assert called == "thickness (mm)"
    fill, thickness = test[0].x
    np.testing.assert_array_equal(kept, np.where(fill > 0, thickness, 0.0))


def test_spectrogram_nets_show_levels(burst_run: Path) -> None:
    run = open_run(burst_run)
    test = run.data().subset("test")
    one = run.explain(test[:2], target="frequency")
    kept, called = one.pictured.of(one.ids[1]) or (np.empty(0), "")
    np.testing.assert_allclose(kept, run.explained_inputs(test[:2])[1, -1], rtol=1e-6)
    assert called == "acc_2 (dB re 1 m/s**2)"
    assert len(pictures(as_html(one))) == 2


def test_no_more_is_kept_than_pictures_need() -> None:
    keeping = Keeping()
    for _ in range(3):
        keeping.see(torch.ones(40, 1, 4))
    assert len(keeping.named([f"s{row}" for row in range(120)]).inputs) == 64
    large = Keeping()
    large.see(torch.ones(5, 1, 2**20))  # 4 MiB each
    large.see(torch.ones(5, 1, 4))  # samples behind one that was left out would have its name
    assert list(large.named(()).inputs) == ["0", "1"]


def test_other_grades_log_targets_and_ensembles_say_what_they_are() -> None:
    relative = words(made(2, method="grad-cam")._repr_html_())
    assert "relative: no unit: compare within one map only" in relative
    assert "baseline" not in relative
    log = words(made(1, target_log=True)._repr_html_())
    assert "contributions are factors" in log
    assert re.search(r"kN x \d\.\d{4} ", log)
    one = made(2)
    both = EnsembleMap.of([one, replace(one, contributions=-one.contributions)])
    assert "mean of 2 members" in words(both._repr_html_())
    assert len(pictures(both._repr_html_())) == 2


def test_maps_from_a_file_have_no_inputs_and_are_shown_alone(tmp_path: Path) -> None:
    one = made(2)
    one.save(tmp_path / "maps.h5")
    again = RegressionMap.load(tmp_path / "maps.h5")
    assert again.pictured.inputs == {}
    assert pictures(again._repr_html_())[0].width < pictures(one._repr_html_())[0].width


def test_padded_signals_are_drawn_as_far_as_they_go() -> None:
    axis = Axis.uniform("time", "s", size=8, step=1.0)
    cells = Axis.uniform("time", "s", size=4, step=2.0, start=0.5)
    looks = Pictured({"a": np.ones((1, 6), dtype=np.float32)})
    one = RegressionMap(
        np.ones((1, 4)), np.zeros(1), np.full(1, 4.0), "f", "N", (cells,), (axis,), ids=("a",), pictured=looks,
        ends=np.array([5.5]),
    )  # fmt: skip
    assert len(pictures(as_html(one))) == 1


def test_a_figure_is_a_picture_in_a_notebook_that_never_loaded_pyplot() -> None:
    figure = made(2).plot()
    shown = Image.open(io.BytesIO(figure._repr_png_()))  # type: ignore[attr-defined]
    assert shown.size == tuple(int(figure.dpi * inches) for inches in figure.get_size_inches())
    assert pickle.loads(pickle.dumps(made(1))).pictured.inputs.keys() == {"0", "1"}
