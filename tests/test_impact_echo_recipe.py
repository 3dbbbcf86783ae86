"""The impact-echo data set: labels from names and drawings, one clock, and a word on every file."""

from __future__ import annotations

import csv
import functools
import hashlib
import http.server
import os
import tarfile
import threading
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import ram
from ram.data.making import load_recipe
from ram.data.sources import Published, source_folder
from ram.errors import ConfigError, DataError
from ram.physics.impact_echo import THICKNESS_CM, Void, arrival, polarity, resonance_hz

FOLDER = Path(__file__).parents[1] / "datasets" / "impact_echo"
SHARED = Path(os.environ.get("RAM_SHARED", Path(__file__).parents[2] / "shared")) / "data" / "impact_echo"
here = pytest.mark.skipif(not SHARED.is_dir(), reason="the shared folder with measured data is not here")
HEADER = "LECROYWS4024HD 19320 Waveform\nSegments 1 SegmentSize 3127\nSegment TrigTime\n#1 19-Jun-2024 0\nTime Ampl\n"


@pytest.fixture(scope="module")
def recipe() -> ModuleType:
    return load_recipe(FOLDER)


def tap(step_s: float, count: int, *, at_s: float, sign: int = -1, ringing_hz: float = 9000.0) -> np.ndarray:
    """Return a Rayleigh wave, one sharp swing at `at_s`, and an echo that rings after it."""
    time = step_s * np.arange(count) - at_s
    wave = np.exp(-0.5 * (time / 8e-6) ** 2)
    after = np.where(time > 3e-5, 0.2 * np.sin(2 * np.pi * ringing_hz * time) * np.exp(-time / 1e-3), 0.0)
    return sign * (wave + after) + 0.01


