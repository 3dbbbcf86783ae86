"""Mode frequencies of a wheel disc from its image, and what each pixel does to them.

A planar disc of aluminium, clamped at its hub, free at its rim: a model wheel, no production wheel. Modes are named
by what the rim does: umbrella (the same all around), tilt (one nodal diameter, a pair), two_diameter (two, a pair),
torsion (in the plane, turning about the hub). A pair counts by its mean, sqrt of the mean eigenvalue, because the
two shapes of a symmetric wheel are arbitrary.
"""

from __future__ import annotations

__all__ = [
    "PATH_TARGETS",
    "REGIONS",
    "TARGETS",
    "Design",
    "Solution",
    "WheelImage",
    "contributions",
    "design",
    "rasterise",
    "solve",
]

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import scipy.ndimage
from jaxtyping import Bool, Float
from scipy.optimize import linear_sum_assignment

from ram.errors import SolverError, explained
from ram.physics import plate
from ram.physics.design import CLAMP_RADIUS_MM, REGIONS, Design, WheelImage, design, rasterise
from ram.physics.path import PathTruth, integrated

TARGETS = {
    "umbrella": "Hz",
    "tilt": "Hz",
    "two_diameter": "Hz",
    "torsion": "Hz",
    "tilt_splitting": "Hz",
    "tilt_ratio": "1",
    "two_diameter_ratio": "1",
    "mass": "kg",
}
PATH_TARGETS = tuple(name for name in TARGETS if name != "tilt_splitting")
SLOTS = ("umbrella", "tilt", "tilt", "two_diameter", "two_diameter")
PATH_MODES = 5  # on the way from one design to another only the modes with names are wanted
HARMONICS = np.array([0, 1, 1, 2, 2])
CLAMP_MARGIN = 0.4  # of a pixel: the staircase's clamp then lies, on average, where the circle does
RIM_MM = 200.0  # nodes beyond this radius tell the modes apart
LEAST_SHARE = 0.3  # of the rim's motion that must be the harmonic by which a mode is named
ROUNDING = 1e-9  # a straight way between two fills may leave 0..1 by this much
MM = 1e-3

Map = Float[np.ndarray, "y x"]


@dataclass(frozen=True)
class Solution:
    """What the solver knows about one wheel.

    Attributes
    ----------
    targets
        The values named in `TARGETS`, in their units.
    frequencies
        All computed modes (Hz): bending, rising, then torsion.
    mode_names
        Their names, empty where a mode has none.
    d_thickness, d_fill
        What each pixel does to each target, shape (y, x): unit per mm of thickness, unit per 1 of fill. Zero
        where the wheel has no material. Empty without `sensitivities`.
    dropped
        Number of pixels with material that hang on nothing and were left out.
    """

    targets: dict[str, float]
    frequencies: Float[np.ndarray, " mode"]
    mode_names: tuple[str, ...]
    d_thickness: dict[str, Map] = field(repr=False)
    d_fill: dict[str, Map] = field(repr=False)
    dropped: int


@dataclass(frozen=True)
class _Grid:
    """Nodes of the image of a wheel: which are clamped, which tell the modes, and shapes to start from."""

    clamped: Bool[np.ndarray, " node"]
    rim: Bool[np.ndarray, " node"]
    angle: Float[np.ndarray, " node"]
    bending: Float[np.ndarray, "shape node 3"]
    in_plane: Float[np.ndarray, "shape node 2"]


