"""Ridges in a spectrogram: their region against counting small cells, chance as a share of the area, bad input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import ram
from ram.axes import Axis
from ram.data import DatasetSpec, Record, write_dataset
from ram.errors import ConfigError, DataError
from ram.evaluation.ridges import Ridge, ridge_regions, ridge_score, ridge_share, ridges_of
from ram.maps.regression_map import RegressionMap
from ram.models.spectrogram import Spectrogram

PAIR = (Ridge(500.0, 0.08), Ridge(512.0, 0.075))
FRONT = Spectrogram(1, sample_rate_hz=16000.0, length=2048, hop=256)
LOBE = {"lobe_hz": 30.0, "window_s": 0.128}


def grid(frequencies: int = 40, frames: int = 30, *, bin_hz: float = 7.8125, hop_s: float = 0.016) -> dict[str, Axis]:
    return {
        "frequency": Axis.uniform("frequency", "Hz", size=frequencies, step=bin_hz, start=350.0),
        "time": Axis.uniform("time", "s", size=frames, step=hop_s, start=-0.05),
    }


def counted(ridges, axes, *, lobe_hz, window_s, heard_db, fine=40):
    """The same by asking fine x fine points of each cell."""
    places = (np.arange(fine) + 0.5) / fine
    f, t = (
        (axis.edges[:-1, None] + np.diff(axis.edges)[:, None] * places).ravel()
        for axis in (axes["frequency"], axes["time"])
    )
    inside = np.zeros((f.size, t.size), dtype=bool)
    for ridge in ridges:
        near = np.abs(f - ridge.frequency_hz) <= lobe_hz / 2
        falls = 20 * np.log10(np.e) * (t - window_s / 2 - ridge.begin_s) / ridge.decay_s
        inside |= near[:, None] & (t >= ridge.begin_s - window_s / 2) & (falls <= heard_db)
    sizes = axes["frequency"].size, fine, axes["time"].size, fine
    return inside.reshape(sizes).mean(axis=(1, 3))


@pytest.mark.parametrize(
    "ridges",
    [PAIR, PAIR[:1], (Ridge(500.0, 0.03), Ridge(620.0, 0.01, begin_s=0.2), Ridge(505.0, 0.05)), (PAIR[0], PAIR[0])],
)
@pytest.mark.parametrize("heard_db", [20.0, 40.0])
def test_region_is_what_counting_small_cells_finds(ridges, heard_db):
    share = ridge_share(ridges, **grid(), **LOBE, heard_db=heard_db)
    expected = counted(ridges, grid(), **LOBE, heard_db=heard_db)
    assert 0 < share.mean() < 0.5
    np.testing.assert_allclose(share, expected, atol=2 / 40 + 1e-9)
    np.testing.assert_allclose(share.sum(), expected.sum(), rtol=0.01)


def test_region_ends_where_the_mode_is_no_longer_heard():
    share = ridge_share(PAIR[:1], **grid(frames=60), **LOBE, heard_db=20.0)
    heard = np.flatnonzero(share.any(axis=0))
    time = grid(frames=60)["time"]
    assert time.edges[heard[0]] <= -0.064 < time.edges[heard[0] + 1] or heard[0] == 0
    assert time.edges[heard[-1]] <= 0.08 * np.log(10) + 0.064 < time.edges[heard[-1] + 1]


def test_region_outside_the_grid_is_empty():
    assert not ridge_share([Ridge(5000.0, 0.1)], **grid(), **LOBE).any()
    assert not ridge_share([], **grid(), **LOBE).any()


def maps_on(axes: dict[str, Axis], contributions: np.ndarray) -> RegressionMap:
    both = tuple(axes.values())
    count = len(contributions)
    return RegressionMap(
        contributions=contributions, baseline=np.zeros(count), prediction=contributions.reshape(count, -1).sum(1),
        unit="Hz", target="tilt", axes=both, input_axes=both, method="ram", grade="exact",
        ids=tuple(f"s{row}" for row in range(count)),
    )  # fmt: skip


def test_a_map_on_the_ridge_is_all_inside_and_one_without_knowledge_is_there_by_chance():
    axes = grid()
    share = ridge_share(PAIR, **axes, **LOBE)
    signs = np.where(np.arange(share.size).reshape(share.shape) % 2, 1.0, -3.0)
    touching = share > 0
    maps = maps_on(axes, np.stack([signs * touching, np.ones_like(share), signs * ~touching]))
    found = ridge_score(maps, np.stack([touching] * 3))
    np.testing.assert_allclose(found.inside, [1.0, touching.mean(), 0.0])
    np.testing.assert_allclose(found.chance, touching.mean())  # cells of one size
    np.testing.assert_allclose(ridge_score(maps, np.stack([share] * 3)).chance, share.mean())


def test_chance_counts_area_and_not_cells():
    axes = {
        "frequency": Axis("frequency", "Hz", np.array([1.0, 6.0]), np.array([0.0, 2.0, 10.0])),
        "time": Axis.uniform("time", "s", size=2, step=1.0),
    }
    maps = maps_on(axes, np.array([[[1.0, -2.0], [3.0, -4.0]]]))
    found = ridge_score(maps, np.array([[[True, False], [False, False]]]))
    assert found.chance[0] == pytest.approx(2 / 20)
    assert found.inside[0] == pytest.approx(1 / 10)


def test_region_of_another_shape_is_refused():
    maps = maps_on(grid(), np.ones((2, 40, 30)))
    message = r"^ridge_score: the region must be of shape \(2, 40, 30\), the maps' cells\. Got \(40, 30\)\.$"
    with pytest.raises(DataError, match=message):
        ridge_score(maps, np.ones((40, 30)))


def test_regions_are_the_cells_that_touch():
    axes = grid()
    maps = maps_on(axes, np.ones((2, 40, 30)))
    lobe = {"lobe_hz": FRONT.main_lobe_hz, "window_s": 0.128}
    assert lobe["lobe_hz"] == pytest.approx(4 / 0.128, rel=0.01)  # of a Hann window
    found = ridge_regions(maps, [PAIR, PAIR[:1]], spectrogram=FRONT)
    for region, ridges in zip(found, (PAIR, PAIR[:1]), strict=True):
        np.testing.assert_array_equal(region, ridge_share(ridges, **axes, **lobe) > 0)
    assert found[0].sum() > found[1].sum() > 0


def test_regions_need_maps_over_frequency_and_time_and_ridges_of_each():
    message = r"^ridges: the ridges must be of 2 samples, as many as there are maps\. Got 1\.$"
    with pytest.raises(DataError, match=message):
        ridge_regions(maps_on(grid(), np.ones((2, 40, 30))), [PAIR], spectrogram=FRONT)
    signal = maps_on({"time": grid()["time"]}, np.ones((1, 30)))
    message = (
        r"^ridges: the axes of maps must be frequency and time\. Got time\. "
        r"Ridges are those of nets with \[model\.spectrogram\]\.$"
    )
    with pytest.raises(DataError, match=message):
        ridge_regions(signal, [PAIR], spectrogram=FRONT)


@pytest.fixture
def data(tmp_path: Path) -> ram.Dataset:
    spec = DatasetSpec(
        name="ringing", axes=(Axis.uniform("time", "s", size=8, step=1e-3),), channels={"a": "m/s^2"},
        targets={"tilt": "Hz"}, count=2,
        parameters={"low": "Hz", "low_decay": "s", "high": "Hz", "high_decay": "s", "mode_01": "Hz"},
    )  # fmt: skip
    records = (
        Record(
            id=f"s{row}", x=np.zeros((1, 8), dtype=np.float32), targets={"tilt": 1.0},
            parameters={
                "low": 400.0 + row, "low_decay": 0.1, "high": 600.0 + row, "high_decay": 0.2 + row, "mode_01": 1,
            },
        )
        for row in range(2)
    )  # fmt: skip
    write_dataset(tmp_path / "r.h5", spec, records)
    return ram.open_dataset(tmp_path / "r.h5")


def test_ridges_are_read_from_the_parameters(data):
    assert ridges_of(data, ["low", "high"]) == [
        (Ridge(400.0, 0.1), Ridge(600.0, 0.2)),
        (Ridge(401.0, 0.1), Ridge(601.0, 1.2)),
    ]


def test_modes_without_a_ridge_are_refused_by_name(data):
    message = (
        r"^ridges: a mode must be one of low, high, which have parameters <mode> and <mode>_decay\. Got 'hihg'\. "
        r"Did you mean 'high'\?$"
    )
    with pytest.raises(ConfigError, match=message):
        ridges_of(data, ["hihg"])
