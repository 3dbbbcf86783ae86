"""Files as other programs write them: MATLAB, netCDF, pandas, Julia, and the instruments of the zoo."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray

import ram
from ram.randomness import generator

ZOO = Path(os.environ.get("RAM_SHARED", Path(__file__).parents[2] / "shared")) / "data" / "hdf5_zoo"


def opened(path: Path, **mapping: Any) -> ram.Dataset:
    return ram.open_dataset(path, mapping=mapping)


# MATLAB v7.3: a block of 512 bytes before the HDF5 file, axes the other way round, cells are references


@pytest.fixture(scope="module")
def matlab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What MATLAB's ``save -v7.3`` writes of signals (sample x time), a cell array of signals and of names."""
    path = tmp_path_factory.mktemp("matlab") / "test.mat"
    draw = generator(1, "matlab")
    with h5py.File(path, "w", userblock_size=512) as file:

        def add(name: str, values: np.ndarray, kind: str = "double") -> h5py.Dataset:
            array = file.create_dataset(name, data=values)
            array.attrs["MATLAB_class"] = np.bytes_(kind)
            return array

        add("signals", draw.standard_normal((12, 30)).T)
        add("frequency", np.arange(12.0)[None])
        add("fs", np.array([[1_000.0]]))
        cells = [add(f"#refs#/{n}", draw.standard_normal((1, 40 + n))) for n in range(8)]
        add("runs", np.array([[cell.ref] for cell in cells], dtype=h5py.ref_dtype), "cell")
        names = [
            add(f"#refs#/n{n}", np.frombuffer(f"run {n}".encode(), "u1").astype("u2")[:, None], "char")
            for n in range(8)
        ]
        add("names", np.array([[name.ref] for name in names], dtype=h5py.ref_dtype), "cell")
        add("loads", np.arange(8.0)[None])
    with path.open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\0\2IM")
    return path


def test_axes_of_matlab_are_turned_round(matlab: Path) -> None:
    data = opened(matlab, inputs="/signals", sample_rate="/fs", targets={"f": {"path": "/frequency", "unit": "Hz"}})
    with h5py.File(matlab) as file:
        signals = file["signals"][()]
    assert data.x().shape == (12, 1, 30)
    assert np.array_equal(data.x()[:, 0], signals.T.astype(np.float32))
    assert data.target_array()[:, 0].tolist() == list(range(12))


def test_cells_of_matlab_are_records(matlab: Path) -> None:
    data = opened(
        matlab, inputs="/runs", sample_rate="/fs", window=20, targets={"load": {"path": "/loads", "unit": "N"}},
        groups="/names",
    )  # fmt: skip
    with h5py.File(matlab) as file:
        last = file["#refs#/7"][0]
    assert len(data) == 8 * 2
    assert np.array_equal(data[-1].x[0], last[20:40].astype(np.float32))
    assert (data.groups[0], data.groups[-1]) == ("run 0", "run 7")
    assert data.target_array()[-1, 0] == 7.0


# netCDF-4


def test_dimensions_and_packing_of_netcdf_are_understood(tmp_path: Path) -> None:
    draw = generator(1, "netcdf")
    waves = draw.standard_normal((9, 20, 3))
    content = {
        "wave": (("sample", "time", "channel"), waves, {"units": "m"}),
        "depth": (("sample",), np.where(np.arange(9) == 4, np.nan, np.arange(9.0)), {"units": "cm"}),
    }
    axes = {"time": ("time", np.arange(20) * 0.5, {"units": "ms"})}
    packed = {"dtype": "int16", "scale_factor": 0.001, "_FillValue": -32_768}
    stored = {"wave": packed, "depth": {"dtype": "int16", "_FillValue": -1}}
    xarray.Dataset(content, coords=axes).to_netcdf(tmp_path / "w.nc", engine="h5netcdf", encoding=stored)
    data = opened(tmp_path / "w.nc", inputs="/wave", targets={"depth": {"path": "/depth", "unit": "mm"}})
    np.testing.assert_allclose(data.x(), waves.transpose(0, 2, 1), atol=0.0006)
    assert (data.axes[0].name, data.axes[0].unit) == ("time", "ms")
    np.testing.assert_allclose(data.axes[0].centres, np.arange(20) * 0.5)
    assert data.target_array()[:, 0].tolist()[:4] == [0.0, 10.0, 20.0, 30.0]
    assert np.isnan(data.target_array()[4, 0])
    assert set(data.channels.values()) == {"m"}


# pandas, tables


def test_columns_of_a_table_are_channels_and_targets(tmp_path: Path) -> None:
    rows = np.zeros(500, dtype=[("time", "f8"), ("volt", ">f4"), ("state", [("load", "i4")]), ("xyz", "f4", (3,))])
    rows["volt"], rows["state"]["load"], rows["xyz"] = (
        np.arange(500),
        np.arange(500) // 100,
        np.arange(1_500).reshape(-1, 3),
    )
    with h5py.File(tmp_path / "t.h5", "w") as file:
        file.create_dataset("log", data=rows, chunks=(64,))
        file["plain"] = rows
    for path in ("/log", "/plain"):
        data = opened(
            tmp_path / "t.h5", inputs={"volt": {"path": f"{path}:volt", "unit": "V"}}, window=50, stretch=100,
            targets={"load": {"path": f"{path}:state.load", "unit": "N"}}, sample_rate="10 Hz",
        )  # fmt: skip
        assert len(data) == 10
        assert np.array_equal(data.x()[3, 0], np.arange(150, 200))
        assert data.target_array()[:, 0].tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
        data = opened(tmp_path / "t.h5", inputs=f"{path}:xyz", layout="time channel", window=50)
        assert np.array_equal(data.x()[1], rows["xyz"][50:100].T)


