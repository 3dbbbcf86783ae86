"""The export to CalculiX, and its solids beside our plates."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ram.errors import SolverError
from ram.physics import naming, plate
from ram.physics.calculix import frequencies, inp_text
from ram.physics.design import WINDOW_MM, design, rasterise

FIVE_SPOKES = replace(
    design(1, 0),
    n_spokes=5,
    root_width_mm=60.0,
    tip_width_mm=45.0,
    fork_start=1.0,
    hole_share=0.0,
    thin_spot=None,
    twist=0.0,
    rotation=0.1,
)
DAT = """
     E I G E N V A L U E   O U T P U T

 MODE NO    EIGENVALUE                       FREQUENCY
                                     REAL PART            IMAGINARY PART
                           (RAD/TIME)      (CYCLES/TIME     (RAD/TIME)

      1   0.2342E+07   0.1530E+04   0.2436E+03   0.0000E+00
      2   0.2352E+07   0.1534E+04   0.2441E+03   0.0000E+00

     P A R T I C I P A T I O N   F A C T O R S

MODE NO.   X-COMPONENT     Y-COMPONENT     Z-COMPONENT     X-ROTATION
      1   0.1   0.2   0.3   0.4
"""


def blocks(text: str) -> dict[str, list[str]]:
    """Lines after each keyword of an input file."""
    found: dict[str, list[str]] = {}
    key = ""
    for line in text.splitlines():
        if line.startswith("*"):
            key = line
            found[key] = []
        else:
            found[key].append(line)
    return found


def test_export_holds_the_volume_of_the_plate():
    """Bricks of the grid: corners in order, area times mean thickness is the volume, the clamp is the plate's."""
    image = rasterise(FIVE_SPOKES, 24)
    found = blocks(inp_text(image.fill, image.thickness, pitch_mm=image.pitch_mm))
    nodes = np.array([[float(word) for word in line.split(",")] for line in found["*NODE, NSET=ALL"]])
    np.testing.assert_array_equal(nodes[:, 0], np.arange(len(nodes)) + 1)
    bricks = {}
    for key, lines in found.items():
        if key.startswith("*ELEMENT"):
            words = [int(word) for word in ",".join(lines).replace(",,", ",").split(",")]
            bricks |= {row[0]: row[1:] for row in np.array(words).reshape(-1, 21)}
    corners = np.array([nodes[np.array(brick)[:8] - 1, 1:] for brick in bricks.values()])  # (brick, 8, 3)
    assert len(bricks) == np.sum(image.fill > 0)
    np.testing.assert_allclose(corners[:, 1, 0] - corners[:, 0, 0], image.pitch_mm)
    np.testing.assert_allclose(corners[:, 3, 1] - corners[:, 0, 1], image.pitch_mm)
    heights = corners[:, 4:, 2] - corners[:, :4, 2]
    volume = heights.mean() * len(bricks) * image.pitch_mm**2
    assert volume == pytest.approx(np.sum((image.fill > 0) * image.thickness) * image.pitch_mm**2, rel=0.02)
    for ends, middle in (((0, 1), 8), ((6, 7), 14), ((2, 6), 18)):
        for brick in list(bricks.values())[::40]:
            places = nodes[np.array(brick) - 1, 1:]
            np.testing.assert_allclose(places[middle], places[list(ends)].mean(axis=0), atol=1e-6)
    held = np.array([int(word) for word in ",".join(found["*NSET, NSET=HUB"]).split(",")])
    radius = np.hypot(*nodes[held - 1, 1:3].T)
    assert radius.max() <= 60 + 0.4 * image.pitch_mm
    assert np.sum(np.hypot(*nodes[:, 1:3].T) <= 60 - image.pitch_mm) < len(held)


def test_fill_scales_modulus_and_density():
    image = rasterise(FIVE_SPOKES, 24)
    text = inp_text(image.fill, image.thickness, pitch_mm=image.pitch_mm, modes=7)
    shares = np.unique(image.fill[image.fill > 0])
    for level, share in enumerate(shares):
        expected = f"*MATERIAL, NAME=FILL{level}\n*ELASTIC\n{70000 * share:.9g}, 0.33\n*DENSITY\n{2.7e-9 * share:.9g}\n"
        assert expected in text
    assert text.endswith("*BOUNDARY\nHUB, 1, 3\n*STEP\n*FREQUENCY\n7\n*END STEP\n")


def test_frequencies_are_read_in_hertz():
    np.testing.assert_allclose(frequencies(DAT), [243.6, 244.1])


def test_a_file_without_frequencies_is_refused():
    message = r"^CalculiX: the \.dat file must be one with an eigenvalue output\. Got none\.$"
    with pytest.raises(SolverError, match=message):
        frequencies("nothing here")


def test_an_image_that_is_no_wheel_is_not_exported():
    with pytest.raises(SolverError, match=r"the hub must be material within 60 mm"):
        inp_text(np.zeros((24, 24)), np.ones((24, 24)), pitch_mm=WINDOW_MM / 24)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("ccx") is None, reason="CalculiX is not installed: apt-get install calculix-ccx")
@pytest.mark.parametrize("thickness_mm", [12.0, 30.0])
def test_solids_agree_within_three_per_cent(thickness_mm: float, tmp_path: Path):
    image = rasterise(FIVE_SPOKES, 64)
    thickness = np.full_like(image.thickness, thickness_mm)
    text = inp_text(image.fill, thickness, pitch_mm=image.pitch_mm, modes=8)
    (tmp_path / "wheel.inp").write_text(text)
    subprocess.run(["ccx", "wheel"], cwd=tmp_path, check=True, stdout=subprocess.DEVNULL, timeout=600)
    solids = frequencies((tmp_path / "wheel.dat").read_text())
    disc = naming.Disc(image.fill, thickness * 1e-3, image.pitch_mm * 1e-3)
    bent = disc.modes(count=8, law=plate.BENDING, start=None).frequencies
    plates = np.sort(np.append(bent, naming.torsion(disc).frequencies))[: len(solids)]
    error = plates[:6] / solids[:6] - 1
    assert np.all(np.abs(error) < 0.03), error
