"""The tap-test data: signals that are the physics', groups in one part, ridges where the spectrum has them."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy.signal import ShortTimeFFT

import ram
from ram.axes import Axis
from ram.data.checks import find
from ram.data.making import load_recipe, partial_folder
from ram.errors import ConfigError, SolverError
from ram.evaluation.ridges import ridge_share, ridges_of
from ram.models.spectrogram import main_lobe
from ram.physics import tap
from ram.physics.design import design

FOLDER = Path(__file__).parents[1] / "datasets" / "wheel_tap"
OPTIONS = {"samples": 23, "taps": 2, "size": 24, "seed": 4, "duration": 0.5, "rate": 8000.0}


@pytest.fixture(scope="module")
def recipe() -> ModuleType:
    return load_recipe(FOLDER)


@pytest.fixture(scope="module")
def made(recipe, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("wheel_tap") / "wheel_tap.h5"
    recipe.make(path, **OPTIONS, progress=False)
    return path


@pytest.fixture(scope="module")
def data(made) -> ram.Dataset:
    return ram.open_dataset(made)


def test_bytes_do_not_depend_on_the_number_of_workers(recipe, made, tmp_path):
    recipe.make(tmp_path / "w.h5", **OPTIONS, jobs=2, progress=False)
    assert (tmp_path / "w.h5").read_bytes() == made.read_bytes()


def test_a_sample_depends_on_seed_and_index_alone(recipe, data, tmp_path):
    recipe.make(tmp_path / "few.h5", **OPTIONS | {"samples": 7}, progress=False)
    few = ram.open_dataset(tmp_path / "few.h5")
    np.testing.assert_array_equal(few.x(), data[:7].x())
    np.testing.assert_array_equal(few.target_array(), data[:7].target_array())
    np.testing.assert_array_equal(few.parameter_array(), data[:7].parameter_array())


def test_head_says_what_a_reader_needs(recipe, data):
    assert data.targets == recipe.TARGETS == {"tilt": "Hz", "splitting": "Hz", "damping": "%", "crack_depth": "%"}
    assert data.channels == {"rim_0": "m/s^2", "rim_120": "m/s^2", "rim_240": "m/s^2"}
    (time,) = data.axes
    assert (time.name, time.unit, time.size) == ("time", "s", 4000)
    assert time.centres[80] == 0  # the tap
    np.testing.assert_allclose(np.diff(time.centres), 1 / 8000)
    assert data.x().dtype == np.float32
    assert data.valid_min == {"crack_depth": 0.0}


def test_all_taps_on_a_wheel_are_in_one_part(data):
    parts = data.split_array("default")
    assert [len(data.subset(part)) for part in ("train", "validation", "test")] == [16, 3, 4]
    for group in np.unique(data.groups):
        rows = data.groups == group
        assert len(set(parts[rows])) == 1, group
        assert len(np.unique(data.target_array()[rows], axis=0)) == 1, group
    assert list(parts[:4]) == ["test", "test", "validation", "validation"]
    assert not np.array_equal(data[0].x, data[1].x)
    assert data[0].parameters["tap_angle"] != data[1].parameters["tap_angle"]


def test_signals_and_targets_are_the_physics(recipe, data):
    index, wheel = 13, 6
    one, given = recipe.specimen(4, wheel), recipe.strike(4, index, design(4, wheel))
    ring = tap.ringing(one.design, one.crack, size=24)
    gains = (
        ring.deflections(205.0, np.radians([0, 120, 240])) * ring.deflections(given.radius_mm, given.angle)[:, None]
    ).T
    heard = ring.frequencies < 4000
    clean = tap.accelerations(
        ring.frequencies[heard], one.damping, gains[:, heard], data.axes[0].centres, peak_n=given.peak_n
    )
    rms = np.sqrt(np.mean(clean**2))
    noise = data[index].x - clean
    assert 20 * np.log10(rms / noise.std()) == pytest.approx(given.noise_db, abs=0.3)
    assert np.abs(np.fft.rfft(noise, axis=1)).max() < 6 * noise.std() * np.sqrt(noise.shape[1])  # nothing but noise
    assert data[index].targets == pytest.approx(
        {"tilt": ring.tilt_hz, "splitting": ring.splitting_hz, "damping": 100 * one.damping,
         "crack_depth": 100 * one.crack.depth}, rel=1e-9
    )  # fmt: skip
    kept = data[index].parameters
    assert [kept[f"mode_{number:02d}"] for number in range(1, 17)] == pytest.approx(ring.frequencies.tolist())
    lower, upper = ring.named["tilt"]
    assert (kept["tilt_lower"], kept["tilt_upper"]) == pytest.approx(tuple(ring.frequencies[[lower, upper]]))
    assert kept["tilt_upper_decay"] == pytest.approx(1 / (2 * np.pi * ring.frequencies[upper] * one.damping))
    ringing = tap.complex_amplitudes(ring.frequencies, one.damping, gains, peak_n=given.peak_n)
    assert kept["tilt_upper_rim_120"] == pytest.approx(abs(ringing[1, upper]))


def test_draws_lie_where_the_card_says(recipe):
    several = [recipe.specimen(1, wheel) for wheel in range(400)]
    depths = np.array([one.crack.depth for one in several])
    assert np.mean(depths == 0) == pytest.approx(0.25, abs=0.06)
    assert 0.55 < depths.max() <= 0.6
    dampings = np.array([one.damping for one in several])
    assert 0.001 <= dampings.min() < 0.0011
    assert np.median(dampings) == pytest.approx(0.002, rel=0.1)
    assert {one.crack.spoke for one in several} == set(range(12))
    taps = [recipe.strike(1, index, several[0].design) for index in range(400)]
    radii = [one.radius_mm for one in taps]
    assert several[0].design.rim_inner_radius_mm + 4 <= min(radii) < max(radii) <= 211
    assert np.mean([one.noise_db for one in taps]) == pytest.approx(35, abs=2)


def test_a_tap_beyond_the_range_is_softer(recipe, data, monkeypatch):
    row = int(np.abs(data.x()).max(axis=(1, 2)).argmax())
    loudest = float(np.abs(data[row].x).max())
    monkeypatch.setattr(recipe, "RANGE", loudest / 2)
    recorder = recipe.Recorder(3, 8000.0, 4000)
    softer = recipe.rung(row // 2, taps=2, samples=23, recorder=recorder, size=24, seed=4)
    place = row % 2
    assert np.abs(softer["x"][place]).max() == pytest.approx(loudest / 2, rel=1e-6)
    halved = softer["tap_force"][place] / data[row].parameters["tap_force"]
    assert halved == pytest.approx(0.5, rel=1e-3)
    ratio = softer["tilt_lower_rim_0"][place] / data[row].parameters["tilt_lower_rim_0"]
    assert ratio == pytest.approx(halved)


def test_equal_modes_have_no_splitting(recipe):
    square = next(wheel for wheel in range(200) if symmetric(recipe.specimen(4, wheel)))
    found = recipe.rung(square, taps=1, samples=200, recorder=recipe.Recorder(3, 8000.0, 800), size=24, seed=4)
    assert found["splitting"][0] == 0.0


def symmetric(one) -> bool:
    """Four spokes or eight, without crack or thin spot: a quarter turn changes nothing, on pixels either."""
    return one.crack.depth == 0 and one.design.thin_spot is None and one.design.n_spokes in {4, 8}


def test_ridges_lie_where_the_spectrum_is(data):
    """Most of the power between 250 and 1000 Hz that is not the other modes' lies in the region."""
    length, hop = 1024, 128
    window = np.hanning(length + 1)[:-1]
    transform = ShortTimeFFT(window, hop, fs=8000.0)
    bins = Axis.uniform("frequency", "Hz", size=transform.f_pts, step=transform.delta_f)
    times = Axis.uniform(
        "time", "s", size=transform.p_num(4000), step=transform.delta_t,
        start=float(transform.t(4000)[0] + data.axes[0].centres[0]),
    )  # fmt: skip
    lobe = main_lobe(window) * 8000 / length
    every = ["tilt_lower", "tilt_upper", "umbrella", "two_diameter_lower", "two_diameter_upper"]
    shares = []
    for row, ridges in enumerate(ridges_of(data, every)):
        region = ridge_share(ridges, frequency=bins, time=times, lobe_hz=lobe, window_s=length / 8000) > 0
        power = (np.abs(transform.stft(data[row].x[:, 88:], axis=1)) ** 2).sum(axis=0)  # after the hammer has left
        power = np.pad(power, ((0, 0), (0, times.size - power.shape[1])))
        band = (bins.centres > 250) & (bins.centres < 1000)
        shares.append(power[band][region[band]].sum() / power[band].sum())
        assert region[band].mean() < 0.5
    assert np.median(shares) > 0.97


