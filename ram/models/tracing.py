"""Follow where the cells of every tensor lie in an input while a net runs on it.

A `Row` says, for the cells along one dimension of a tensor, where they are centred along an axis of the input
and which inputs they see. Each operation moves rows: `Row.moved` is given the position of every new cell among
the old ones and the old cells it looks at; strides, paddings, upsampling and flips differ in nothing else.
"""

from __future__ import annotations

__all__ = ["Row", "Rows", "Trace"]

from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

Array = NDArray[np.float64]
Cells = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Row:
    """Cells in a row: where they lie along axis number `axis` of the input, in its index units.

    `low` and `high` are the first and last index seen; +inf and -inf for a cell that sees padding only.
    `size` is the number of samples of the input along the axis.
    """

    axis: int
    size: int
    centres: Array
    low: Array
    high: Array
    agreed: bool = True

    @classmethod
    def of_input(cls, axis: int, size: int) -> Row:
        """Return the row of the input itself: each cell sees itself."""
        index = np.arange(float(size))
        return cls(axis, size, index, index, index)

    def moved(self, position: NDArray[np.floating[Any]], taps: Cells) -> Row:
        """Return the row of new cells.

        Parameters
        ----------
        position
            Shape (new cells,): fractional index among the old cells; beyond their ends the grid goes on.
        taps
            Shape (new cells, taps): old cells that are looked at; indices outside are padding.
        """
        inside = (taps >= 0) & (taps < self.centres.size)
        near = np.clip(taps, 0, self.centres.size - 1)
        low = np.where(inside, self.low[near], np.inf).min(axis=1)
        high = np.where(inside, self.high[near], -np.inf).max(axis=1)
        return replace(self, centres=self._at(position), low=low, high=high)

    @classmethod
    def joined(cls, rows: Sequence[Row]) -> Row:
        """Return what cells made of all `rows` see; their centres are averaged where they differ."""
        centres = np.stack([row.centres for row in rows])
        agreed = all(row.agreed for row in rows) and np.allclose(centres, centres[0], rtol=0, atol=1e-6)
        low, high = np.min([row.low for row in rows], axis=0), np.max([row.high for row in rows], axis=0)
        return replace(rows[0], centres=centres.mean(axis=0), low=low, high=high, agreed=agreed)

    def _at(self, position: NDArray[np.floating[Any]]) -> Array:
        if self.centres.size == 1:
            return np.asarray(self.centres[0] + position * self.size)
        left = np.clip(np.floor(position).astype(np.int64), 0, self.centres.size - 2)
        slope = self.centres[left + 1] - self.centres[left]
        return np.asarray(self.centres[left] + (position - left) * slope)


Rows = Mapping[int, Row]
Arguments = Mapping[str, Any]
Rule = Callable[[Rows, Arguments, Tensor], dict[int, Row]]


