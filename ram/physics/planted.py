"""Planted laws: signals and images whose target is known part by part, because a formula makes it.

An input is noise with a few patches of texture: bursts of a tone in a signal, patches of stripes in an image. Each kind
of texture has a frequency of its own, and the target is made of the energies of the kinds,

    E_k = cell * sum_i x_i (Q_k x)_i,    Q_k: the filter that passes the band of kind k

    additive       target = base + sum_k w_k E_k; one kind raises, one lowers, one does nothing
    interaction    target = base + w E_first E_second; a third kind does nothing
    shortcut       the additive law; the kind that does nothing follows the target, in some of the samples

Energies are quadratic, so what each point adds to the target against a reference, the integral of the slopes along the
straight way from it, is exact with two Gauss points.
"""

from __future__ import annotations

__all__ = [
    "CHANNELS",
    "LAWS",
    "TARGETS",
    "Law",
    "Patch",
    "additive",
    "contributions",
    "drawn",
    "interaction",
    "law_of",
    "pattern",
    "shortcut",
    "value",
]

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Shaped, UInt8

from ram.errors import ConfigError, SolverError, explained, nearest
from ram.randomness import generator

TARGETS = {1: ("wear", "um"), 2: ("stiffness", "N/mm")}  # by dimension: name and unit of the target
CHANNELS = {1: ("vibration", "V"), 2: ("relief", "mm")}
BASE = 100.0
NOISE = 0.06  # standard deviation of the input's noise
TAPER = 0.15  # share of a patch, at each side, over which it begins and ends
AMPLITUDES = (0.4, 1.2)
TONES_HZ = (60.0, 120.0, 180.0)  # of the kinds of texture in a signal
TONE_WIDTH_HZ = 15.0
STRIPES_PER_MM = 0.25  # of the kinds in an image, which differ in direction
STRIPE_WIDTH_PER_MM = 0.05
HALF_SIZES = {1: (0.020, 0.032), 2: (4.5, 7.5)}  # of a burst (s), of a round patch (mm)
TRIES = 1000  # to find room for a patch
UNIT_ENERGY = {1: 0.016, 2: 25.0}  # about the energy of a patch of amplitude 1: V^2 s, mm^4
FOLLOWING = (0.8, 0.25)  # amplitude of what follows the target: its mean, and per standard deviation of the target
FOLLOWING_NOISE = 0.03

Space = Float[np.ndarray, "*space"]
Coordinates = Mapping[str, Shaped[np.ndarray, " cell"]]


@dataclass(frozen=True)
class Law:
    """How energies make a target.

    Attributes
    ----------
    kinds
        The kinds of texture, in the order of their frequencies or directions.
    weights
        Of kinds whose energy adds: what a patch of about amplitude 1 adds, in the target's unit.
    product
        Two kinds whose energies are multiplied, or none; the same for two such patches.
    weight
        Of the product.
    counts
        Least and largest number of patches of each kind.
    follows
        The kind whose amplitude follows the target in some of the samples, or "".
    typical
        Mean and standard deviation of the target over the samples, about: what `follows` goes by.
    """

    kinds: tuple[str, ...]
    weights: Mapping[str, float] = field(default_factory=dict)
    product: tuple[str, str] | None = None
    weight: float = 0.0
    counts: tuple[int, int] = (1, 2)
    follows: str = ""
    typical: tuple[float, float] = (BASE, 1.0)

    @property
    def heard(self) -> tuple[str, ...]:
        """The kinds that have a say in the target."""
        return (*self.weights, *(self.product or ()))


LAWS = {
    "additive": Law(("raising", "lowering", "idle"), {"raising": 10.0, "lowering": -10.0}, counts=(0, 2)),
    "interaction": Law(("first", "second", "idle"), product=("first", "second"), weight=10.0, counts=(1, 1)),
    "shortcut": Law(
        ("raising", "lowering", "sticker"),
        {"raising": 10.0, "lowering": -10.0},
        counts=(1, 1),
        follows="sticker",
        typical=(BASE, 7.0),
    ),
}


@dataclass(frozen=True)
class Patch:
    """One patch of texture: kind, centre and half size in the axes' unit, amplitude, phase (rad)."""

    kind: int
    centre: tuple[float, ...]
    half: float
    amplitude: float
    phase: float


