"""What maps cost, beside the packages that make such maps, as a multiple of one forward pass without gradients.

One process, one thread, CPU time. The contestants take turns, round by round; a figure is the median over rounds of
the ratio to the same round's forward pass, so that a busy machine slows all alike, and in brackets the ratio of the
fastest rounds. One call of each comes before: the first map of a net also finds out how the net is built.

- times: each way to make a map, in ram and in the packages that are installed, on the same nets and inputs;
- methods: every method of ram with its defaults, for the column "cost" in docs/methods.md;
- memory: how far the resident memory of a process of its own rises above what it holds before, for one call.

    python benchmarks/maps.py [--part times methods memory] [--rounds 24] [--json benchmarks/results/maps.json]
    python benchmarks/maps.py --device cuda --dtype bfloat16 --json benchmarks/results/maps_cuda_bf16.json

On a GPU times are those of the wall with the device waited for, memory is what torch allocates there. A package is
measured where it is installed: captum, torchcam, monai, grad-cam. Large batches and slow methods have fewer rounds
and not every case (`rounds_for`); each row of the JSON names its rounds.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from contestants import CASES, INNER, SLOW, Action, Course, families, installed
from machine import machine
from torch.utils.flop_counter import FlopCounterMode

import ram
from ram.maps.explain import explain

MIB = 2**20
AT_ONCE = 10  # what costs more passes is measured on one sample only
OWN = "ram, own net"
QUICK = ("exact map", "grad-ram, pooled layer", "resolution 4")


def seconds(action: Action, device: str) -> float:
    """Return the CPU time of one call; on a GPU the time on the wall until the device has done it."""
    if device == "cpu":
        start = time.process_time()
        action()
        return time.process_time() - start
    torch.cuda.synchronize()
    start = time.perf_counter()
    action()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def ratios(forward: Action, actions: dict[str, Action], *, rounds: int, device: str) -> dict[str, dict[str, float]]:
    """Return each action's time over the forward pass': the median of the rounds' ratios, and that of the fastest."""
    every = {"forward": forward, **actions}
    for action in every.values():
        action()
    times: dict[str, list[float]] = {name: [] for name in every}
    for number in range(rounds):
        for name in list(every) if number % 2 else list(every)[::-1]:
            times[name].append(seconds(every[name], device))
    base = times.pop("forward")
    found = {"forward": {"milliseconds": 1e3 * statistics.median(base), "fastest_milliseconds": 1e3 * min(base)}}
    for name, values in times.items():
        paired = [one / bare for one, bare in zip(values, base, strict=True)]
        found[name] = {
            "forwards": statistics.median(paired),
            "fastest": min(values) / min(base),
            "milliseconds": 1e3 * statistics.median(values),
        }
    return found


