"""Arrays by name in NPZ, NPY, MATLAB (v5 and v7.3) and HDF5 files, and matrices in text files.

Nothing is unpickled. Arrays of HDF5, NPY and NPZ files are read a sample at a time; a variable of a MATLAB v5 file is
compressed as a whole, so it is read as a whole. MATLAB v7.3 stores axes in reverse order: they are handed out in
MATLAB's.
"""

from __future__ import annotations

__all__ = ["Array", "ArrayFile", "Cells", "check_real", "load_npy", "open_arrays"]

import contextlib
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ram.data.importing.matrices import text_matrix
from ram.errors import ConfigError, DataError, explained, nearest

_REAL = "fiub"
_MOST_TEXT_BYTES = 2**28
_RATES = {"fs", "samplerate", "samplingrate", "samplingfrequency", "samplefrequency", "sampleratehz", "fshz"}
_STEPS = {"dt", "ts", "sampleinterval", "samplinginterval", "samplingperiod", "deltat"}


@dataclass(frozen=True)
class Array:
    """An array that is sliced when values are asked for.

    Parameters
    ----------
    values
        NumPy array, memory map or HDF5 data set.
    unit
        As its attributes say; empty where they do not.
    reverse
        Whether the axes are stored in reverse order (MATLAB v7.3).
    """

    values: Any = field(repr=False)
    unit: str = ""
    reverse: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of cells along each axis, as the user of the file knows them."""
        shape = tuple(self.values.shape)
        return shape[::-1] if self.reverse else shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the stored values."""
        dtype: np.dtype[Any] = np.dtype(self.values.dtype)
        return dtype

    def part(self, cuts: Mapping[int, int | slice]) -> NDArray[Any]:
        """Return the part where some axes are cut; the others are whole."""
        chosen = [cuts.get(axis, slice(None)) for axis in range(len(self.shape))]
        found = np.asarray(self.values[tuple(chosen[::-1] if self.reverse else chosen)])
        return found.T if self.reverse else found


@dataclass(frozen=True)
class _Decoded:
    """A data set whose attributes say, as those of netCDF do, what its stored numbers mean; NaN where missing."""

    stored: Any = field(repr=False)
    scale: float
    offset: float
    missing: tuple[float, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.stored.shape)

    @property
    def dtype(self) -> np.dtype[np.float64]:
        return np.dtype(np.float64)

    def __getitem__(self, cuts: Any) -> NDArray[np.float64]:
        values = np.asarray(self.stored[cuts], dtype=np.float64)
        return np.where(np.isin(values, self.missing), np.nan, values * self.scale + self.offset)