def text_of(signal: np.ndarray, step_s: float | None, *, mark: str = " ", header: str = "") -> str:
    rows = [f"{value:.8e}" for value in signal]
    if step_s is not None:
        rows = [f"{step_s * place - 8e-4:.10f}{mark}{value}" for place, value in enumerate(rows)]
    return header + "\n".join(rows) + "\n"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Files of every layout that the published ones have, the same echo in each."""
    folder = tmp_path / "raw"
    for x, y in ((10, 2), (2, 2), (6, 10), (1, 9), (12, 12), (4, 16)):
        # Arrivals between samples, and apart by less than one of the common clock.
        one = text_of(tap(1.6e-6, 3127, at_s=7.9e-4 + x * 1.3e-7), 1.6e-6, header=HEADER)
        other = text_of(tap(1e-6, 5008, at_s=5.2e-4 + y * 1.7e-7, sign=1), 1e-6, mark=",")
        put(folder / "3542_12-8cm" / f"x{x:02d}y{y:02d}--00000.txt", one)
        put(folder / "3900_06cm" / f"x{x:02d}y{y:02d}.txt", other)
    put(folder / "3890_12cm" / "crack12_LL01.txt", text_of(tap(5e-7, 6001, at_s=5e-5), None))
    put(folder / "3890_12cm" / "crack12_LL905", text_of(tap(3e-3 / 1024, 1024, at_s=8e-5), None))
    put(folder / "4039_25cm" / "6mm" / "6mm--00000.txt", text_of(tap(1.6e-6, 3127, at_s=7.9e-4), 1.6e-6, header=HEADER))
    put(folder / "LICENSE", "MIT")
    return folder


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@here
def test_labels_are_those_of_the_manifest(recipe):
    with (SHARED / "manifest.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 1269
    for row in rows:
        place = recipe.place_of(Path("data/exp/raw") / row["file"])
        assert place is not None, row
        assert (place.name, place.specimen) == (row["file"], row["specimen"])
        assert place.depth_cm == float(row["depth_cm"]), row
        assert place.speed_m_s == float(row["p_wave_speed_m_s"])
        assert place.at_cm == ((float(row["x_cm"]), float(row["y_cm"])) if row["x_cm"] else None)


@here
def test_every_measured_file_is_read_as_the_manifest_says(recipe):
    with (SHARED / "manifest.csv").open(encoding="utf-8") as stream:
        rows = {row["file"]: row for row in list(csv.DictReader(stream))[::40]}
    with source_folder(SHARED / "raw.tar.xz", published=recipe.PUBLISHED) as folder:
        names = {
            path.relative_to(folder / "data/exp/raw").as_posix(): path
            for path in folder.rglob("*_*cm/**/*")
            if path.is_file()
        }
        assert set(names) == set(recipe.PUBLISHED.sha256)
        for name, row in rows.items():
            one = recipe._read(names[name], recipe.place_of(names[name]))
            assert len(one.signal) == int(row["n_samples"])
            assert one.step_s == pytest.approx(float(row["dt_s"]), rel=1e-9)
            assert np.ptp(one.signal) == pytest.approx(float(row["peak_to_peak"]), rel=1e-6)
            assert one.sha256 == recipe.PUBLISHED.sha256[name]


def test_one_clock_one_polarity_one_size_for_every_layout(recipe, source, tmp_path, capsys):
    recipe.make(tmp_path / "e.h5", source=source, points="reliable", progress=False)
    recipe.make(tmp_path / "x.h5", source=source, points="extrapolation", progress=False)
    near, far = ram.open_dataset(tmp_path / "e.h5"), ram.open_dataset(tmp_path / "x.h5")
    x = np.concatenate([near.x(), far.x()])[:, 0]
    assert x.shape == (8 + 3, 1472)
    (time,) = near.axes
    assert (time.name, time.unit) == ("time", "s")
    assert time.centres[0] == pytest.approx(-1e-4)
    np.testing.assert_allclose(np.sqrt((x.astype(np.float64) ** 2).mean(axis=1)), 1, rtol=1e-6)
    assert set(np.argmin(x, axis=1)) == {50}  # the Rayleigh wave at 0, negative, whatever the layout and the rate
    expected = x[0]
    assert np.abs(x - expected)[:, 60:1400].max() < 0.06 * np.abs(expected).max()
    assert np.abs(x[:, :20]).max() < 0.01 * np.abs(expected).max()  # what the sensor shows at rest is taken off
    near_the_wave = slice(45, 56)  # 2 us of delay would change its flank by a fifth
    assert np.abs(x - expected)[:, near_the_wave].max() < 0.1 * np.abs(expected).max()
    assert set(far.target_array(["depth"])[:, 0]) == {12.0, 25.0}
    assert set(far.split_array("default")) == {"test"}
    out = capsys.readouterr().out
    assert "3900_06cm: 4 files, separated by comma, column 1 is the time" in out
    assert "3890_12cm: 2 files, no time: a record of 3 ms" in out
    assert "left out: 1 files, no measurement" in out
    assert "taken, but not as published: 8 files" in out


def test_the_account_has_every_file(recipe, source, tmp_path):
    recipe.make(tmp_path / "g.h5", source=source, points="gridded", progress=False)
    with (tmp_path / "g.h5.files.csv").open(encoding="utf-8") as stream:
        rows = {row["file"]: row for row in csv.DictReader(stream)}
    assert len(rows) == len([path for path in source.rglob("*") if path.is_file()])
    assert rows["LICENSE"]["remark"] == "no measurement"
    assert rows["3890_12cm/crack12_LL01.txt"]["remark"] == "none of the gridded points"
    row = rows["3542_12-8cm/x10y02--00000.txt"]
    assert (row["taken"], row["depth_cm"], row["reliable"]) == ("yes", "10", "1")
    assert float(row["arrival"]) == pytest.approx(0.79, abs=2e-3)
    assert (row["polarity"], rows["3900_06cm/x10y02.txt"]["polarity"]) == ("-1", "1")


def test_points_near_edges_weigh_nothing_and_are_never_tested(recipe, source, tmp_path):
    recipe.make(tmp_path / "g.h5", source=source, points="gridded", progress=False)
    data = ram.open_dataset(tmp_path / "g.h5")
    doubtful = data.parameter_array(["reliable"])[:, 0] == 0
    assert doubtful.sum() == 4  # x06 on the edge, x01 near the border, of two specimens
    assert set(data.weights[doubtful]) == {0.0}
    assert set(data.weights[~doubtful]) == {1.0}
    for split in data.splits:
        assert set(data.split_array(split)[doubtful]) == {"train"}


def test_a_specimen_that_is_left_out_is_tested_whole(recipe, source, tmp_path):
    recipe.make(tmp_path / "e.h5", source=source, progress=False)
    data = ram.open_dataset(tmp_path / "e.h5")
    assert sorted(data.splits) == ["default", "without_06cm", "without_12-8cm"]
    part = data.split_array("without_06cm")
    np.testing.assert_array_equal(part == "test", data.groups == "3900_06cm")
    assert "validation" in part


def test_geometry_of_voids_and_edges():
    slope, square = Void((12.0, 8.0), strip=True), Void((6.0, 6.0))
    assert [slope.reflector_cm(x, 4.0) for x in (20.0, 24.0, 32.0, 56.0, 60.0)] == [20.0, 12.0, 11.0, 8.0, 20.0]
    assert square.reflector_cm(40.0, 24.0) == 6.0
    assert square.reflector_cm(40.0, 20.0) == THICKNESS_CM
    assert slope.is_reliable(40.0, 24.0)  # a strip has no edge there
    assert not square.is_reliable(40.0, 24.0)
    assert not slope.is_reliable(56.0, 40.0)
    assert not square.is_reliable(4.0, 40.0)
    assert not square.is_reliable(40.0, 76.0)
    assert resonance_hz(4000.0, 20.0) == pytest.approx(9600.0)


@pytest.mark.parametrize("sign", [-1, 1])
def test_arrival_between_samples_through_drift_and_noise(sign):
    step = 1.6e-6
    noise = np.random.default_rng(3).normal(scale=0.01, size=3127)
    after = np.maximum(step * np.arange(3127) - 7e-4, 0)
    drift = 0.8 * np.sin(2 * np.pi * 400 * after)  # the plate as a whole, as large as the wave
    errors = []
    for shift in np.linspace(0, step, 7):
        signal = tap(step, 3127, at_s=7e-4 + shift, sign=sign) + noise + drift
        found = arrival(signal, step, sign=polarity([(signal, step)]))
        errors.append(found.time_s - 7e-4 - shift)
    assert np.abs(errors).max() < step  # within one sample, whose grid it does not follow
    assert polarity([(tap(step, 3127, at_s=7e-4, sign=sign), step)] * 2 + [(tap(step, 3127, at_s=7e-4), step)]) == sign


def test_the_clock_keeps_a_tone_and_takes_off_what_it_cannot_hold(recipe):
    step, clock = 5e-7, 1e-4 + 2e-6 * np.arange(1000)
    own = step * np.arange(6001)
    low, high = np.sin(2 * np.pi * 2e4 * own), np.sin(2 * np.pi * 4.6e5 * own)
    np.testing.assert_allclose(recipe.on_clock(low + high, step, clock), np.sin(2 * np.pi * 2e4 * clock), atol=5e-3)
    assert recipe.on_clock(low, step, clock - 3e-4)[:90].tolist() == [0.0] * 90  # before the record began


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"gone\.tar: the source must be a folder, or a tar or zip archive\. Got no such file"),
        (
            b"no archive",
            r"gone\.tar: the source must be a folder, or a tar or zip archive\. Got 'file could not be opened",
        ),
    ],
)
def test_a_source_that_is_none(recipe, tmp_path, content, message):
    if content is not None:
        (tmp_path / "gone.tar").write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        recipe.make(tmp_path / "e.h5", source=tmp_path / "gone.tar", progress=False)
    assert not (tmp_path / "e.h5").exists()


def test_an_archive_cannot_write_elsewhere(recipe, tmp_path):
    with tarfile.open(tmp_path / "bad.tar", "w") as archive:
        archive.add(FOLDER / "recipe.py", arcname="../outside.txt")
    with pytest.raises(ConfigError, match=r"bad\.tar: the source must be .*outside the destination"):
        recipe.make(tmp_path / "e.h5", source=tmp_path / "bad.tar", progress=False)


def test_a_folder_of_other_files_and_a_file_that_is_no_waveform(recipe, source, tmp_path):
    with pytest.raises(
        ConfigError, match=r"the source must be a folder with reliable points, such as 3542_12-8cm/x01y01"
    ):
        recipe.make(tmp_path / "e.h5", source=FOLDER, progress=False)
    path = source / "3900_06cm" / "x10y02.txt"
    whole = path.read_text(encoding="utf-8")
    put(path, whole.replace("\n", "\noops,1\n", 1))
    with pytest.raises(DataError, match=r"x10y02\.txt: a waveform must be one column, or .*\. Got 2 columns, 2 header"):
        recipe.make(tmp_path / "e.h5", source=source, progress=False)
    put(path, whole.replace("\n", "\noops,1\n", 900).replace("\noops,1\n", "\n", 899))
    with pytest.raises(DataError, match=r"x10y02\.txt line 901: a line of the signal must be 2 numbers\. Got 'oops,1'"):
        recipe.make(tmp_path / "e.h5", source=source, progress=False)
    put(path, whole[:600])
    with pytest.raises(
        DataError, match=r"x10y02\.txt: a waveform must be 1 ms long or more, .*\. Got 2\d samples at 1000 kHz"
    ):
        recipe.make(tmp_path / "e.h5", source=source, progress=False)
    assert list(tmp_path.glob("e.h5*")) == []


@pytest.fixture
def server(tmp_path: Path):
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "one.txt").write_bytes(b"as published")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path / "served")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        digest = hashlib.sha256(b"as published").hexdigest()
        yield Published("test", f"http://127.0.0.1:{running.server_port}/", {"one.txt": digest})
        running.shutdown()


def test_published_files_are_fetched_once_and_checked(server, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with source_folder(None, published=server) as folder:
        assert (folder / "one.txt").read_bytes() == b"as published"
    (tmp_path / "served" / "one.txt").write_bytes(b"changed")
    with source_folder(None, published=server) as folder:  # from the cache
        assert (folder / "one.txt").read_bytes() == b"as published"
    other = replace(server, name="other")
    with (
        pytest.raises(DataError, match=r"the published files must be within reach and as they were\. .* --source PATH"),
        source_folder(None, published=other),
    ):
        pass


@here
def test_the_measured_plate_rings_where_physics_says(recipe, tmp_path):
    with tarfile.open(SHARED / "raw.tar.xz") as archive:
        members = [member for member in archive.getmembers() if "3717_10cm/" in member.name][::3]
        archive.extractall(tmp_path / "raw", members, filter="data")
    recipe.make(tmp_path / "e.h5", source=tmp_path / "raw", progress=False)
    data = ram.open_dataset(tmp_path / "e.h5")
    depth, time = data.target_array(["depth"])[:, 0], data.axes[0].centres
    solid = data.x(np.flatnonzero(depth == THICKNESS_CM))[:, 0, (time > 5e-5) & (time < 1.5e-3)]
    frequencies = np.fft.rfftfreq(8192, 2e-6)
    power = (np.abs(np.fft.rfft(solid * np.hanning(solid.shape[1]), 8192, axis=1)) ** 2).mean(axis=0)
    band = (frequencies > 6e3) & (frequencies < 14e3)
    peak = frequencies[band][np.argmax(power[band])]
    assert abs(peak - 9.6e3) < 0.3e3  # measured on these plates: 9.5 to 9.7 kHz
    assert abs(peak / resonance_hz(3717.0, THICKNESS_CM) - 1) < 0.1


def test_on_a_clock_of_depths_the_same_echo_stands_at_the_same_depth(recipe, tmp_path):
    folder = tmp_path / "raw"
    for specimen, speed in (("3542_12-8cm", 3542), ("3900_06cm", 3900)):
        for x in (2, 4, 6):  # rings as a plate of 20 cm would, at v / 2T
            signal = tap(1e-6, 4000, at_s=5.2e-4 + x * 1e-6, ringing_hz=speed / 0.4)
            put(folder / specimen / f"x{x:02d}y02.txt", text_of(signal, 1e-6))
    for clock in ("time", "nominal", "depth"):
        recipe.make(tmp_path / f"{clock}.h5", source=folder, clock=clock, samples=400, progress=False)
    data = {clock: ram.open_dataset(tmp_path / f"{clock}.h5") for clock in ("time", "nominal", "depth")}
    np.testing.assert_array_equal(data["nominal"].x(), data["depth"].x())
    assert set(data["nominal"].parameters) - set(data["time"].parameters) == {"clock_speed"}
    assert set(data["nominal"].parameter_array(["clock_speed"])[:, 0]) == {3700.0}
    assert data["nominal"].axes[0].same_grid(data["time"].axes[0])
    axis = data["depth"].axes[0]
    assert (axis.name, axis.unit) == ("depth", "cm")
    assert axis.centres[50] == pytest.approx(0.0, abs=1e-9)
    assert axis.centres[51] == pytest.approx(0.37)  # v t / 2 at 3,700 m/s and 2 us
    late = slice(120, 400)
    apart = {name: np.abs(one.x()[0, 0, late] - one.x()[-1, 0, late]).max() for name, one in data.items()}
    assert apart["depth"] < 0.15 * apart["time"]
