"""Interventions: known changes by a law in one line, kept answers, and a solver that fails on the way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import ram
from ram.axes import Axis
from ram.data.layout import DatasetSpec, Record, write_dataset
from ram.data.making import load_recipe
from ram.data.simulators import load_simulator
from ram.errors import ConfigError, DataError, SolverError
from ram.evaluation.interventions import cache_folder, intervene, region_masks

SOLVER = """
from ram.errors import SolverError

def total(x, coordinates):
    with open(__file__ + ".log", "a") as log:
        log.write("asked\\n")
    return {"heat": 2.0 * x[0].sum() + 3.0, "unknown": 0.0}

def picky(x, coordinates):
    if x[0, 0] == 5.0:
        raise SolverError("no wheel")
    if x[0].sum() == 0.0:
        raise ValueError("nothing there")
    return {"heat": x[0].sum()}

def never(x, coordinates):
    raise SolverError("out of order")

def other(x, coordinates):
    return {"cold": 1.0}

def wrong(x, coordinates):
    return 1.0
"""
X = np.array([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0], [0.0, 0.0, 1.0, 0.0]])
REGIONS = np.array([[0, 0, 1, 1], [0, 1, 1, 1], [1, 1, 1, 1]], dtype=np.uint8)
REFERENCE = np.array([[0.5, 0.5, 0.0, 0.0]])


@pytest.fixture
def data(tmp_path) -> ram.Dataset:
    """Three rods of four cells."""
    spec = DatasetSpec(
        name="rods",
        axes=(Axis.uniform("x", "mm", size=4, step=1.0),),
        channels={"load": "N"},
        targets={"heat": "W"},
        regions=("left", "right"),
        reference=REFERENCE,
        count=3,
    )
    rows = zip("abc", X, REGIONS, strict=True)
    write_dataset(
        tmp_path / "rods.h5", spec, (Record(id=n, x=x[None], targets={"heat": 0.0}, regions=r) for n, x, r in rows)
    )
    return ram.open_dataset(tmp_path / "rods.h5")


@pytest.fixture
def solver(tmp_path) -> Path:
    (tmp_path / "solver.py").write_text(SOLVER)
    return tmp_path / "solver.py"


def test_changes_are_what_regions_add(data, solver):
    found = intervene(data, load_simulator(f"{solver}:total"), patches=0, progress=False)
    assert (found.names, found.units, list(found.ids)) == (("left", "right"), {"heat": "W"}, ["a", "b", "c"])
    np.testing.assert_allclose(found.values["heat"], 2 * X.sum(axis=1) + 3)
    # what lies in the region beyond the reference, times two; sample c has no cell on the left
    np.testing.assert_allclose(found.changes["heat"], [[4.0, 14.0], [9.0, 41.0], [np.nan, 0.0]])
    assert found.failures == ()


def test_a_true_map_of_a_sum_claims_what_happens(data, solver):
    found = intervene(data, load_simulator(f"{solver}:total"), patches=3, progress=False)
    claims = found.claims(2 * (X - REFERENCE))
    known = np.isfinite(found.changes["heat"])
    assert claims.shape == (3, 5)
    np.testing.assert_allclose(claims[known], found.changes["heat"][known])
    with pytest.raises(DataError, match=r"^interventions: maps must be of shape \(3, 4\)\. Got \(3, 2\)\.$"):
        found.claims(np.zeros((3, 2)))


def test_answers_are_kept_beside_the_data_until_the_question_changes(data, solver):
    log = Path(f"{solver}.log")

    def asked(**options) -> int:
        before = len(log.read_text().splitlines()) if log.exists() else 0
        intervene(data, load_simulator(f"{solver}:total"), progress=False, **options)
        return len(log.read_text().splitlines()) - before

    assert asked(patches=1) == 3 + 5 + 3  # samples, regions that they have, patches
    assert cache_folder(data).name == "rods.h5.interventions"
    assert asked(patches=1) == 0
    assert asked(patches=1, seed=1) == 11
    assert asked(patches=1, reference=REFERENCE + 1) == 11
    assert asked(patches=1, cache=solver.parent / "elsewhere") == 11
    solver.write_text(SOLVER.replace("2.0 *", "2.5 *"))
    assert asked(patches=1) == 11
    assert asked(patches=1, reference=REFERENCE + 1) == 11
    solver.write_text(SOLVER)
    assert asked(patches=1) == 0


def test_jobs_do_not_matter(data, solver, tmp_path):
    simulator = load_simulator(f"{solver}:total")
    one, two = (intervene(data, simulator, jobs=n, cache=tmp_path / str(n), progress=False) for n in (1, 2))
    np.testing.assert_array_equal(one.changes["heat"], two.changes["heat"])
    np.testing.assert_array_equal(one.masks, two.masks)


def test_patches_are_boxes_about_what_differs(tmp_path):
    spec = DatasetSpec(
        name="plates",
        axes=tuple(Axis.uniform(name, "mm", size=16, step=1.0) for name in ("y", "x")),
        channels={"load": "N"},
        targets={"heat": "W"},
        count=1,
    )
    x = np.zeros((1, 16, 16))
    x[0, 12, 3] = 1.0
    write_dataset(tmp_path / "plates.h5", spec, [Record(id="a", x=x, targets={"heat": 0.0})])
    masks = region_masks(ram.open_dataset(tmp_path / "plates.h5"), reference=np.zeros((1, 16, 16)), patches=5)
    assert masks.shape == (1, 5, 16, 16)
    assert (masks.sum(axis=(2, 3)) == 16).all()  # 4 by 4
    assert masks[0, :, 12, 3].all()


def test_on_cells_a_region_is_whole_cells_most_of_whose_points_are_its(data):
    cells = [Axis.uniform("x", "mm", size=2, step=2.0, start=0.5)]
    masks = region_masks(data, reference=REFERENCE, patches=0, cells=cells)
    left = [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0]]  # a tie goes to the first code
    np.testing.assert_array_equal(masks, np.stack([np.array(left), 1 - np.array(left)], axis=1))
    boxes = region_masks(data, reference=REFERENCE, patches=6, share=1 / 2, cells=cells)[:, 2:]
    assert {tuple(box) for of in boxes.astype(int) for box in of} == {(1, 1, 0, 0), (0, 0, 1, 1)}


def test_answers_on_the_points_are_known_from_before_cells_could_be_given(data, solver):
    simulator = load_simulator(f"{solver}:total")
    intervene(data, simulator, progress=False)
    asked = len(Path(f"{solver}.log").read_text())
    intervene(data, simulator, cells=data.axes, progress=False)
    assert len(Path(f"{solver}.log").read_text()) == asked
    intervene(data, simulator, cells=[Axis.uniform("x", "mm", size=2, step=2.0, start=0.5)], progress=False)
    assert len(Path(f"{solver}.log").read_text()) > asked


def test_a_solver_that_fails_leaves_gaps_and_says_why(data, solver):
    found = intervene(data, load_simulator(f"{solver}:picky"), patches=0, reference=np.zeros((1, 4)), progress=False)
    np.testing.assert_array_equal(np.isnan(found.values["heat"]), [False, True, False])
    np.testing.assert_array_equal(np.isnan(found.changes["heat"]), [[False, False], [True, True], [True, True]])
    assert [text.rpartition(": ")[2] for text in found.failures] == ["no wheel", "nothing there"]
    assert found.failures[0].startswith("b: ")
    assert found.failures[1].startswith("c, region 2: ")


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("never", SolverError, r"solver\.py:never: the solver failed on all 3 samples\. a: out of order$"),
        ("other", ConfigError, r"what it returns must be one of the targets heat of .*rods\.h5\. Got cold\.$"),
        ("wrong", ConfigError, r"^.*solver\.py:wrong: what it returns must be a mapping of target names to numbers"),
    ],
)
def test_a_simulator_that_does_not_fit_is_refused(data, solver, name, kind, message):
    with pytest.raises(kind, match=message):
        intervene(data, load_simulator(f"{solver}:{name}"), progress=False)


def test_a_question_without_reference_or_region_is_refused(data, solver):
    with pytest.raises(
        DataError, match=r"the reference design must be of shape \(1, 4\)\. Got \(4,\)\. Give one, such"
    ):
        intervene(data, load_simulator(f"{solver}:total"), reference=np.zeros(4), progress=False)


def test_the_true_map_of_a_planted_sum_and_of_a_product(tmp_path):
    recipe = load_recipe(Path(__file__).parents[1] / "datasets" / "planted")
    for task, slope in (("additive", 1.0), ("interaction", 0.5)):
        path = tmp_path / f"{task}.h5"
        recipe.make(path, task=task, dimensions=1, samples=30, progress=False)
        data = ram.open_dataset(path)
        found = intervene(data, load_simulator(f"ram.physics.planted:{task}"), patches=0, progress=False)
        claims, true = found.claims(data.truth_array("wear", "contribution")), found.changes["wear"]
        strong = np.isfinite(true) & (np.abs(true) > 5)
        assert strong.sum() > 20
        # of a product the path integral gives each factor half, and taking it away takes all
        np.testing.assert_allclose(claims[strong] / true[strong], slope, rtol=0.12)
