from __future__ import annotations

import re
import struct
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from ram.errors import DataError
from ram.storage import hdf5, netcdf


def secret(folder: Path) -> Path:
    """A file that no other file may make us read."""
    path = folder / "secret.h5"
    with h5py.File(path, "w") as file:
        file["value"] = np.arange(3.0)
    (folder / "secret.bin").write_bytes(bytes(24))
    return path


def external_link(file: h5py.File, folder: Path) -> None:
    file["inputs"] = h5py.ExternalLink(str(secret(folder)), "/value")


def external_link_deep(file: h5py.File, folder: Path) -> None:
    file.create_group("a/b/c")["x"] = h5py.ExternalLink(str(secret(folder)), "/value")


def external_storage(file: h5py.File, folder: Path) -> None:
    secret(folder)
    file.create_dataset("inputs", (3,), dtype="f8", external=[(str(folder / "secret.bin"), 0, 24)])


def virtual_dataset(file: h5py.File, folder: Path) -> None:
    layout = h5py.VirtualLayout((3,), dtype="f8")
    layout[:] = h5py.VirtualSource(str(secret(folder)), "value", shape=(3,))
    file.create_virtual_dataset("inputs", layout)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            external_link,
            r"/inputs: everything in the file must be stored in this file\. Got external link .*secret\.h5:/value",
        ),
        (external_link_deep, r"/a/b/c/x: everything in the file .* Got external link"),
        (external_storage, r"/inputs: everything in the file .* Got external storage\. Copy the values"),
        (virtual_dataset, r"/inputs: everything in the file .* Got virtual dataset\."),
    ],
)
@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_a_file_that_leads_to_another_is_refused(
    tmp_path: Path, build: Callable[[h5py.File, Path], None], message: str, libver: str
) -> None:
    path = tmp_path / "hostile.h5"
    with h5py.File(path, "w", libver=libver) as file:
        build(file, tmp_path)
    with pytest.raises(DataError, match=rf"hostile\.h5:{message}"):
        hdf5.open_safely(path)
    (tmp_path / "secret.h5").unlink()  # the same answer when what it leads to is not there: nothing was followed
    with pytest.raises(DataError, match=rf"hostile\.h5:{message}"):
        hdf5.open_safely(path)


def test_cycles_and_soft_links_end(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "loop.h5", "w") as file:
        inner = file.create_group("a/b")
        inner["up"] = file["a"]
        inner["root"] = file["/"]
        inner["soft"] = h5py.SoftLink("/a/b/soft")
        inner["twice"] = inner["more"] = np.arange(2)
    with hdf5.open_safely(tmp_path / "loop.h5") as file:
        found = [(node.path, node.kind, node.leads_to) for node in hdf5.nodes(file)]
    assert found == [
        ("/a", "group", ""),
        ("/a/b", "group", ""),
        ("/a/b/more", "dataset", ""),
        ("/a/b/root", "again", ""),
        ("/a/b/soft", "soft link", "/a/b/soft"),
        ("/a/b/twice", "dataset", ""),
        ("/a/b/up", "again", ""),
    ]


def test_groups_nested_beyond_reason_are_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "deep.h5", "w") as file:
        file.create_group("/".join("x" * 80))
    with pytest.raises(
        DataError, match=r"deep\.h5: the file must be whole and readable as HDF5\. .*64 levels of groups"
    ):
        hdf5.open_safely(tmp_path / "deep.h5")


def test_a_group_of_names_beyond_reason_is_not_even_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with h5py.File(tmp_path / "many.h5", "w") as file:
        for index in range(12):
            file[f"a/{index}"] = 1.0
    monkeypatch.setattr(hdf5, "_MOST_OBJECTS", 10)
    with pytest.raises(DataError, match=r"many\.h5: the file must be whole .* Got 'more than 10 names'"):
        hdf5.open_safely(tmp_path / "many.h5")


def test_what_is_no_hdf5_is_told_by_its_first_bytes(tmp_path: Path) -> None:
    (tmp_path / "photo.h5").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    expected = re.escape("photo.h5: the file must be an HDF5 file. Got a PNG picture, 108 bytes. Check the path")
    with pytest.raises(DataError, match=expected):
        hdf5.open_safely(tmp_path / "photo.h5")
    (tmp_path / "empty.h5").touch()
    with pytest.raises(DataError, match=r"empty\.h5: the file must be an HDF5 file\. Got an empty file, 0 bytes"):
        hdf5.open_safely(tmp_path / "empty.h5")


def test_a_file_that_was_cut_short_says_by_how_much(tmp_path: Path) -> None:
    with hdf5.create(tmp_path / "a.h5") as file:
        file["x"] = np.arange(1000.0)
    content = (tmp_path / "a.h5").read_bytes()
    (tmp_path / "a.h5").write_bytes(content[:3000])
    with pytest.raises(DataError, match=rf"readable as HDF5\. Got 3,000 bytes of {len(content):,}\. It is damaged"):
        hdf5.open_safely(tmp_path / "a.h5")


