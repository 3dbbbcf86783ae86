"""Damage to files, and the victim that reads them.

Run as a program, it reads mutations ``first .. last`` of a file in a process with limits and reports one line of JSON
each: ``same`` (every value as written), ``refused``, ``wrong`` (a value that was not written) or ``broken`` (another
error than this package's). Before each it says which one it is about to read, so that a crash can be told.
"""

from __future__ import annotations

import hashlib
import json
import random
import resource
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np


def mutated(content: bytes, number: int) -> bytes:
    """Damage number `number`: flipped bits, random, zero or full bytes, a piece moved, or the end cut off.

    Three of four begin in the first or last 16 KiB, where names, shapes and indices lie.
    """
    draw = random.Random(f"damage {number}")
    damaged = bytearray(content)
    kind = ("bits", "bytes", "zeros", "full", "piece", "cut")[number % 6]
    near = min(len(content), 16_384)
    place = draw.choice([draw.randrange(near), len(content) - 1 - draw.randrange(near), draw.randrange(len(content))])
    if kind == "cut":
        return content[:place]
    if kind == "bits":
        for _ in range(draw.choice([1, 1, 1, 4])):
            damaged[(place + draw.randrange(64)) % len(content)] ^= 1 << draw.randrange(8)
        return bytes(damaged)
    size = draw.choice([1, 2, 4, 8, 64, 512])
    other = draw.randrange(len(content))
    fill = {
        "bytes": draw.randbytes(size),
        "zeros": bytes(size),
        "full": b"\xff" * size,
        "piece": content[other : other + size],
    }
    new = fill[kind][: len(content) - place]
    damaged[place : place + len(new)] = new
    return bytes(damaged)


def everything(path: Path) -> Iterator[tuple[str, str]]:
    """Yield all that a user can get out of a data file, by name, as digests."""
    from ram.data import open_dataset

    data = open_dataset(path)
    parts: dict[str, Any] = {
        "x": data.x(),
        "targets": data.target_array(),
        "parameters": data.parameter_array(),
        "weights": data.weights,
        "lengths": data.lengths,
        "ids": data.ids,
        "groups": data.groups,
        "names": [data.attributes, data.targets, data.parameters, data.channels, data.truth_kinds, data.region_names],
        "digest": data.digest,
        "axes": [(a.name, a.unit, a.long_name, a.centres.tolist(), a.edges.tolist()) for a in data.axes],
    }
    parts |= {f"split {name}": data.split_array(name) for name in data.splits}
    parts |= {f"truth {target} {kind}": data.truth_array(target, kind) for target, kind in data.truth_kinds}
    parts |= {"regions": data.regions_array()} if data.region_names else {}
    parts |= {"reference": data.reference_design()}
    for name, value in parts.items():
        raw = value.tobytes() + str(value.shape).encode() if isinstance(value, np.ndarray) else repr(value).encode()
        yield name, hashlib.sha256(raw).hexdigest()


def victim(template: Path, work: Path, first: int, last: int, *, foreign: bool) -> None:
    from ram.errors import RamError
    from ram.storage import hdf5
    from ram.storage.guarded import limit
    from ram.storage.survey import survey

    content = template.read_bytes()
    written = {} if foreign else dict(everything(template))
    limit()
    resource.setrlimit(resource.RLIMIT_CPU, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**30, 2**30))
    for number in range(first, last):
        say(begin=number)
        (work / "damaged.h5").unlink(missing_ok=True)
        (work / "damaged.h5").write_bytes(mutated(content, number))
        signal.setitimer(signal.ITIMER_VIRTUAL, 5.0)  # seconds of this process: others may keep it waiting
        begin = time.process_time()
        try:
            if foreign:
                with hdf5.reading(work / "damaged.h5"):  # as the helper process does
                    survey(str(work / "damaged.h5"))
            found = written if foreign else dict(everything(work / "damaged.h5"))
            changed = [name for name in written if found[name] != written[name]]
            result = f"wrong: {', '.join(changed)}" if changed else "same"
        except RamError as error:
            result = "refused" if "damaged.h5" in str(error) else f"unnamed: {error}"
        except Exception as error:
            result = f"broken: {type(error).__name__}: {error}"
        signal.setitimer(signal.ITIMER_VIRTUAL, 0.0)
        say(number=number, result=result, seconds=time.process_time() - begin)


def say(**words: object) -> None:
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.path[:] = json.loads(sys.argv[1])
    victim(Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]), foreign=sys.argv[6] == "foreign")
