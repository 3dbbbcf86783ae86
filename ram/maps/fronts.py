"""Nets that begin with a spectrogram: which of their two sides is explained, and what that side is given.

Cells of such a net lie over frequency and time. What is explained is therefore the net behind its first layer, asked
about the spectrograms of the signals; methods of the input may ask the whole net about the signals themselves.
"""

from __future__ import annotations

__all__ = ["SIDES", "Side", "Spectrograms", "levels_axes", "over_input", "side_of", "signal_axes"]

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ram.axes import Axis
from ram.data.rates import sampling
from ram.errors import ConfigError, DataError, explained, nearest
from ram.maps.activation import evaluating
from ram.maps.ensemble_map import EnsembleMap
from ram.maps.inputs import own_copy, require_inputs
from ram.maps.methods import Method
from ram.maps.regression_map import RegressionMap
from ram.models.regressor import Regressor
from ram.models.spectrogram import Spectrogram

SIDES = ("spectrogram", "signal")
"""What of a net that begins with a spectrogram may be explained."""


class Spectrograms:
    """Spectrograms of signals as an array that computes the rows that are asked for.

    Parameters
    ----------
    regressor
        A net with a front.
    x
        Shape (batch, channel, time), in the units that the net was trained on.
    lengths
        Shape (batch,): how long padded signals are; None where nothing is padding.
    """

    def __init__(self, regressor: Regressor, x: Any, lengths: NDArray[np.integer] | None = None) -> None:
        assert regressor.front is not None, "the caller has looked"
        self._regressor, self._x, self._lengths = regressor, x, lengths
        self.shape: tuple[int, ...] = (*x.shape[:2], *regressor.front.grid(x.shape[-1]))
        self.ndim = len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | NDArray[np.integer]) -> Tensor:
        """Return levels, shape (row, channel, frequency, frame)."""
        with torch.no_grad(), evaluating(self._regressor):
            lengths = None if self._lengths is None else torch.from_numpy(self._lengths[rows])
            return self._regressor.levels(own_copy(self._x[rows], like=self._regressor.head.weight), lengths)


