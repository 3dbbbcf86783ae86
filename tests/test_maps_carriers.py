"""Regions in words, and the few boxes that carry most, held against every box there is."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path

import numpy as np
import pytest

from ram.axes import Axis
from ram.errors import ConfigError
from ram.maps.bounds import bounds_in, in_words
from ram.maps.carriers import carriers
from ram.maps.regression_map import RegressionMap
from ram.runs.run import open_run

TIME = Axis.uniform("time", "s", size=300, step=1e-5, start=-1e-4)
FREQUENCY = Axis.uniform("frequency", "Hz", size=60, step=500.0)
PLANE = (FREQUENCY, TIME)


def maps_of(values: np.ndarray) -> RegressionMap:
    axes = tuple(Axis.uniform(f"a{number}", "mm", size=size, step=2.0) for number, size in enumerate(values.shape))
    return RegressionMap(values[None], np.zeros(1), np.array([values.sum()]), "t", "Hz", axes, axes)


def gain_of_all(values: np.ndarray, free: np.ndarray) -> float:
    """Go through every box."""
    cost, best = np.abs(values).mean(), -np.inf
    spans = [[slice(i, j) for i in range(n) for j in range(i + 1, n + 1)] for n in values.shape]
    for box in itertools.product(*spans):
        if free[box].all():
            best = max(best, abs(values[box].sum()) - values[box].size * cost)
    return float(best)


@pytest.mark.parametrize("shape", [(9,), (5, 4), (1, 6), (3, 2, 4)])
@pytest.mark.parametrize("seed", range(4))
def test_each_box_is_the_best_of_all_that_are_left(shape: tuple[int, ...], seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=shape) ** 3
    maps, free = maps_of(values), np.ones(shape, dtype=bool)
    found = carriers(maps, most=4)
    assert found
    for one in found:
        box = tuple(
            slice(int(np.searchsorted(axis.edges, low)), int(np.searchsorted(axis.edges, high)))
            for axis, (low, high) in zip(maps.axes, one.bounds.values(), strict=True)
        )
        assert abs(one.contribution) - one.cells * np.abs(values).mean() == pytest.approx(gain_of_all(values, free))
        assert free[box].all()
        assert one.cells == values[box].size
        assert one.contribution == pytest.approx(values[box].sum())
        assert one.contribution == pytest.approx(float(maps.within(**one.bounds)[0]))
        free[box] = False
    if len(found) < 4:
        assert gain_of_all(values, free) <= 1e-12


def test_scale_and_sign_do_not_change_the_boxes() -> None:
    values = np.random.default_rng(7).normal(size=(6, 8))
    first, other = carriers(maps_of(values)), carriers(maps_of(-1e6 * values))
    assert [one.bounds for one in first] == [one.bounds for one in other]
    assert [one.contribution * -1e6 for one in first] == pytest.approx([one.contribution for one in other])
    assert carriers(maps_of(np.zeros((3, 3)))) == []
    assert carriers(maps_of(np.ones((3, 3)))) == []  # no box exceeds the average


@pytest.mark.parametrize(
    ("text", "bounds", "words"),
    [
        ("time=0.8ms:1.2ms,frequency=8kHz:10kHz", {"time": (8e-4, 1.2e-3), "frequency": (8e3, 1e4)},
         "0.8\N{EN DASH}1.2 ms, 8\N{EN DASH}10 kHz"),
        ("frequency=:4000", {"frequency": (-250.0, 4e3)}, "\N{MINUS SIGN}0.25 to 4 kHz"),
        ("time=2.5e-4:", {"time": (2.5e-4, 2.895e-3)}, "0.25\N{EN DASH}2.9 ms"),
        ("time=0us:4us", {"time": (0.0, 4e-6)}, "0\N{EN DASH}4 \N{MICRO SIGN}s"),
        ("time=-50us:0.05ms frequency=1e3:2kHz", {"time": (-5e-5, 5e-5), "frequency": (1e3, 2e3)},
         "\N{MINUS SIGN}50 to 50 \N{MICRO SIGN}s, 1\N{EN DASH}2 kHz"),
    ],
)  # fmt: skip
def test_regions_in_words(text: str, bounds: dict[str, tuple[float, float]], words: str) -> None:
    found = bounds_in(text, PLANE, where="--region")
    assert found.keys() == bounds.keys()
    for name, ends in bounds.items():
        assert found[name] == pytest.approx(ends)
    assert in_words(found, PLANE) == words


def test_axes_of_one_unit_and_without_unit_are_named() -> None:
    y, x = (Axis.uniform(name, "mm", size=64, step=7.0) for name in "yx")
    assert in_words({"x": (0.0, 60.0), "y": (2.5, 30.0)}, (y, x)) == "x 0\N{EN DASH}60 mm, y 2.5\N{EN DASH}30 mm"
    assert in_words({"cell": (1.0, 4.0)}, (Axis.uniform("cell", "1", size=9, step=1.0),)) == "cell 1\N{EN DASH}4"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("time", r"--region: a region must be NAME=LOW:HIGH. Got 'time'. Such as time=0.8ms:1.2ms"),
        ("time=3", r"a region must be NAME=LOW:HIGH. Got 'time=3'"),
        (" ", r"a region must be NAME=LOW:HIGH. Got nothing"),
        (
            "tme=0:1",
            r"the name must be one of frequency \(-250 to 29750 Hz\), time \(.* s\). Got 'tme'. Did you mean 'time'",
        ),
        ("time=0:1kHz", r"an end of time must be a number in s or a unit that fits. Got '1kHz'. The axis goes from"),
        ("time=0:soon", r"an end of time must be .* Got 'soon'"),
        ("time=2ms:1ms", r"time must be given as LOW:HIGH, the lower one first. Got 2ms:1ms"),
        ("time=0:1ms,time=2ms:3ms", r"an axis must be named once. Got 'time' twice"),
    ],
)
def test_regions_that_are_none(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        bounds_in(text, PLANE, where="--region")


def test_the_shell_says_what_regions_carry_and_it_adds_up(shell, burst_run: Path) -> None:
    words = [
        "explain",
        burst_run,
        "--samples",
        "2",
        "--region",
        "time=:16ms",
        "--region",
        "time=16ms:,frequency=2kHz:4kHz",
    ]
    code, out, _ = shell(*words, "--largest", "3")
    assert code == 0
    assert "0\N{EN DASH}" not in out.splitlines()[0]
    run = open_run(burst_run)
    maps = run.explain(run.data().subset("test")[:2], target="frequency")
    early = maps.within(time=(-1.0, 16e-3))
    rows = [line.split() for line in out.splitlines() if line.startswith(("s004 ", "s009 "))]
    for number, row in enumerate(rows[2:4]):
        first, second, rest, whole = map(float, row[1:])
        assert first == pytest.approx(early[number], rel=1e-3)
        assert whole == pytest.approx(maps.total[number], rel=1e-3)
        assert first + second + rest == pytest.approx(whole, abs=2e-3 * abs(maps.contributions[number]).sum())
    assert "= " in next(line for line in out.splitlines() if line.startswith("s004: frequency"))
    assert len(re.findall(r"^the rest +\d+ ", out, re.MULTILINE)) == 2


def test_a_script_gets_regions_and_the_largest_ones(shell, burst_run: Path) -> None:
    words = ["explain", burst_run, "--samples", "2", "--largest", "2", "--region", "frequency=1kHz:3kHz", "--json"]
    code, out, _ = shell(*words)
    assert code == 0
    answer = json.loads(out)["targets"]["frequency"]
    (region,) = answer["regions"]
    assert region["bounds"] == {"frequency": [1000.0, 3000.0]}
    assert region["words"] == "1\N{EN DASH}3 kHz"
    for sample in answer["samples"]:
        carried = sum(one["carried"] for one in sample["largest"]) + sample["rest"]
        assert sample["baseline"] + carried + sample["residual"] == pytest.approx(sample["prediction"])
        assert set(region["carried"]) == {one["id"] for one in answer["samples"]}


def test_regions_that_overlap_are_said_not_to_add_up(shell, burst_run: Path) -> None:
    words = ["explain", burst_run, "--samples", "1", "--region", "time=:16ms", "--region", "frequency=2kHz:4kHz"]
    code, out, _ = shell(*words)
    assert code == 0
    assert "regions overlap: they do not add up" in out
    assert "the rest" not in out


def test_a_region_is_refused_before_anything_is_explained(shell, burst_run: Path) -> None:
    code, out, err = shell("explain", burst_run, "--region", "tim=0:1")
    assert (code, out) == (2, "")
    assert "--region: the name must be one of frequency" in err
