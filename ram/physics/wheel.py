"""Mode frequencies of a wheel disc from its image, and what each pixel does to them.

A planar disc of aluminium, clamped at its hub, free at its rim: a model wheel, no production wheel. A pair of modes
counts by its mean, sqrt of the mean eigenvalue, because the two shapes of a symmetric wheel are arbitrary.
"""

from __future__ import annotations

__all__ = [
    "PATH_TARGETS",
    "REGIONS",
    "TARGETS",
    "Design",
    "PathTruth",
    "Solution",
    "WheelImage",
    "contributions",
    "design",
    "frequencies",
    "rasterise",
    "solve",
]

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from jaxtyping import Float

from ram.physics import plate
from ram.physics.design import REGIONS, Design, WheelImage, design, rasterise
from ram.physics.naming import Disc, connected, named_bending, refusal, torsion
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
PATH_MODES = 5  # on the way from one design to another only the modes with names are wanted
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
    kept = connected(fill, pitch_mm)
    disc = Disc(np.where(kept, fill, 0.0), thickness * MM, pitch_mm * MM)
    bending, frequencies, names = named_bending(disc, count=modes)
    turning = torsion(disc)
    targets = _targets(disc, bending, turning)
    slopes = _sensitivities(disc, bending, turning, targets) if sensitivities else ({}, {})
    return Solution(
        targets=targets,
        frequencies=np.append(frequencies, turning.frequencies),
        mode_names=(*names, "torsion"),
        d_thickness=slopes[0],
        d_fill=slopes[1],
        dropped=int(((fill > plate.SMALLEST_FILL) & ~kept).sum()),
    )


def _check(fill: Map, thickness: Map) -> None:
    if fill.ndim != 2 or fill.shape[0] != fill.shape[1] or fill.shape != thickness.shape:
        got = f"fill {fill.shape} and thickness {thickness.shape}"
        raise refusal("fill and thickness", "square images of the same shape", got)
    if not (np.all(np.isfinite(fill)) and fill.min() >= -ROUNDING and fill.max() <= 1 + ROUNDING):
        raise refusal("fill", "between 0 and 1", f"{fill.min():g} to {fill.max():g}")
    if not (np.all(np.isfinite(thickness)) and thickness.min() > 0):
        raise refusal("thickness", "positive (mm)", f"{thickness.min():g} to {thickness.max():g}")


def _pixel_mass(disc: Disc) -> float:
    """Return the mass of a full pixel in kg per mm of thickness."""
    return plate.ALUMINIUM.density * disc.pitch**2 * MM


def _targets(disc: Disc, bending: plate.Modes, turning: plate.Modes) -> dict[str, float]:
    pairs = (slice(0, 1), slice(1, 3), slice(3, 5))
    umbrella, tilt, two = (float(np.sqrt(bending.eigenvalues[pair].mean()) / (2 * np.pi)) for pair in pairs)
    return {
        "umbrella": umbrella,
        "tilt": tilt,
        "two_diameter": two,
        "torsion": float(turning.frequencies[0]),
        "tilt_splitting": float(bending.frequencies[2] - bending.frequencies[1]),
        "tilt_ratio": tilt / umbrella,
        "two_diameter_ratio": two / umbrella,
        "mass": float(_pixel_mass(disc) * np.sum(disc.fill * disc.thickness) / MM),
    }


def _sensitivities(
    disc: Disc, bending: plate.Modes, turning: plate.Modes, targets: Mapping[str, float]
) -> tuple[dict[str, Map], dict[str, Map]]:
    """Return (unit per mm of thickness, unit per 1 of fill) of every target."""
    bent = plate.derivatives(bending, disc.fill, disc.thickness, pitch=disc.pitch)
    turned = plate.derivatives(turning, disc.fill, disc.thickness, pitch=disc.pitch, law=plate.IN_PLANE)
    masses = (_pixel_mass(disc) * disc.fill, _pixel_mass(disc) * disc.thickness / MM * (disc.fill > 0))
    by_thickness, by_fill = (
        _slopes(scale * by_mode, scale * by_turn[0], bending.frequencies, targets) | {"mass": mass}
        for scale, by_mode, by_turn, mass in zip((MM, 1.0), bent, turned, masses, strict=True)
    )
    return by_thickness, by_fill


def _slopes(
    bent: Float[np.ndarray, "mode y x"], turned: Map, frequencies: Float[np.ndarray, " mode"], f: Mapping[str, float]
) -> dict[str, Map]:
    """Return the slopes of the targets from those of the eigenvalues: d f = d lambda / (8 pi^2 f)."""
    bent, turned = bent / (8 * np.pi**2), turned / (8 * np.pi**2)
    maps = {
        "umbrella": bent[0] / f["umbrella"],
        "tilt": bent[1:3].mean(axis=0) / f["tilt"],
        "two_diameter": bent[3:5].mean(axis=0) / f["two_diameter"],
        "torsion": turned / f["torsion"],
        "tilt_splitting": bent[2] / frequencies[2] - bent[1] / frequencies[1],
    }
    for name in ("tilt", "two_diameter"):
        maps[f"{name}_ratio"] = f[f"{name}_ratio"] * (maps[name] / f[name] - maps["umbrella"] / f["umbrella"])
    return maps


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
    fill, thickness, reference_fill, reference_thickness
        The design and the reference; fill 0..1, thickness in mm.
    pitch_mm
        Width of a pixel.
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


def frequencies(x: Float[np.ndarray, "channel y x"], coordinates: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Return the targets of a wheel's image: the simulator of the wheel data set.

    The same solver and the same modes as the data set's recipe: material that hangs on nothing is left out.

    Parameters
    ----------
    x
        Channels fill (0..1) and thickness (mm).
    coordinates
        Centres of the pixels along y and x in mm, the wheel's centre at 0.

    Raises
    ------
    SolverError
        Where the image is no wheel, or its pixels are not square and centred on 0.
    """
    if len(x) != 2:
        raise refusal("the input", "of two channels, fill and thickness", len(x))
    down, along = (_pitch(name, coordinates[name]) for name in ("y", "x"))
    if not np.isclose(down, along):
        raise refusal("the pixels", "square", f"{down:g} by {along:g} mm")
    return solve(x[0], x[1], pitch_mm=down, sensitivities=False, modes=PATH_MODES).targets


def _pitch(name: str, centres: Float[np.ndarray, " cell"]) -> float:
    """Return the width of a pixel (mm)."""
    pitch = float(np.ptp(centres)) / max(len(centres) - 1, 1)
    if not pitch > 0 or abs(centres[0] + centres[-1]) > pitch / 2:
        raise refusal(f"the pixels along {name}", "centred on 0 mm", f"{centres[0]:g} to {centres[-1]:g} mm")
    return pitch


@lru_cache(maxsize=4)
def _values(fill: bytes, thickness: bytes, size: int, pitch_mm: float) -> dict[str, float]:
    """Return the targets of a reference, which is the same for thousands of designs."""
    a, t = (np.frombuffer(values).reshape(size, size) for values in (fill, thickness))
    return solve(a, t, pitch_mm=pitch_mm, sensitivities=False, modes=PATH_MODES).targets
