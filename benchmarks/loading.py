"""What shuffled batches from a data file cost, as a multiple of copying the same bytes in memory.

The contestants take turns, round by round, and each has a plain copy (memcpy) of the same number of batches beside it,
into one array that is used again. The table gives the median over rounds of the ratio of the two, once in wall-clock
time and once in the CPU time of all threads, which a busy machine disturbs less, and in brackets the smallest. Files
are in the system's cache: it is this package that is measured, not the disk. Their numbers are random, the worst case
of any compression.

- loading: 1 x 128 x 128 float32, batches of 256; rows marked * go through an eighth of the data. Mapped files fit
  their budget whole, or a quarter of them does; blocks have a budget of a quarter;
- step: a training step of a small net on signals of 1024 values, as a share of the speed of a bare loop in memory;
- memory: how much a process grows that goes through a file of ten times its budget, as a multiple of the budget.

    python benchmarks/loading.py [--size-mb 2048] [--rounds 5] [--part loading step memory] [--json results.json]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from machine import machine
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

import ram
from ram.axes import Axis
from ram.data.batches import Batches
from ram.data.layout import DatasetSpec, Record, write_dataset
from ram.data.loading import choose_loading

BATCH, SIGNALS, SIGNAL_BATCH, MIB = 256, 8192, 64, 2**20
IMAGE, SIGNAL = (128, 128), (1024,)
MARKS = {
    "preload": 1.5,
    "mapped, first epoch": 3.0,
    "mapped, later epochs": 2.2,
    "mapped by a quarter, first epoch": 3.0,
    "mapped by a quarter, later epochs": 2.2,
    "shuffled blocks, first epoch": 3.2,
    "shuffled blocks, later epochs": 3.2,
}
STEP_MARK, MEMORY_MARK = 0.97, 1.10
STORED: dict[str, dict[str, Any]] = {
    "contiguous": {},
    "blocks": {"block_rows": 64},
    "zstd": {"compression": "zstd", "block_rows": 64},
    "gzip": {"compression": "gzip", "block_rows": 64},
    "int16": {"dtype": "int16", "scale": 0.001},
}

Epoch = Callable[[], object]


def write(path: Path, *, count: int, shape: tuple[int, ...], **stored: Any) -> Path:
    """Write a file of random images or signals with one target, unless it is there, and have it in the cache."""
    if path.is_file():
        read_once(path)
        return path
    draw = np.random.default_rng(0)
    names = ("y", "x")[-len(shape) :]
    spec = DatasetSpec(
        name="loading",
        axes=tuple(Axis.uniform(name, "mm", size=size, step=1.0) for name, size in zip(names, shape, strict=True)),
        channels={"thickness": "mm"},
        targets={"frequency": "Hz"},
        count=count,
        **stored,
    )
    records = (
        Record(id=f"s{row}", x=draw.standard_normal((1, *shape), dtype=np.float32), targets={"frequency": row % 7.0})
        for row in range(count)
    )
    write_dataset(path, spec, records)
    read_once(path)
    return path


def read_once(path: Path) -> None:
    """Have the system's cache hold a file as reading fills it: what it keeps of writing lies in smaller pages."""
    with path.open("rb", buffering=0) as file:
        if hasattr(os, "posix_fadvise"):
            os.fsync(file.fileno())  # what is not yet on the disk would stay as it is
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        while file.read(8 * MIB):
            pass


def batches_of(path: Path, *, loading: str, budget_bytes: int = 2**36) -> Batches:
    """Return the batches of a file as training has them."""
    data = ram.open_dataset(path)
    chosen = choose_loading([data], loading=loading, budget_bytes=budget_bytes)
    return Batches(data, targets=data.target_array(), loading=chosen)


class ItemByItem(Dataset[tuple[Tensor, Tensor]]):
    """What most people write: one sample of an HDF5 file at a time."""

    def __init__(self, path: Path) -> None:
        file = h5py.File(path, "r")
        self.x, self.y = file["inputs"], file["targets/frequency"]

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, row: int) -> tuple[Tensor, Tensor]:
        """Return one sample."""
        return torch.from_numpy(self.x[row]), torch.tensor([self.y[row]], dtype=torch.float32)


# Loading


def epochs(path: Path, *, loading: str, fresh: bool, budget_bytes: int = 2**36) -> Callable[[], Epoch]:
    """Return what prepares an epoch and hands out the epoch itself; a fresh one opens the file anew."""

    def through(batches: Batches, epoch: int) -> None:
        for batch in batches.iterate(batches.order(seed=0, epoch=epoch), batch_size=BATCH):
            batch.x.view(-1)[0].item()

    kept = None if fresh else batches_of(path, loading=loading, budget_bytes=budget_bytes)
    if kept:
        through(kept, 0)
    number = iter(range(1, 1000))

    def prepared() -> Epoch:
        batches = kept or batches_of(path, loading=loading, budget_bytes=budget_bytes)
        return lambda: through(batches, next(number))

    return prepared


