from __future__ import annotations

import functools
import hashlib
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle  # type: ignore[import-untyped]
import numpy as np
import pytest
import threadpoolctl  # type: ignore[import-untyped]

from ram.data import making, open_dataset
from ram.data.computing import compute_in_order
from ram.data.making import load_recipe, make, options_of, partial_folder
from ram.errors import ConfigError, SolverError

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import a test module by its name

RECIPE = '''
from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cloudpickle  # type: ignore[import-untyped]
import numpy as np

from ram.axes import Axis
from ram.data import DatasetSpec, Record, write_dataset
from ram.data.making import compute_in_order, partial_folder
from ram.errors import SolverError


@dataclass(frozen=True)
class Bar:
    seed: int
    index: int


def solve(bar: Bar, *, size: int) -> dict[str, np.ndarray | float]:
    if bar.index == 5:
        raise SolverError("bar 5 is broken")
    stiffness = np.random.default_rng((bar.seed, bar.index)).normal(size=(40, 40))
    modes = np.linalg.eigvalsh(stiffness @ stiffness.T)
    return {"x": stiffness[:size, :size].astype(np.float32), "frequency": float(modes[0])}


def make(
    output: Path,
    *,
    samples: int = 12,
    seed: int = 0,
    size: int = 4,
    jobs: int = 1,
    scale: float = 1.0,
    mirror: bool = False,
    kind: Literal["steel", "oak"] = "steel",
    limit: int | None = None,
    progress: object = False,
) -> None:
    """Make bars."""
    work = functools.partial(solve, size=size)
    bars = [Bar(seed, index) for index in range(samples)]
    folder = partial_folder(output)
    found = list(compute_in_order(work, bars, jobs=jobs, folder=folder, fingerprint=f"{seed} {size}", chunk=3))
    good = [(index, one) for index, one in enumerate(found) if not isinstance(one, str)]
    failed = [one for one in found if isinstance(one, str)]
    axes = tuple(Axis.uniform(name, "mm", size=size, step=1.0) for name in "yx")
    spec = DatasetSpec(
        name="bars", axes=axes, channels={"a": "1"}, targets={"frequency": "Hz"}, count=len(good), notes=str(failed)
    )
    rows = ((f"bar {index}", one["x"][None], scale * one["frequency"]) for index, one in good)
    write_dataset(output, spec, (Record(id=name, x=x, targets={"frequency": value}) for name, x, value in rows))
'''


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    folder = tmp_path / "bars"
    folder.mkdir()
    (folder / "recipe.py").write_text(RECIPE, encoding="utf-8")
    return folder


def sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# Recipes


def test_the_number_of_jobs_does_not_change_a_byte(recipe: Path, tmp_path: Path) -> None:
    outputs = [make(recipe, tmp_path / f"{jobs}.h5", {"jobs": jobs}) for jobs in ("1", "2", "3")]
    assert len({sha(path) for path in outputs}) == 1
    data = open_dataset(outputs[0])
    assert data.ids.tolist() == [f"bar {index}" for index in range(12) if index != 5]
    assert data.attributes["notes"] == "['SolverError: bar 5 is broken']"
    assert not partial_folder(outputs[0]).exists()


def test_options_become_the_types_of_the_signature(recipe: Path) -> None:
    options = options_of(load_recipe(recipe))
    assert [option.name for option in options] == [
        *("samples", "seed", "size", "jobs", "scale", "mirror", "kind", "limit"),
    ]
    assert [option.text for option in options[:1]] == ["samples (int, 12)"]
    seen: dict[str, object] = {}
    module = load_recipe(recipe)
    original = module.make

    @functools.wraps(original)
    def spy(output: Path, **options: object) -> None:
        seen.update(options)
        original(output, **options)

    module.make = spy  # type: ignore[attr-defined]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ram.data.making.load_recipe", lambda folder: module)
        words = {"samples": "4", "scale": "2.5", "mirror": "Yes", "kind": "oak", "limit": "none"}
        make(recipe, recipe / "a.h5", words, progress=False)
        assert {name: seen[name] for name in words} == {
            "samples": 4, "scale": 2.5, "mirror": True, "kind": "oak", "limit": None,
        }  # fmt: skip
        make(recipe, recipe / "b.h5", {"limit": "7", "mirror": "0", "samples": "2"}, progress=False)
        assert (seen["limit"], seen["mirror"]) == (7, False)