def rounds_for(net: str, family: str, batch: int, rounds: int) -> int:
    """Return how many rounds fit: fewer of what takes long, and none of what takes minutes."""
    if family in SLOW:
        return max(3, rounds // 8) if batch == 1 and net == "plain" else 0
    if batch == 1:
        return rounds
    if net != "plain":
        return max(3, rounds // 8) if batch == 16 and family in QUICK else 0
    return max(4, rounds // 6) if batch == 16 else 2 * (family in QUICK)


def times(nets: list[str], *, rounds: int, device: str, dtype: torch.dtype) -> Iterator[dict[str, Any]]:
    """Yield the figures of one family on one net and case after the other."""
    packages = installed()
    for name in nets:
        for case, shape in CASES.items():
            course = Course.of(name, shape, device=device, dtype=dtype)
            for family, actions in families(course, packages).items():
                count = rounds_for(name, family, shape[0], rounds)
                if count:
                    found = ratios(course.forward, actions, rounds=count, device=device)
                    row = {"net": name, "case": case, "family": family, "rounds": count, "figures": found}
                    yield row | counted(course.forward, actions, family)


def counted(forward: Action, actions: dict[str, Action], family: str) -> dict[str, float]:
    """Return how many times a pass' arithmetic a finer map takes, by count: what bounds its time."""
    if not family.startswith("resolution"):
        return {}
    counts = []
    for one in (actions[OWN], forward):
        with FlopCounterMode(display=False) as counter:
            one()
        counts.append(counter.get_total_flops())
    return {"arithmetic": counts[0] / counts[1]}


def asked(name: str) -> dict[str, Any]:
    """Return what a method wants besides net and images: one channel, or nine regions."""
    if "region" in name:
        cells = np.arange(128) * 3 // 128
        return {"regions": 3 * cells[:, None] + cells}
    return {"channel": 0} if ram.METHODS[name].grade == "sensitivity" else {}


def methods(*, rounds: int, device: str, dtype: torch.dtype) -> Iterator[dict[str, Any]]:
    """Yield what every method costs with its defaults, on the plain net and images; quick ones for a batch too."""
    slow: set[str] = set()
    for batch in (1, 16):
        course = Course.of("plain", (batch, 1, 128, 128), device=device, dtype=dtype)
        for name, method in ram.METHODS.items():
            if name in slow:
                continue
            actions: dict[str, Action] = {"cost": partial(explain, course.plain, course.x, method=name, **asked(name))}
            if method.kind == "layer":
                actions["inner"] = partial(explain, course.plain, course.x, method=name, layer=course.inner)
            found = ratios(course.forward, actions, rounds=max(3, rounds // 4), device=device)
            row = {key: found[key]["forwards"] for key in actions}
            if max(row.values()) > AT_ONCE:
                slow.add(name)
            yield {"method": name, "batch": batch, **row}


def grown(pipe: Any, *, net: str, case: str, family: str, contestant: str, device: str, dtype: str) -> None:
    """Send how far memory rises in one call, in MiB; run in a process of its own."""
    torch.set_num_threads(1)
    kind = getattr(torch, dtype)
    package = contestant.split(maxsplit=1)[0]  # no other is loaded
    small = Course.of(net, (1, *CASES[case][1:]), device=device, dtype=kind)
    (small.forward if family == "forward" else families(small, [package])[family][contestant])()  # loads what it needs
    course = Course.of(net, CASES[case], device=device, dtype=kind)
    action = course.forward if family == "forward" else families(course, [package])[family][contestant]
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        action()
        pipe.send((torch.cuda.max_memory_allocated() - before) / MIB)
        return
    held = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak starts anew; it outlives fork and exec
    action()
    pipe.send(_status("VmHWM") - held)


def _status(name: str) -> float:
    """Return a figure of this process in MiB, as Linux tells it."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(name)) / 1024


def memory(net: str, *, device: str, dtype: str, case: str = "2D 1x128x128, b=64") -> Iterator[dict[str, Any]]:
    """Yield what one call of each contestant needs."""
    course = Course.of(net, CASES[case], device="cpu", dtype=torch.float32)
    wanted = [("forward", "forward")]
    for family, actions in families(course, installed()).items():
        if family not in SLOW:
            wanted += [(family, contestant) for contestant in actions]
    spawned = multiprocessing.get_context("spawn")
    for family, contestant in wanted:
        here, there = spawned.Pipe(duplex=False)
        given = {"net": net, "case": case, "family": family, "contestant": contestant}
        child = spawned.Process(target=grown, args=(there,), kwargs={**given, "device": device, "dtype": dtype})
        child.start()
        there.close()
        try:
            figure = here.recv()
        finally:
            child.join()
        yield {**given, "mib": round(figure, 1)}


def rounded(found: Any) -> Any:
    """Return what is found with three decimals."""
    if isinstance(found, dict):
        return {key: rounded(value) for key, value in found.items()}
    if isinstance(found, list):
        return [rounded(value) for value in found]
    return round(found, 3) if isinstance(found, float) else found


@contextmanager
def one_thread() -> Iterator[None]:
    """Within the block torch runs on one thread."""
    kept = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(kept)


def lines_of(row: dict[str, Any]) -> Iterator[str]:
    """Yield what is printed of one row."""
    if "figures" in row:
        figures = row["figures"]
        count = f"; {row['arithmetic']:.2f} forward passes by count" if "arithmetic" in row else ""
        bare = f"forward {figures['forward']['milliseconds']:.2f} ms{count}"
        yield f"{row['net']}, {row['case']}, {row['family']} ({bare})"
        for name, figure in figures.items():
            if name != "forward":
                yield f"    {name:32s} {figure['forwards']:8.2f} ({figure['fastest']:.2f})"
    else:
        yield ", ".join(f"{key} {value:.2f}" if isinstance(value, float) else str(value) for key, value in row.items())


def main() -> None:
    """Print the figures, and write them as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", nargs="+", choices=["times", "methods", "memory"], default=["times"])
    parser.add_argument("--rounds", type=int, default=24)
    parser.add_argument("--nets", nargs="+", choices=list(INNER), default=["plain", "resnet"])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--json", type=Path, help="parts that are not run keep what the file holds of them")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", module="captum|monai|torchcam|pytorch_grad_cam|torch.nn.modules.module")
    with one_thread():
        dtype = getattr(torch, options.dtype)
        name = torch.cuda.get_device_name() if options.device == "cuda" else "cpu"
        found = {} if options.json is None or not options.json.exists() else json.loads(options.json.read_text())
        found |= {"device": name, "dtype": options.dtype, "machine": machine(*installed())}
        runs = {
            "times": lambda: times(options.nets, rounds=options.rounds, device=options.device, dtype=dtype),
            "methods": lambda: methods(rounds=options.rounds, device=options.device, dtype=dtype),
            "memory": lambda: memory(options.nets[0], device=options.device, dtype=options.dtype),
        }
        for part in options.part:
            found[part] = []
            for row in runs[part]():
                found[part].append(row)
                print("\n".join(lines_of(row)), flush=True)
                if options.json:
                    options.json.parent.mkdir(parents=True, exist_ok=True)
                    options.json.write_text(json.dumps(rounded(found), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
