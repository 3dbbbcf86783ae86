"""Files made to harm whoever opens them; `build` makes them all in one folder, whose ``secret*`` nobody may touch.

Run as a program, it is the victim: it opens each file of a folder as a user would, with limits, and reports in lines of
JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import resource
import socket
import struct
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

Build = Callable[[h5py.File, Path], None]

HDF5: dict[str, Build] = {}
OTHERS: dict[str, Callable[[Path, Path], None]] = {}


def hostile(build: Build) -> Build:
    HDF5[build.__name__] = build
    return build


def other(build: Callable[[Path, Path], None]) -> Callable[[Path, Path], None]:
    OTHERS[build.__name__] = build
    return build


def build(folder: Path, *, template: Path) -> list[str]:
    """Make all files, those that end in ``_of_ours`` from a good `template`; returns their names."""
    with h5py.File(folder / "secret.h5", "w") as file:
        file["inputs"] = np.arange(64.0).reshape(8, 8)
    (folder / "secret.bin").write_bytes(bytes(512))
    os.mkfifo(folder / "secret.pipe")  # whoever opens it for reading hangs
    for name, write in HDF5.items():
        path = folder / f"{name}.h5"
        if name.endswith("_of_ours"):
            path.write_bytes(template.read_bytes())
        with h5py.File(path, "a") as file:
            write(file, folder)
    for name, make in OTHERS.items():
        make(folder / f"{name}.h5", folder)
    return sorted([*HDF5, *OTHERS])


@hostile
def external_link(file: h5py.File, folder: Path) -> None:
    file["inputs"] = h5py.ExternalLink(str(folder / "secret.h5"), "/inputs")


@hostile
def external_link_relative(file: h5py.File, folder: Path) -> None:
    file["inputs"] = h5py.ExternalLink("secret.h5", "/inputs")


@hostile
def external_link_deep(file: h5py.File, folder: Path) -> None:
    file["inputs"] = np.ones((8, 8))
    file.create_group("a/b/c/d")["x"] = h5py.ExternalLink("secret.h5", "/")


@hostile
def external_link_to_a_pipe(file: h5py.File, folder: Path) -> None:
    file["inputs"] = h5py.ExternalLink(str(folder / "secret.pipe"), "/inputs")


@hostile
def external_link_to_a_device(file: h5py.File, folder: Path) -> None:
    file["inputs"] = h5py.ExternalLink("/dev/zero", "/inputs")


@hostile
def external_link_to_itself(file: h5py.File, folder: Path) -> None:
    file["inputs"] = h5py.ExternalLink("external_link_to_itself.h5", "/inputs")


@hostile
def soft_link_out(file: h5py.File, folder: Path) -> None:
    file["door"] = h5py.ExternalLink("secret.h5", "/")
    file["inputs"] = h5py.SoftLink("/door/inputs")


@hostile
def soft_link_to_itself(file: h5py.File, folder: Path) -> None:
    file["inputs"] = h5py.SoftLink("/inputs")


@hostile
def soft_link_to_nothing(file: h5py.File, folder: Path) -> None:
    file["inputs"] = h5py.SoftLink("../../../../etc/passwd")


@hostile
def external_storage(file: h5py.File, folder: Path) -> None:
    file.create_dataset("inputs", (8, 8), dtype="f8", external=[(str(folder / "secret.bin"), 0, 512)])


@hostile
def external_storage_in_a_pipe(file: h5py.File, folder: Path) -> None:
    file.create_dataset("inputs", (8, 8), dtype="f8", external=[(str(folder / "secret.pipe"), 0, 512)])


@hostile
def external_storage_of_a_system_file(file: h5py.File, folder: Path) -> None:
    file.create_dataset("inputs", (64,), dtype="u1", external=[("/etc/passwd", 0, 64)])


@hostile
def virtual_dataset(file: h5py.File, folder: Path) -> None:
    layout = h5py.VirtualLayout((8, 8), dtype="f8")
    layout[:] = h5py.VirtualSource("secret.h5", "inputs", shape=(8, 8))
    file.create_virtual_dataset("inputs", layout)


@hostile
def virtual_dataset_of_a_pipe(file: h5py.File, folder: Path) -> None:
    layout = h5py.VirtualLayout((8, 8), dtype="f8")
    layout[:] = h5py.VirtualSource(str(folder / "secret.pipe"), "inputs", shape=(8, 8))
    file.create_virtual_dataset("inputs", layout)


@hostile
def virtual_dataset_of_itself(file: h5py.File, folder: Path) -> None:
    layout = h5py.VirtualLayout((8, 8), dtype="f8")
    layout[:] = h5py.VirtualSource(".", "inputs", shape=(8, 8))
    file.create_virtual_dataset("inputs", layout)


@hostile
def inputs_linked_of_ours(file: h5py.File, folder: Path) -> None:
    del file["inputs"]
    external_link(file, folder)


@hostile
def inputs_stored_outside_of_ours(file: h5py.File, folder: Path) -> None:
    del file["inputs"]
    external_storage(file, folder)


@hostile
def truth_virtual_of_ours(file: h5py.File, folder: Path) -> None:
    del file["truth/umbrella/contribution"]
    layout = h5py.VirtualLayout((30, 16, 16), dtype="f4")
    layout[:] = h5py.VirtualSource("secret.h5", "inputs", shape=(30, 16, 16))
    file["truth/umbrella"].create_virtual_dataset("contribution", layout)


@hostile
def count_bomb_of_ours(file: h5py.File, folder: Path) -> None:
    del file["inputs"]
    file.create_dataset("inputs", (2**40, 2, 16, 16), dtype="f4")


@hostile
def ids_bomb_of_ours(file: h5py.File, folder: Path) -> None:
    del file["ids"]
    file.create_dataset("ids", (30,), dtype="S1000000000")


@hostile
def texts_of_varying_length_of_ours(file: h5py.File, folder: Path) -> None:
    for name in list(file.attrs):
        value = file.attrs[name]
        del file.attrs[name]
        file.attrs[name] = value.decode() if isinstance(value, bytes) else str(value)


@hostile
def size_bomb(file: h5py.File, folder: Path) -> None:
    file.create_dataset("inputs", (2**30, 2**30), dtype="f4")


@hostile
def size_bomb_in_chunks(file: h5py.File, folder: Path) -> None:
    file.create_dataset("inputs", (2**40, 128), dtype="f4", chunks=(1024, 128), compression="gzip")


@hostile
def chunk_claim(file: h5py.File, folder: Path) -> None:
    file.create_dataset("inputs", (8, 8), maxshape=(None, None), dtype="f8", chunks=(2**14, 2**14))


def squeezed(file: h5py.File, shape: tuple[int, ...], chunks: tuple[int, ...], size: int) -> None:
    """An array whose first chunk is gzip of `size` zeros, whatever the shape claims."""
    array = file.create_dataset(
        "inputs", shape, maxshape=(None,) * len(shape), dtype="f8", chunks=chunks, compression=9
    )
    array.id.write_direct_chunk((0,) * len(shape), zeros_in_gzip(size))


def zeros_in_gzip(size: int) -> bytes:
    """What zlib makes of `size` zeros, put together from one piece of 2^20 of them."""
    packer = zlib.compressobj(9, wbits=-15)
    piece = packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH)
    checksum = (size % 65521) << 16 | 1
    return b"\x78\xda" + piece * (size >> 20) + b"\x03\x00" + checksum.to_bytes(4, "big")


@hostile
def compression_bomb(file: h5py.File, folder: Path) -> None:
    squeezed(file, (2**22, 8), (2**22, 8), 2**28)


@hostile
def compression_bomb_beyond_its_claim(file: h5py.File, folder: Path) -> None:
    squeezed(file, (8, 8), (8, 8), 2**30)


@hostile
def compression_bomb_in_a_scale(file: h5py.File, folder: Path) -> None:
    squeezed(file, (64,), (64,), 2**30)
    file.move("inputs", "time")
    file["inputs"] = np.ones((64, 8))


@hostile
def element_bomb(file: h5py.File, folder: Path) -> None:
    file.create_dataset("inputs", (1,), dtype="S2000000000", chunks=(1,))


@hostile
def fill_value_bomb(file: h5py.File, folder: Path) -> None:
    file.create_dataset("inputs", (2**20,), dtype=np.dtype(("f8", (2**12,))), chunks=(1,))


@hostile
def attribute_bomb(file: h5py.File, folder: Path) -> None:
    kind = h5py.h5t.array_create(h5py.h5t.IEEE_F64LE, (2**10,))
    h5py.h5a.create(file.id, b"units", kind, h5py.h5s.create_simple((7,)))
    with h5py.File(folder / "attribute_bomb_dense.h5", "w", libver="latest") as dense:
        dense.attrs["units"] = np.zeros(2**20)


@hostile
def attributes_without_number(file: h5py.File, folder: Path) -> None:
    with h5py.File(folder / "attributes_without_number.latest.h5", "w", libver="latest") as dense:
        for index in range(5_000):
            dense.attrs[f"a{index}"] = index
    file["inputs"] = np.ones((8, 8))


@hostile
def names_without_number(file: h5py.File, folder: Path) -> None:
    """Hard links to one array: 20,000 names in a group."""
    group = file.create_group("many")
    group["x"] = np.ones(8)
    for index in range(20_000):
        h5py.h5l.LinkProxy.create_hard(group.id.links, b"%d" % index, group.id, b"x")


@hostile
def nested_without_end(file: h5py.File, folder: Path) -> None:
    here = file.id
    for _ in range(3_000):
        here = h5py.h5g.create(here, b"g")


@hostile
def cycle_of_hard_links(file: h5py.File, folder: Path) -> None:
    here = file.create_group("a/b/c")
    here["up"] = file["/"]
    here["again"] = here


@hostile
def paths_without_number(file: h5py.File, folder: Path) -> None:
    """Each group holds the next one twice: 2^60 ways to the last."""
    here = file["/"]
    for _ in range(60):
        inner = here.create_group("left")
        here["right"] = inner
        here = inner


@hostile
def pickled_attribute(file: h5py.File, folder: Path) -> None:
    file.attrs["units"] = np.bytes_(pickled(folder))
    file["inputs"] = np.ones((8, 8))


@hostile
def pickled_opaque(file: h5py.File, folder: Path) -> None:
    file["inputs"] = np.array([pickled(folder)] * 8, dtype="V200")


@hostile
def pickled_objects(file: h5py.File, folder: Path) -> None:
    made = file.create_dataset("inputs", (8,), dtype=h5py.vlen_dtype(np.uint8))
    made[0] = np.frombuffer(pickled(folder), np.uint8)
    file.attrs["units"] = "cposix\nsystem\n(S'touch owned'\ntR."


class Evil:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.folder / 'executed'}",)


def pickled(folder: Path) -> bytes:
    return pickle.dumps(Evil(folder))


@hostile
def references(file: h5py.File, folder: Path) -> None:
    file["inputs"] = np.array([file.ref] * 8 + [h5py.Reference()], dtype=h5py.ref_dtype)
    file.attrs["units"] = file.ref
    file["scale"] = np.arange(8.0)
    file["scale"].make_scale("x")
    file["values"] = np.ones((8, 8))
    file["values"].dims[0].attach_scale(file["scale"])
    del file["scale"]  # the dimension's reference leads to nothing


@hostile
def region_references(file: h5py.File, folder: Path) -> None:
    values = file.create_dataset("values", (2**30, 2**20), dtype="f4", chunks=(1, 2**10))
    file["inputs"] = np.array([values.regionref[:, ::2]] * 8, dtype=h5py.regionref_dtype)


@hostile
def unknown_filter(file: h5py.File, folder: Path) -> None:
    plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plan.set_chunk((8, 8))
    plan.set_filter(40_000, h5py.h5z.FLAG_OPTIONAL, (1, 2))
    space = h5py.h5s.create_simple((8, 8))
    array = h5py.h5d.create(file.id, b"inputs", h5py.h5t.IEEE_F64LE, space, plan)
    array.write_direct_chunk((0, 0), bytes(512))


@hostile
def codes_without_number(file: h5py.File, folder: Path) -> None:
    file.create_dataset("inputs", (8,), dtype=h5py.enum_dtype({f"c{n}": n for n in range(2_000)}, basetype="u2"))


@hostile
def columns_without_number(file: h5py.File, folder: Path) -> None:
    with h5py.File(folder / "columns_without_number.latest.h5", "w", libver="latest") as wide:
        wide.create_dataset("inputs", (8,), dtype=[(f"c{n}", "f4") for n in range(1_000)])
    file["inputs"] = np.ones((8, 8))


@hostile
def types_within_types(file: h5py.File, folder: Path) -> None:
    kind = np.dtype("f4")
    for _ in range(60):
        kind = np.dtype([("inner", kind)])
    file.create_dataset("inputs", (8,), dtype=kind)


@hostile
def words_for_the_terminal(file: h5py.File, folder: Path) -> None:
    file["\x1b]0;owned\x07\x1b[2Jinputs\u202e"] = np.ones((8, 8))
    file.attrs["\x1b[31mname"] = "\x1b[2J\x1b]52;c;b3duZWQ=\x07"


@other
def heap_that_never_ends(path: Path, folder: Path) -> None:
    """Texts of varying length whose heap says that an object has no size: the library goes round and round."""
    with h5py.File(path, "w") as file:
        file.attrs["instrument"] = "DAQ 7"
        file["inputs"] = np.ones((8, 8))
    content = bytearray(path.read_bytes())
    heap = content.index(b"GCOL") + 16
    index, count, _, size = struct.unpack_from("<HHIQ", content, heap)
    assert (index, size) == (1, 5), (index, count, size)
    struct.pack_into("<HHIQ", content, heap, 0, 0, 0, 0)
    path.write_bytes(content)


@other
def cut_short(path: Path, folder: Path) -> None:
    with h5py.File(path, "w") as file:
        file["inputs"] = np.ones((80, 80))
    path.write_bytes(path.read_bytes()[:20_000])


@other
def nothing_but_a_signature(path: Path, folder: Path) -> None:
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + b"\xff" * 500)


@other
def user_block(path: Path, folder: Path) -> None:
    with h5py.File(path, "w", userblock_size=1024) as file:
        file["inputs"] = np.ones((8, 8))
    with path.open("r+b") as raw:
        raw.write(b"#!/bin/sh\ntouch executed\n")


@other
def picture(path: Path, folder: Path) -> None:
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))


@other
def pickle_file(path: Path, folder: Path) -> None:
    path.write_bytes(pickled(folder))


@other
def web_page(path: Path, folder: Path) -> None:
    path.write_text("<!DOCTYPE html><title>404</title>")


@other
def empty(path: Path, folder: Path) -> None:
    path.touch()


@other
def sparse_zeros(path: Path, folder: Path) -> None:
    """A file of 64 GiB that takes no room."""
    with path.open("wb") as file:
        file.truncate(2**36)


@other
def pipe(path: Path, folder: Path) -> None:
    os.mkfifo(path)


@other
def device(path: Path, folder: Path) -> None:
    path.symlink_to("/dev/zero")


@other
def folder_as_file(path: Path, folder: Path) -> None:
    path.mkdir()


@other
def link_to_nothing(path: Path, folder: Path) -> None:
    path.symlink_to(folder / "nothing")


@other
def link_to_itself(path: Path, folder: Path) -> None:
    path.symlink_to(path)


@other
def link_to_a_pipe(path: Path, folder: Path) -> None:
    path.symlink_to(folder / "secret.pipe")


@other
def socket_file(path: Path, folder: Path) -> None:
    before = Path.cwd()
    os.chdir(folder)  # names of sockets are short
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as end:
        end.bind(path.name)
    os.chdir(before)


def victim(folder: Path) -> None:
    """Open every file of a folder in the ways a user has; one JSON line each with what came of it."""
    from ram.data import open_dataset
    from ram.data.units import checked_unit
    from ram.errors import RamError
    from ram.storage import guarded, hdf5
    from ram.storage.survey import survey

    def look(path: Path) -> object:
        hdf5.check_is_hdf5(path)
        with hdf5.reading(path):
            return survey(str(path))

    guarded.survey = (
        lambda path: {}
    )  # the first look in another process, which costs most; it has a way of its own here

    def read_in_place(path: Path) -> object:
        data = open_dataset(path, mapping={"inputs": "/inputs", "layout": "sample time"})
        return data.x().tolist()

    ways = {"open_dataset": open_dataset, "read_in_place": read_in_place, "survey": look}
    checked_unit("Hz", where="")  # loads what any first opening loads
    guarded.limit()
    resource.setrlimit(resource.RLIMIT_CPU, (100, resource.RLIM_INFINITY))
    for name in sys.argv[3:]:
        for way, use in ways.items():
            if (way, name) == ("survey", "heap_that_never_ends"):
                continue  # hangs: that is what the helper process is for
            memory, begin = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
            try:
                answer = {"answer": json.dumps(use(folder / f"{name}.h5"), default=str)}
            except RamError as error:
                answer = {"refused": str(error)}
            except Exception as error:
                answer = {"broken": f"{type(error).__name__}: {error}"}
            seconds = time.process_time() - begin
            grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory
            print(json.dumps({"name": name, "way": way, "seconds": seconds, "grown_kB": grown} | answer), flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.path[:] = json.loads(sys.argv[1])
    victim(Path(sys.argv[2]))