def test_structures_of_julia_lead_to_their_arrays(tmp_path: Path) -> None:
    values = np.arange(600.0).reshape(200, 3)
    with h5py.File(tmp_path / "j.jld2", "w") as file:
        inner = file.create_dataset("hidden/1", data=values)
        kind = np.dtype([("data", h5py.ref_dtype), ("step", [("hi", "f8"), ("lo", "f8")])])
        value = np.zeros((), dtype=kind)
        value["data"], value["step"]["hi"] = inner.ref, 0.01
        file.create_dataset("shot", data=value)
    data = opened(
        tmp_path / "j.jld2", inputs="/shot:data", layout="time channel", window=50,
        axes={"time": {"step": {"path": "/shot:step.hi", "unit": "s"}}},
    )  # fmt: skip
    assert np.array_equal(data.x()[2], values[100:150].T)
    np.testing.assert_allclose(data.axes[0].centres[:2], [0.0, 0.01])


# The zoo: (file, mapping, shape of all samples, axis of time, oracle for the last sample)

Cut = Callable[[h5py.File], np.ndarray]
INSTRUMENTS: dict[str, tuple[str, dict[str, Any], tuple[int, ...], float, Cut]] = {
    "pandas": (
        "beep/indigo_test_sample.h5",
        {
            "inputs": {name: f"/time_series_data:{name}" for name in ("cell_voltage_v", "cell_current_a")},
            "window": 500, "stretch": 2_000, "sample_rate": "1 Hz",
            "targets": {"t": {"path": "/time_series_data:cell_temperature_c", "unit": "degC"}},
        },
        (40, 2, 500),
        1.0,
        lambda file: np.stack([file["time_series_data/block2_values"][-500:, n] for n in columns(file)]),
    ),
    "a rate with its unit beside it": (
        "dasdae/iDAS005_hdf5_example.626.h5",
        {
            "inputs": "/Acquisition/Raw[0]/RawData", "layout": "time distance", "window": "0.1 s",
            "sample_rate": "/Acquisition/Raw[0]@OutputDataRate", "axes": {"distance": {"step": "1 m"}},
        },
        (10, 1, 100, 1_152),
        0.001,
        lambda file: file["Acquisition/Raw[0]/RawData"][900:][None],
    ),
    "steps in attributes": (
        "dasdae/terra15_v5_test_file.hdf5",
        {
            "inputs": {"path": "/data_product/data", "unit": "m/s"}, "layout": "time distance", "window": 200,
            "axes": {
                "time": {"step": {"path": "@dT", "unit": "s"}},
                "distance": {"step": {"path": "/@dx", "unit": "m"}},
            },
        },
        (10, 1, 200, 43),
        0.00031096,
        lambda file: file["data_product/data"][1_800:2_000][None],
    ),
    "netCDF, big-endian dimensions without coordinates": (
        "dasdae/xdas_netcdf.nc", {"inputs": "/__values__", "window": 100}, (3, 1, 100, 401), 1.0,
        lambda file: file["__values__"][200:][None],
    ),
    "a clock in nanoseconds": (
        "dasdae/deformation_rate_event_1.hdf5",
        {
            "inputs": "/waveforms/*/data", "layout": "time distance", "window": 300,
            "axes": {
                "time": {"centres": {"path": "/waveforms/*/_coord_time", "unit": "ns"}, "unit": "s", "relative": True},
            },
        },
        (3, 1, 300, 225),
        0.0005,
        lambda file: next(iter(file["waveforms"].values()))["data"][600:][None],
    ),
    "compressed, records in rows": (
        "dasdae/neubrex_dss_forge.h5",
        {
            "inputs": "/data", "layout": "sample depth", "ids": "/stamps",
            "axes": {"depth": {"centres": "/depth", "unit": "m"}},
        },
        (6, 1, 75_367),
        float("nan"),
        lambda file: file["data"][5][None],
    ),
}  # fmt: skip


def columns(file: h5py.File) -> list[int]:
    names = file["time_series_data/block2_items"][()].tolist()
    return [names.index(name) for name in (b"cell_voltage_v", b"cell_current_a")]


@pytest.mark.parametrize("name", INSTRUMENTS)
def test_instruments_are_read_as_they_are(name: str) -> None:
    if not ZOO.is_dir():
        pytest.skip(f"no {ZOO}")
    file, mapping, shape, step, cut = INSTRUMENTS[name]
    data = opened(ZOO / file, **mapping)
    assert (len(data), *data[0].x.shape) == shape
    with h5py.File(ZOO / file) as raw:
        np.testing.assert_array_equal(data[-1].x, cut(raw).astype(np.float32))
    if step == step:  # noqa: PLR0124 - NaN: no time axis
        np.testing.assert_allclose(np.diff(data.axes[0].centres[:2]), step, rtol=1e-4)
    assert len(set(data.ids.tolist())) == len(data)
