from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from ram.storage.magic import format_of


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"CDF\x01", "a netCDF-3 file"),
        (b"\x0e\x03\x13\x01", "an HDF4 file"),
        (b"\x89HDF\n\x1a\n", "spoiled by a transfer in text mode"),
        (b"MATLAB 5.0 MAT-file, Platform", "a MATLAB file before v7.3"),
        (b"\x93NUMPY\x01", "a NumPy array"),
        (b"PK\x03\x04", "a zip archive"),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", "WAV sound"),
        (b"TDSm", "a LabVIEW TDMS file"),
        (b"version https://git-lfs.github.com/spec/v1", "a Git LFS pointer"),
        (b"\x80\x04\x95", "a Python pickle, which runs code"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"a,b\n1,2\n3,4\n", "a table in text form"),
        (b"Dear reader, this is\nno table, of course, and has\nno columns\n", "text"),
        (b'{"a": 1}', "JSON text"),
        (b"<?xml version='1.0'?>", "XML text"),
        ("Größe\n".encode() * 80, "text"),
        (bytes(600), "zero bytes only"),
        (b"", "an empty file"),
        (b"\x00\x01\xff\xfe\x80" * 20, "binary, of no format known"),
        (struct.pack("<16f", *np.arange(16.0)), r"raw little-endian float32 numbers .*\(0, 1, 2, 3 "),
        (struct.pack(">16d", *np.arange(16.0)), "raw big-endian float64 numbers"),
    ],
)
def test_a_file_is_told_by_its_first_bytes(tmp_path: Path, content: bytes, words: str) -> None:
    import re

    (tmp_path / "a.h5").write_bytes(content)
    assert re.search(words, format_of(tmp_path / "a.h5"))


def test_folders_are_told_too(tmp_path: Path) -> None:
    assert format_of(tmp_path) == "a folder"
    (tmp_path / "zarr.json").touch()
    assert format_of(tmp_path) == "a folder that holds a Zarr store"
