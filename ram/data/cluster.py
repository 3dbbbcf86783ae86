"""Work that is spread over processes of this machine or over the workers of a Dask cluster, through joblib.

Functions and results travel as bytes: joblib's Dask backend puts larger arguments on one worker of its own accord,
and all tasks that need them are lost with it when that worker is killed.
"""

from __future__ import annotations

__all__ = ["WorkersError", "cluster_in_use", "connected", "on_cluster", "parallel_on", "stop"]

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import platform
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TypeVar

import cloudpickle  # type: ignore[import-untyped]
import joblib

from ram.errors import ConfigError, RamError, SolverError, explained

Item = TypeVar("Item")
Value = TypeVar("Value")

_TIMEOUT_S = 10.0
# What results depend on, beside the code itself.
_PACKAGES = ("numpy", "scipy", "scikit-fem", "joblib", "cloudpickle", "distributed")
_SAME_PLACE = "Start the workers in the environment that this command runs in"
_IN_USE: ContextVar[Any] = ContextVar("cluster", default=None)


class WorkersError(SolverError):
    """Processes that were at work have been killed."""


def cluster_in_use() -> Any:
    """Return the client of the cluster that this work is to be spread over; None where there is none."""
    return _IN_USE.get()


@contextlib.contextmanager
def on_cluster(address: str | None) -> Iterator[None]:
    """Have `compute_in_order` send its work to the cluster at `address`; None changes nothing.

    Raises
    ------
    ConfigError
        See `connected`.
    """
    if address is None:
        yield
        return
    with connected(address) as client:
        token = _IN_USE.set(client)
        try:
            yield
        finally:
            _IN_USE.reset(token)


@contextlib.contextmanager
def connected(address: str, *, timeout_s: float = _TIMEOUT_S) -> Iterator[Any]:
    """Yield a client of the Dask cluster whose scheduler is at `address`, such as ``tcp://node7:8786``.

    Raises
    ------
    ConfigError
        Dask is not installed, no scheduler answers, it has no workers; a worker has several threads, lacks this
        package or has other versions of it, of Python or of what results depend on.
    """
    where = f"--cluster {address}"
    if importlib.util.find_spec("distributed") is None:
        step = "pip install 'regression-activation-mapping[cluster]'"
        raise ConfigError(explained(where=where, what="Dask", allowed="installed", got="none", next_step=step))
    if not re.fullmatch(r"(tcp|tls)://\S+:\d+", address):
        got, step = f"'{address}'", "Such as tcp://node7:8786"
        allowed = "tcp://HOST:PORT of a scheduler"
        raise ConfigError(explained(where="--cluster", what="the address", allowed=allowed, got=got, next_step=step))
    client = _client(address, where, timeout_s)
    try:
        _wait_for_one(client, where, timeout_s)
        check_workers(client, where)
        yield client
    finally:
        client.close()


def parallel_on(
    function: Callable[[Item], Value], items: Sequence[Item], *, jobs: int = 1, client: Any = None
) -> Iterator[Value]:
    """Yield ``function(item)`` of all items as they are done: by `jobs` processes, or by the workers of a cluster.

    A worker of a cluster that is killed loses nothing: its task is given to another.

    Raises
    ------
    WorkersError
        A process of this machine was killed, or a task has ended one worker of the cluster after another.
    """
    with contextlib.ExitStack() as stack:
        # Results come as bytes: see the head of this module.
        content = cloudpickle.dumps(function)
        if client is None:
            stack.enter_context(joblib.parallel_config("loky", n_jobs=jobs))
        else:
            from ram.data.dask_backend import DaskBackend

            stack.enter_context(joblib.parallel_config(DaskBackend(client=client), n_jobs=-1))
        calls = (joblib.delayed(_call)(content, cloudpickle.dumps(item)) for item in items)
        parallel = joblib.Parallel(return_as="generator_unordered", pre_dispatch="2*n_jobs", batch_size=1)
        computed = parallel(calls)
        stack.callback(stop, computed)
        with _naming_ended_workers():
            for result in computed:
                yield cloudpickle.loads(result)


def stop(computed: Any) -> None:
    """End the workers' generator; that results are left over is what a caller who stops early wants."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        computed.close()


def check_workers(client: Any, where: str) -> None:
    """Refuse workers whose results could differ from those of this process.

    Raises
    ------
    ConfigError
        Names the worker, and what differs.
    """
    for worker, threads in client.nthreads().items():
        if threads != 1:
            step = "Start workers with 'dask worker ADDRESS --nthreads 1 --nworkers N'"
            got = f"{threads} threads of {worker}"
            raise ConfigError(explained(where=where, what="a worker", allowed="of one thread", got=got, next_step=step))
    _require_package(client, where)
    for name in _PACKAGES:
        here = importlib.metadata.version(name)
        for worker, there in client.run(importlib.metadata.version, name, on_error="return").items():
            _require_same(where, worker, name, here, "none" if isinstance(there, Exception) else there)


def code_digest() -> str:
    """Return a digest of this package's code: a worker with other code could have other results."""
    root = Path(__file__).resolve().parents[1]
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def _require_package(client: Any, where: str) -> None:
    python = ".".join(platform.python_version_tuple()[:2])
    for worker, version in client.run(platform.python_version).items():
        _require_same(where, worker, "Python", python, ".".join(version.split(".")[:2]))
    for worker, there in client.run(code_digest, on_error="return").items():
        if isinstance(there, Exception):
            allowed, got = "one that can import ram", f"one that cannot: '{there}'"
            raise ConfigError(
                explained(where=where, what=f"worker {worker}", allowed=allowed, got=got, next_step=_SAME_PLACE)
            )
        _require_same(where, worker, "the code of ram", code_digest(), there)


def _require_same(where: str, worker: str, name: str, here: str, there: str) -> None:
    if here != there:
        what, allowed = f"{name} of worker {worker}", f"{here} as here"
        raise ConfigError(explained(where=where, what=what, allowed=allowed, got=there, next_step=_SAME_PLACE))


def _client(address: str, where: str, timeout_s: float) -> Any:
    from distributed import Client

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of versions that differ: we say it ourselves
            return Client(address, timeout=timeout_s, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError, TimeoutError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        step = "Start one with 'dask scheduler' and give its address, such as tcp://node7:8786"
        allowed = "one that answers"
        raise ConfigError(
            explained(where=where, what="the scheduler", allowed=allowed, got=f"'{first}'", next_step=step)
        ) from None


def _wait_for_one(client: Any, where: str, timeout_s: float) -> None:
    try:
        client.wait_for_workers(1, timeout=timeout_s)
    except TimeoutError:
        got, step = f"none after {timeout_s:g} s", "Start some with 'dask worker ADDRESS --nthreads 1'"
        raise ConfigError(
            explained(where=where, what="workers", allowed="at least one", got=got, next_step=step)
        ) from None


def _call(function: bytes, item: bytes) -> bytes:
    content: bytes = cloudpickle.dumps(cloudpickle.loads(function)(cloudpickle.loads(item)))
    return content


@contextlib.contextmanager
def _naming_ended_workers() -> Iterator[None]:
    """Say in words that processes have ended which should not have."""
    try:
        yield
    except RamError:
        raise
    except Exception as error:
        if type(error).__name__ not in ("TerminatedWorkerError", "BrokenProcessPool", "KilledWorker"):
            raise
        first = (str(error).splitlines() or [""])[0]
        step = "Memory may have run out: fewer --jobs, or smaller tasks"
        raise WorkersError(
            explained(where="workers", what="processes", allowed="alive", got=f"'{first}'", next_step=step)
        ) from None