def test_the_schema_is_read_of_files_with_checksums_only(tmp_path: Path, disc_folder: Path) -> None:
    assert hdf5.schema_of(disc_folder / "discs.h5") == "ram-dataset/1"
    for name, libver, value in (("old", "earliest", np.bytes_(b"s/1")), ("varying", "latest", "s/1")):
        with h5py.File(tmp_path / name, "w", libver=libver) as file:
            file.attrs["schema"] = value
        assert hdf5.schema_of(tmp_path / name) == ""
    (tmp_path / "text").write_text("text")
    assert hdf5.schema_of(tmp_path / "text") == ""


def test_a_missing_file_is_answered_with_names_that_are_alike(tmp_path: Path) -> None:
    for name in ("wheel_demo.h5", "notes.txt"):
        (tmp_path / name).touch()
    with pytest.raises(
        DataError, match=r"wheel_dem\.h5: the file must be there\. Got no file\. Did you mean 'wheel_demo\.h5'\?"
    ):
        hdf5.open_safely(tmp_path / "wheel_dem.h5")
    with pytest.raises(DataError, match=r"Got no file\. Check the path\."):
        hdf5.open_safely(tmp_path / "zzz")
    with pytest.raises(DataError, match=r"a\.h5: the file must be there\."):
        hdf5.open_safely(tmp_path / "no folder" / "a.h5")
    with pytest.raises(DataError, match=r"the file must be an HDF5 file\. Got a folder\. Check the path"):
        hdf5.open_safely(tmp_path)


def test_a_refused_file_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "hostile.h5"
    with h5py.File(path, "w") as file:
        external_link(file, tmp_path)
    with pytest.raises(DataError) as caught:
        hdf5.open_safely(path)
    with h5py.File(path, "a") as file:  # impossible while a handle for reading is open
        del file["inputs"]
    assert caught.tb is not None  # the error still holds the frame that opened the file
    hdf5.open_safely(path).close()


def test_metadata_carries_checksums(tmp_path: Path) -> None:
    with hdf5.create(tmp_path / "new.h5") as file:
        netcdf.add_dimension(file, "sample", size=3)
        ids = netcdf.encoded_texts(["a", "bb", "ß"])
        netcdf.add_texts(file, "ids", [ids[:2], ids[2:]], width=2, dims=("sample",))
    content = (tmp_path / "new.h5").read_bytes()
    assert content[8] == 3  # version of the superblock: the first one with a checksum is 2
    assert struct.unpack("<Q", content[28:36])[0] == len(content)  # end of file as the superblock says it
    with h5py.File(tmp_path / "new.h5") as file:
        assert file["ids"].dtype.itemsize == 2
        assert file["ids"].asstr()[:].tolist() == ["a", "bb", "ß"]
        assert file["sample"].id.get_storage_size() == 0
    for offset in range(12, 48):
        flipped = bytearray(content)
        flipped[offset] ^= 16
        (tmp_path / "flipped.h5").write_bytes(flipped)
        with pytest.raises(DataError, match=r"flipped\.h5: the file must be "):
            hdf5.open_safely(tmp_path / "flipped.h5")


@pytest.mark.parametrize(
    "value", ["text", b"text", np.bytes_(b"text"), np.array(b"text"), np.array(["text"], dtype=object)]
)
def test_text_attributes_are_read_however_they_are_stored(tmp_path: Path, value: object) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.attrs["units"] = value
        assert hdf5.read_text(file, "units") == "text"
        assert hdf5.read_text(file, "nothing") == ""


def test_the_writers_error_wins_over_the_closing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), hdf5.create(tmp_path / "a.h5") as file:
        file["x"] = 1 / 0


def test_a_write_that_the_disk_takes_in_part_is_trouble(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="limits on file sizes exist on POSIX only")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with hdf5._Disk(tmp_path / "a.bin", "w+b") as disk:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
        try:
            assert disk.write(b"x" * 20) == 20  # what the library is told
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert disk.trouble is not None
        assert disk.write(b"more") == 4
    assert (tmp_path / "a.bin").read_bytes() == b"x" * 10


def test_no_module_of_the_data_layer_can_load_objects() -> None:
    """Pickle runs code: no file of this package is read or written by it (workers get their task through pipes)."""
    import ram

    forbidden = re.compile(
        r"\b(import pickle|allow_pickle=True|torch\.(load|save)\(|joblib\.(load|dump)|marshal|shelve|dill)\b"
    )
    sources = list(Path(ram.__file__).parent.rglob("*.py"))
    assert len(sources) > 10
    assert [str(path) for path in sources if forbidden.search(path.read_text(encoding="utf-8"))] == []
    loads = [
        path
        for path in sources
        if re.search(r"np\.(load|savez?)\((?!.*allow_pickle=False)", path.read_text(encoding="utf-8"))
    ]
    assert loads == []
