"""A pixel wheel as a solid model for CalculiX: an independent check of the plate solver.

One quadratic brick (C3D20R) a pixel, in mm, tonnes and seconds, so that stresses are in MPa and frequencies in Hz.

    Path("wheel.inp").write_text(inp_text(fill, thickness, pitch_mm=6.9, modes=10))
    ccx wheel                                       # Debian: apt-get install calculix-ccx
    frequencies(Path("wheel.dat").read_text())      # Hz

Source: CalculiX CrunchiX user's manual 2.20, "Twenty-node brick element with reduced integration", "*FREQUENCY".
"""

from __future__ import annotations

__all__ = ["frequencies", "inp_text"]

from collections.abc import Iterable, Iterator

import numpy as np
from jaxtyping import Bool, Float, Int

from ram.errors import SolverError, explained
from ram.physics.design import CLAMP_RADIUS_MM
from ram.physics.naming import CLAMP_MARGIN, connected
from ram.physics.plate import ALUMINIUM

# (y, x, z) of the nodes of a brick in half sides, in CalculiX's order: corners below, corners above, middles
_CORNERS = [(0, 0), (0, 2), (2, 2), (2, 0)]
_MIDDLES = [(0, 1), (1, 2), (2, 1), (1, 0)]
_BRICK = np.array(
    [(*at, z) for z in (0, 2) for at in _CORNERS]
    + [(*at, z) for z in (0, 2) for at in _MIDDLES]
    + [(*at, 1) for at in _CORNERS]
)

Map = Float[np.ndarray, "y x"]


def inp_text(fill: Map, thickness: Map, *, pitch_mm: float, modes: int = 10) -> str:
    """Return the input of CalculiX for the lowest modes of a wheel.

    A pixel of fill a has the modulus a E and the density a rho, as in the plate; the thickness at a corner is the
    mean of the pixels around it.

    Parameters
    ----------
    fill, thickness
        Share of each pixel that is material (0..1), and its thickness in mm.
    pitch_mm
        Width of a pixel.
    modes
        How many modes CalculiX is to find.

    Raises
    ------
    SolverError
        Where the image is no wheel.
    """
    kept = connected(fill, pitch_mm)
    bricks = _bricks(kept)
    numbers, elements = np.unique(bricks, return_inverse=True)
    places = _places(numbers, kept, thickness, pitch_mm)
    lines = ["*NODE, NSET=ALL"]
    lines += [f"{number}, {x:.9g}, {y:.9g}, {z:.9g}" for number, (x, y, z) in enumerate(places, start=1)]
    lines += _sections(elements.reshape(-1, 20) + 1, fill[kept])
    lines += ["*NSET, NSET=HUB", *_listed(1 + np.flatnonzero(_clamped(numbers, len(fill), pitch_mm)))]
    lines += ["*BOUNDARY", "HUB, 1, 3", "*STEP", "*FREQUENCY", f"{modes}", "*END STEP"]
    return "\n".join(lines) + "\n"


def frequencies(text: str) -> Float[np.ndarray, " mode"]:
    """Return the frequencies (Hz) in CalculiX's ``.dat`` file.

    Raises
    ------
    SolverError
        Where the text holds none.
    """
    after = text.rpartition("E I G E N V A L U E   O U T P U T")[2]
    rows = after.partition("P A R T I C I P A T I O N")[0].splitlines()
    numbers = [row.split() for row in rows]
    found = [float(words[3]) for words in numbers if len(words) == 5 and words[0].isdigit()]
    if not found:
        raise SolverError(
            explained(where="CalculiX", what="the .dat file", allowed="one with an eigenvalue output", got="none")
        )
    return np.array(found)


def _bricks(kept: Bool[np.ndarray, "y x"]) -> Int[np.ndarray, "pixel 20"]:
    """Return the nodes of each brick, numbered on the grid of half sides (2 n + 1, 2 n + 1, 3)."""
    width = 2 * kept.shape[1] + 1
    at = 2 * np.argwhere(kept)[:, None] + _BRICK[:, :2]  # (pixel, 20, 2)
    return np.asarray((at[..., 0] * width + at[..., 1]) * 3 + _BRICK[:, 2])


def _split(numbers: Int[np.ndarray, " node"], size: int) -> tuple[Int[np.ndarray, " node"], ...]:
    """Return (y, x, z) in half sides of nodes numbered by `_bricks`."""
    flat, z = np.divmod(numbers, 3)
    y, x = np.divmod(flat, 2 * size + 1)
    return y, x, z


def _places(
    numbers: Int[np.ndarray, " node"], kept: Bool[np.ndarray, "y x"], thickness: Map, pitch_mm: float
) -> Float[np.ndarray, "node 3"]:
    y, x, z = _split(numbers, len(kept))
    corners = _at_corners(kept, thickness)
    below, above = (
        corners[(y + up) // 2, (x + up) // 2] for up in (0, 1)
    )  # the two ends of an edge, or twice a corner
    heights = (z - 1) * (below + above) / 4
    return np.stack([(x / 2 - len(kept) / 2) * pitch_mm, (y / 2 - len(kept) / 2) * pitch_mm, heights], axis=1)


def _at_corners(kept: Bool[np.ndarray, "y x"], thickness: Map) -> Float[np.ndarray, "y_plus_1 x_plus_1"]:
    """Return the mean thickness of the kept pixels around each corner."""
    total, count = np.zeros((2, len(kept) + 1, len(kept) + 1))
    for row in (slice(None, -1), slice(1, None)):
        for column in (slice(None, -1), slice(1, None)):
            total[row, column] += np.where(kept, thickness, 0)
            count[row, column] += kept
    return np.asarray(total / count.clip(1))


def _clamped(numbers: Int[np.ndarray, " node"], size: int, pitch_mm: float) -> Bool[np.ndarray, " node"]:
    """Return the nodes that the plate clamps, and the middles of edges between two of them."""
    y, x, _ = _split(numbers, size)
    ends = []
    for up in (0, 1):
        radius = np.hypot((y + up) // 2 - size / 2, (x + up) // 2 - size / 2) * pitch_mm
        ends.append(radius <= CLAMP_RADIUS_MM + CLAMP_MARGIN * pitch_mm)
    return np.asarray(ends[0] & ends[1])


def _sections(elements: Int[np.ndarray, "pixel 20"], fill: Float[np.ndarray, " pixel"]) -> Iterator[str]:
    """Yield the bricks, one material for each value of the fill."""
    for level, share in enumerate(np.unique(fill)):
        yield f"*ELEMENT, TYPE=C3D20R, ELSET=FILL{level}"
        for pixel in np.flatnonzero(fill == share):
            first, second = elements[pixel, :15], elements[pixel, 15:]
            yield f"{pixel + 1}, " + ", ".join(map(str, first)) + ",\n" + ", ".join(map(str, second))
        yield f"*MATERIAL, NAME=FILL{level}\n*ELASTIC"
        yield f"{share * ALUMINIUM.youngs_modulus * 1e-6:.9g}, {ALUMINIUM.poissons_ratio:.9g}"
        yield f"*DENSITY\n{share * ALUMINIUM.density * 1e-12:.9g}"
        yield f"*SOLID SECTION, ELSET=FILL{level}, MATERIAL=FILL{level}"


def _listed(numbers: Iterable[int]) -> Iterator[str]:
    """Yield numbers, ten a line."""
    row: list[str] = []
    for number in numbers:
        row.append(str(number))
        if len(row) == 10:
            yield ", ".join(row)
            row = []
    if row:
        yield ", ".join(row)
