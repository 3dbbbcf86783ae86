"""What data sets that are larger than memory cost to open, to part and to read: seconds of CPU and the peak of memory.

- many: `--samples` samples of four values, written record by record, opened, parted, shuffled, read once in an order;
- big: one file of `--gb` in pieces of 1 MiB. Its numbers are zeros that take no room on the disk (a sparse file), their
  digests are right, and as much of it as `--pass-gb` is read and verified with a budget of 256 MiB.

    python benchmarks/large.py [--samples 200000] [--gb 4] [--pass-gb 0.25] [--part many big] [--json results.json]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import machine

import ram
from ram.axes import Axis
from ram.data.batches import Batches
from ram.data.info import describe
from ram.data.layout import DatasetSpec, Record, _Writer, digest_of, write_dataset
from ram.data.loading import choose_loading
from ram.storage import atomic, hdf5

MIB, ROW = 2**20, (512, 512)
PARTS = ("train", "train", "train", "test", "validation")


class Clock:
    """Takes CPU seconds and the peak of memory, step by step."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self._last = time.process_time()

    def step(self, name: str) -> None:
        """Note what passed since the step before."""
        now, peak = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        self.rows.append({"name": name, "cpu_s": round(now - self._last, 2), "peak_mb": round(peak)})
        self._last = time.process_time()


def spec(name: str, count: int, space: tuple[int, ...]) -> DatasetSpec:
    """Return a data set of one channel and one target."""
    names = ("y", "x")[-len(space) :]
    axes = tuple(Axis.uniform(name, "mm", size=size, step=1.0) for name, size in zip(names, space, strict=True))
    return DatasetSpec(name=name, axes=axes, channels={"thickness": "mm"}, targets={"f": "Hz"}, count=count)


def record(row: int, x: np.ndarray) -> Record:
    """Return a sample of a group of a hundred."""
    group, split = f"g{row // 100}", {"default": PARTS[row // 100 % 5]}
    return Record(
        id=f"specimen-{row // 100}-{row % 100}", group=group, x=x, targets={"f": float(row % 977)}, split=split
    )


def write_many(path: Path, count: int) -> list[dict[str, Any]]:
    """Write `count` samples of four values."""
    clock, draw = Clock(), np.random.default_rng(0)

    def records() -> Iterator[Record]:
        for begin in range(0, count, 2**16):
            x = draw.standard_normal((min(2**16, count - begin), 1, 4), dtype=np.float32)
            yield from (record(begin + row, values) for row, values in enumerate(x))

    write_dataset(path, spec("many", count, (4,)), records())
    clock.step("written, record by record")
    return clock.rows


class Sparse(_Writer):
    """Leaves inputs that are zero as holes."""

    def _put_input(self, record: Record) -> None:
        if self._row == 0:
            self._zeros = np.uint64(digest_of(np.zeros(record.x.shape, np.float32)))
        self._digests["inputs"][self._row] = self._zeros
        if self._row == self._spec.count - 1:
            self._large["inputs"][self._row] = record.x

    def _flush_block(self) -> None:
        pass


def write_big(path: Path, count: int) -> list[dict[str, Any]]:
    """Write `count` samples of 1 MiB, all zero, without taking room for them."""
    clock, x = Clock(), np.zeros((1, *ROW), np.float32)
    with atomic.writing(path) as temporary, hdf5.create(temporary) as file:
        writer = Sparse(file, spec("big", count, ROW), str(path))
        for row in range(count):
            writer.add(record(row, x))
        writer.finish()
    clock.step("written as holes")
    return clock.rows


def read(path: Path, most: int) -> list[dict[str, Any]]:
    """Open, part, shuffle and read a file, at most `most` samples of it."""
    clock = Clock()
    data = ram.open_dataset(path)
    clock.step("opened, every name, target and part verified")
    train = data.subset("train")
    batches = Batches(
        train,
        targets=train.target_array(),
        loading=choose_loading([train], loading="mapped", budget_bytes=256 * MIB),
    )
    clock.step("parted, targets and weights")
    order = batches.order(seed=0, epoch=1)
    clock.step("shuffled")
    size = max(1, min(4096, 32 * MIB // batches.row_bytes))
    for batch in batches.iterate(order[:most], batch_size=size):
        batch.x.view(-1)[0].item()
    clock.step(f"{min(most, order.size):,} samples read in this order and verified")
    assert data.ids.size == len(data)
    clock.step("all ids as text")
    describe(path)
    clock.step("what ram data info says")
    return clock.rows


def alone(call: Callable[..., list[dict[str, Any]]], *words: Any) -> list[dict[str, Any]]:
    """Run a step in a process of its own, whose peak is its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(call, words)


def main() -> None:
    """Run what was asked for and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=200_000)
    parser.add_argument("--gb", type=float, default=4)
    parser.add_argument("--pass-gb", type=float, default=0.25)
    parser.add_argument("--part", nargs="+", choices=["many", "big"], default=["many", "big"])
    parser.add_argument("--folder", type=Path, help="where the files are written for a while; a temporary one else")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path, rows = Path(folder) / "data.h5", {"many": options.samples, "big": int(options.gb * 1e9 / MIB)}
        for part in options.part:
            most = options.samples if part == "many" else int(options.pass_gb * 1e9 / MIB)
            found[part] = alone(write_many if part == "many" else write_big, path, rows[part])
            found[part] += alone(read, path, most)
            print(f"{part}: {rows[part]:,} samples, {path.stat().st_size / 1e9:.3g} GB")
            for row in found[part]:
                print(f"  {row['name']:<55} {row['cpu_s']:8.2f} s   peak {row['peak_mb']:6,} MB", flush=True)
            path.unlink()
    if options.json:
        on = {"samples": options.samples, "gb": options.gb, "pass_gb": options.pass_gb, "machine": machine("h5py")}
        options.json.write_text(json.dumps(on | found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
