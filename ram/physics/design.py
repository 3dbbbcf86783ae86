"""Planar wheel discs: what a design is, how it is drawn at random, and how it becomes an image.

Lengths in mm, angles in radians; the wheel's centre is the origin of the image.
"""

from __future__ import annotations

__all__ = [
    "CLAMP_RADIUS_MM",
    "OUTER_RADIUS_MM",
    "REGIONS",
    "WINDOW_MM",
    "Design",
    "ThinSpot",
    "WheelImage",
    "design",
    "polar",
    "rasterise",
]

from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TypeVar

import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy.typing import NDArray

from ram.randomness import generator

Number = TypeVar("Number", float, NDArray[np.float64])

OUTER_RADIUS_MM = 215.0
CLAMP_RADIUS_MM = 60.0
WINDOW_MM = 440.0
SUPERSAMPLING = 4
REGIONS = ("void", "hub", "roots", "spokes", "rim")
ROOTS_SHARE = 0.25  # of the way from the hub to the rim
MINIMUM_ARM_MM = 7.0
BLEND_MM = 6.0  # over which the thickness passes from hub to spoke and from spoke to rim


@dataclass(frozen=True)
class ThinSpot:
    """A smooth local dent: centre (radius in mm, angle), width in mm, depth as a share of the thickness."""

    radius_mm: float
    angle: float
    width_mm: float
    depth: float


@dataclass(frozen=True)
class Design:
    """One wheel disc.

    Attributes
    ----------
    n_spokes
        Number of spokes, 4 to 12.
    hub_radius_mm, rim_inner_radius_mm
        Between them lie the spokes.
    hub_thickness_mm, rim_thickness_mm
        Thickness of hub and rim.
    root_thickness_mm, waist_thickness_mm, tip_thickness_mm
        Thickness of the spokes at the hub, midway and at the rim, with a parabola between them.
    root_width_mm, tip_width_mm
        Width of a spoke at the hub and at the rim.
    twist
        Angle by which a spoke's middle line turns from hub to rim.
    fork_start, fork_angle
        Where on the way from hub to rim (0..1) a spoke parts in two (1: never), and the angle between its two
        arms at the rim.
    arm_share
        Width of an arm as a share of the width that the spoke would have there.
    hole_position, hole_share
        Where on the way from hub to rim the hole of each spoke lies, and its diameter as a share of the width
        (0: no hole).
    thin_spot
        A local dent, or none.
    rotation
        By which the whole wheel is turned.
    """

    n_spokes: int
    hub_radius_mm: float
    rim_inner_radius_mm: float
    hub_thickness_mm: float
    rim_thickness_mm: float
    root_thickness_mm: float
    waist_thickness_mm: float
    tip_thickness_mm: float
    root_width_mm: float
    tip_width_mm: float
    twist: float
    fork_start: float
    fork_angle: float
    arm_share: float
    hole_position: float
    hole_share: float
    thin_spot: ThinSpot | None
    rotation: float


@dataclass(frozen=True)
class WheelImage:
    """A wheel on a pixel grid, y growing with the row.

    Attributes
    ----------
    fill
        Share of each pixel that is material, 0..1.
    thickness
        Thickness in mm; in voids it is what the design's law gives there.
    regions
        Index into `REGIONS`.
    pitch_mm
        Width of a pixel.
    """

    fill: Float[np.ndarray, "y x"] = field(repr=False)
    thickness: Float[np.ndarray, "y x"] = field(repr=False)
    regions: UInt8[np.ndarray, "y x"] = field(repr=False)
    pitch_mm: float


def design(seed: int, index: int) -> Design:
    """Return wheel `index` of the family `seed`; it depends on these two numbers alone.

    >>> design(1, 0).n_spokes, round(design(1, 0).hub_radius_mm, 3)
    (7, 79.146)
    """
    random = generator(seed, "wheel", index)
    n_spokes = int(random.integers(4, 13))
    hub, rim = random.uniform(65, 85), random.uniform(185, 198)
    root_width = random.uniform(0.365, 0.69) * 2 * np.pi * hub / n_spokes
    tip_width = random.uniform(0.18, 0.435) * 2 * np.pi * rim / n_spokes
    hub_t, rim_t = random.uniform(30, 45), random.uniform(25, 50)
    root_t, tip_t = random.uniform(18, 34, 2)
    waist_t = np.clip((root_t + tip_t) / 2 + random.uniform(-6, 6), 18, 34)
    fork_start = random.uniform(0.1, 0.7) if random.random() < 0.5 else 1.0
    drawn = Design(
        n_spokes=n_spokes,
        hub_radius_mm=hub,
        rim_inner_radius_mm=rim,
        hub_thickness_mm=hub_t,
        rim_thickness_mm=rim_t,
        root_thickness_mm=float(root_t),
        waist_thickness_mm=float(waist_t),
        tip_thickness_mm=float(tip_t),
        root_width_mm=root_width,
        tip_width_mm=tip_width,
        twist=0.5 * float(np.sin(np.pi * random.uniform(-0.5, 0.5))),
        fork_start=fork_start,
        fork_angle=random.uniform(0.35, 0.6) * 2 * np.pi / n_spokes,
        arm_share=random.uniform(0.4, 0.75),
        hole_position=random.uniform(0.08, 0.6),
        hole_share=random.uniform(0.3, 0.7) if random.random() < 0.5 else 0.0,
        thin_spot=_thin_spot(random) if random.random() < 0.25 else None,
        rotation=random.uniform(0, 2 * np.pi),
    )
    return drawn if _fits(drawn) else replace(drawn, hole_share=0.0)