class Trace(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves __init_subclass__ untyped
    """While active, follows every tensor that is computed from `x`, shape (batch, channel, *space)."""

    def __init__(self, x: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._known: MutableMapping[Tensor, Rows] = WeakTensorKeyDictionary()
        self._known[x] = {2 + axis: Row.of_input(axis, size) for axis, size in enumerate(x.shape[2:])}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Say that nothing compiled is run within; torch would otherwise load its compiler, for 3 seconds."""
        return False

    def rows(self, tensor: Tensor) -> Rows:
        """Return the row of each dimension of `tensor` whose place is known."""
        return self._known.get(tensor, {})

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run one operation and note where the cells of its results lie."""
        result = func(*args, **(kwargs or {}))
        arguments = _named(func, args, kwargs or {})
        sources = [leaf for leaf in tree_leaves(arguments) if isinstance(leaf, Tensor) and self.rows(leaf)]
        for out in (leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)):
            self._known[out] = self._of(func, sources, arguments, out) if sources else {}
        return result

    def _of(self, func: Any, sources: Sequence[Tensor], arguments: Arguments, out: Tensor) -> dict[int, Row]:
        rule = _RULES.get(str(func.overloadpacket))
        if rule is None:
            return _inherited([(self.rows(s), s.ndim) for s in sources], out) if _keeps_place(func) else {}
        return _merged(_fitting(rule(self.rows(source), arguments, out), out) for source in sources)


def _named(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments by the names that the operation's schema gives them, defaults included."""
    schema = func._schema.arguments  # the only place where torch keeps the names
    named = {entry.name: entry.default_value for entry in schema if entry.has_default_value()}
    return named | dict(zip((entry.name for entry in schema), args, strict=False)) | dict(kwargs)


def _keeps_place(func: Any) -> bool:
    return torch.Tag.pointwise in func.tags or str(func.overloadpacket) in _KEEPING


def _inherited(sources: Iterable[tuple[Rows, int]], out: Tensor) -> dict[int, Row]:
    """Rows of an operation that leaves every cell where it is; dimensions are aligned at the last one."""
    shifted = ({dim + out.ndim - ndim: row for dim, row in rows.items()} for rows, ndim in sources)
    return _merged(_fitting(rows, out) for rows in shifted)


def _fitting(rows: Rows, out: Tensor) -> dict[int, Row]:
    return {dim: row for dim, row in rows.items() if 0 <= dim < out.ndim and row.centres.size == out.shape[dim]}


def _merged(branches: Iterable[Rows]) -> dict[int, Row]:
    """Join the rows of several branches; where they speak of different axes nothing is known."""
    found: dict[int, list[Row]] = {}
    for rows in branches:
        for dim, row in rows.items():
            found.setdefault(dim, []).append(row)
    return {dim: Row.joined(rows) for dim, rows in found.items() if len({row.axis for row in rows}) == 1}


def _along_space(rows: Rows, out: Tensor, ndim: int, change: Callable[[Row, int, int], Row]) -> dict[int, Row]:
    """Apply ``change(row, number of the space axis, new size)`` to the last `ndim` dimensions."""
    first = out.ndim - ndim
    return {dim: change(row, dim - first, out.shape[dim]) if dim >= first else row for dim, row in rows.items()}


def _convolution(rows: Rows, given: Arguments, out: Tensor) -> dict[int, Row]:
    kernel = given["weight"].shape[2:]
    move = _transposed if given["transposed"] else _strided
    return _along_space(rows, out, len(kernel), lambda row, n, size: move(row, size, _window(given, kernel, n)))


def _pool(rows: Rows, given: Arguments, out: Tensor) -> dict[int, Row]:
    kernel = given["kernel_size"]
    options = {**given, "stride": given["stride"] or kernel}
    ndim = 3 if out.ndim == 5 else 2
    return _along_space(rows, out, ndim, lambda row, n, size: _strided(row, size, _window(options, kernel, n)))


@dataclass(frozen=True)
class _Window:
    kernel: int
    stride: int
    padding: int
    dilation: int


def _window(given: Arguments, kernel: Any, number: int) -> _Window:
    """Return the window along one axis; an option may be given once for all axes."""
    options = (kernel, given["stride"], given["padding"], given.get("dilation", 1))
    return _Window(*(int(o if isinstance(o, int) else o[number % len(o)]) for o in options))


def _strided(row: Row, size: int, window: _Window) -> Row:
    first = np.arange(size) * window.stride - window.padding
    taps = first[:, None] + window.dilation * np.arange(window.kernel)
    return row.moved(first + 0.5 * window.dilation * (window.kernel - 1), taps)


def _transposed(row: Row, size: int, window: _Window) -> Row:
    """Input i reaches outputs i * stride - padding + dilation * (0 .. kernel - 1)."""
    middle = np.arange(size) + window.padding
    reach = middle[:, None] - window.dilation * np.arange(window.kernel)
    taps = np.where(reach % window.stride == 0, reach // window.stride, -1)
    return row.moved((middle - 0.5 * window.dilation * (window.kernel - 1)) / window.stride, taps)


def _adaptive_pool(rows: Rows, given: Arguments, out: Tensor) -> dict[int, Row]:
    def change(row: Row, number: int, size: int) -> Row:  # noqa: ARG001 - all axes alike
        old, new = row.centres.size, np.arange(size)
        first, last = new * old // size, -(-(new + 1) * old // size) - 1
        taps = np.minimum(first[:, None] + np.arange(int((last - first).max()) + 1), last[:, None])
        return row.moved(0.5 * (first + last), taps)

    return _along_space(rows, out, len(given["output_size"]), change)


def _resize(taps_at: Callable[[Array, Array], Cells]) -> Rule:
    """Return the rule of an interpolation; ``taps_at(position, left edge)`` says which old cells it uses."""

    def rule(rows: Rows, given: Arguments, out: Tensor) -> dict[int, Row]:
        scales = [value for name, value in given.items() if name.startswith("scales")]

        def change(row: Row, number: int, size: int) -> Row:
            old, new = row.centres.size, np.arange(float(size))
            step = 1.0 / scales[number] if scales[number] else old / size
            position = (new + 0.5) * step - 0.5
            if given.get("align_corners"):
                position = new * ((old - 1) / max(size - 1, 1))
            return row.moved(position, np.clip(taps_at(position, new * step), 0, old - 1))

        return _along_space(rows, out, len(scales), change)

    return rule


def _between(position: Array, *, beyond: int = 0) -> Cells:
    """Cells on both sides of `position`, one where it falls on a cell, and `beyond` more on either side."""
    left, right = np.floor(position).astype(np.int64), np.ceil(position).astype(np.int64)
    return np.stack([left - beyond, right + beyond], axis=1)


def _pad(source: Callable[[Cells, int], Cells]) -> Rule:
    """Return the rule of a padding; ``source(index, old size)`` says which old cell stands there."""

    def rule(rows: Rows, given: Arguments, out: Tensor) -> dict[int, Row]:
        padding = given.get("pad", given.get("padding", ()))
        ndim = len(padding) // 2

        def change(row: Row, number: int, size: int) -> Row:
            index = np.arange(size) - int(padding[2 * (ndim - 1 - number)])  # the last axis comes first
            return row.moved(index.astype(np.float64), source(index, row.centres.size)[:, None])

        return _along_space(rows, out, ndim, change)

    return rule


def _reflected(index: Cells, size: int) -> Cells:
    period = max(2 * (size - 1), 1)
    folded = np.abs(index) % period
    return np.minimum(folded, period - folded) if size > 1 else np.zeros_like(index)


def _pixel_shuffle(rows: Rows, given: Arguments, out: Tensor) -> dict[int, Row]:
    factor = given["upscale_factor"]

    def change(row: Row, number: int, size: int) -> Row:  # noqa: ARG001 - all axes alike
        new = np.arange(size)
        return row.moved((new + 0.5) / factor - 0.5, (new // factor)[:, None])

    return _along_space(rows, out, 2, change)


def _slice(rows: Rows, given: Arguments, out: Tensor) -> dict[int, Row]:
    dim, start, step = given["dim"] % out.ndim, given["start"] or 0, given["step"]
    if dim not in rows:
        return dict(rows)
    old = rows[dim].centres.size
    first = min(max(start + old if start < 0 else start, 0), old)
    index = first + step * np.arange(out.shape[dim])
    return {**rows, dim: rows[dim].moved(index.astype(np.float64), index[:, None])}


def _reversed(row: Row) -> Row:
    index = np.arange(row.centres.size)[::-1]
    return row.moved(index.astype(np.float64), index[:, None])


def _flip(rows: Rows, given: Arguments, out: Tensor) -> dict[int, Row]:
    turned = {dim % out.ndim for dim in given["dims"]}
    return {dim: _reversed(row) if dim in turned else row for dim, row in rows.items()}


def _rot90(rows: Rows, given: Arguments, out: Tensor) -> dict[int, Row]:
    """One quarter turn is a flip of the second dimension, then an exchange of both."""
    first, second = (dim % out.ndim for dim in given["dims"])
    for _ in range(given["k"] % 4):
        rows = _flip(rows, {"dims": [second]}, out)
        rows = _renumbered(rows, {first: second, second: first})
    return dict(rows)


def _renumbered(rows: Rows, new: Mapping[int, int]) -> dict[int, Row]:
    return {new.get(dim, dim): row for dim, row in rows.items()}


def _permute(rows: Rows, given: Arguments, out: Tensor) -> dict[int, Row]:
    order = [dim % out.ndim for dim in given["dims"]]
    return _renumbered(rows, {old: new for new, old in enumerate(order)})


def _transpose(rows: Rows, given: Arguments, out: Tensor) -> dict[int, Row]:
    first, second = given["dim0"] % out.ndim, given["dim1"] % out.ndim
    return _renumbered(rows, {first: second, second: first})


def _new_dimension(rows: Rows, given: Arguments, out: Tensor) -> dict[int, Row]:
    at = given["dim"] % out.ndim
    return {dim + (dim >= at): row for dim, row in rows.items()}


def _without(rows: Rows, gone: set[int]) -> dict[int, Row]:
    return {dim - sum(other < dim for other in gone): row for dim, row in rows.items() if dim not in gone}


def _squeeze(rows: Rows, given: Arguments, out: Tensor) -> dict[int, Row]:  # noqa: ARG001 - a Rule
    shape = given["self"].shape
    asked = given.get("dim", range(len(shape)))
    asked = [asked] if isinstance(asked, int) else asked
    gone = {dim % len(shape) for dim in asked if shape[dim] == 1}
    return _without(rows, gone)


def _select(rows: Rows, given: Arguments, out: Tensor) -> dict[int, Row]:
    return _without(rows, {given["dim"] % (out.ndim + 1)})


def _reduce(rows: Rows, given: Arguments, out: Tensor) -> dict[int, Row]:  # noqa: ARG001 - a Rule
    ndim = given["self"].ndim
    asked = given["dim"] if given.get("dim") is not None and given.get("dim") != [] else list(range(ndim))
    gone = {dim % ndim for dim in ([asked] if isinstance(asked, int) else asked)}
    if given.get("keepdim"):
        return {dim: row for dim, row in rows.items() if dim not in gone}
    return _without(rows, gone)


def _view(rows: Rows, given: Arguments, out: Tensor) -> dict[int, Row]:
    """Keep a dimension that is as long as before and has as much before it."""
    old = np.cumprod([1, *given["self"].shape])
    new = np.cumprod([1, *out.shape])
    places = {(int(new[dim]), int(new[dim + 1])): dim for dim in range(out.ndim)}
    spots = {dim: places.get((int(old[dim]), int(old[dim + 1]))) for dim in rows}
    return {spot: rows[dim] for dim, spot in spots.items() if spot is not None}


def _along_channels(rows: Rows, given: Arguments, out: Tensor) -> dict[int, Row]:
    """Split, cat and index_select leave the other dimensions as they are."""
    return {dim: row for dim, row in rows.items() if dim != given["dim"] % out.ndim}


_linear = _resize(lambda position, _: _between(position))
_cubic = _resize(lambda position, _: _between(position, beyond=1))
_nearest = _resize(lambda _, edge: np.floor(edge + 1e-9).astype(np.int64)[:, None])
_nearest_exact = _resize(lambda position, _: np.floor(position + 0.5 + 1e-9).astype(np.int64)[:, None])
_outside = _pad(lambda index, _: index)

_RULES: dict[str, Rule] = {
    "aten.convolution": _convolution,
    **dict.fromkeys(["aten.max_pool2d_with_indices", "aten.max_pool3d_with_indices"], _pool),
    **dict.fromkeys(["aten.avg_pool2d", "aten.avg_pool3d"], _pool),
    **dict.fromkeys(["aten._adaptive_avg_pool2d", "aten._adaptive_avg_pool3d"], _adaptive_pool),
    **dict.fromkeys(["aten.adaptive_max_pool2d", "aten.adaptive_max_pool3d"], _adaptive_pool),
    **dict.fromkeys([f"aten.upsample_nearest{n}d" for n in (1, 2, 3)], _nearest),
    **dict.fromkeys([f"aten._upsample_nearest_exact{n}d" for n in (1, 2, 3)], _nearest_exact),
    **dict.fromkeys(["aten.upsample_linear1d", "aten.upsample_bilinear2d", "aten.upsample_trilinear3d"], _linear),
    "aten.upsample_bicubic2d": _cubic,
    "aten.constant_pad_nd": _outside,
    **dict.fromkeys([f"aten.reflection_pad{n}d" for n in (1, 2, 3)], _pad(_reflected)),
    **dict.fromkeys([f"aten.replication_pad{n}d" for n in (1, 2, 3)], _pad(lambda i, n: np.clip(i, 0, n - 1))),
    "aten.pixel_shuffle": _pixel_shuffle,
    "aten.slice": _slice,
    "aten.flip": _flip,
    "aten.rot90": _rot90,
    "aten.permute": _permute,
    "aten.transpose": _transpose,
    **dict.fromkeys(["aten.unsqueeze", "aten.stack"], _new_dimension),
    "aten.squeeze": _squeeze,
    **dict.fromkeys(["aten.select", "aten.unbind"], _select),
    **dict.fromkeys(["aten.mean", "aten.sum", "aten.amax", "aten.amin", "aten.linalg_vector_norm"], _reduce),
    **dict.fromkeys(["aten.view", "aten._unsafe_view", "aten.reshape"], _view),
    **dict.fromkeys(["aten.cat", "aten.split", "aten.split_with_sizes", "aten.index_select"], _along_channels),
    "aten._softmax": _along_channels,
}

_KEEPING = {
    *("aten.native_batch_norm", "aten._native_batch_norm_legit", "aten._native_batch_norm_legit_no_training"),
    *("aten._batch_norm_with_update", "aten._batch_norm_no_update", "aten.cudnn_batch_norm"),
    *("aten.miopen_batch_norm", "aten.native_group_norm", "aten.native_layer_norm", "aten._fused_rms_norm"),
    *("aten.hardswish", "aten.hardswish_", "aten.hardtanh", "aten.hardtanh_", "aten._prelu_kernel", "aten.glu"),
    *("aten.clone", "aten._to_copy", "aten.detach", "aten.alias", "aten.expand", "aten.lift_fresh", "aten.copy_"),
    "aten.native_dropout",
}
