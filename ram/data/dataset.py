"""A data set as the user sees it: samples with names, units and axes, read from a file when asked for."""

from __future__ import annotations

__all__ = ["Dataset", "Sample", "open_dataset", "whole_of"]

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from jaxtyping import Float32, Float64, Int64, UInt8
from numpy.typing import ArrayLike, NDArray

from ram.axes import Axis
from ram.data.file import DatasetFile
from ram.data.sample import Sample
from ram.data.source import Source
from ram.data.spec import PARTS
from ram.errors import DataError, explained, nearest

if TYPE_CHECKING:
    import xarray

    from ram.data.torch_view import TorchView

Selection = slice | Sequence[int] | NDArray[np.integer] | NDArray[np.bool_]


def open_dataset(
    path: str | os.PathLike[str], *, mapping: Mapping[str, Any] | str | os.PathLike[str] | None = None
) -> Dataset:
    """Return the data set in a file; inputs and truth are read when they are asked for.

    Parameters
    ----------
    path
        A `ram-dataset/1` file, or any HDF5 file with a `mapping`.
    mapping
        Where inputs, targets and axes lie in an HDF5 file of one's own, which is read in place: a dictionary as
        ``[data.mapping]`` of an experiment has it, or a TOML file that holds it.

    Raises
    ------
    ConfigError
        The mapping has a key or a value that is not allowed.
    DataError
        The file is missing, no HDF5, of another schema, damaged, leads to other files, or does not hold what the
        mapping says.

    >>> data = open_dataset("wheel.h5")  # doctest: +SKIP
    >>> data.subset("test")[:16].x().shape  # doctest: +SKIP
    (16, 2, 64, 64)
    """
    if mapping is None:
        return whole_of(DatasetFile(path))
    from ram.data.mapped.source import MappedFile

    return whole_of(MappedFile(path, mapping))