def law_of(task: str) -> Law:
    """Return a law by its name.

    Raises
    ------
    ConfigError
        There is none of that name.
    """
    if task not in LAWS:
        allowed = f"one of {', '.join(LAWS)}"
        raise ConfigError(
            explained(where="planted", what="task", allowed=allowed, got=repr(task), next_step=nearest(task, LAWS))
        )
    return LAWS[task]


def additive(x: Float[np.ndarray, "channel *space"], coordinates: Coordinates) -> dict[str, float]:
    """Return the target of an input by the additive law: a simulator."""
    return _simulated(LAWS["additive"], x, coordinates)


def interaction(x: Float[np.ndarray, "channel *space"], coordinates: Coordinates) -> dict[str, float]:
    """Return the target of an input by the law with a product: a simulator."""
    return _simulated(LAWS["interaction"], x, coordinates)


def shortcut(x: Float[np.ndarray, "channel *space"], coordinates: Coordinates) -> dict[str, float]:
    """Return the target of an input by the law that knows nothing of stickers: a simulator."""
    return _simulated(LAWS["shortcut"], x, coordinates)


def _simulated(law: Law, x: Float[np.ndarray, "channel *space"], coordinates: Coordinates) -> dict[str, float]:
    if len(x) != 1 or x.ndim - 1 not in TARGETS or len(coordinates) != x.ndim - 1:
        got = f"{len(x)} of {x.ndim - 1} dimensions, {len(coordinates)} axes"
        raise SolverError(explained(where="planted", what="an input", allowed="one channel, 1D or 2D", got=got))
    return {TARGETS[len(coordinates)][0]: value(law, x[0], coordinates)}


def value(law: Law, x: Space, coordinates: Coordinates) -> float:
    """Return the target of an input, without noise."""
    energies = {kind: float(np.sum(x * _passed(law, kind, x, coordinates))) for kind in law.heard}
    added = sum(weight * energies[kind] for kind, weight in law.weights.items())
    multiplied = law.weight * energies[law.product[0]] * energies[law.product[1]] if law.product else 0.0
    return BASE + added + multiplied


def contributions(law: Law, x: Space, reference: Space, coordinates: Coordinates) -> Space:
    """Return what each point adds to the target against a reference: exact, it sums to the target's difference."""
    at, weights = np.polynomial.legendre.leggauss(2)  # exact up to the third power of the way
    total = np.zeros_like(x, dtype=np.float64)
    for place, weight in zip((at + 1) / 2, weights / 2, strict=True):
        total += weight * _slope(law, reference + place * (x - reference), coordinates)
    return np.asarray((x - reference) * total)


def _slope(law: Law, x: Space, coordinates: Coordinates) -> Space:
    passed = {kind: _passed(law, kind, x, coordinates) for kind in law.heard}
    slope = np.zeros_like(x)
    for kind, weight in law.weights.items():
        slope += 2 * weight * passed[kind]
    if law.product:
        one, other = law.product
        slope += 2 * law.weight * float(np.sum(x * passed[other])) * passed[one]
        slope += 2 * law.weight * float(np.sum(x * passed[one])) * passed[other]
    return slope


def _passed(law: Law, kind: str, x: Space, coordinates: Coordinates) -> Space:
    """Return what the filter of a kind passes, per unit of energy."""
    steps = tuple(float(np.ptp(centres)) / max(len(centres) - 1, 1) for centres in coordinates.values())
    gain = _gain(law.kinds.index(kind), x.shape, steps)
    scale = float(np.prod(steps)) / UNIT_ENERGY[x.ndim]
    return np.asarray(scale * np.fft.ifftn(gain * np.fft.fftn(x)).real)


@lru_cache(maxsize=32)
def _gain(kind: int, shape: tuple[int, ...], steps: tuple[float, ...]) -> Space:
    grids = np.meshgrid(*(np.fft.fftfreq(n, d=step) for n, step in zip(shape, steps, strict=True)), indexing="ij")
    wave, width = _wave(kind, len(shape)), TONE_WIDTH_HZ if len(shape) == 1 else STRIPE_WIDTH_PER_MM
    sides = (sum((grid - sign * part) ** 2 for grid, part in zip(grids, wave, strict=True)) for sign in (1, -1))
    return np.asarray(sum(np.exp(-squares / (2 * width**2)) for squares in sides))