def _fits(design: Design) -> bool:
    """Whether the hole ends before the spoke parts; it would cut the arms."""
    reach = design.hole_share * _width(design, design.hole_position) / 2
    end = design.hole_position + reach / (design.rim_inner_radius_mm - design.hub_radius_mm)
    return end < design.fork_start


def _thin_spot(random: np.random.Generator) -> ThinSpot:
    return ThinSpot(
        radius_mm=random.uniform(70, 205),
        angle=random.uniform(0, 2 * np.pi),
        width_mm=random.uniform(15, 45),
        depth=random.uniform(0.5, 0.8),
    )


@lru_cache(maxsize=8)
def polar(size: int, samples: int) -> tuple[Float[np.ndarray, "y x"], Float[np.ndarray, "y x"]]:
    """Return radius (mm) and angle of a grid with `samples` x `samples` points in each of size x size pixels."""
    points = ((np.arange(size * samples) + 0.5) / (size * samples) - 0.5) * WINDOW_MM
    return np.hypot(points[None, :], points[:, None]), np.arctan2(points[:, None], points[None, :])


def rasterise(design: Design, size: int) -> WheelImage:
    """Return the image of a wheel, `size` x `size` pixels; values are exact in float32.

    The fill comes from 4 x 4 samples a pixel, thickness and region from the pixel's middle.
    """
    radius, angle = polar(size, 1)
    thickness = _thickness(design, radius, angle).astype(np.float32).astype(np.float64)
    fill = _fill(design, size)
    return WheelImage(fill, thickness, _regions(design, radius, fill), WINDOW_MM / size)


def _fill(design: Design, size: int) -> Float[np.ndarray, "y x"]:
    radius, angle = polar(size, SUPERSAMPLING)
    solid = (radius <= design.hub_radius_mm) | (radius >= design.rim_inner_radius_mm)
    between = ~solid
    solid[between] = _in_spoke(design, radius[between], angle[between])
    solid &= radius <= OUTER_RADIUS_MM
    return np.asarray(solid.reshape(size, SUPERSAMPLING, size, SUPERSAMPLING).mean(axis=(1, 3)))


def _way(design: Design, radius: Float[np.ndarray, " *point"]) -> Float[np.ndarray, " *point"]:
    """Return how far a radius is on the way from the hub (0) to the rim (1)."""
    return (radius - design.hub_radius_mm) / (design.rim_inner_radius_mm - design.hub_radius_mm)


def _width(design: Design, way: Number) -> Number:
    """Return the width (mm) of a spoke that has not parted."""
    return design.root_width_mm + (design.tip_width_mm - design.root_width_mm) * way


def _in_spoke(
    design: Design, radius: Float[np.ndarray, " point"], angle: Float[np.ndarray, " point"]
) -> Bool[np.ndarray, " point"]:
    way, sector = _way(design, radius), 2 * np.pi / design.n_spokes
    turned = angle - design.rotation - design.twist * way + sector / 2
    off = np.abs(turned - sector * np.floor(turned / sector) - sector / 2)  # angle off the spoke's middle line
    width = _width(design, way)
    parted = np.clip((way - design.fork_start) / max(1 - design.fork_start, 1e-9), 0, None)
    arm = radius * np.abs(off - design.fork_angle / 2 * parted)  # mm off the middle line of the nearer arm
    solid = np.where(
        parted > 0, arm <= np.maximum(design.arm_share * width, MINIMUM_ARM_MM) / 2, radius * off <= width / 2
    )
    hole = design.hub_radius_mm + design.hole_position * (design.rim_inner_radius_mm - design.hub_radius_mm)
    hole_radius = design.hole_share * _width(design, design.hole_position) / 2
    return np.asarray(solid & (np.hypot(radius - hole, radius * off) >= hole_radius))


def _thickness(
    design: Design, radius: Float[np.ndarray, "y x"], angle: Float[np.ndarray, "y x"]
) -> Float[np.ndarray, "y x"]:
    """Return the thickness law (mm), which knows nothing of where there is material."""
    way = np.clip(_way(design, radius), 0, 1)
    spoke = design.root_thickness_mm * (1 - way) + design.tip_thickness_mm * way
    sag = design.waist_thickness_mm - (design.root_thickness_mm + design.tip_thickness_mm) / 2
    spoke += 4 * sag * way * (1 - way)
    in_hub = np.clip((design.hub_radius_mm - radius) / BLEND_MM + 0.5, 0, 1)
    in_rim = np.clip((radius - design.rim_inner_radius_mm) / BLEND_MM + 0.5, 0, 1)
    law = spoke + in_hub * (design.hub_thickness_mm - spoke) + in_rim * (design.rim_thickness_mm - spoke)
    if design.thin_spot is None:
        return np.asarray(law)
    return np.asarray(law * (1 - _dent(design.thin_spot, design.rotation, radius, angle)))


def _dent(
    spot: ThinSpot, rotation: float, radius: Float[np.ndarray, "y x"], angle: Float[np.ndarray, "y x"]
) -> Float[np.ndarray, "y x"]:
    between = radius**2 + spot.radius_mm**2 - 2 * radius * spot.radius_mm * np.cos(angle - spot.angle - rotation)
    return spot.depth * np.exp(-between / (2 * spot.width_mm**2))


def _regions(
    design: Design, radius: Float[np.ndarray, "y x"], fill: Float[np.ndarray, "y x"]
) -> UInt8[np.ndarray, "y x"]:
    roots_end = design.hub_radius_mm + ROOTS_SHARE * (design.rim_inner_radius_mm - design.hub_radius_mm)
    ends = np.array([design.hub_radius_mm, roots_end, design.rim_inner_radius_mm])
    return np.where(fill > 0, 1 + np.searchsorted(ends, radius), 0).astype(np.uint8)