def test_a_wheel_that_cannot_be_solved_is_reported_and_kept(recipe, tmp_path, monkeypatch, capsys):
    honest = tap.ringing

    def failing(shape, crack, **options):
        if shape == design(4, 2):
            raise SolverError("wheel: the modes must be known. Got others.")
        return honest(shape, crack, **options)

    monkeypatch.setattr(tap, "ringing", failing)
    recipe.make(tmp_path / "w.h5", **OPTIONS | {"samples": 6}, progress=False)
    found = ram.open_dataset(tmp_path / "w.h5")
    assert list(np.isnan(found.target_array()).all(axis=1)) == [False] * 4 + [True] * 2
    assert list(found.parameter_array(["solver_status"])[:, 0]) == [0, 0, 0, 0, 2, 2]
    assert not found[4].x.any()
    assert capsys.readouterr().out == (
        "wheel 2 of seed 4: SolverError: wheel: the modes must be known. Got others.\n"
        "2 of 3 wheels solved, 1 failed (targets NaN)\n"
    )


def test_another_error_stops_and_leaves_no_file(recipe, tmp_path, monkeypatch):
    def broken(shape, crack, **options):
        raise ZeroDivisionError("no wheel's fault")

    monkeypatch.setattr(tap, "ringing", broken)
    with pytest.raises(RuntimeError, match=r"^wheel 0 of seed 4: ZeroDivisionError: no wheel's fault$"):
        recipe.make(tmp_path / "w.h5", **OPTIONS, progress=False)
    assert not (tmp_path / "w.h5").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"samples": 5}, r"^datasets/wheel_tap: samples must be at least 6\. Got 5\.$"),
        ({"taps": 0}, r"^datasets/wheel_tap: taps must be at least 1\. Got 0\.$"),
        ({"channels": 0}, r"^datasets/wheel_tap: channels must be at least 1\. Got 0\.$"),
        ({"size": 16}, r"^datasets/wheel_tap: size must be at least 24\. Got 16\.$"),
        ({"rate": 1000.0}, r"^datasets/wheel_tap: rate must be at least 4000\. Got 1000\.0\.$"),
        ({"duration": float("nan")}, r"^datasets/wheel_tap: duration must be at least 0\.05\. Got nan\.$"),
    ],
)
def test_options_out_of_range_are_refused(recipe, tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        recipe.make(tmp_path / "w.h5", **OPTIONS | options)
    assert not partial_folder(tmp_path / "w.h5").exists()


@pytest.mark.slow
def test_nothing_is_found_in_it(recipe, tmp_path):
    recipe.make(tmp_path / "w.h5", samples=120, size=24, seed=1, rate=8000.0, duration=0.3, progress=False)
    assert [finding.text for finding in find(ram.open_dataset(tmp_path / "w.h5"), deep=True)] == []


# ---------------------------------------------------------------------------------------------------- baselines


@pytest.fixture(scope="module")
def baselines() -> ModuleType:
    specification = importlib.util.spec_from_file_location("wheel_tap_baselines", FOLDER / "baselines.py")
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module
    specification.loader.exec_module(module)
    return module


def rung_by_hand(*, splitting_hz: float) -> tuple[np.ndarray, float]:
    """Three channels of an umbrella, a pair of tilts and a pair with two diameters, damped by 0.2 %."""
    frequencies = np.array([580.0, 510.0, 510.0 + splitting_hz, 760.0, 790.0])
    at = np.radians([0, 120, 240])
    gains = np.array([np.ones(3), np.cos(at - 0.3), np.sin(at - 0.3), np.cos(2 * at), np.sin(2 * at)]).T
    times = np.arange(8000) / 8000 + 0.0025
    clean = tap.accelerations(frequencies, 0.002, gains, times, peak_n=100.0)
    return clean + 0.02 * np.sin(1e4 * np.arange(clean.size) ** 2).reshape(clean.shape), 8000.0


def test_peaks_of_the_spectrum_are_the_modes_that_go_once_around(baselines):
    found = baselines.spectral_peaks(*rung_by_hand(splitting_hz=20.0))
    np.testing.assert_allclose(found, [510, 530, 760, 790], atol=0.2)  # no umbrella; the grid is 0.5 Hz wide


def test_subspace_parts_modes_that_one_peak_holds(baselines):
    signal = rung_by_hand(splitting_hz=0.6)
    hertz, damping = baselines.identified(*signal)
    np.testing.assert_allclose(hertz, [510, 510.6, 760, 790], atol=0.02)
    assert damping == pytest.approx(0.2, abs=0.001)
    assert len(baselines.spectral_peaks(*signal)) == 3


def test_pair_is_the_lowest_two_that_are_near(baselines):
    np.testing.assert_array_equal(baselines.pair_of(np.array([500.0, 560.0, 570.0]), partner=1.2), [500, 560])
    np.testing.assert_array_equal(baselines.pair_of(np.array([500.0, 610.0]), partner=1.2), [500, 500])
    assert np.isnan(baselines.pair_of(np.array([]), partner=1.2)).all()


def test_the_command_prints_counts_quantiles_and_scores(baselines, made, capsys, monkeypatch):
    honest = baselines.regressors()
    monkeypatch.setattr(baselines, "regressors", lambda: {"ridge": honest["ridge"]})
    baselines.main(made)
    printed = capsys.readouterr().out
    assert printed.startswith("23 taps on 12 wheels (16 train, 3 validation, 4 test); 0 failed;")
    assert f"Digest {ram.open_dataset(made).digest}." in printed
    for name in ("mean of training", "true modes, lowest two", "FFT, two lowest peaks", "subspace identification"):
        assert f"| {name} |" in printed
    assert printed.count("| oracle: ") == 2
