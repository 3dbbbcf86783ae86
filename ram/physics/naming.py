"""The modes of a wheel disc that have names, found by what its rim does.

umbrella: the rim moves the same all around; tilt: one nodal diameter, a pair; two_diameter: two, a pair; torsion: in
the plane, the rim turns about the hub.
"""

from __future__ import annotations

__all__ = ["CLAMP_MARGIN", "SLOTS", "Disc", "all_bending", "connected", "named_bending", "refusal", "torsion"]

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import scipy.ndimage
from jaxtyping import Bool, Float
from scipy.optimize import linear_sum_assignment

from ram.errors import SolverError, explained
from ram.physics import plate
from ram.physics.design import CLAMP_RADIUS_MM

SLOTS = ("umbrella", "tilt", "tilt", "two_diameter", "two_diameter")
HARMONICS = np.array([0, 1, 1, 2, 2])
CLAMP_MARGIN = 0.4  # of a pixel: the staircase's clamp then lies, on average, where the circle does
RIM_MM = 200.0  # nodes beyond this radius tell the modes apart
RIM_GAP_DEGREES = 30.0  # a rim that lacks more than this has no nodal diameters to count
LEAST_SHARE = 0.3  # of the rim's motion that must be the harmonic by which a mode is named
LEAST_TURN = 0.5  # of the rim's motion that must be a turn about the hub
MM = 1e-3

Map = Float[np.ndarray, "y x"]


@dataclass(frozen=True)
class Disc:
    """A wheel as the plate solver takes it: fill (0..1), thickness (m), width of a pixel (m).

    `bending_share` is the share of its bending stiffness that each pixel has kept; None: all of it.
    """

    fill: Map = field(repr=False)
    thickness: Map = field(repr=False)
    pitch: float
    bending_share: Map | None = field(default=None, repr=False)

    @property
    def clamped(self) -> Bool[np.ndarray, " node"]:
        """Nodes that the hub holds."""
        return _grid(len(self.fill), self.pitch).clamped

    def modes(
        self, *, count: int, law: plate.Law, start: Float[np.ndarray, "shape node unknown"] | None
    ) -> plate.Modes:
        """Return the lowest modes, the hub clamped."""
        return plate.modes(
            self.fill,
            self.thickness,
            pitch=self.pitch,
            clamped=self.clamped,
            count=count,
            law=law,
            start=start,
            bending_share=self.bending_share,
        )


@dataclass(frozen=True)
class _Grid:
    """Nodes of the image of a wheel: which are clamped, which tell the modes, and shapes to start from."""

    clamped: Bool[np.ndarray, " node"]
    rim: Bool[np.ndarray, " node"]
    angle: Float[np.ndarray, " node"]
    bending: Float[np.ndarray, "shape node 3"]
    in_plane: Float[np.ndarray, "shape node 2"]


@lru_cache(maxsize=8)
def _grid(size: int, pitch: float) -> _Grid:
    at = (np.arange(size + 1) - size / 2) * pitch / MM
    x, y = np.meshgrid(at, at)
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    clamped = radius <= CLAMP_RADIUS_MM + CLAMP_MARGIN * pitch / MM
    return _Grid(
        clamped=clamped.ravel(),
        rim=radius.ravel() >= RIM_MM,
        angle=angle.ravel(),
        bending=_bending_shapes(radius, angle, pitch / MM),
        in_plane=_in_plane_shapes(x, y, radius),
    )


def _bending_shapes(radius: Map, angle: Map, pitch_mm: float) -> Float[np.ndarray, "shape node 3"]:
    """Return deflections that grow from the clamp with 0 to 3 nodal diameters, slopes beside them."""
    away = np.clip(radius / CLAMP_RADIUS_MM - 1, 0, None) ** 2
    waves = [np.cos(n * angle) for n in range(4)] + [np.sin(n * angle) for n in (1, 2, 3)]
    deflections = [away * wave for wave in waves] + [away * np.cos(radius / 60)]
    shapes = [[w, *np.gradient(w, pitch_mm)[::-1]] for w in deflections]
    return _unlike(np.moveaxis(np.array(shapes), 1, -1).reshape(len(shapes), -1, 3))


def _in_plane_shapes(x: Map, y: Map, radius: Map) -> Float[np.ndarray, "shape node 2"]:
    """Return the turn about the hub and the two translations, growing from the clamp."""
    away = np.clip(radius - CLAMP_RADIUS_MM, 0, None)
    nothing = np.zeros_like(away)
    shapes = [(-y * away / radius.clip(1), x * away / radius.clip(1)), (away, nothing), (nothing, away)]
    return _unlike(np.moveaxis(np.array(shapes), 1, -1).reshape(3, -1, 2))


def _unlike(shapes: Float[np.ndarray, "shape node unknown"]) -> Float[np.ndarray, "shape node unknown"]:
    """Return the shapes, scaled, with a little noise: no mode is orthogonal to all of them by symmetry."""
    noise = np.random.default_rng(0).uniform(-1, 1, shapes.shape)
    return np.asarray(shapes / np.abs(shapes).max(axis=(1, 2), keepdims=True) + 1e-3 * noise)


def refusal(what: str, allowed: str, got: object) -> SolverError:
    """Return the error for an image that is no wheel."""
    return SolverError(explained(where="wheel", what=what, allowed=allowed, got=got))