def test_none_is_meant_where_it_is_allowed_beside_text() -> None:
    assert making._value("None", str | None) is None
    assert making._value("steel", str | None) == "steel"
    assert making._value("a/b", Path | None) == Path("a/b")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"sampels": "4"},
            r"recipe\.py: an option must be one of samples \(int, 12\), .* Got 'sampels'\. Did you mean 'samples'\?",
        ),
        ({"samples": "many"}, r"option samples must be samples \(int, 12\)\. Got 'many'\."),
        ({"samples": "1.5"}, r"option samples must be .* Got '1\.5'\."),
        ({"mirror": "maybe"}, r"option mirror must be mirror \(bool, False\)\. Got 'maybe'\."),
        ({"kind": "iron"}, r"option kind must be .* Got 'iron'\."),
        ({"limit": "x"}, r"option limit must be limit \(int \| None, None\)\. Got 'x'\."),
        ({"output": "x"}, r"an option must be one of .* Got 'output'\."),
    ],
)
def test_options_that_do_not_fit_are_answered_with_those_that_do(
    recipe: Path, tmp_path: Path, options: dict[str, str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        make(recipe, tmp_path / "a.h5", options)
    assert not (tmp_path / "a.h5").exists()
    assert not partial_folder(tmp_path / "a.h5").exists()


def test_an_output_that_is_there_is_kept_unless_allowed(recipe: Path, tmp_path: Path) -> None:
    (tmp_path / "a.h5").write_text("dear")
    with pytest.raises(
        ConfigError, match=r"a\.h5: the output must be a new file\. Got one that is there already\. .*overwrite"
    ):
        make(recipe, tmp_path / "a.h5", {})
    assert (tmp_path / "a.h5").read_text() == "dear"
    make(recipe, tmp_path / "a.h5", {}, overwrite=True)
    assert len(open_dataset(tmp_path / "a.h5")) == 11
    with pytest.raises(ConfigError, match=r"bars: the output must be a new file\. Got a folder"):
        make(recipe, recipe, {}, overwrite=True)
    with pytest.raises(ConfigError, match=r"the output must be in a folder that is there\. Got .*nowhere"):
        make(recipe, tmp_path / "nowhere" / "a.h5", {})


def test_folders_without_a_recipe(recipe: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"bar: the folder must be one with a recipe\.py\. Got no such file\. Did you mean 'bars'\?"
    ):
        load_recipe(tmp_path / "bar")
    (recipe / "recipe.py").write_text("make = 3")
    with pytest.raises(
        ConfigError, match=r"recipe\.py: a recipe must be a module with make\(output, \*, \.\.\.\)\. Got none"
    ):
        load_recipe(recipe)
    (recipe / "recipe.py").write_text("def make(output, *, n: int, progress=None): pass")
    with pytest.raises(ConfigError, match=r"recipe\.py: option n must be given\. Got none"):
        make(recipe, tmp_path / "a.h5", {})
    with pytest.raises(ConfigError, match=r"recipe\.py: make\(\) must be the writer of .*a\.h5\. Got no file there"):
        make(recipe, tmp_path / "a.h5", {"n": "1"})


# Computing in order


def square(item: int) -> dict[str, Any]:
    return {"value": float(item**2), "row": np.full((2, 3), item, dtype=np.int16), "empty": np.zeros((0, 2))}


def counted(
    item: int, *, log: Path, break_at: int = -1, trouble: type[BaseException] = KeyboardInterrupt
) -> dict[str, Any]:
    if item == break_at:
        raise trouble(f"at {item}")
    with log.open("a") as file:
        file.write(f"{item}\n")
    return square(item)


def computed(log: Path) -> list[int]:
    return sorted(int(line) for line in log.read_text().split()) if log.exists() else []


@pytest.mark.parametrize("jobs", [1, 2])
def test_results_come_in_order_as_they_were_returned(tmp_path: Path, jobs: int) -> None:
    found = list(compute_in_order(square, range(10), jobs=jobs, folder=tmp_path / "p", fingerprint="a", chunk=4))
    for item, result in enumerate(found):
        assert isinstance(result, dict)
        assert list(result) == ["value", "row", "empty"]
        assert type(result["value"]) is float
        assert result["value"] == item**2
        row = result["row"]
        assert isinstance(row, np.ndarray)
        assert (row.dtype, row.tolist()) == (np.dtype(np.int16), [[item] * 3] * 2)
        assert np.shape(result["empty"]) == (0, 2)


@pytest.mark.parametrize("broken_at", [0, 3, 7, 9])
def test_an_interrupt_keeps_finished_chunks(tmp_path: Path, broken_at: int) -> None:
    log, folder = tmp_path / "log", tmp_path / "p"
    call = functools.partial(compute_in_order, items=range(10), jobs=1, folder=folder, fingerprint="a", chunk=4)
    with pytest.raises(KeyboardInterrupt):
        list(call(functools.partial(counted, log=log, break_at=broken_at)))
    first = computed(log)
    done = [item for item in first if item // 4 < broken_at // 4]
    log.unlink(missing_ok=True)
    results = list(call(functools.partial(counted, log=log)))
    assert [result["value"] for result in results if isinstance(result, dict)] == [item**2 for item in range(10)]
    assert computed(log) == [item for item in range(10) if item not in done]


def test_a_killed_run_continues_where_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    code = f"""
        import importlib.util as u, sys, time
        s = u.spec_from_file_location("t", {__file__!r})
        t = sys.modules["t"] = u.module_from_spec(s)
        s.loader.exec_module(t)
        def slow(item):
            time.sleep(0.02)
            return t.square(item)
        folder = t.Path({str(folder)!r})
        for result in t.compute_in_order(slow, range(4000), jobs=1, folder=folder, fingerprint="a", chunk=2):
            print(result["value"], flush=True)
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process, process.stdout:
        for _ in range(6):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    chunks = len(list(folder.glob("*.npz")))
    assert chunks >= 3
    log = tmp_path / "log"
    items = range(2 * chunks + 2)
    work = functools.partial(counted, log=log)
    results = list(compute_in_order(work, items, jobs=1, folder=folder, fingerprint="a", chunk=2))
    assert [result["value"] for result in results if isinstance(result, dict)] == [item**2 for item in items]
    assert computed(log) == list(items)[-2:]


@pytest.mark.parametrize(
    "damage", [lambda c: c[:-30], lambda c: b"", lambda c: c.replace(b"\x03\x00\x03", b"\x03\x00\x07")]
)
def test_a_damaged_chunk_is_computed_again(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    log, folder = tmp_path / "log", tmp_path / "p"
    call = functools.partial(
        compute_in_order, functools.partial(counted, log=log), range(8), jobs=1, folder=folder, fingerprint="a", chunk=4
    )
    expected = list(call())
    log.unlink()
    path = min(folder.glob("*.npz"))
    assert damage(path.read_bytes()) != path.read_bytes()
    path.write_bytes(damage(path.read_bytes()))
    again = list(call())
    assert [one["value"] for one in again] == [one["value"] for one in expected]  # type: ignore[index]
    assert computed(log) == [0, 1, 2, 3]


def test_another_fingerprint_or_more_items(tmp_path: Path) -> None:
    log, folder = tmp_path / "log", tmp_path / "p"
    work = functools.partial(counted, log=log)
    list(compute_in_order(work, range(6), jobs=1, folder=folder, fingerprint="a", chunk=4))
    log.unlink()
    more = list(compute_in_order(work, range(10), jobs=1, folder=folder, fingerprint="a", chunk=4))
    assert len(more) == 10
    assert computed(log) == [4, 5, 6, 7, 8, 9]  # the chunk that was short, and the new one
    log.unlink()
    list(compute_in_order(work, range(10), jobs=1, folder=folder, fingerprint="b", chunk=4))
    assert computed(log) == list(range(10))
    assert len(list(folder.glob("*.npz"))) == 3  # none of the other fingerprint


def failing(item: int, *, log: Path, kind: type[Exception]) -> dict[str, Any]:
    if item == 1:
        log.write_text("tried")
        raise kind("no solution")
    return square(item)


@pytest.mark.parametrize(("kind", "final"), [(SolverError, True), (ZeroDivisionError, False)])
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_failing_item_keeps_its_place_as_text(tmp_path: Path, kind: type[Exception], final: bool, jobs: int) -> None:  # noqa: FBT001
    log = tmp_path / "log"
    work = functools.partial(failing, log=log, kind=kind)
    for _ in range(2):
        found = list(compute_in_order(work, range(4), jobs=jobs, folder=tmp_path / "p", fingerprint="a", chunk=2))
        assert found[1] == f"{kind.__name__}: no solution"
        assert [isinstance(one, str) for one in found] == [False, True, False, False]
        tried, _ = log.exists(), log.unlink(missing_ok=True)
    assert tried is not final


def blas_threads(_item: int) -> dict[str, Any]:
    np.ones((4, 4)) @ np.ones((4, 4))
    return {"threads": max([pool["num_threads"] for pool in threadpoolctl.threadpool_info()], default=1)}


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_worker_has_one_blas_thread(tmp_path: Path, jobs: int) -> None:
    with threadpoolctl.threadpool_limits(2):  # what a caller has set does not matter
        found = list(compute_in_order(blas_threads, range(4), jobs=jobs, folder=tmp_path, fingerprint="a", chunk=1))
    assert [one["threads"] for one in found if isinstance(one, dict)] == [1.0] * 4


def test_progress_is_told_and_a_consumer_may_stop(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    call = functools.partial(compute_in_order, square, range(5), folder=tmp_path, fingerprint="a", chunk=2)
    list(call(jobs=1, progress=lambda done, total: told.append((done, total))))
    assert told == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]
    stopping = compute_in_order(square, range(40), jobs=2, folder=tmp_path / "p", fingerprint="a", chunk=2)
    assert isinstance(next(stopping), dict)
    begin = time.monotonic()
    stopping.close()  # type: ignore[attr-defined]
    assert time.monotonic() - begin < 20.0


@pytest.mark.parametrize(
    ("changes", "message"), [({"jobs": 0}, "jobs must be at least 1. Got 0"), ({"chunk": 0}, "chunk must be")]
)
def test_numbers_below_one_are_refused(tmp_path: Path, changes: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        next(compute_in_order(square, [1], **{"jobs": 1, "folder": tmp_path, "fingerprint": "a"} | changes))  # type: ignore[arg-type]