def through_loader(data: Dataset[Any]) -> Callable[[], Epoch]:
    """Return the same for a Dataset in PyTorch's own loader, without workers."""

    def through() -> None:
        for x, _ in DataLoader(data, batch_size=BATCH, shuffle=True):
            x.view(-1)[0].item()

    return lambda: through


def copies(source: np.ndarray, count: int) -> Epoch:
    """Return a plain copy of `count` samples, batch by batch, into one array."""
    place = np.empty((BATCH, *source.shape[1:]), dtype=np.float32)

    def copy() -> None:
        for begin in range(0, count, BATCH):
            piece = source[begin : begin + BATCH]
            np.copyto(place[: len(piece)], piece)

    return copy


def loading(folder: Path, *, size_mb: int, rounds: int) -> Iterator[dict[str, Any]]:
    """Yield a row for each way of loading."""
    row_bytes = 4 * IMAGE[0] * IMAGE[1]
    count = max(8 * BATCH, size_mb * MIB // row_bytes)
    counts = {name: count if name in ("contiguous", "blocks") else count // 8 for name in STORED}
    paths = {
        name: write(folder / f"{name}-{counts[name]}.h5", count=counts[name], shape=IMAGE, **stored)
        for name, stored in STORED.items()
    }
    small = {
        name: write(folder / f"{name}-{count // 8}.h5", count=count // 8, shape=IMAGE, **STORED[name])
        for name in ("contiguous", "blocks")
    }
    quarter = max(256 * MIB, count * row_bytes // 4)
    contestants = {
        "preload": (count, epochs(paths["contiguous"], loading="memory", fresh=False)),
    }
    ways = (
        ("mapped", "contiguous", "mapped", 2**36),
        ("mapped by a quarter", "contiguous", "mapped", quarter),
        ("shuffled blocks", "blocks", "blocks", quarter),
    )
    for way, file, kind, budget in ways:
        for name, fresh in ((f"{way}, first epoch", True), (f"{way}, later epochs", False)):
            contestants[name] = count, epochs(paths[file], loading=kind, fresh=fresh, budget_bytes=budget)
    some = {
        "mapped int16, later epochs *": epochs(paths["int16"], loading="mapped", fresh=False),
        "zstd in blocks, first epoch *": epochs(paths["zstd"], loading="blocks", fresh=True),
        "gzip in blocks, first epoch *": epochs(paths["gzip"], loading="blocks", fresh=True),
        "our Dataset in a DataLoader *": through_loader(ram.open_dataset(small["contiguous"]).as_torch()),
        "Dataset item by item in a DataLoader *": through_loader(ItemByItem(small["contiguous"])),
        "the same, in chunks of 64 *": through_loader(ItemByItem(small["blocks"])),
    }
    contestants |= {name: (count // 8, prepared) for name, prepared in some.items()}
    source = np.random.default_rng(1).standard_normal((count, 1, *IMAGE), dtype=np.float32)
    ratios: dict[str, list[Seconds]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, (number, prepared) in contestants.items():
            epoch = prepared()
            base = seconds(copies(source, number))
            ratios[name].append(seconds(epoch) / base)
    for name, found in ratios.items():
        yield {"name": name, **summary(found, best=min), "mark": MARKS.get(name)}


@dataclass(frozen=True)
class Seconds:
    """Time of the clock on the wall and time that all threads of this process computed."""

    wall: float
    cpu: float

    def __truediv__(self, other: Seconds) -> Seconds:
        """Return the ratios of both."""
        return Seconds(self.wall / other.wall, self.cpu / other.cpu)


def seconds(call: Epoch) -> Seconds:
    """Return what a call takes."""
    begin = time.perf_counter(), time.process_time()
    call()
    return Seconds(time.perf_counter() - begin[0], time.process_time() - begin[1])


def summary(found: list[Seconds], *, best: Callable[[list[float]], float]) -> dict[str, float]:
    """Return median and best of both times."""
    wall, cpu = [one.wall for one in found], [one.cpu for one in found]
    return {
        "median": statistics.median(wall),
        "best": best(wall),
        "cpu_median": statistics.median(cpu),
        "cpu_best": best(cpu),
    }


# A training step


def step(folder: Path, *, rounds: int) -> Iterator[dict[str, Any]]:
    """Yield the speed of one epoch of a small net for each source of batches, as a share of a bare loop's."""
    paths = {
        name: write(folder / f"signals-{name}.h5", count=SIGNALS, shape=SIGNAL, **STORED[name])
        for name in ("contiguous", "blocks")
    }
    data = ram.open_dataset(paths["contiguous"])
    x, y = torch.from_numpy(data.x()), torch.from_numpy(data.target_array()).float()

    def bare() -> Iterator[tuple[Tensor, Tensor]]:
        for rows in torch.randperm(SIGNALS).split(SIGNAL_BATCH):
            yield x[rows], y[rows]

    def ours(batches: Batches) -> Callable[[], Iterator[tuple[Tensor, Tensor]]]:
        def pairs() -> Iterator[tuple[Tensor, Tensor]]:
            for batch in batches.iterate(batches.order(seed=0, epoch=1), batch_size=SIGNAL_BATCH):
                yield batch.x, batch.targets.float()

        return pairs

    budget = 8 * MIB  # a quarter of the signals
    sources = {
        "from HDF5, in memory": ours(batches_of(paths["contiguous"], loading="memory")),
        "from HDF5, mapped": ours(batches_of(paths["contiguous"], loading="mapped", budget_bytes=budget)),
        "from HDF5, in blocks": ours(batches_of(paths["blocks"], loading="blocks")),
        "item by item in a DataLoader": lambda: iter(
            DataLoader(ItemByItem(paths["contiguous"]), batch_size=SIGNAL_BATCH, shuffle=True)
        ),
    }
    shares: dict[str, list[Seconds]] = {name: [] for name in sources}
    learn_from(bare())
    for _ in range(rounds):
        for name, source in sources.items():
            base = seconds(lambda: learn_from(bare()))
            shares[name].append(base / seconds(lambda source=source: learn_from(source())))  # type: ignore[misc]
    for name, found in shares.items():
        mark = None if "item" in name else STEP_MARK
        yield {"name": name, **summary(found, best=max), "mark": mark}


def learn_from(pairs: Iterator[tuple[Tensor, Tensor]]) -> None:
    """Train a small net for one epoch."""
    torch.manual_seed(0)
    layers = [nn.Conv1d(a, b, 9, stride=2, padding=4) for a, b in ((1, 16), (16, 16), (16, 32))]
    convolutions = [part for layer in layers for part in (layer, nn.ReLU())]
    net = nn.Sequential(*convolutions, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(32, 1))
    optimizer = torch.optim.AdamW(net.parameters())
    for x, y in pairs:
        nn.functional.mse_loss(net(x), y).backward()
        optimizer.step()
        optimizer.zero_grad()


# Memory


def memory(folder: Path, *, size_mb: int) -> Iterator[dict[str, Any]]:
    """Yield by how much a process grows that goes through a file of ten times its budget, as a multiple of it."""
    count = max(8 * BATCH, size_mb * MIB // (4 * IMAGE[0] * IMAGE[1]))
    batch_size = min(BATCH, count // 128)  # batches take their share of the budget, whatever the size
    for name, loading in (("contiguous", "mapped"), ("blocks", "blocks")):
        path = write(folder / f"{name}-{count}.h5", count=count, shape=IMAGE, **STORED[name])
        budget = count * 4 * IMAGE[0] * IMAGE[1] // 10
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            grown = pool.apply(growth, (path, loading, budget, batch_size))
        share = grown / budget
        yield {"name": f"{loading}, a file of ten budgets", "median": share, "best": share, "mark": MEMORY_MARK}


def growth(path: Path, loading: str, budget: int, batch_size: int) -> int:
    """Return by how many bytes this process was larger at most while it went through a file, Linux only."""
    batches = batches_of(path, loading=loading, budget_bytes=budget)
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forget the peak so far
    for batch in batches.iterate(batches.order(seed=0, epoch=1), batch_size=batch_size):
        batch.x.sum().item()
    return resident("VmHWM") - before


def resident(name: str) -> int:
    """Return a size of this process, bytes."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(name))


def shown(part: str, rows: Iterator[dict[str, Any]]) -> list[dict[str, Any]]:
    """Print the rows of a part as they come; returns them."""
    print(part, flush=True)
    kept = []
    for row in rows:
        mark = "" if row["mark"] is None else f"   mark {row['mark']:g}"
        cpu = f"   CPU {row['cpu_median']:6.2f} ({row['cpu_best']:.2f})" if "cpu_median" in row else ""
        print(f"  {row['name']:<40} {row['median']:6.2f} ({row['best']:.2f}){cpu}{mark}", flush=True)
        kept.append(row)
    return kept


def rounded(found: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """Return the rows with three digits behind the point: there is no more in them."""
    return {
        part: [{key: round(one, 3) if isinstance(one, float) else one for key, one in row.items()} for row in rows]
        for part, rows in found.items()
    }


def main() -> None:
    """Run what was asked for and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size-mb", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--part", nargs="+", choices=["loading", "step", "memory"], default=["loading", "step", "memory"]
    )
    parser.add_argument("--folder", type=Path, help="where the files are written, and kept; a temporary one else")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        parts = {
            "loading": lambda: loading(folder, size_mb=options.size_mb, rounds=options.rounds),
            "step": lambda: step(folder, rounds=options.rounds),
            "memory": lambda: memory(folder, size_mb=options.size_mb),
        }
        found = {part: shown(part, parts[part]()) for part in options.part}
    if options.json:
        on = {"size_mb": options.size_mb, "rounds": options.rounds, "machine": machine("h5py", "xxhash")}
        options.json.write_text(json.dumps(on | rounded(found), indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