def connected(fill: Map, pitch_mm: float) -> Bool[np.ndarray, "y x"]:
    """Return the pixels that hang together, edge by edge, with the clamped hub.

    Raises
    ------
    SolverError
        Where there is nothing at the hub, what hangs on it does not reach the rim, or the rim is open.
    """
    at = (np.arange(len(fill)) - (len(fill) - 1) / 2) * pitch_mm
    radius = np.hypot(at[None, :], at[:, None])
    parts, _ = scipy.ndimage.label(fill > plate.SMALLEST_FILL)
    at_hub = np.unique(parts[(radius <= CLAMP_RADIUS_MM) & (parts > 0)])
    if not at_hub.size:
        raise refusal("the hub", f"material within {CLAMP_RADIUS_MM:g} mm of the centre", "none")
    kept = np.isin(parts, at_hub)
    at_rim = kept & (radius >= RIM_MM)
    if not at_rim.any():
        reach = f"material that ends {radius[kept].max():.0f} mm from the centre"
        raise refusal("the wheel", f"connected from the hub to the rim at {RIM_MM:g} mm", reach)
    angle = np.arctan2(at[:, None], at[None, :])[at_rim]
    gap = np.degrees(np.diff(np.sort(angle), append=angle.min() + 2 * np.pi).max())
    if gap > RIM_GAP_DEGREES:
        raise refusal("the rim", f"closed, with no gap over {RIM_GAP_DEGREES:g} degrees", f"a gap of {gap:.0f} degrees")
    return kept


def named_bending(disc: Disc, *, count: int) -> tuple[plate.Modes, Float[np.ndarray, " mode"], tuple[str, ...]]:
    """Return the five modes that have names, in the order of `SLOTS`; the frequencies of all, and their names.

    `count` modes are computed; more where these do not hold all that have names.

    Raises
    ------
    SolverError
        Where no modes can be named.
    """
    found, slots = all_bending(disc, count=count)
    names = dict(zip(slots, SLOTS, strict=True))
    return found.only(slots), found.frequencies, tuple(names.get(mode, "") for mode in range(len(found.eigenvalues)))


def all_bending(disc: Disc, *, count: int) -> tuple[plate.Modes, list[int]]:
    """Return the lowest bending modes, `count` or more, and which of them fill the `SLOTS`.

    Raises
    ------
    SolverError
        Where no modes can be named.
    """
    grid = _grid(len(disc.fill), disc.pitch)
    for more in (0, 8, 16):
        found = disc.modes(count=count + more, law=plate.BENDING, start=None if more else grid.bending)
        shares = _rim_shares(found, grid)
        slots = _assigned(shares, found.eigenvalues)
        if len(slots) == len(SLOTS) and np.all(shares[slots, HARMONICS] >= LEAST_SHARE):
            return found, slots
    got = ", ".join(f"{f:.0f} Hz (n={n})" for f, n in zip(found.frequencies, shares.argmax(axis=1), strict=True))
    raise refusal("the modes", "an umbrella, a pair of tilts and a pair with two diameters", got)


def _rim_shares(found: plate.Modes, grid: _Grid) -> Float[np.ndarray, "mode harmonic"]:
    """Return which share of each mode's motion of the rim has n = 0, 1, 2, 3, 4 nodal diameters."""
    at_rim = grid.rim & found.used
    angle, w = grid.angle[at_rim], found.shapes[:, at_rim, 0]
    waves = np.stack([wave(n * angle) for n in range(5) for wave in (np.cos, np.sin)], axis=1)
    waves = np.delete(waves, 1, axis=1)  # sin 0
    parts = np.linalg.lstsq(waves, w.T, rcond=None)[0].T  # (mode, 9)
    power = parts**2 * np.mean(waves**2, axis=0)
    by_harmonic = np.stack([power[:, 0], *(power[:, 2 * n - 1] + power[:, 2 * n] for n in range(1, 5))], axis=1)
    return np.asarray(by_harmonic / np.mean(w**2, axis=1, keepdims=True))


def _assigned(shares: Float[np.ndarray, "mode harmonic"], eigenvalues: Float[np.ndarray, " mode"]) -> list[int]:
    """Return the mode of each slot: together they hold most of the rim's flexibility, share / eigenvalue."""
    flexibility = shares[:, HARMONICS].T / eigenvalues
    slots = linear_sum_assignment(flexibility, maximize=True)[1]
    return [int(slots[0]), *sorted(map(int, slots[1:3])), *sorted(map(int, slots[3:5]))]


def torsion(disc: Disc) -> plate.Modes:
    """Return the lowest mode in the plane in which the rim turns about the hub.

    Raises
    ------
    SolverError
        Where the lowest ten modes hold none.
    """
    grid = _grid(len(disc.fill), disc.pitch)
    for count in (1, 4, 10):
        found = disc.modes(count=count, law=plate.IN_PLANE, start=grid.in_plane if count == 1 else None)
        at_rim = grid.rim & found.used
        along = np.stack([-np.sin(grid.angle[at_rim]), np.cos(grid.angle[at_rim])], axis=1)
        moved = found.shapes[:, at_rim]
        shares = np.mean(np.sum(moved * along, axis=2), axis=1) ** 2 / np.mean(np.sum(moved**2, axis=2), axis=1)
        turning = np.flatnonzero(shares > LEAST_TURN)
        if turning.size:
            return found.only([int(turning[0])])
    got = ", ".join(f"{f:.0f} Hz" for f in found.frequencies)
    raise refusal("a mode in the plane", "a turn of the rim about the hub", got)
