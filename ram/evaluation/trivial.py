"""Maps that need no trained net: what any method must be better than before it has said anything."""

from __future__ import annotations

__all__ = ["Trivial", "trivial_maps"]

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from ram.errors import RamError
from ram.evaluation.randomisation import forgotten
from ram.evaluation.subject import Subject, on_cells
from ram.randomness import generator

_MOST_CHANNELS = 4  # each has rows of its own; of more, their sizes are added up


@dataclass(frozen=True, eq=False)
class Trivial:
    """A map without a trained net.

    Attributes
    ----------
    name, what
        What it is called, and how it is made.
    cells
        Shape (sample, *cells), on the net's own cells; None where the data do not hold what it needs.
    in_unit
        Whether its values are in the target's unit.
    channel
        The channel for a change of which its values are the change of the target.
    missing
        Why there is none.
    """

    name: str
    what: str
    cells: Float[np.ndarray, "sample *cells"] | None = field(default=None, repr=False)
    in_unit: bool = False
    channel: str = ""
    missing: str = ""


def trivial_maps(subject: Subject, *, seed: int = 0) -> list[Trivial]:
    """Return all of them, those too that cannot be made of these data, with the reason.

    The image and the image minus the reference, a map for each channel; the mean sensitivity of the training part and
    its product with the difference from the reference; edges; noise; and exact RAM of the same net with weights drawn
    anew. Signals and spectrograms are images of one and two axes.
    """
    return [
        *_images(subject),
        *_sensitivities(subject),
        Trivial("edges", "size of the input's gradient, summed over standardised channels", _edges(subject)),
        Trivial("random", "normal noise, cell by cell", _noise(subject, seed)),
        _random_net(subject, seed),
    ]


def _images(subject: Subject) -> Iterator[Trivial]:
    x, names = subject.x.astype(np.float64), list(subject.channels)
    difference = x - subject.reference
    if len(names) > _MOST_CHANNELS:
        what = f"summed over {len(names)} standardised channels"
        size = np.abs(_standardised(subject, x)).sum(axis=1)
        change = _standardised(subject, difference, centred=False).sum(axis=1)
        yield Trivial("image", f"size of the input, {what}", _cells(subject, size))
        yield Trivial("image - reference", f"the input minus the reference, {what}", _cells(subject, change))
        return
    for number, name in enumerate(names):
        own = "" if len(names) == 1 else f" ({name})"
        yield Trivial(f"image{own}", "the input itself", _cells(subject, x[:, number]))
    for number, name in enumerate(names):
        own = "" if len(names) == 1 else f" ({name})"
        yield Trivial(
            f"image - reference{own}", "the input minus the reference", _cells(subject, difference[:, number])
        )


def _sensitivities(subject: Subject) -> Iterator[Trivial]:
    known, names = subject.mean_sensitivity, list(subject.channels)
    if not known:
        for name in ("mean sensitivity", "mean sensitivity x (x - reference)"):
            what = "from the mean of the training part's sensitivities"
            yield Trivial(name, what, missing="the training part holds no sensitivities")
        return
    total = np.zeros((len(subject), *(axis.size for axis in subject.axes)))
    for name, values in known.items():
        own = "" if len(known) == 1 else f" ({name})"
        same = np.broadcast_to(values, total.shape)
        words = "the mean of the training part's sensitivities"
        yield Trivial(f"mean sensitivity{own}", words, _cells(subject, same), channel=name)
        number = names.index(name)
        total += values * (subject.x[:, number].astype(np.float64) - subject.reference[number])
    words = "the mean sensitivity times the difference of the input from the reference"
    yield Trivial("mean sensitivity x (x - reference)", words, _cells(subject, total), in_unit=not subject.log)


def _edges(subject: Subject) -> Float[np.ndarray, "sample *cells"]:
    x = _standardised(subject, subject.x.astype(np.float64))
    size = np.zeros((len(x), *x.shape[2:]))
    for channel in np.moveaxis(x, 1, 0):
        along = [axis for axis in range(1, channel.ndim) if channel.shape[axis] > 1]
        size += np.sqrt(sum(np.square(np.gradient(channel, axis=axis)) for axis in along))
    return _cells(subject, size)


def _noise(subject: Subject, seed: int) -> Float[np.ndarray, "sample *cells"]:
    shape = tuple(axis.size for axis in subject.cells)
    return np.stack([generator(seed, "random map", str(name)).standard_normal(shape) for name in subject.ids])


def _random_net(subject: Subject, seed: int) -> Trivial:
    words = "the exact map of the same net with all weights drawn anew"
    try:
        maps = subject.explain(subject.exact, net=forgotten(subject.net, seed=seed))
    except RamError as error:
        return Trivial("random net", words, missing=str(error))
    return Trivial(
        "random net", words, on_cells(maps.contributions, source=maps.axes, cells=subject.cells), in_unit=True
    )


def _standardised(
    subject: Subject, x: Float[np.ndarray, "sample channel *space"], *, centred: bool = True
) -> Float[np.ndarray, "sample channel *space"]:
    ones = (1,) * (x.ndim - 2)
    own = (subject.net.input_mean, subject.net.input_scale)
    mean, scale = (values.double().cpu().numpy().reshape(-1, *ones) for values in own)
    return np.asarray((x - mean) / scale if centred else x / scale)


def _cells(subject: Subject, values: Float[np.ndarray, "sample *space"]) -> Float[np.ndarray, "sample *cells"]:
    return on_cells(values, source=subject.axes, cells=subject.cells)
