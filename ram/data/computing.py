"""Long computations over many samples: in parallel, in order, resumed where they were interrupted.

A chunk of items is one file, written whole by the worker that computed it. Chunks do not depend on the number
of workers and every worker has one BLAS thread, so the results are the same bytes for any number of jobs.
Workers of a cluster send their chunks, and this process writes them: they need not see the folder.
"""

from __future__ import annotations

__all__ = ["Result", "compute_in_order"]

import contextlib
import functools
import hashlib
import io
import json
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import joblib
import numpy as np
import threadpoolctl  # type: ignore[import-untyped]
from numpy.typing import NDArray
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ram.data.cluster import cluster_in_use, parallel_on, stop
from ram.errors import ConfigError, RamError, explained
from ram.storage import atomic

Item = TypeVar("Item")
Result = dict[str, NDArray[Any] | float]
Watcher = Callable[[int, int], None]


def compute_in_order(
    function: Callable[[Item], Mapping[str, NDArray[Any] | float]],
    items: Sequence[Item],
    *,
    jobs: int,
    folder: Path,
    fingerprint: str,
    progress: bool | Watcher = False,
    chunk: int = 16,
) -> Iterator[Result | str]:
    """Yield ``function(item)`` for every item, in the order of the items.

    Parameters
    ----------
    function
        Returns arrays and numbers by name; it must depend on its item alone.
    items
        What to compute; an item is sent to a worker.
    jobs
        Number of worker processes; 1 computes in this process. Results do not depend on it. Where a cluster is in use
        (`ram.data.cluster.on_cluster`), its workers compute instead.
    folder
        Where finished chunks are kept. Called again with the same `fingerprint`, those that are there are read
        instead of computed; chunks of another fingerprint are removed. One folder serves one computation.
    fingerprint
        Stands for all that the results depend on beside the items: options, versions.
    progress
        True shows a bar with the time left (on a terminal), or a function of items done and items in all.
    chunk
        Items in one file.

    Yields
    ------
    Result or str
        What the function returned, numbers as floats. For an item that raised, its text, such as
        ``"SolverError: design 7 ..."``: nothing is dropped. An error of this package is final; other errors
        are tried again by the next call.

    Raises
    ------
    ConfigError
        `jobs` or `chunk` is below 1.
    """
    for name, number in (("jobs", jobs), ("chunk", chunk)):
        if number < 1:
            raise ConfigError(explained(where="compute_in_order", what=name, allowed="at least 1", got=number))
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{hashlib.sha256(fingerprint.encode()).hexdigest()[:16]}-{chunk}"
    _discard_others(folder, stem)
    pieces = [items[begin : begin + chunk] for begin in range(0, len(items), chunk)]
    paths = [folder / f"{stem}-{number:06d}.npz" for number in range(len(pieces))]
    with _watching(progress, len(items)) as watch:
        done = 0
        for path in _finished(function, pieces, paths, jobs):
            results = _load(path) or []
            for result in results:
                done += 1
                watch(done, len(items))
                yield result


def _finished(
    function: Callable[[Any], Mapping[str, Any]], pieces: Sequence[Sequence[Any]], paths: Sequence[Path], jobs: int
) -> Iterator[Path]:
    """Yield the chunks' files in order, each when it is there."""
    ready = [_is_final(path, len(piece)) for path, piece in zip(paths, pieces, strict=True)]
    missing = [number for number, there in enumerate(ready) if not there]
    if cluster_in_use() is not None:
        yield from _by_cluster(function, pieces, paths, missing)
        return
    calls = (joblib.delayed(_compute_chunk)(function, pieces[number], paths[number]) for number in missing)
    with contextlib.ExitStack() as stack:
        if jobs == 1:
            stack.enter_context(threadpoolctl.threadpool_limits(1))
            computed: Iterator[Path] = (call[0](*call[1], **call[2]) for call in calls)
        else:
            stack.enter_context(joblib.parallel_config("loky", n_jobs=jobs, inner_max_num_threads=1))
            computed = joblib.Parallel(return_as="generator", pre_dispatch="2*n_jobs", batch_size=1)(calls)
            stack.callback(stop, computed)
        for number, path in enumerate(paths):
            yield path if ready[number] else next(computed)