def whole_of(source: Source) -> Dataset:
    """Return all samples of a source."""
    return Dataset(source, np.arange(source.head.count))


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """A view of some samples of a file, in an order of its own.

    It has a length, gives samples by position and pickles as path and rows, so that it serves as a map-style
    data set for any loader. Every process opens the file for itself.
    """

    _source: Source
    indices: Int64[np.ndarray, " sample"]

    def __repr__(self) -> str:
        """Return name, number of samples and what is regressed, on one line."""
        targets = ", ".join(f"{name} ({unit})" for name, unit in self.targets.items())
        return f"Dataset({str(self.path)!r}, {len(self)} samples, targets: {targets})"

    def __len__(self) -> int:
        return int(self.indices.size)

    @overload
    def __getitem__(self, item: int) -> Sample: ...
    @overload
    def __getitem__(self, item: Selection) -> Dataset: ...
    def __getitem__(self, item: int | Selection) -> Sample | Dataset:
        """Return one sample by position, or a view of those that a slice, positions or a mask select."""
        if isinstance(item, (int, np.integer)):
            return self._sample(int(item))
        return Dataset(self._source, self.indices[self._positions(item)])

    def __getitems__(self, positions: Sequence[int]) -> list[dict[str, Any]]:
        """Return samples as dictionaries, read at once: what PyTorch's DataLoader asks for, a batch at a time."""
        part = self[np.asarray(positions, dtype=np.int64)]
        columns = part._sample_columns()
        return [{name: values[row] for name, values in columns.items()} for row in range(len(part))]

    def __getstate__(self) -> dict[str, Any]:
        """Return the source and the rows, as small numbers as they fit in: a view is sent to every worker."""
        steps = np.diff(self.indices, prepend=0)
        fitting = np.promote_types(np.min_scalar_type(steps.min(initial=0)), np.min_scalar_type(steps.max(initial=0)))
        return {"source": self._source, "steps": steps.astype(fitting if fitting.kind in "iu" else np.int64)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take what `__getstate__` gave."""
        object.__setattr__(self, "_source", state["source"])
        object.__setattr__(self, "indices", np.cumsum(state["steps"], dtype=np.int64))

    def __iter__(self) -> Iterator[Sample]:
        return (self._sample(position) for position in range(len(self)))

    @property
    def path(self) -> Path:
        """The file."""
        return self._source.path

    @property
    def name(self) -> str:
        """Name of the data set."""
        return self.attributes["name"]

    @property
    def attributes(self) -> Mapping[str, str]:
        """What the file says of itself: schema, name, source, licence, created_with, notes, axes, symmetries."""
        return self._source.head.attributes

    @property
    def targets(self) -> dict[str, str]:
        """Target -> unit."""
        return dict(self._source.head.targets)

    @property
    def parameters(self) -> dict[str, str]:
        """Parameter -> unit."""
        return dict(self._source.head.parameters)

    @property
    def channels(self) -> dict[str, str]:
        """Channel -> unit, in the order of the input."""
        return dict(self._source.head.channels)

    @property
    def truth_kinds(self) -> dict[tuple[str, str], str]:
        """(target, kind) -> unit of the maps known from physics."""
        return dict(self._source.head.truth)

    @property
    def valid_min(self) -> dict[str, float]:
        """Target -> the least value that the quantity can have, of those that declare one."""
        return dict(self._source.head.valid_min)

    @property
    def axes(self) -> tuple[Axis, ...]:
        """The input's grid in array order, without sample and channel."""
        return self._source.head.axes

    @property
    def symmetries(self) -> tuple[str, ...]:
        """Changes of the input that leave every target as it is."""
        return tuple(self.attributes["symmetries"].split())

    @property
    def region_names(self) -> tuple[str, ...]:
        """Names of the regions; the code of a region is its place here. Empty where there are none."""
        return self._source.head.regions

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits."""
        return self._source.head.splits

    @property
    def digest(self) -> str:
        """32 hexadecimal digits that stand for the whole file: every value, unit and name in it."""
        return self._source.digest

    def place(self, name: str) -> str:
        """Return where in the file ``"inputs"``, ``"targets/umbrella"``, ``"ids"`` lie: a message names the place."""
        return self._source.place(name)

    @property
    def ids(self) -> NDArray[np.str_]:
        """Id of each sample, shape (sample,)."""
        return self._text_column("ids")

    @property
    def groups(self) -> NDArray[np.str_]:
        """Group of each sample, shape (sample,); empty where none was given."""
        return self._text_column("groups")

    @property
    def weights(self) -> Float64[np.ndarray, " sample"]:
        """How much each sample counts in training; ones where the file has no weights."""
        stored = self._source.head.weights
        return np.ones(len(self)) if stored is None else np.asarray(stored[self.indices])

    @property
    def lengths(self) -> Int64[np.ndarray, " sample"]:
        """Number of measured cells along the last axis; the rest of an input is padding."""
        stored = self._source.head.lengths
        return np.full(len(self), self.axes[-1].size) if stored is None else np.asarray(stored[self.indices])

    @property
    def block_rows(self) -> int:
        """Number of samples that the file stores and reads together; 0 where each can be read by itself."""
        return self._source.block_rows

    def keep(self, kept_bytes: int) -> None:
        """Set how much of the inputs may stay in memory between calls, about; for all views of this file."""
        self._source.keep(kept_bytes)

    def x(
        self, rows: Selection | None = None, *, out: Float32[np.ndarray, "sample channel *space"] | None = None
    ) -> Float32[np.ndarray, "sample channel *space"]:
        """Return inputs: of all samples, or of the positions in this view given by `rows`; a new array, or `out`.

        Raises
        ------
        DataError
            A row is not what was written; the message names it.
        """
        chosen = self.indices if rows is None else self.indices[self._positions(rows)]
        if out is None:
            return self._source.inputs(chosen)
        self._source.inputs_into(chosen, out)
        return out

    def as_torch(self, targets: Sequence[str] | None = None, *, parameters: Sequence[str] = ()) -> TorchView:
        """Return this view as pairs ``x, y`` of float32 tensors, for loops that are written that way.

        >>> for x, y in DataLoader(data.as_torch(["depth"]), batch_size=64, shuffle=True): ...  # doctest: +SKIP

        Parameters
        ----------
        targets
            What `y` holds, shape (target,), NaN where not measured; all of them where not given.
        parameters
            Where some are given, samples are ``x, parameters, y``.
        """
        from ram.data.torch_view import TorchView

        return TorchView(self, targets=targets, parameters=parameters)

    def to_xarray(self) -> xarray.DataTree:
        """Return this view as xarray's tree of arrays with dimensions, coordinates and units.

        Paths are those of the file: ``tree["inputs"]``, ``tree["targets/depth"]``. Inputs, truth and regions are
        read, and verified, when their values are asked for.

        Raises
        ------
        DataError
            xarray is not installed.
        """
        from ram.data.labelled import as_tree

        return as_tree(self)

    def target_array(self, names: Sequence[str] | None = None) -> Float64[np.ndarray, "sample target"]:
        """Return targets in their units, NaN where they were not measured; all of them without `names`."""
        return self._columns("targets", self.targets, names)

    def parameter_array(self, names: Sequence[str] | None = None) -> Float64[np.ndarray, "sample parameter"]:
        """Return parameters in their units; all of them without `names`."""
        return self._columns("parameters", self.parameters, names)

    def truth_array(self, target: str, kind: str) -> Float32[np.ndarray, " sample *space"]:
        """Return maps known from physics in ``truth_kinds[target, kind]``, NaN where they were not computed."""
        self._check_known("truth", f"{target}/{kind}", ["/".join(key) for key in self.truth_kinds])
        return self._source.truth(target, kind, self.indices)

    def has_truth(self, target: str, kind: str) -> NDArray[np.bool_]:
        """Say for each sample whether it has this map, without reading any."""
        self._check_known("truth", f"{target}/{kind}", ["/".join(key) for key in self.truth_kinds])
        return self._source.present(f"truth/{target}/{kind}", self.indices)

    def regions_array(self) -> UInt8[np.ndarray, " sample *space"]:
        """Return the code of the region of each cell, 255 where none is stored."""
        self._check_known("the array", "regions", ["regions"] if self.region_names else [])
        return self._source.regions(self.indices)

    def reference_design(self) -> Float64[np.ndarray, " channel *space"] | None:
        """Return the mean design that contributions in truth are against, or None."""
        values: NDArray[np.float64] | None = self._source.head.columns.get("truth/reference")
        return values

    def split_array(self, split: str = "default") -> NDArray[np.str_]:
        """Return the part of each sample: train, validation or test."""
        self._check_known("the split", split, self.splits)
        return np.asarray(np.array(PARTS)[self._column(f"splits/{split}")], dtype=np.str_)

    def subset(self, part: str, *, split: str = "default") -> Dataset:
        """Return the samples of one part of a split, in the order of this view.

        Raises
        ------
        DataError
            There is no such split or part.
        """
        self._check_known("the part of a split", part, PARTS)
        self._check_known("the split", split, self.splits)
        return self[np.asarray(self._column(f"splits/{split}") == PARTS.index(part), dtype=np.bool_)]

    def _sample(self, position: int) -> Sample:
        if not -len(self) <= position < len(self):
            raise IndexError(f"{self.path}: position {position} of {len(self)} samples")
        part = Dataset(self._source, self.indices[[position]])
        content = {name: values[0] for name, values in part._sample_columns().items()}
        return Sample(**content, _source=self._source)

    def _sample_columns(self) -> dict[str, Sequence[Any]]:
        """Return what samples consist of, each as a sequence with one entry a sample."""
        targets = [dict(zip(self.targets, row, strict=True)) for row in self.target_array().tolist()]
        parameters = [dict(zip(self.parameters, row, strict=True)) for row in self.parameter_array().tolist()]
        return {
            "index": self.indices.tolist(),
            "id": self.ids.tolist(),
            "group": self.groups.tolist(),
            "x": self.x(),
            "targets": targets,
            "parameters": parameters,
            "weight": self.weights.tolist(),
            "length": self.lengths.tolist(),
        }

    def _positions(self, selection: Selection) -> slice | NDArray[np.integer] | NDArray[np.bool_]:
        if isinstance(selection, slice):
            return selection
        chosen = np.asarray(selection)
        if chosen.dtype != np.bool_:
            return chosen.astype(np.int64, casting="same_kind") if chosen.size else np.zeros(0, dtype=np.int64)
        if chosen.shape != (len(self),):
            raise IndexError(f"{self.path}: a mask of shape {chosen.shape} for {len(self)} samples")
        return chosen

    def _column(self, path: str) -> NDArray[np.generic]:
        return np.asarray(self._source.head.columns[path][self.indices])

    def _text_column(self, path: str) -> NDArray[np.str_]:
        texts = self._column(path).astype(np.bytes_)
        try:
            return texts.astype(np.str_)  # of ASCII alone, and twenty times as fast
        except UnicodeDecodeError:
            return np.char.decode(texts, "utf-8")

    def _columns(self, kind: str, known: Mapping[str, str], names: Sequence[str] | None) -> NDArray[np.float64]:
        names = list(known) if names is None else list(names)
        for name in names:
            self._check_known(f"a name in {kind}", name, list(known))
        columns: list[ArrayLike] = [self._column(f"{kind}/{name}") for name in names]
        return np.stack(columns, axis=-1) if columns else np.zeros((len(self), 0))

    def _check_known(self, what: str, name: str, known: Sequence[str]) -> None:
        if name not in known:
            allowed = f"one of {', '.join(known)}" if known else "left out, for the file has none"
            raise DataError(
                explained(
                    where=str(self.path), what=what, allowed=allowed, got=repr(name), next_step=nearest(name, known)
                )
            )
