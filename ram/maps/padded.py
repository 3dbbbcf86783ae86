"""Maps of signals of different length: each is explained by itself, as the shortest input that the net takes.

What a net says of a signal in a padded batch is what it says of the signal alone. So every method is asked about
signals without padding, all of one length at a time, and keeps the laws that it has there. The maps are then laid over
the cells of the padded input; cells beyond a signal's own are zero, so that sums stay what they are.
"""

from __future__ import annotations

__all__ = ["Samples", "explain_padded", "require_lengths"]

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

from ram.axes import Axis
from ram.data.rates import sampling
from ram.errors import DataError, explained
from ram.maps.asking import designs
from ram.maps.fronts import levels_axes, signal_axes
from ram.maps.inputs import axes_of, require_inputs
from ram.maps.methods import Method
from ram.maps.regression_map import RegressionMap
from ram.models.regressor import Regressor

Maps = dict[str, RegressionMap]
Lengths = Int[np.ndarray, " batch"]


@dataclass(frozen=True, eq=False)
class Samples:
    """What is explained: inputs, and what belongs to each of them.

    Attributes
    ----------
    x, parameters, ids, regions, axes
        As `ram.maps.explain.explain_regressor` is given them; ids and design parameters one a sample, or none.
    lengths
        Shape (batch,): how long padded signals are, for exact RAM, which can be asked about a padded batch.
    """

    x: Any
    parameters: Any = None
    ids: Sequence[str] | NDArray[np.str_] = ()
    regions: Any = None
    axes: Sequence[Axis] | None = None
    lengths: Lengths | None = None


_ON_CELLS = ("contributions", "part_contributions")
Ask = Callable[[Regressor, Samples, Any], Maps]
"""From a net, samples of one length and a reference to maps by target."""


def explain_padded(
    ask: Ask, net: Regressor, samples: Samples, lengths: Any, *, method: Method, resolution: int,
    reference: Any = None, reference_length: int | None = None, reference_parameters: Any = None,
    reference_name: str = "",
) -> Maps:  # fmt: skip
    """Return the maps of signals that were padded to one length.

    Parameters
    ----------
    ask
        Explains samples of one length against a reference.
    lengths
        Shape (batch,): samples of each signal along the last axis of ``samples.x``; the rest is padding.
    method, resolution
        Of the maps.
    reference, reference_length, reference_parameters, reference_name
        As `ram.maps.explain.explain_regressor` is given them.

    Raises
    ------
    DataError
        Where lengths do not fit the inputs.
    """
    require_inputs(samples.x)
    known = require_lengths(lengths, samples.x)
    if net.front is not None:
        samples = replace(samples, axes=signal_axes(net.front, samples.axes, samples=samples.x.shape[-1]))
    samples = replace(samples, axes=axes_of(samples.x, samples.axes))
    question = _Padded(ask, net, samples, known, method, reference_name)
    asks_inputs = method.kind == "input" or method.name == "score-cam"
    if asks_inputs or reference is None or not hasattr(reference, "ndim"):
        return question.maps(reference, at_once=method.name == "ram" and resolution == 1 and net.front is None)
    parameters = reference_parameters
    if parameters is None and net.parameter_names:
        parameters = net.parameter_mean.cpu().numpy()[None]
    side, axes = _side_of(net, samples, reference)
    x = reference[None] if reference.ndim == side.ndim + 1 else reference
    own = Samples(x, parameters, ("the given design",), axes=axes)
    length = x.shape[-1] if reference_length is None else reference_length
    maps = explain_padded(ask, side, own, [length] * len(x), method=method, resolution=resolution)
    return explain_padded(
        ask, net, samples, known, method=method, resolution=resolution, reference=maps, reference_name=reference_name
    )


def _side_of(net: Regressor, samples: Samples, reference: Any) -> tuple[Regressor, Sequence[Axis]]:
    """Return the net that a reference is an input of, and its axes: a spectrogram is one of what lies behind."""
    axes = samples.axes or ()
    if net.front is None or tuple(reference.shape[-2:]) != net.front.grid(int(samples.x.shape[-1])):
        designs(reference, samples.x)
        return net, axes
    return net.behind, levels_axes(net.front, axes)