def _by_cluster(
    function: Callable[[Any], Mapping[str, Any]],
    pieces: Sequence[Sequence[Any]],
    paths: Sequence[Path],
    missing: Sequence[int],
) -> Iterator[Path]:
    """Yield the chunks' files in order; each is written as soon as a worker of the cluster has sent it."""
    work = functools.partial(_numbered_chunk, function)
    arriving = parallel_on(work, [(number, pieces[number]) for number in missing], client=cluster_in_use())
    waited_for = set(missing)
    with contextlib.closing(arriving):  # type: ignore[type-var]
        for number, path in enumerate(paths):
            while number in waited_for:
                came, content = next(arriving)
                atomic.write_bytes(paths[came], content)
                waited_for.discard(came)
            yield path


def _numbered_chunk(
    function: Callable[[Any], Mapping[str, Any]], numbered: tuple[int, Sequence[Any]]
) -> tuple[int, bytes]:
    import scipy.linalg  # noqa: F401 - only a BLAS that is loaded already can be limited

    number, piece = numbered
    with threadpoolctl.threadpool_limits(1):
        return number, _chunk(function, piece)


def _compute_chunk(function: Callable[[Any], Mapping[str, Any]], piece: Sequence[Any], path: Path) -> Path:
    atomic.write_bytes(path, _chunk(function, piece))
    return path


def _chunk(function: Callable[[Any], Mapping[str, Any]], piece: Sequence[Any]) -> bytes:
    results: list[Result | str] = []
    final = True
    for item in piece:
        try:
            results.append({name: np.asarray(value) for name, value in function(item).items()})
        except Exception as error:
            results.append(f"{type(error).__name__}: {error}")
            final = final and isinstance(error, RamError)
    return _packed(results, final=final)


def _packed(results: Sequence[Result | str], *, final: bool) -> bytes:
    """Return a chunk: arrays as they are (zip checks every byte by CRC-32), names and errors as JSON beside them."""
    arrays: dict[str, NDArray[Any]] = {}
    layout: list[str | list[str]] = []
    for number, result in enumerate(results):
        layout.append(result if isinstance(result, str) else list(result))
        if not isinstance(result, str):
            arrays |= {f"{number}:{place}": np.asarray(value) for place, value in enumerate(result.values())}
    head = np.frombuffer(json.dumps({"final": final, "results": layout}).encode(), dtype=np.uint8)
    packed = io.BytesIO()
    np.savez(packed, allow_pickle=False, head=head, **arrays)
    return packed.getvalue()


def _head(archive: Any) -> dict[str, Any]:
    head: dict[str, Any] = json.loads(archive["head"].tobytes())
    return head


def _is_final(path: Path, count: int) -> bool:
    """Whether a chunk is there, whole, and need not be computed again."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            head = _head(archive)
            for name in archive.files:
                archive[name]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return False
    return bool(head["final"]) and len(head["results"]) == count


def _load(path: Path) -> list[Result | str]:
    results: list[Result | str] = []
    with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        for number, entry in enumerate(_head(archive)["results"]):
            if isinstance(entry, str):
                results.append(entry)
                continue
            arrays = [archive[f"{number}:{place}"] for place in range(len(entry))]
            results.append({k: v if v.ndim else float(v) for k, v in zip(entry, arrays, strict=True)})
    return results


def _discard_others(folder: Path, stem: str) -> None:
    for path in folder.glob("*.npz"):
        if not path.name.startswith(f"{stem}-"):
            path.unlink()


@contextlib.contextmanager
def _watching(progress: bool | Watcher, total: int) -> Iterator[Watcher]:  # noqa: FBT001 - a bar, or who watches
    """Yield the function that is told how far it is; a bar where a terminal would show it."""
    if callable(progress):
        yield progress
        return
    if not (progress and sys.stderr.isatty()):
        yield lambda done, total: None  # noqa: ARG005 - nobody watches
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TextColumn("left"), TimeRemainingColumn()) as bar:
        task = bar.add_task("samples", total=total)
        yield lambda done, total: bar.update(task, completed=done, total=total)