@dataclass(frozen=True)
class Cells:
    """Arrays of different shapes in a row: a MATLAB cell array of signals."""

    items: tuple[Array, ...] = field(repr=False)
    unit: str = ""

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of cells."""
        return (len(self.items),)


@dataclass(frozen=True)
class ArrayFile:
    """Named arrays of one file, texts by name, and single numbers: ``fs``, or ``daq/acc@fs`` for an attribute."""

    path: Path
    kind: str
    arrays: Mapping[str, Array | Cells] = field(repr=False)
    texts: Mapping[str, list[str]] = field(repr=False)
    numbers: Mapping[str, float] = field(default_factory=dict, repr=False)

    def step_of(self, name: str) -> tuple[float, str] | None:
        """Return the step of time in s and where it stands: at the array, else the one that the file has."""
        found: dict[str, float] = {}
        for key, value in self.numbers.items():
            word = re.split(r"[/@]", key)[-1].lower().replace("_", "").replace(" ", "")
            if value > 0 and word in _RATES | _STEPS:
                found[key] = 1 / value if word in _RATES else value
        own = {key: step for key, step in found.items() if key.startswith(f"{_plain(name)}@")}
        chosen = own or found
        return (next(iter(chosen.values())), next(iter(chosen))) if len(set(chosen.values())) == 1 else None

    def array(self, name: str, *, wanted_by: str) -> Array | Cells:
        """Return an array by its name, its path, or the last part of its path.

        Raises
        ------
        ConfigError
            There is none, or several; names the nearest.
        """
        plain = _plain(name)
        ends = [key for key in self.arrays if key.split("/")[-1] == plain]
        key = plain if plain in self.arrays else ends[0] if len(ends) == 1 else ""
        if key:
            return self.arrays[key]
        shown = ", ".join(f"{key} ({' x '.join(map(str, of.shape))})" for key, of in list(self.arrays.items())[:20])
        near = nearest(name, self.arrays)
        got = f"{name!r}" if name else "none"
        raise ConfigError(
            explained(where=str(self.path), what=wanted_by, allowed=f"one of {shown}", got=got, next_step=near)
        )


@contextlib.contextmanager
def open_arrays(path: Path) -> Iterator[ArrayFile]:
    """Yield the arrays of a file, whose kind is seen from its first bytes.

    Raises
    ------
    DataError
        Missing, damaged, of another kind, with pickled objects, or leading to other files.
    """
    begin = _first_bytes(path)
    with contextlib.ExitStack() as stack:
        if begin[:8] == b"\x89HDF\r\n\x1a\n":
            yield _of_hdf5(path, stack, matlab=False)
        elif begin.startswith(b"MATLAB 7.3"):
            yield _of_hdf5(path, stack, matlab=True)
        elif begin.startswith(b"MATLAB 5.0"):
            yield _of_matlab5(path)
        elif begin.startswith(b"PK\x03\x04"):
            yield _of_npz(path, stack)
        elif begin.startswith(b"\x93NUMPY"):
            yield ArrayFile(path, "NPY", {path.stem: Array(load_npy(path))}, {})
        else:
            yield ArrayFile(path, "text", {path.stem: Array(text_matrix(path, stack))}, {})


def load_npy(path: Path, *, shown: Path | None = None) -> NDArray[Any]:
    """Return the array of an NPY file, mapped into memory; its values are read when they are asked for.

    Raises
    ------
    DataError
        It is damaged, or holds pickled objects.
    """
    try:
        values: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        objects = "allow_pickle" in str(error) or "Python objects" in str(error)
        raise DataError(
            explained(
                where=str(shown or path),
                what="an array",
                allowed="numbers in a whole NPY file",
                got="pickled objects, which can run code and are never loaded" if objects else f"'{error}'",
                next_step="Save it as an array of numbers, with dtype=float",
            )
        ) from None
    return values


def check_real(array: Array, *, where: str) -> None:
    """Refuse arrays that are no real numbers.

    Raises
    ------
    DataError
        Complex numbers, texts, tables, references.
    """
    if array.dtype.kind not in _REAL or array.dtype.names:
        step = "Store its magnitude, or real and imaginary part as two channels" if array.dtype.kind == "c" else ""
        raise DataError(
            explained(where=where, what="the values", allowed="real numbers", got=str(array.dtype), next_step=step)
        )


def _first_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            begin = file.read(128)
            file.seek(512)
            return b"MATLAB 7.3" if begin.startswith(b"MATLAB 7.3") and file.read(4) == b"\x89HDF" else begin
    except (FileNotFoundError, IsADirectoryError):
        near = nearest(path.name, [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else [])
        raise DataError(
            explained(where=str(path), what="the file", allowed="there", got="no file", next_step=near)
        ) from None


def _of_npz(path: Path, stack: contextlib.ExitStack) -> ArrayFile:
    """Unpack each array beside, so that it can be mapped: a compressed one has no other way to be read in part."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ram-import-")))
    arrays: dict[str, Array | Cells] = {}
    texts: dict[str, list[str]] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            needed, free = sum(info.file_size for info in archive.infolist()), shutil.disk_usage(folder).free
            if needed > free:
                raise DataError(
                    explained(
                        where=str(path),
                        what="the disk",
                        allowed=f"free by {needed:,} bytes to unpack the file in {folder.parent}",
                        got=f"{free:,} bytes",
                        next_step="Set TMPDIR to a folder with more room",
                    )
                )
            for place, info in enumerate(archive.infolist()):
                if info.filename.endswith(".npy"):
                    with archive.open(info) as member, (folder / f"{place}.npy").open("wb") as copy:
                        shutil.copyfileobj(member, copy)
                    name = info.filename.removesuffix(".npy")
                    values = load_npy(folder / f"{place}.npy", shown=Path(f"{path}:{name}"))
                    _keep(arrays, texts, name, values, "")
    except zipfile.BadZipFile as error:
        raise DataError(
            explained(where=str(path), what="the file", allowed="a whole NPZ file", got=f"'{error}'")
        ) from None
    return ArrayFile(path, "NPZ", arrays, texts, _scalars(arrays))


