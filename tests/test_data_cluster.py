"""Data sets made, and sweeps done, by a real Dask cluster of two worker processes, one of them killed on the way."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cloudpickle  # type: ignore[import-untyped]
import numpy as np
import pytest
import threadpoolctl  # type: ignore[import-untyped]

from ram.data import cluster, open_dataset
from ram.data.computing import compute_in_order
from ram.data.making import make, partial_folder
from ram.errors import ConfigError, SolverError
from ram.runs.config import load_experiment
from ram.training.sweep import sweep

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import a test module by its name

RECIPE = '''
from __future__ import annotations

import functools
import os
import time
from dataclasses import dataclass
from pathlib import Path

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


def solve(bar: Bar, *, offset: np.ndarray, log: str) -> dict[str, np.ndarray | float]:
    if log:
        time.sleep(0.02)  # long enough to be killed in
        (Path(log) / f"{bar.index}-{os.getpid()}").touch()
    if bar.index == 5:
        raise SolverError("bar 5 is broken")
    stiffness = np.random.default_rng((bar.seed, bar.index)).normal(size=(150, 150))
    modes = np.linalg.eigvalsh(stiffness @ stiffness.T)  # other bits with another number of BLAS threads
    return {"x": (stiffness + offset)[:4, :4].astype(np.float32), "frequency": float(modes[75])}


def make(output: Path, *, samples: int = 40, jobs: int = 1, log: str = "", progress: object = False) -> None:
    """Make bars."""
    work = functools.partial(solve, offset=np.full((150, 150), 2.0), log=log)
    bars = [Bar(1, index) for index in range(samples)]
    found = list(compute_in_order(work, bars, jobs=jobs, folder=partial_folder(output), fingerprint="1", chunk=2))
    good = [(index, one) for index, one in enumerate(found) if not isinstance(one, str)]
    failed = [one for one in found if isinstance(one, str)]
    axes = tuple(Axis.uniform(name, "mm", size=4, step=1.0) for name in "yx")
    spec = DatasetSpec(
        name="bars", axes=axes, channels={"a": "1"}, targets={"frequency": "Hz"}, count=len(good), notes=str(failed)
    )
    rows = ((f"bar {index}", one["x"][None], one["frequency"]) for index, one in good)
    write_dataset(output, spec, (Record(id=name, x=x, targets={"frequency": value}) for name, x, value in rows))
'''


def dask(*words: str, before: str = "") -> subprocess.Popen[bytes]:
    """Start ``dask scheduler`` or ``dask worker``; `before` is Python that runs first."""
    code = f"{before}\nimport sys\nfrom dask.__main__ import main\nsys.argv = ['dask', *{list(words)!r}]\nmain()"
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a scheduler of its own, on a port that was free."""
    file = tmp_path_factory.mktemp("dask") / "scheduler.json"
    process = dask("scheduler", "--port", "0", "--host", "127.0.0.1", "--no-dashboard", "--scheduler-file", str(file))
    try:
        limit = time.monotonic() + 120
        while not file.exists() and time.monotonic() < limit:
            time.sleep(0.05)
        yield json.loads(file.read_text(encoding="utf-8"))["address"]
    finally:
        end(process)


@pytest.fixture
def workers(scheduler: str) -> Iterator[Callable[..., list[subprocess.Popen[bytes]]]]:
    """Start workers; all are gone afterwards."""
    started: list[subprocess.Popen[bytes]] = []

    def start(count: int, *, before: str = "", threads: int = 1) -> list[subprocess.Popen[bytes]]:
        words = ("worker", scheduler, "--nthreads", str(threads), "--no-nanny", "--no-dashboard", "--host", "127.0.0.1")
        new = [dask(*words, before=before) for _ in range(count)]
        started.extend(new)
        wait_for(scheduler, len([one for one in started if one.poll() is None]))
        return new

    yield start
    for process in started:
        end(process)
    wait_for(scheduler, 0)


def end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def wait_for(address: str, count: int) -> None:
    from distributed import Client

    with Client(address, set_as_default=False) as client:
        limit = time.monotonic() + 120
        while len(client.nthreads()) != count and time.monotonic() < limit:
            time.sleep(0.05)


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    folder = tmp_path / "bars"
    folder.mkdir()
    (folder / "recipe.py").write_text(RECIPE, encoding="utf-8")
    return folder


def sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_killed_worker_costs_no_sample_and_no_byte(
    scheduler: str, workers: Callable[..., Any], recipe: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    log.mkdir()
    alone = make(recipe, tmp_path / "alone.h5", {"log": str(log)})  # a file says which options it was made with
    for entry in log.iterdir():
        entry.unlink()
    first, _ = workers(2)

    def kill_one() -> None:
        limit = time.monotonic() + 120
        while len(list(log.glob(f"*-{first.pid}"))) < 3 and time.monotonic() < limit:
            time.sleep(0.002)
        first.send_signal(signal.SIGKILL)

    killer = threading.Thread(target=kill_one)
    killer.start()
    together = make(recipe, tmp_path / "together.h5", {"log": str(log)}, cluster=scheduler)
    killer.join()
    assert first.wait() == -signal.SIGKILL
    assert len(open_dataset(together)) == 39
    assert open_dataset(together).attributes["notes"] == "['SolverError: bar 5 is broken']"
    assert len({path.name.split("-")[1] for path in log.iterdir()}) == 2  # both have worked
    assert {int(path.name.split("-")[0]) for path in log.iterdir()} == set(range(40))
    assert sha(together) == sha(alone)
    assert not partial_folder(together).exists()


def where_and_threads(_item: int) -> dict[str, Any]:
    np.ones((4, 4)) @ np.ones((4, 4))
    threads = max([pool["num_threads"] for pool in threadpoolctl.threadpool_info()], default=1)
    return {"pid": float(os.getpid()), "threads": threads}


def test_what_is_there_is_not_computed_again_and_a_worker_has_one_blas_thread(
    scheduler: str, workers: Callable[..., Any], tmp_path: Path
) -> None:
    words: dict[str, Any] = {"jobs": 1, "folder": tmp_path, "fingerprint": "a", "chunk": 2}
    here = list(compute_in_order(where_and_threads, range(4), **words))
    (process,) = workers(1, before="import os; os.environ['OMP_NUM_THREADS'] = '2'")
    with cluster.on_cluster(scheduler):
        found = list(compute_in_order(where_and_threads, range(9), **words))
        stopping = compute_in_order(where_and_threads, range(40), **words | {"fingerprint": "b"})
        assert isinstance(next(stopping), dict)
        stopping.close()  # type: ignore[attr-defined]
    assert found[:4] == here
    assert {one["pid"] for one in found[4:]} == {float(process.pid)}  # type: ignore[index]
    assert {one["threads"] for one in found} == {1.0}  # type: ignore[index]
    assert cluster.cluster_in_use() is None


def ends_its_worker(item: int) -> dict[str, Any]:
    if item == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return {"value": float(item)}


@pytest.mark.slow
def test_a_task_that_ends_every_worker_is_named(scheduler: str, workers: Callable[..., Any], tmp_path: Path) -> None:
    workers(4)
    with (
        cluster.on_cluster(scheduler),
        pytest.raises(SolverError, match=r"processes must be alive\. Got '.*Memory may"),
    ):
        list(compute_in_order(ends_its_worker, range(3), jobs=1, folder=tmp_path, fingerprint="a", chunk=1))


WRONG = {
    "without ram": ("import sys; sys.modules['ram'] = None", r"worker tcp://\S+ must be one that can import ram\. Got"),
    "another numpy": (
        "import importlib.metadata as m; right = m.version; m.version = lambda n: '1.0' if n == 'numpy' else right(n)",
        r"numpy of worker tcp://\S+ must be \S+ as here\. Got 1\.0\. Start the workers in the environment",
    ),
    "another Python": (
        "import platform; platform.python_version = lambda: '3.8.1'",
        r"Python of worker tcp://\S+ must be 3\.\d+ as here\. Got 3\.8\.",
    ),
    "other code": (
        "import ram.data.cluster; ram.data.cluster.code_digest.__code__ = (lambda: 'other').__code__",
        r"the code of ram of worker tcp://\S+ must be \w+ as here\. Got other\.",
    ),
}


@pytest.mark.slow
def test_workers_that_could_compute_something_else_are_refused(scheduler: str, workers: Callable[..., Any]) -> None:
    for before, message in WRONG.values():
        (process,) = workers(1, before=before)
        with pytest.raises(ConfigError, match=message), cluster.connected(scheduler):
            pass
        end(process)
        wait_for(scheduler, 0)


def test_workers_of_several_threads_are_refused(scheduler: str, workers: Callable[..., Any]) -> None:
    workers(1, threads=2)
    message = r"a worker must be of one thread\. Got 2 threads of tcp://\S+\. Start workers with 'dask worker"
    with pytest.raises(ConfigError, match=message), cluster.connected(scheduler):
        pass


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("node7", r"--cluster: the address must be tcp://HOST:PORT of a scheduler\. Got 'node7'\. Such as tcp://node7"),
        ("tcp://127.0.0.1:9", r"the scheduler must be one that answers\. Got 'Timed out .*'dask scheduler'"),
    ],
)
def test_a_scheduler_that_does_not_answer(address: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message), cluster.connected(address, timeout_s=0.5):
        pass


def test_a_cluster_without_workers_and_a_machine_without_dask(scheduler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    message = r"workers must be at least one\. Got none after 0\.3 s\. Start some with"
    with pytest.raises(ConfigError, match=message), cluster.connected(scheduler, timeout_s=0.3):
        pass
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    message = r"Dask must be installed\. Got none\. pip install '.*\[cluster\]'"
    with pytest.raises(ConfigError, match=message), cluster.connected(scheduler):
        pass


@pytest.mark.slow
def test_a_sweep_over_a_cluster_does_a_killed_trial_again(
    scheduler: str, workers: Callable[..., Any], disc_folder: Path, tmp_path: Path
) -> None:
    first, _ = workers(2)
    content = load_experiment(disc_folder / "discs.toml").model_dump()
    space = {"training.learning_rate": {"low": 1e-4, "high": 1e-1, "log": True}}
    content["training"]["epochs"] = 10
    content["sweep"] = {"trials": 8, "pruner": "none", "space": space}

    def kill_one() -> None:
        while not (rows := list(tmp_path.glob("sweep/trials/0003/history.jsonl"))):
            time.sleep(0.002)
        assert rows
        first.send_signal(signal.SIGKILL)

    killer = threading.Thread(target=kill_one)
    killer.start()
    found = sweep(content, output=tmp_path / "sweep", cluster=scheduler)
    killer.join()
    assert first.wait() == -signal.SIGKILL
    assert [(trial.number, trial.state) for trial in found.trials] == [(number, "complete") for number in range(8)]