def require_lengths(lengths: Any, x: Any) -> Lengths:
    """Return lengths as whole numbers, shape (batch,).

    Raises
    ------
    DataError
        Where there is not one for each sample of `x`, from 1 to the size of its last axis.
    """
    known = lengths.cpu().numpy() if isinstance(lengths, Tensor) else np.asarray(lengths)
    size = int(x.shape[-1])
    if known.shape == (len(x),) and known.dtype.kind in "iu" and known.min() >= 1 and known.max() <= size:
        return known.astype(np.int64)
    allowed = f"{len(x)} whole numbers from 1 to {size}, one a sample"
    raise DataError(explained(where="explain", what="lengths", allowed=allowed, got=_brief(known)))


def _brief(values: NDArray[Any]) -> str:
    first = ", ".join(map(str, values.ravel()[:4].tolist()))
    return f"shape {values.shape}: {first}{', ...' if values.size > 4 else ''}"


@dataclass(frozen=True, eq=False)
class _Padded:
    """Padded signals and whom to ask about them."""

    ask: Ask
    net: Regressor
    samples: Samples
    lengths: Lengths
    method: Method
    reference_name: str

    def maps(self, reference: Any, *, at_once: bool) -> Maps:
        """Return the maps of all samples; `at_once`: the padded batch may be asked about as it is."""
        if at_once:
            together = self.ask(self.net, replace(self.samples, lengths=self.lengths), reference)
            return {name: replace(one, ends=self._ends(one)) for name, one in together.items()}
        later = self.method.adds_up and not hasattr(reference, "ndim")  # maps are compared as a whole
        shown = None if later else reference
        against: Maps = {} if not later or reference is None else reference
        if isinstance(reference, RegressionMap):
            against = {reference.target: reference}
        groups = [np.flatnonzero(self._alike == one) for one in np.unique(self._alike)]
        found = [self.ask(self.net, self._alone(rows), self._background(rows, shown)) for rows in groups]
        whole = found[-1] if self._size(groups[-1]) == self._longest else self._blank(shown)
        order = np.argsort(np.concatenate(groups), kind="stable")
        maps = {name: self._joined([one[name] for one in found], whole[name], order) for name in whole}
        if not against:
            return maps
        return {name: one.difference(against[name], reference=self.reference_name) for name, one in maps.items()}

    @property
    def _longest(self) -> int:
        return int(self.samples.x.shape[-1])

    @property
    def _shortest(self) -> Lengths:
        """How long the shortest input is that holds each signal and that the net takes, as far as `x` goes."""
        shortest = self.net.shortest(torch.from_numpy(self.lengths)).numpy()
        return np.asarray(np.minimum(shortest, self._longest))

    @property
    def _alike(self) -> Lengths:
        """What samples that are asked about together have in common; methods of the input look at each value."""
        return self.lengths if self.method.kind == "input" else self._shortest

    def _size(self, rows: NDArray[np.integer]) -> int:
        return int(self._shortest[rows[0]])

    def _alone(self, rows: NDArray[np.integer]) -> Samples:
        """Return samples of one length as the shortest input that the net takes."""
        size, given = self._size(rows), self.samples
        ids = [str(given.ids[row]) for row in rows] if len(given.ids) else [str(row) for row in rows]
        parameters = None if given.parameters is None else given.parameters[rows]
        x = self._filled(given.x[rows][..., :size], self.lengths[rows])
        return Samples(x, parameters, ids, self._regions(rows), _cropped(given.axes or (), size))

    def _filled(self, x: Any, lengths: Lengths) -> Any:
        """Return a copy of inputs with each channel's training mean behind their ends: zero for the net."""
        mean = self.net.input_mean.detach().cpu().float().numpy()
        if isinstance(x, Tensor):
            return torch.from_numpy(_with_mean(x.detach().cpu().numpy(), lengths, mean)).to(x.device)
        return _with_mean(np.asarray(x), lengths, mean)

    def _background(self, rows: NDArray[np.integer], reference: Any) -> Any:
        """Return an input that is compared with as long as the samples."""
        if not hasattr(reference, "ndim"):
            return reference
        size = self._size(rows)
        if reference.shape[-1] == self._longest:
            whole = reference[None] if reference.ndim == self.samples.x.ndim - 1 else reference
            return self._filled(whole[..., :size], np.full(len(whole), self.lengths[rows[0]]))
        return reference if self.net.front is None else reference[..., : self.net.front.frames(size)]

    def _regions(self, rows: NDArray[np.integer]) -> Any:
        """Return the regions' codes as far as the samples go; what is behind their ends is one of its own."""
        if self.samples.regions is None:
            return None
        codes, size = np.asarray(self.samples.regions, dtype=np.int64), self._size(rows)
        own = codes[rows] if codes.ndim == self.samples.x.ndim - 1 else codes
        if codes.shape[-1] != self._longest:
            return own if self.net.front is None else own[..., : self.net.front.frames(size)]
        own = own[..., :size].copy()
        own[..., self.lengths[rows[0]] :] = codes.max() + 1
        return own

    def _blank(self, reference: Any) -> Maps:
        """Return maps of an input as long as the longest one that was given: its cells are wanted, not its values."""
        given = self.samples
        regions = None if given.regions is None else np.asarray(given.regions)
        if regions is not None and regions.ndim == given.x.ndim - 1:
            regions = regions[0]
        x = self._filled(given.x[:1], np.zeros(1, dtype=np.int64))
        parameters = None if given.parameters is None else given.parameters[:1]
        return self.ask(self.net, Samples(x, parameters, ("blank",), regions, given.axes), reference)

    def _joined(
        self, found: Sequence[RegressionMap], whole: RegressionMap, order: NDArray[np.integer]
    ) -> RegressionMap:
        """Return the maps of all groups as one, on the cells of the longest input."""
        cells = tuple(axis.size for axis in whole.axes)

        def laid(values: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.pad(values, [(0, 0)] * (values.ndim - 1) + [(0, cells[-1] - values.shape[-1])])

        def all_of(name: str) -> NDArray[np.float64]:
            arrays = [getattr(one, name) for one in found]
            return np.asarray(np.concatenate([laid(one) if name in _ON_CELLS else one for one in arrays])[order])

        arrays = {name: all_of(name) for name in (*_ON_CELLS, "parameter_contributions", "baseline", "prediction")}
        arrays["correction"] = all_of("correction") if whole.correction.size else whole.correction
        if self.method.kind == "input" and self._over_inputs(
            whole
        ):  # behind its end a signal holds nothing, whatever a gradient is there
            inside = np.arange(self._longest) < self.lengths[:, None]
            for name in _ON_CELLS:
                arrays[name] = np.where(_over(inside, arrays[name]), arrays[name], 0.0)
        ids = tuple(np.concatenate([np.asarray(one.ids) for one in found])[order])
        looks = replace(whole.pictured, inputs={name: x for one in found for name, x in one.pictured.inputs.items()})
        return replace(whole, **arrays, ids=ids, ends=self._ends(whole), pictured=looks)  # type: ignore[arg-type]

    def _over_inputs(self, one: RegressionMap) -> bool:
        """Say whether maps lie over the inputs themselves, and not over their spectrograms."""
        return bool(len(one.axes) == self.samples.x.ndim - 2)

    def _ends(self, one: RegressionMap) -> NDArray[np.float64]:
        """Return where each signal ends, in the unit of the last axis of maps such as `one`."""
        axis = (self.samples.axes or ())[-1]
        if self._over_inputs(one):
            return np.asarray(axis.edges[self.lengths])
        when = sampling([axis], where="explain")  # maps of spectrograms count in seconds
        return when.start_s + (self.lengths - 0.5) / when.rate_hz


def _with_mean(x: NDArray[Any], lengths: Lengths, mean: NDArray[np.float32]) -> NDArray[Any]:
    filled = np.array(x, dtype=np.promote_types(x.dtype, np.float32))
    for row, length in zip(filled, lengths, strict=True):
        row[..., length:] = mean.reshape(-1, *(1,) * (row.ndim - 1))
    return filled


def _cropped(axes: Sequence[Axis], size: int) -> tuple[Axis, ...]:
    """Return axes of which the last one has its first `size` cells alone."""
    last = axes[-1]
    return (*axes[:-1], Axis(last.name, last.unit, last.centres[:size], last.edges[: size + 1], last.long_name))


def _over(inside: NDArray[np.bool_], values: NDArray[np.float64]) -> NDArray[np.bool_]:
    return inside.reshape(len(inside), *(1,) * (values.ndim - 2), inside.shape[1])