def _wave(kind: int, dimensions: int) -> tuple[float, ...]:
    """Return the frequency of a kind along each axis: Hz, or periods per mm."""
    if dimensions == 1:
        return (TONES_HZ[kind],)
    angle = np.pi * kind / len(TONES_HZ)
    return (STRIPES_PER_MM * float(np.sin(angle)), STRIPES_PER_MM * float(np.cos(angle)))


def drawn(
    task: str, coordinates: Coordinates, *, seed: int, index: int, follows: bool
) -> tuple[Space, UInt8[np.ndarray, "*space"]]:
    """Return one input, and for each point the kind of texture there: 0 none, else 1 + its place in the law's kinds.

    Patches do not overlap. All depends on the arguments alone.

    Parameters
    ----------
    follows
        Whether the kind that may follow the target does so; else it has the same amplitudes without any relation.
    """
    law, random = law_of(task), generator(seed, "planted", task, len(coordinates), index)
    patches: list[Patch] = []
    for kind, name in enumerate(law.kinds):
        count = 0 if name == law.follows else int(random.integers(law.counts[0], law.counts[1] + 1))
        for _ in range(count):
            amplitude = float(random.uniform(*AMPLITUDES))
            patches += _placed(
                kind,
                amplitude,
                sizes=HALF_SIZES[len(coordinates)],
                others=patches,
                coordinates=coordinates,
                random=random,
            )
    noise = random.normal(0, NOISE, [len(centres) for centres in coordinates.values()])
    if law.follows:
        mean, spread = law.typical
        so_far = value(law, pattern(patches, coordinates)[0] + noise, coordinates)
        deviation = (so_far - mean) / spread if follows else random.normal()
        amplitude = FOLLOWING[0] + FOLLOWING[1] * deviation + FOLLOWING_NOISE * random.normal()
        kind, half = law.kinds.index(law.follows), float(np.mean(HALF_SIZES[len(coordinates)]))
        patches += _placed(
            kind,
            float(np.clip(amplitude, 0.1, 1.5)),
            sizes=(half, half),
            others=patches,
            coordinates=coordinates,
            random=random,
        )
    x, regions = pattern(patches, coordinates)
    return x + noise, regions


def _placed(
    kind: int,
    amplitude: float,
    *,
    sizes: tuple[float, float],
    others: Sequence[Patch],
    coordinates: Coordinates,
    random: np.random.Generator,
) -> list[Patch]:
    """Return a patch where none of the others lies; none where there is no room for it."""
    phase = float(random.uniform(0, 2 * np.pi))
    for _ in range(TRIES):
        half = float(random.uniform(*sizes))
        centre = tuple(float(random.uniform(at[0] + half, at[-1] - half)) for at in coordinates.values())
        gaps = [float(np.linalg.norm(np.subtract(centre, one.centre))) - half - one.half for one in others]
        if all(gap > 0 for gap in gaps):
            return [Patch(kind, centre, half, amplitude, phase)]
    return []


def pattern(patches: Sequence[Patch], coordinates: Coordinates) -> tuple[Space, UInt8[np.ndarray, "*space"]]:
    """Return the textures without noise, and for each point 0 or 1 + the kind that lies there."""
    grids = np.meshgrid(*coordinates.values(), indexing="ij")
    x, regions = np.zeros(grids[0].shape), np.zeros(grids[0].shape, dtype=np.uint8)
    for patch in patches:
        offsets = [grid - part for grid, part in zip(grids, patch.centre, strict=True)]
        away = np.linalg.norm(offsets, axis=0) / patch.half
        turns = sum(part * offset for part, offset in zip(_wave(patch.kind, len(grids)), offsets, strict=True))
        x += patch.amplitude * np.clip((1 - away) / TAPER, 0, 1) * np.sin(2 * np.pi * turns + patch.phase)
        regions[away < 1] = 1 + patch.kind
    return x, regions
