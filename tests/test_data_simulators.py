"""Simulators: an entry is found or the message says why not; what it returns is checked; the wheel gives its file's."""

from __future__ import annotations

from pathlib import Path

import joblib
import numpy as np
import pytest

import ram
from ram.axes import Axis
from ram.data.making import load_recipe
from ram.data.simulators import load_simulator
from ram.errors import ConfigError, SolverError

AXES = (Axis.uniform("time", "s", size=4, step=0.5),)
X = np.arange(4.0)[None]
SOLVER = """
import numpy as np
from dataclasses import dataclass

@dataclass
class Law:
    slope: float

def area(x, coordinates):
    return {"area": Law(2.0).slope * np.trapezoid(x[0], coordinates["time"])}

def writes(x, coordinates):
    x[:] = 0
    return {"area": 0}

def fails(x, coordinates):
    raise ZeroDivisionError("no stiffness")

def number(x, coordinates):
    return 3.0

def row(x, coordinates):
    return {"area": x[0]}

def text(x, coordinates):
    return {"area": "large"}

def nan(x, coordinates):
    return {"area": np.float32("nan")}

pi = 3.14
"""


@pytest.fixture(scope="module")
def solver(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("solver") / "my_solver.py"
    path.write_text(SOLVER)
    return path


def test_a_function_of_a_file_is_called_with_the_coordinates(solver):
    assert load_simulator(f"{solver}:area")(X.astype(np.float32), AXES) == {"area": 4.5}


def test_it_works_in_other_processes(solver):
    simulator = load_simulator(f"{solver}:area")
    assert joblib.Parallel(n_jobs=2)(joblib.delayed(simulator)(X, AXES) for _ in range(2)) == [{"area": 4.5}] * 2


def test_it_cannot_change_the_input(solver):
    x = X.copy()
    assert load_simulator(f"{solver}:writes")(x, AXES) == {"area": 0.0}
    np.testing.assert_array_equal(x, X)


def test_its_digest_changes_with_entry_and_source_but_not_with_the_folder(solver, tmp_path):
    copy = tmp_path / solver.name
    copy.write_text(SOLVER)
    digest = load_simulator(f"{solver}:area").digest
    assert load_simulator(f"{copy}:area").digest == digest
    assert load_simulator(f"{copy}:row").digest != digest
    copy.write_text(SOLVER.replace("2.0", "2.1"))
    assert load_simulator(f"{copy}:area").digest != digest


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("wheel", r"^simulator: an entry must be module:function or file\.py:function, as in .*\. Got 'wheel'\.$"),
        ("nowhere.at_all:run", r"nowhere\.at_all must be a module that Python can import\. Got no module named 'nowh"),
        ("nowhere.py:run", r"^nowhere\.py:run: nowhere\.py must be a file with Python code\. Got no such file\.$"),
        ("{solver}:aera", r"aera must be a function of .*my_solver\.py\. Got nothing of that name\. Did"),
        ("{solver}:pi", r"pi must be a function of .*my_solver\.py\. Got float\."),
        ("{broken}:run", r"broken\.py must be importable\. Got SyntaxError: "),
    ],
)
def test_an_entry_that_leads_nowhere_is_refused(solver, tmp_path, entry, message):
    (tmp_path / "broken.py").write_text("def run(:")
    with pytest.raises(ConfigError, match=message):
        load_simulator(entry.format(solver=solver, broken=tmp_path / "broken.py"))


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("fails", SolverError, r"my_solver\.py:fails: ZeroDivisionError: no stiffness$"),
        ("nan", SolverError, r"target area must be finite\. Got nan\.$"),
        ("number", ConfigError, r"what it returns must be a mapping of target names to numbers, .* Got float: 3\.0\.$"),
        ("row", ConfigError, r"target area must be one number\. Got ndarray: "),
        ("text", ConfigError, r"target area must be one number\. Got str: 'large'\.$"),
    ],
)
def test_what_it_returns_is_checked(solver, name, kind, message):
    with pytest.raises(kind, match=message):
        load_simulator(f"{solver}:{name}")(X, AXES)


@pytest.fixture(scope="module")
def wheels(tmp_path_factory) -> ram.Dataset:
    path = tmp_path_factory.mktemp("wheel") / "wheel.h5"
    recipe = load_recipe(Path(__file__).parents[1] / "datasets" / "wheel")
    recipe.make(path, samples=3, size=24, seed=4, truth_test=0, progress=False)
    return ram.open_dataset(path)


def test_the_wheels_simulator_gives_the_files_targets(wheels):
    simulator = load_simulator("ram.physics.wheel:frequencies")
    assert simulator(wheels[2].x, wheels.axes) == pytest.approx(wheels[2].targets, rel=1e-9)


def test_the_wheels_simulator_leaves_out_what_hangs_on_nothing(wheels):
    simulator, x = load_simulator("ram.physics.wheel:frequencies"), wheels[2].x.copy()
    x[0, 0, 0] = 1.0  # a corner of the window, beyond the rim
    assert simulator(x, wheels.axes) == pytest.approx(wheels[2].targets, rel=1e-9)


def test_an_image_that_is_no_wheel_is_refused(wheels):
    simulator = load_simulator("ram.physics.wheel:frequencies")
    with pytest.raises(SolverError, match=r"^wheel: the input must be of two channels, fill and thickness\. Got 1\.$"):
        simulator(wheels[0].x[:1], wheels.axes)
    off = [Axis.uniform(name, "mm", size=24, step=440 / 24) for name in ("y", "x")]
    with pytest.raises(SolverError, match=r"^wheel: the pixels along y must be centred on 0 mm\. Got 0 to 421\.667 mm"):
        simulator(wheels[0].x, off)
    flat = [wheels.axes[0], Axis.uniform("x", "mm", size=24, step=1.0, start=-11.5)]
    with pytest.raises(SolverError, match=r"^wheel: the pixels must be square\. Got 18\.3333 by 1 mm\.$"):
        simulator(wheels[0].x, flat)