def _of_matlab5(path: Path) -> ArrayFile:
    import scipy.io

    try:
        content = scipy.io.loadmat(str(path), struct_as_record=True, chars_as_strings=True)
    except Exception as error:  # the parser raises whatever a damaged byte leads it to
        raise DataError(
            explained(where=str(path), what="the file", allowed="a whole MATLAB file", got=f"'{error}'")
        ) from None
    arrays: dict[str, Array | Cells] = {}
    texts: dict[str, list[str]] = {}
    for name, values in content.items():
        if not name.startswith("__"):
            _keep_matlab(arrays, texts, name, values)
    return ArrayFile(path, "MATLAB v5", arrays, texts, _scalars(arrays))


def _scalars(arrays: Mapping[str, Array | Cells]) -> dict[str, float]:
    """Return the numbers that stand alone; MATLAB keeps them as matrices of one cell."""
    small = {name: of for name, of in arrays.items() if isinstance(of, Array) and set(of.shape) <= {1}}
    return {name: float(of.part({}).reshape(-1)[0]) for name, of in small.items() if of.dtype.kind in "fiu"}


def _keep_matlab(
    arrays: dict[str, Array | Cells], texts: dict[str, list[str]], name: str, values: NDArray[Any]
) -> None:
    """Keep a variable; fields of a struct get paths, cells are signals or texts."""
    if values.dtype.names and values.size == 1:
        for part in values.dtype.names:
            _keep_matlab(arrays, texts, f"{name}/{part}", np.asarray(values.flat[0][part]))
    elif values.dtype.kind == "O":
        items = [np.asarray(item) for item in values.flat]
        if all(item.dtype.kind == "U" for item in items):
            texts[name] = ["".join(item.reshape(-1).tolist()) for item in items]
        elif all(item.dtype.kind in _REAL for item in items):
            arrays[name] = Cells(tuple(Array(_flat(item)) for item in items))
    else:
        _keep(arrays, texts, name, values, "")


def _keep(
    arrays: dict[str, Array | Cells], texts: dict[str, list[str]], name: str, values: NDArray[Any], unit: str
) -> None:
    if values.dtype.kind in "US":
        plain = values.reshape(-1) if values.ndim else values.reshape(1)
        texts[name] = [item.decode(errors="replace") if isinstance(item, bytes) else str(item) for item in plain]
    elif values.dtype.names:
        for part in values.dtype.names:
            _keep(arrays, texts, f"{name}/{part}", values[part], unit)
    elif values.dtype.kind != "O":
        arrays[name] = Array(values if values.ndim else values.reshape(1), unit)


