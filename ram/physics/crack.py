"""A crack across the root of a spoke: which share of its bending stiffness each pixel has kept.

A crack of depth a in a plate of thickness h lets the two sides turn against each other by ``theta = M L / D``, as if
the plate were longer there by ``L = 6 pi h Phi(a / h)``. L is spread over a narrow band; the band gives way as the
crack does, however its pixels lie. Only bending is weakened: mass and shear stay.

Source: Rice & Levy 1972, doi:10.1115/1.3422609 (line spring), with the stress intensity of an edge crack in bending of
Tada, Paris & Irwin 2000, "The stress analysis of cracks handbook", 2.13, good to 0.2 % for a / h up to 0.6.
"""

from __future__ import annotations

__all__ = ["DEEPEST", "Crack", "added_length", "bending_share", "crack_thickness_mm"]

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.polynomial import Polynomial

from ram.physics.design import Design, WheelImage, polar

DEEPEST = 0.6  # of the thickness, for which the stress intensity is known
BAND_MM = (4.0, 12.0)  # beyond the hub, where the thickness has become the spoke's
SAMPLES = 8  # a pixel and direction

_INTENSITY = Polynomial([1.122, -1.40, 7.33, -13.08, 14.0])
_COMPLIANCE = 6 * np.pi * (Polynomial([0.0, 1.0]) * _INTENSITY**2).integ()


@dataclass(frozen=True)
class Crack:
    """A crack: which spoke (0 to n - 1), and its depth as a share of the thickness (0: none)."""

    spoke: int
    depth: float

    def __post_init__(self) -> None:
        if not 0 <= self.depth <= DEEPEST:
            raise ValueError(f"the depth of a crack must be 0 to {DEEPEST} of the thickness. Got {self.depth}")


def added_length(depth: float) -> float:
    """Return by how much a crack lengthens a plate in bending, in thicknesses.

    >>> [round(added_length(depth), 3) for depth in (0.0, 0.3, 0.6)]
    [0.0, 0.969, 6.465]
    """
    return float(_COMPLIANCE(depth))


def bending_share(design: Design, image: WheelImage, crack: Crack) -> Float[np.ndarray, "y x"]:
    """Return the share of its bending stiffness that each pixel of a wheel has kept.

    A pixel of which the band covers the share s keeps ``1 / (1 + s L / width of the band)``: added lengths add up
    along the spoke.
    """
    covered = _covered(design, len(image.fill), crack.spoke)
    length_mm = added_length(crack.depth) * image.thickness
    return np.asarray(1 / (1 + covered * length_mm / (BAND_MM[1] - BAND_MM[0])))


def crack_thickness_mm(design: Design, image: WheelImage, crack: Crack) -> float:
    """Return the mean thickness of the spoke where it is cracked."""
    covered = _covered(design, len(image.fill), crack.spoke) * image.fill
    return float(np.sum(covered * image.thickness) / np.sum(covered))


def _covered(design: Design, size: int, spoke: int) -> Float[np.ndarray, "y x"]:
    """Return which share of each pixel lies in the band across a spoke's root."""
    radius, angle = polar(size, SAMPLES)
    sector = 2 * np.pi / design.n_spokes
    off = np.remainder(angle - design.rotation - spoke * sector + np.pi, 2 * np.pi) - np.pi
    begin, end = (design.hub_radius_mm + beyond for beyond in BAND_MM)
    inside = (radius >= begin) & (radius < end) & (np.abs(off) < sector / 2)
    return np.asarray(inside.reshape(size, SAMPLES, size, SAMPLES).mean(axis=(1, 3)))