@dataclass(frozen=True, eq=False)
class Side:
    """A side of a net: what is asked, about what, on which axes.

    Attributes
    ----------
    net
        The net that is asked.
    x
        What it is asked about.
    axes
        Of `x`, without batch and channel; None: numbered.
    whole
        The net with its spectrogram, where `net` is what lies behind that; else None.
    samples
        Of each signal.
    """

    net: Any
    x: Any
    axes: Sequence[Axis] | None
    whole: Regressor | None = None
    samples: int = 0

    def reference(self, reference: Any) -> Any:
        """Return a reference as this side has it: that of signals as their spectrogram, another one as it is.

        Raises
        ------
        DataError
            Where an input is neither of the shape of the signals nor of that of their spectrograms.
        """
        if self.whole is None or not hasattr(reference, "ndim"):
            return reference
        if reference.ndim not in {2, 3} or reference.shape[-2:] != (self.shape[1], self.samples):
            if tuple(reference.shape[-3:]) == self.shape[1:]:
                return reference
            allowed = f"of shape {(self.shape[1], self.samples)}, as the signals, or {self.shape[1:]}, as their levels"
            raise DataError(explained(where="explain", what="reference", allowed=allowed, got=tuple(reference.shape)))
        whole = reference[None] if reference.ndim == 2 else reference
        levels = Spectrograms(self.whole, whole)[:]
        return levels[0] if reference.ndim == 2 else levels

    def regions(self, regions: Any) -> Any:
        """Return codes along the signal as codes over frequency and time; others as they are.

        A frame has the code of the sample in the middle of its extent, at all frequencies.
        """
        if self.whole is None or regions is None or np.shape(regions)[-1:] != (self.samples,):
            return regions
        if np.ndim(regions) not in {1, 2} or np.shape(regions) == self.shape[2:]:
            return regions
        assert self.whole.front is not None
        hop, (frequencies, frames) = self.whole.front.hop, self.shape[2:]
        middle = np.minimum(np.arange(frames) * hop + hop // 2, self.samples - 1)
        codes = np.asarray(regions)[..., None, middle]  # (..., 1, frame)
        return np.broadcast_to(codes, (*codes.shape[:-2], frequencies, frames))

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of `x`."""
        return tuple(self.x.shape)


def side_of(net: nn.Module, x: Any, axes: Sequence[Axis] | None, *, of: str | None, method: Method) -> Side:
    """Return which side of `net` a method is to explain.

    Parameters
    ----------
    of
        One of `SIDES`; None: the spectrogram where the net begins with one, else the input, as it is.

    Raises
    ------
    ConfigError
        For an unknown word, a net without a spectrogram, or a method that cannot look at the signal.
    DataError
        Where the axes are not those of signals at the net's sample rate.
    """
    plain = getattr(net, "_orig_mod", net)  # what torch.compile wraps
    front = plain.front if isinstance(plain, Regressor) else None
    _require_word(of, front)
    if front is None:
        return Side(net, x, axes)
    if of == "signal":
        _require_input_method(method)
    require_inputs(x)
    if x.ndim != 3 or not isinstance(plain, Regressor):
        return Side(net, x, axes)  # the net itself says what is wrong
    time = signal_axes(front, axes, samples=x.shape[-1])
    if of == "signal":
        return Side(net, x, time)
    front.check_size(x.shape[-1])
    return Side(plain.behind, Spectrograms(plain, x), levels_axes(front, time), plain, int(x.shape[-1]))


def signal_axes(front: Spectrogram, axes: Sequence[Axis] | None, *, samples: int) -> Sequence[Axis]:
    """Return the axis of signals of so many samples: the given one, or seconds from zero at the rate of `front`.

    Raises
    ------
    DataError
        Where `axes` are no time, not evenly sampled, of another sample rate than `front`, or of another size.
    """
    if axes is None:
        return (Axis.uniform("time", "s", size=samples, step=1.0 / front.sample_rate_hz),)
    if len(axes) == 1 and axes[0].size != samples:
        allowed = f"of size {samples}, as x"
        raise DataError(explained(where="explain", what="the input's axis", allowed=allowed, got=axes[0].size))
    levels_axes(front, axes)
    return axes


def levels_axes(front: Spectrogram, axes: Sequence[Axis]) -> tuple[Axis, Axis]:
    """Return frequency (Hz) and time (s) of the spectrograms of signals on `axes`.

    Raises
    ------
    DataError
        Where `axes` are no time, not evenly sampled, or of another sample rate than `front`.
    """
    when = sampling(axes, where="explain")
    if abs(when.rate_hz - front.sample_rate_hz) > 1e-6 * front.sample_rate_hz:
        step = "Resample the signals to the rate that the net was trained on"
        raise DataError(
            explained(where="explain", what="the sample rate", allowed=f"{front.sample_rate_hz:g} Hz, the net's",
                      got=f"{when.rate_hz:g} Hz", next_step=step)
        )  # fmt: skip
    return front.axes(axes[0].size, start_s=when.start_s)


def over_input(maps: RegressionMap, axes: Sequence[Axis]) -> RegressionMap:
    """Return maps on the axes of a file's inputs: those over frequency and time of signals summed over frequency.

    What a file says of places in a signal (regions) can be held against that, and sums are kept.
    """
    if isinstance(maps, EnsembleMap):
        return EnsembleMap.of([over_input(one, axes) for one in maps.members])
    lies = [(axis.name, axis.unit) for axis in maps.input_axes] == [("frequency", "Hz"), ("time", "s")]
    if not lies or len(axes) != 1:
        return maps
    (time,) = axes
    when = sampling(axes, where="maps")
    grid = Axis.uniform("time", "s", size=time.size, step=1 / when.rate_hz, start=when.start_s)
    return replace(maps.along("time"), input_axes=(grid,))


def _require_word(of: str | None, front: Spectrogram | None) -> None:
    if of is None or (of in SIDES and front is not None):
        return
    if front is None:
        step = "Maps of such a net are over its input, whatever that is"
        raise ConfigError(
            explained(where="explain", what="of", allowed="left out, for the net begins with no spectrogram",
                      got=f"'{of}'", next_step=step)
        )  # fmt: skip
    raise ConfigError(
        explained(where="explain", what="of", allowed=f"one of {', '.join(SIDES)}", got=f"'{of}'",
                  next_step=nearest(of, SIDES))
    )  # fmt: skip


def _require_input_method(method: Method) -> None:
    """Refuse what looks at feature maps, or at modules that stand for nonlinear functions, for a map of the signal."""
    if method.kind == "input" and not method.needs_layer and method.name != "deeplift":
        return
    got = "deeplift, which knows no rule for a spectrogram" if method.name == "deeplift" else method.name
    step = "Leave it out for a map over frequency and time, or use integrated-gradients"
    raise ConfigError(
        explained(where="explain, of 'signal'", what="method", got=got, next_step=step,
                  allowed="one of the input that asks by gradients or by taking regions away")
    )  # fmt: skip