def _of_hdf5(path: Path, stack: contextlib.ExitStack, *, matlab: bool) -> ArrayFile:
    import h5py

    from ram.storage import guarded, hdf5

    guarded.survey_once(hdf5.check_is_hdf5(path))  # what makes the library crash or hang does so in another process
    file = stack.enter_context(hdf5.open_safely(path))
    arrays: dict[str, Array | Cells] = {}
    texts: dict[str, list[str]] = {}
    numbers: dict[str, float] = {}
    with hdf5.reading(path):
        numbers |= _numbers_in_attributes(file, "")
        for node in hdf5.nodes(file):
            if matlab and node.path.startswith("/#"):
                continue
            if node.kind in {"group", "dataset"}:
                numbers |= _numbers_in_attributes(file[node.raw], _plain(node.path))
            if node.kind == "dataset":
                _keep_hdf5(arrays, texts, _plain(node.path), file[node.raw], file, matlab=matlab)
    assert isinstance(file, h5py.File)
    return ArrayFile(path, "MATLAB v7.3" if matlab else "HDF5", arrays, texts, numbers | _scalars(arrays))


def _keep_hdf5(
    arrays: dict[str, Array | Cells], texts: dict[str, list[str]], name: str, data: Any, file: Any, *, matlab: bool
) -> None:
    import h5py

    if data.shape is None or (data.shape == () and data.dtype.kind not in _REAL):
        return
    if data.shape == ():
        arrays[name] = Array(np.asarray(data[()]).reshape(1))
        return
    small = data.size * data.dtype.itemsize <= _MOST_TEXT_BYTES  # what a file declares it need not hold
    unit = _unit_of(data)
    if small and matlab and h5py.check_ref_dtype(data.dtype) is h5py.Reference:
        items = [file[reference] for reference in data[()].reshape(-1) if reference]
        if items and all(item.attrs.get("MATLAB_class") == b"char" for item in items):
            texts[name] = ["".join(map(chr, item[()].reshape(-1))) for item in items]
        elif items and all(isinstance(item, h5py.Dataset) and item.dtype.kind in _REAL for item in items):
            arrays[name] = Cells(tuple(Array(item, reverse=True) for item in items), unit)
    elif h5py.check_string_dtype(data.dtype) is not None:
        if data.ndim == 1 and small:
            texts[name] = [str(text) for text in data.asstr(errors="replace")[()]]
    elif data.dtype.names and data.ndim == 1 and small:
        for part in data.dtype.names:
            if data.dtype[part].kind in _REAL + "S":
                _keep(arrays, texts, f"{name}/{part}", data.fields(part)[()], "")
    elif data.dtype.kind in _REAL + "c":
        arrays[name] = Array(_decoded(data), unit, reverse=matlab)


def _decoded(data: Any) -> Any:
    """Return a data set as it is, or as ``scale_factor``, ``add_offset`` and ``_FillValue`` say."""
    if data.dtype.kind not in "fiu":
        return data
    said = {name.removeprefix("@"): value for name, value in _numbers_in_attributes(data, "").items()}
    missing = tuple(said[name] for name in ("_FillValue", "missing_value") if np.isfinite(said.get(name, np.nan)))
    scale, offset = said.get("scale_factor", 1.0), said.get("add_offset", 0.0)
    return _Decoded(data, scale, offset, missing) if missing or (scale, offset) != (1.0, 0.0) else data


def _numbers_in_attributes(holder: Any, path: str) -> dict[str, float]:
    found = {}
    for name in holder.attrs:
        plan = holder.attrs.get_id(name)
        if plan.dtype.kind in "fiu" and plan.shape in ((), (1,)):
            found[f"{path}@{name}".lstrip("/")] = float(np.asarray(holder.attrs[name]).reshape(-1)[0])
    return found


def _unit_of(data: Any) -> str:
    from ram.storage import hdf5

    names = [name for name in data.attrs if name.lower() in {"unit", "units"}]
    return hdf5.read_text(data, names[0]) if names else ""


def _flat(values: NDArray[Any]) -> NDArray[Any]:
    """Return a row or a column of MATLAB as the signal that it is."""
    return values.reshape(-1) if values.ndim == 2 and 1 in values.shape else values


def _plain(path: str) -> str:
    return path.strip("/").replace(".", "/") if "/" not in path.strip("/") else path.strip("/")