@lru_cache(maxsize=8)
def _grid(size: int, pitch_mm: float) -> _Grid:
    at = (np.arange(size + 1) - size / 2) * pitch_mm
    x, y = np.meshgrid(at, at)
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    clamped = radius <= CLAMP_RADIUS_MM + CLAMP_MARGIN * pitch_mm
    return _Grid(
        clamped=clamped.ravel(),
        rim=radius.ravel() >= RIM_MM,
        angle=angle.ravel(),
        bending=_bending_shapes(radius, angle, pitch_mm),
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
    return shapes / np.abs(shapes).max(axis=(1, 2), keepdims=True) + 1e-3 * noise


def solve(fill: Map, thickness: Map, *, pitch_mm: float, sensitivities: bool, modes: int = 8) -> Solution:
    """Return the targets of a wheel and, where asked, what each pixel does to them.

    Parameters
    ----------
    fill
        Share of each pixel that is material, 0..1.
    thickness
        Thickness in mm.
    pitch_mm
        Width of a pixel; the wheel's centre is the middle of the image.
    modes
        Number of bending modes to begin with; more are computed where these do not hold all that have names.

    Raises
    ------
    SolverError
        Where the image is no wheel: nothing at the hub, nothing at the rim, values out of range, or no modes
        that can be named.
    """
    _check(fill, thickness)
    kept = _connected(fill, pitch_mm)
    material = np.where(kept, fill, 0.0)
    named, frequencies, names = _bending(material, thickness * MM, pitch_mm, modes)
    turning = _torsion(material, thickness * MM, pitch_mm)
    targets = _targets(named, turning, material, thickness, pitch_mm)
    d_thickness: dict[str, Map] = {}
    d_fill: dict[str, Map] = {}
    if sensitivities:
        d_thickness, d_fill = _sensitivities(named, turning, targets, material, thickness, pitch_mm)
    return Solution(
        targets=targets,
        frequencies=np.append(frequencies, turning.frequencies),
        mode_names=(*names, "torsion"),
        d_thickness=d_thickness,
        d_fill=d_fill,
        dropped=int(((fill > plate.SMALLEST_FILL) & ~kept).sum()),
    )


def _refusal(what: str, allowed: str, got: object) -> SolverError:
    return SolverError(explained(where="wheel", what=what, allowed=allowed, got=got))


def _check(fill: Map, thickness: Map) -> None:
    if fill.ndim != 2 or fill.shape[0] != fill.shape[1] or fill.shape != thickness.shape:
        got = f"fill {fill.shape} and thickness {thickness.shape}"
        raise _refusal("fill and thickness", "square images of the same shape", got)
    if not (np.all(np.isfinite(fill)) and fill.min() >= -ROUNDING and fill.max() <= 1 + ROUNDING):
        raise _refusal("fill", "between 0 and 1", f"{fill.min():g} to {fill.max():g}")
    if not (np.all(np.isfinite(thickness)) and thickness.min() > 0):
        raise _refusal("thickness", "positive (mm)", f"{thickness.min():g} to {thickness.max():g}")


def _connected(fill: Map, pitch_mm: float) -> Bool[np.ndarray, "y x"]:
    """Return the pixels that hang together, edge by edge, with the clamped hub."""
    size = len(fill)
    at = (np.arange(size) - (size - 1) / 2) * pitch_mm
    radius = np.hypot(at[None, :], at[:, None])
    parts, _ = scipy.ndimage.label(fill > plate.SMALLEST_FILL)
    at_hub = np.unique(parts[(radius <= CLAMP_RADIUS_MM) & (parts > 0)])
    if not at_hub.size:
        raise _refusal("the hub", f"material within {CLAMP_RADIUS_MM:g} mm of the centre", "none")
    kept = np.isin(parts, at_hub)
    if not np.any(kept & (radius >= RIM_MM)):
        reach = f"material that ends {radius[kept].max():.0f} mm from the centre"
        raise _refusal("the wheel", f"connected from the hub to the rim at {RIM_MM:g} mm", reach)
    return kept


def _bending(
    fill: Map, thickness: Map, pitch_mm: float, count: int
) -> tuple[plate.Modes, Float[np.ndarray, " mode"], tuple[str, ...]]:
    """Return the five modes that have names, in the order of `SLOTS`; the frequencies of all, and their names."""
    grid = _grid(len(fill), pitch_mm)
    contents: list[str] = []
    for more in (0, 8, 16):
        start = grid.bending if not more else None
        found = plate.modes(fill, thickness, pitch=pitch_mm * MM, clamped=grid.clamped, count=count + more, start=start)
        shares = _rim_shares(found, grid)
        slots = _named(shares, found.eigenvalues)
        if np.all(shares[slots, HARMONICS] >= LEAST_SHARE):
            names = [""] * len(shares)
            for slot, name in zip(slots, SLOTS, strict=True):
                names[slot] = name
            return found.only(slots), found.frequencies, tuple(names)
        contents = [f"{f:.0f} Hz (n={n})" for f, n in zip(found.frequencies, shares.argmax(axis=1), strict=True)]
    raise _refusal("the modes", "an umbrella, a pair of tilts and a pair with two diameters", ", ".join(contents))


def _rim_shares(found: plate.Modes, grid: _Grid) -> Float[np.ndarray, "mode harmonic"]:
    """Return which share of each mode's motion of the rim has n = 0, 1, 2, 3, 4 nodal diameters."""
    at_rim = grid.rim & found.used
    angle, w = grid.angle[at_rim], found.shapes[:, at_rim, 0]
    waves = np.stack([wave(n * angle) for n in range(5) for wave in (np.cos, np.sin)], axis=1)
    waves = np.delete(waves, 1, axis=1)  # sin 0
    parts = np.linalg.lstsq(waves, w.T, rcond=None)[0].T  # (mode, 9)
    power = parts**2 * np.mean(waves**2, axis=0)
    by_harmonic = np.stack([power[:, 0], *(power[:, 2 * n - 1] + power[:, 2 * n] for n in range(1, 5))], axis=1)
    return by_harmonic / np.mean(w**2, axis=1, keepdims=True)


def _named(shares: Float[np.ndarray, "mode harmonic"], eigenvalues: Float[np.ndarray, " mode"]) -> list[int]:
    """Return the mode of each slot: together they hold most of the rim's flexibility, share / eigenvalue."""
    flexibility = shares[:, HARMONICS].T / eigenvalues
    slots = linear_sum_assignment(flexibility, maximize=True)[1]
    return [int(slots[0]), *sorted(map(int, slots[1:3])), *sorted(map(int, slots[3:5]))]


def _torsion(fill: Map, thickness: Map, pitch_mm: float) -> plate.Modes:
    """Return the lowest mode in the plane in which the rim turns about the hub."""
    grid = _grid(len(fill), pitch_mm)
    for count in (1, 4, 10):
        start = grid.in_plane if count <= 2 else None
        found = plate.modes(
            fill, thickness, pitch=pitch_mm * MM, clamped=grid.clamped, count=count, law=plate.IN_PLANE, start=start
        )
        at_rim = grid.rim & found.used
        along = np.stack([-np.sin(grid.angle[at_rim]), np.cos(grid.angle[at_rim])], axis=1)
        moved = found.shapes[:, at_rim]
        shares = np.mean(np.sum(moved * along, axis=2), axis=1) ** 2 / np.mean(np.sum(moved**2, axis=2), axis=1)
        turning = np.flatnonzero(shares > 0.5)
        if turning.size:
            return found.only([int(turning[0])])
    got = ", ".join(f"{f:.0f} Hz" for f in found.frequencies)
    raise _refusal("a mode in the plane", "a turn of the rim about the hub", got)


def _targets(named: plate.Modes, turning: plate.Modes, fill: Map, thickness: Map, pitch_mm: float) -> dict[str, float]:
    umbrella, tilt, two = (_hertz(np.mean(named.eigenvalues[pick])) for pick in (slice(0, 1), slice(1, 3), slice(3, 5)))
    kilogram = plate.ALUMINIUM.density * (pitch_mm * MM) ** 2 * MM
    return {
        "umbrella": umbrella,
        "tilt": tilt,
        "two_diameter": two,
        "torsion": float(turning.frequencies[0]),
        "tilt_splitting": float(named.frequencies[2] - named.frequencies[1]),
        "tilt_ratio": tilt / umbrella,
        "two_diameter_ratio": two / umbrella,
        "mass": float(kilogram * np.sum(fill * thickness)),
    }


def _hertz(eigenvalue: float | np.floating) -> float:
    return float(np.sqrt(eigenvalue) / (2 * np.pi))


def _sensitivities(
    named: plate.Modes, turning: plate.Modes, targets: dict[str, float], fill: Map, thickness: Map, pitch_mm: float
) -> tuple[dict[str, Map], dict[str, Map]]:
    """Return (unit per mm of thickness, unit per 1 of fill) of every target."""
    t, pitch = thickness * MM, pitch_mm * MM
    bending = plate.derivatives(named, fill, t, pitch=pitch)
    in_plane = plate.derivatives(turning, fill, t, pitch=pitch, law=plate.IN_PLANE)
    frequencies, scales = named.frequencies, (MM, 1.0)
    kilogram = plate.ALUMINIUM.density * pitch**2 * MM
    masses = (kilogram * fill, kilogram * thickness * (fill > 0))
    both = []
    for by_mode, by_turn, mass, scale in zip(bending, in_plane, masses, scales, strict=True):
        slopes = scale * by_mode / (8 * np.pi**2)  # of lambda / (8 pi^2): divided by f it is the slope of f
        maps = {
            "umbrella": slopes[0] / targets["umbrella"],
            "tilt": slopes[1:3].mean(axis=0) / targets["tilt"],
            "two_diameter": slopes[3:5].mean(axis=0) / targets["two_diameter"],
            "torsion": scale * by_turn[0] / (8 * np.pi**2) / targets["torsion"],
            "tilt_splitting": slopes[2] / frequencies[2] - slopes[1] / frequencies[1],
        }
        for name in ("tilt", "two_diameter"):
            relative = maps[name] / targets[name] - maps["umbrella"] / targets["umbrella"]
            maps[f"{name}_ratio"] = targets[f"{name}_ratio"] * relative
        both.append({**maps, "mass": mass})
    return both[0], both[1]


def contributions(
    fill: Map,
    thickness: Map,
    reference_fill: Map,
    reference_thickness: Map,
    *,
    pitch_mm: float,
    target_values: Mapping[str, float] | None = None,
    points: tuple[int, ...] = (4, 7, 12, 20),
) -> PathTruth:
    """Return what each pixel adds to each target against a reference design: the solver's integrated gradient.

    The integral of d target / d fill and d target / d thickness along the straight way from the reference to this
    design, times the differences; it sums to target - reference target. `tilt_splitting` has none, because a pair
    has no derivative where it is equal.

    Parameters
    ----------
    target_values
        This design's targets, where they are known already.
    points
        Numbers of Gauss points to try in turn, until the sum errs by at most 1 % of the sum of absolute
        contributions.

    Raises
    ------
    SolverError
        Where a design on the way cannot be solved.
    """
    begin = _values(reference_fill.tobytes(), reference_thickness.tobytes(), len(fill), pitch_mm)
    end = target_values or solve(fill, thickness, pitch_mm=pitch_mm, sensitivities=False, modes=PATH_MODES).targets
    changes = {name: end[name] - begin[name] for name in PATH_TARGETS}

    def slopes(a: Map, t: Map) -> tuple[dict[str, Map], dict[str, Map]]:
        found = solve(a, t, pitch_mm=pitch_mm, sensitivities=True, modes=PATH_MODES)
        return found.d_fill, found.d_thickness

    return integrated(slopes, (reference_fill, reference_thickness), (fill, thickness), changes, points=points)


@lru_cache(maxsize=4)
def _values(fill: bytes, thickness: bytes, size: int, pitch_mm: float) -> dict[str, float]:
    """Return the targets of a reference, which is the same for thousands of designs."""
    a, t = (np.frombuffer(values).reshape(size, size) for values in (fill, thickness))
    return solve(a, t, pitch_mm=pitch_mm, sensitivities=False, modes=PATH_MODES).targets
