"""One file, one input: sounds, pictures, arrays, and text files of laboratories."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image

from ram.data.importing.folders import Folder
from ram.data.importing.laboratory import read_text
from ram.data.importing.look import Look
from ram.data.importing.signals import Reading, look_at, read_input
from ram.errors import ConfigError, DataError

PLAIN = Reading()


def seen(path: Path, reading: Reading = PLAIN) -> tuple[Look, np.ndarray]:
    look = look_at(path, reading)
    values = read_input(path, reading, kind=look.kind)
    assert values.shape == look.shape
    return look, values


@pytest.mark.parametrize("ending", ["wav", "flac"])
@pytest.mark.parametrize("channels", [1, 3])
def test_sounds_of_16_bits_stay_integers(tmp_path: Path, ending: str, channels: int) -> None:
    values = np.random.default_rng(1).integers(-32768, 32767, (500, channels)).astype(np.int16)
    soundfile.write(tmp_path / f"a.{ending}", values, 8000, subtype="PCM_16")
    look, found = seen(tmp_path / f"a.{ending}")
    assert (found.dtype, look.stored, look.scale, look.step) == (np.int16, "int16", 2.0**-15, 1 / 8000)
    np.testing.assert_array_equal(found, values.T)
    part = read_input(tmp_path / f"a.{ending}", PLAIN, kind=look.kind, start=100, stop=130)
    np.testing.assert_array_equal(part, values[100:130].T)


@pytest.mark.parametrize("subtype", ["PCM_24", "FLOAT", "PCM_32", "DOUBLE"])
def test_other_sounds_become_floats_of_full_scale_one(tmp_path: Path, subtype: str) -> None:
    values = np.arange(-8, 8) / 16.0
    soundfile.write(tmp_path / "a.wav", values, 8000, subtype=subtype)
    look, found = seen(tmp_path / "a.wav")
    assert (found.dtype, look.scale) == (np.float32, 1.0)
    np.testing.assert_array_equal(found[0], values.astype(np.float32))


def test_a_sound_is_known_by_its_content_not_by_its_name(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.dat", np.zeros(10, np.int16), 8000, format="WAV", subtype="PCM_16")
    assert look_at(tmp_path / "a.dat", PLAIN).kind == "WAV PCM_16"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"RIFF\x00\x00\x00\x00WAVEjunk", r"a sound must be a whole WAV or FLAC file\. Got"),
        (b"", r"a file of one sample must be with content\. Got 0 bytes\."),
        (b"\x89PNG\r\n\x1a\nno picture", r"a picture must be a whole PNG, TIFF or JPEG, gray or RGB\. Got"),
        (b"\x93NUMPY\x01\x00junk", r"an array must be numbers in a whole NPY file\. Got"),
        (
            b"\x89HDF\r\n\x1a\n",
            r"Got one that holds arrays by name\. Name one file that holds all samples with --arrays",
        ),
        (b"\x00\x01\x02\x03", r"the file must be text in UTF-8"),
        (b"nothing but words\nand words\n", r"line 2: a text file must be columns of numbers below its header\. Got"),
    ],
)
def test_damaged_files_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.bin").write_bytes(content)
    with pytest.raises(DataError, match=message):
        look_at(tmp_path / "a.bin", PLAIN)


PICTURES: dict[str, tuple[np.dtype[Any], int]] = {
    "gray8": (np.dtype(np.uint8), 1),
    "rgb8": (np.dtype(np.uint8), 3),
    "rgba8": (np.dtype(np.uint8), 4),
    "gray16": (np.dtype(np.uint16), 1),
}


@pytest.mark.parametrize("ending", ["wav", "flac"])
def test_sounds_cut_short_are_refused(tmp_path: Path, ending: str) -> None:
    path, noise = tmp_path / f"a.{ending}", np.random.default_rng(1).integers(-32768, 32767, 20_000).astype(np.int16)
    soundfile.write(path, noise, 8000, subtype="PCM_16")
    path.write_bytes(path.read_bytes()[:9_000])
    with pytest.raises(DataError, match=rf"a\.{ending}: a sound must be .* It was cut short or damaged; take it"):
        seen(path)
    if ending == "wav":
        with pytest.raises(DataError, match=r"of 40,000 bytes, as its header says\. Got 8,956 bytes"):
            look_at(path, PLAIN)


@pytest.mark.parametrize("size", [0x7FFFF000, 0xFFFFFFFF])
def test_a_stream_that_does_not_know_its_end_is_read(tmp_path: Path, size: int) -> None:
    soundfile.write(tmp_path / "a.wav", np.arange(100, dtype=np.int16), 8000, subtype="PCM_16")
    content = bytearray((tmp_path / "a.wav").read_bytes())
    content[4:8] = content[40:44] = struct.pack("<I", size)
    (tmp_path / "a.wav").write_bytes(content)
    assert seen(tmp_path / "a.wav")[1].tolist() == [list(range(100))]


@pytest.mark.parametrize("ending", ["png", "tif"])
@pytest.mark.parametrize("kind", PICTURES)
def test_pictures_keep_their_bits(tmp_path: Path, ending: str, kind: str) -> None:
    dtype, channels = PICTURES[kind]
    high = np.iinfo(dtype).max
    values = np.random.default_rng(1).integers(0, high, (5, 7, channels), endpoint=True).astype(dtype)
    Image.fromarray(values[..., 0] if channels == 1 else values).save(tmp_path / f"a.{ending}")
    look, found = seen(tmp_path / f"a.{ending}")
    assert found.dtype == dtype
    assert look.stored == dtype.name
    np.testing.assert_array_equal(found, np.moveaxis(values, -1, 0))


def test_pictures_of_one_bit_and_jpeg(tmp_path: Path) -> None:
    bits = np.eye(6, dtype=bool)
    Image.fromarray(bits).save(tmp_path / "bits.png")
    np.testing.assert_array_equal(seen(tmp_path / "bits.png")[1][0], bits.astype(np.uint8))
    Image.fromarray(np.full((8, 8, 3), 100, np.uint8)).save(tmp_path / "a.jpg")
    look, found = seen(tmp_path / "a.jpg")
    assert look.channels == ("red", "green", "blue")
    assert np.abs(found.astype(int) - 100).max() <= 2


def png16(values: np.ndarray, filters: list[int]) -> bytes:
    """A PNG of 16-bit colours, written by the book: row y with filters[y]."""
    height, width, channels = values.shape
    raw = values.astype(">u2").reshape(height, -1).view(np.uint8).astype(int)
    pixel, lines = 2 * channels, b""
    for y in range(height):
        out = []
        for place in range(raw.shape[1]):
            left = raw[y, place - pixel] if place >= pixel else 0
            up = raw[y - 1, place] if y else 0
            corner = raw[y - 1, place - pixel] if y and place >= pixel else 0
            guess = left + up - corner
            nearest = min((left, up, corner), key=lambda value: abs(guess - value))
            out.append((raw[y, place] - (0, left, up, (left + up) // 2, nearest)[filters[y]]) % 256)
        lines += bytes([filters[y], *out])

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 16, {2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_16_bit_colours_of_a_png_are_not_cut_to_8(tmp_path: Path, channels: int) -> None:
    values = np.random.default_rng(1).integers(0, 65535, (5, 6, channels)).astype(np.uint16)
    (tmp_path / "a.png").write_bytes(png16(values, [0, 1, 2, 3, 4]))
    look, found = seen(tmp_path / "a.png")
    assert (look.kind, found.dtype) == ("PNG 16 bit", np.uint16)
    np.testing.assert_array_equal(found, np.moveaxis(values, -1, 0))


def test_a_damaged_png_of_16_bits_is_refused(tmp_path: Path) -> None:
    content = bytearray(png16(np.zeros((4, 4, 3), np.uint16), [0] * 4))
    content[45] ^= 1
    (tmp_path / "a.png").write_bytes(content)
    look = look_at(tmp_path / "a.png", PLAIN)
    with pytest.raises(DataError, match=r"a picture must be .*Got a damaged PNG"):
        read_input(tmp_path / "a.png", PLAIN, kind=look.kind)


def tiff16(values: np.ndarray, *, order: str = "<", deflate: bool = False, predictor: bool = False) -> bytes:
    """A TIFF of 16-bit colours in one strip."""
    height, width, channels = values.shape
    stored = values.copy()
    if predictor:
        stored[:, 1:] -= values[:, :-1]
    strip = stored.astype(f"{order}u2").tobytes()
    strip = zlib.compress(strip) if deflate else strip
    tags = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, channels, 0), (259, 3, 1, 8 if deflate else 1),
            (262, 3, 1, 2), (273, 4, 1, 0), (277, 3, 1, channels), (278, 4, 1, height), (279, 4, 1, len(strip)),
            (284, 3, 1, 1), (317, 3, 1, 2 if predictor else 1)]  # fmt: skip
    bits_at = 8 + 2 + 12 * len(tags) + 4
    strip_at = bits_at + 2 * channels
    places = {258: bits_at, 273: strip_at}
    body = struct.pack(f"{order}H", len(tags))
    for tag, kind, count, value in tags:
        field = struct.pack(f"{order}HH", places.get(tag, value), 0) if kind == 3 and tag != 258 else b""
        body += struct.pack(f"{order}HHI", tag, kind, count)
        body += field or struct.pack(f"{order}I", places.get(tag, value))
    bits = struct.pack(f"{order}{channels}H", *[16] * channels)
    mark = b"II" if order == "<" else b"MM"
    return mark + struct.pack(f"{order}HI", 42, 8) + body + struct.pack(f"{order}I", 0) + bits + strip


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("deflate", "predictor"), [(False, False), (True, False), (True, True)])
def test_16_bit_colours_of_a_tiff_are_not_cut_to_8(
    tmp_path: Path, order: str, *, deflate: bool, predictor: bool
) -> None:
    values = np.random.default_rng(1).integers(0, 65535, (5, 6, 3)).astype(np.uint16)
    (tmp_path / "a.tif").write_bytes(tiff16(values, order=order, deflate=deflate, predictor=predictor))
    look, found = seen(tmp_path / "a.tif")
    assert (look.kind, look.channels) == ("TIFF 16 bit", ("red", "green", "blue"))
    np.testing.assert_array_equal(found, np.moveaxis(values, -1, 0))


def test_pictures_that_are_not_read_say_why(tmp_path: Path) -> None:
    Image.new("CMYK", (4, 4)).save(tmp_path / "a.tif")
    with pytest.raises(DataError, match=r"Got colours of mode CMYK; save it as gray or RGB"):
        look_at(tmp_path / "a.tif", PLAIN)
    pages = [Image.new("L", (4, 4)) for _ in range(3)]
    pages[0].save(tmp_path / "b.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(DataError, match=r"Got 3 pages; save each as a picture of its own"):
        look_at(tmp_path / "b.tif", PLAIN)
    huge = png16(np.zeros((1, 1, 3), np.uint16), [0])
    head = struct.pack(">II", 2**20, 2**20) + huge[24:29]
    (tmp_path / "c.png").write_bytes(huge[:16] + head + struct.pack(">I", zlib.crc32(b"IHDR" + head)) + huge[33:])
    with pytest.raises(DataError, match=r"a picture must be .*(exceeds limit|1048576 x 1048576 pixels)"):
        look_at(tmp_path / "c.png", PLAIN)


def test_arrays_of_npy_files(tmp_path: Path) -> None:
    values = np.random.default_rng(1).normal(size=(200, 3))
    np.save(tmp_path / "a.npy", values)
    look, found = seen(tmp_path / "a.npy")
    assert look.said == "axes time, channel"
    np.testing.assert_array_equal(found, values.T)
    look, found = seen(tmp_path / "a.npy", Reading(layout=("y", "x")))
    assert look.shape == (1, 200, 3)


def test_pickled_objects_are_never_loaded(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return (Path.touch, (tmp_path / "ran",))  # type: ignore[return-value]

    np.save(tmp_path / "a.npy", np.array([Bomb()], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match=r"Got pickled objects, which can run code and are never loaded\. Save it as"):
        look_at(tmp_path / "a.npy", PLAIN)
    assert not (tmp_path / "ran").exists()


def test_complex_numbers_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros(4, complex))
    with pytest.raises(DataError, match=r"the values must be real numbers\. Got complex128\. Store its magnitude"):
        look_at(tmp_path / "a.npy", PLAIN)


# Five samples of one signal, 1 ms apart, as different instruments write them; "step" where the file says it.
SIGNAL = [0.5, -0.25, 1.0, 0.0, 2.5]
LECROY = (
    "LECROYWS 1932 Waveform\nSegments 1 SegmentSize 5\nTime Ampl\n"
    "-0.001 0.5\n0.0 -0.25\n0.001 1.0\n0.002 0.0\n0.003 2.5\n"
)
GERMAN = "Messung 7\nZeit (ms);Beschl. (m/s^2)\n0,0;0,5\n1,0;-0,25\n2,0;1,0\n3,0;0,0\n4,0;2,5\n"
TEXTS: dict[str, tuple[str, float | None, str, str]] = {
    "lecroy": (LECROY, 1e-3, "Ampl", ""),
    "german": (GERMAN, 1e-3, "Beschl.", "m/s^2"),
    "units below": ("time,acc\ns,V\n0,0.5\n0.001,-0.25\n0.002,1\n0.003,0\n0.004,2.5\n", 1e-3, "acc", "V"),
    "no header": ("0.000 0.5\n0.001 -0.25\n0.002 1.0\n0.003 0.0\n0.004 2.5\n", 1e-3, "", ""),
    "one column": ("0.5\n-0.25\n1.0\n0.0\n2.5\n", None, "", ""),
    "one column of commas": ("0,50\n-0,25\n1,00\n0,05\n2,50\n", None, "", ""),
    "counted": ("n;U [V]\n0;0.5\n1;-0.25\n2;1.0\n3;0.0\n4;2.5\n", None, "U", "V"),
    "rate in the header": ("Sample rate: 1000 Hz\nAmpl\n0.5\n-0.25\n1.0\n0.0\n2.5\n", 1e-3, "Ampl", ""),
    "interval in the header": ("Sampling interval = 1 ms\n0.5\n-0.25\n1.0\n0.0\n2.5\n", 1e-3, "", ""),
    "tabs and trailing ones": ("t\ta\t\n0\t0.5\t\n.001\t-0.25\t\n.002\t1\t\n.003\t0\t\n.004\t2.5\t\n", 1e-3, "a", ""),
    "exponents": ("5.0e-01\n-2.5E-01\n1e0\n0e0\n2.5e+00\n\n", None, "", ""),
}  # fmt: skip


@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_texts_of_instruments(tmp_path: Path, kind: str, ending: str) -> None:
    text, step, name, unit = TEXTS[kind]
    (tmp_path / "a.txt").write_bytes(text.replace("\n", ending).encode())
    found = read_text(tmp_path / "a.txt")
    expected = [0.5, -0.25, 1.0, 0.05, 2.5] if kind == "one column of commas" else SIGNAL
    np.testing.assert_array_equal(found.values, [expected])
    assert found.step == (None if step is None else pytest.approx(step, rel=1e-12))
    assert (found.names, found.units) == ((name,), (unit,))


def test_first_time_of_a_text_is_kept(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(TEXTS["lecroy"][0], encoding="utf-8")
    assert read_text(tmp_path / "a.txt").start == -1e-3
    assert "column 1 is the time (taken to be in s)" in read_text(tmp_path / "a.txt").said
    assert read_text(tmp_path / "a.txt", time_unit="ms").step == pytest.approx(1e-6)


def test_several_columns_are_channels_and_can_be_chosen(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("time,left (V),right (V)\n0,1,4\n1,2,5\n2,3,7\n", encoding="utf-8")
    look, found = seen(tmp_path / "a.csv")
    assert (look.channels, look.units, look.step) == (("left", "right"), ("V", "V"), 1.0)
    np.testing.assert_array_equal(found, [[1, 2, 3], [4, 5, 7]])
    np.testing.assert_array_equal(seen(tmp_path / "a.csv", Reading(columns=("right",)))[1], [[4, 5, 7]])
    with pytest.raises(DataError, match=r"the columns must be some of 'left', 'right'\. Got 'middle'"):
        look_at(tmp_path / "a.csv", Reading(columns=("middle",)))


def test_a_field_of_numbers_is_a_picture(tmp_path: Path) -> None:
    values = np.arange(20.0 * 24).reshape(20, 24) % 7
    np.savetxt(tmp_path / "a.csv", values, delimiter=",")
    look, found = seen(tmp_path / "a.csv")
    assert look.kind == "text grid"
    np.testing.assert_array_equal(found[0], values)
    np.savetxt(tmp_path / "b.csv", values[:, :5], delimiter=",")
    np.testing.assert_array_equal(seen(tmp_path / "b.csv", Reading(layout=("y", "x")))[1][0], values[:, :5])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "t a\n0 1\n1 2\n2 3\n3 oops\n4 5\n5 6\n",
            r"a\.txt line 5: a line of the signal must be 2 numbers\. Got '3 oops'",
        ),
        (
            "t a\n0 1\n1 2\n2 3\n9 3\n10 5\n",
            r"a\.txt line 5: the time in column 't' must be increasing in even steps, here",
        ),
        ("t (kg),a\n0,1\n1,2\n2,3\n", r"the unit of the time must be one of time, such as ms\. Got 'kg'"),
    ],
)
def test_texts_that_are_broken_name_the_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.txt").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        read_text(tmp_path / "a.txt")


def test_a_signal_that_grows_evenly_is_not_taken_for_time_alone(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("ramp other\n1 5\n2 3\n3 4\n", encoding="utf-8")
    assert read_text(tmp_path / "a.txt").names == ("ramp", "other")


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    for name in ("day1/a.wav", "day1/b.wav", "day2/b.wav", "C.WAV", "Länge.wav", ".hidden"):
        (tmp_path / "rec" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "rec" / name).write_bytes(b"x")
    return Folder(tmp_path / "rec")


@pytest.mark.parametrize(
    ("name", "found"),
    [("day1/a.wav", "day1/a.wav"), ("a.wav", "day1/a.wav"), ("a", "day1/a.wav"), ("c.wav", "C.WAV"),
     ("./day2/b", "day2/b.wav"),
     (r"D:\data\day1\a.wav", "day1/a.wav"), ("b.wav", None), ("../secret", None),
     ("La\u0308nge.wav", "Länge.wav"), ("d", None)],
)  # fmt: skip
def test_files_are_found_by_the_names_in_tables(folder: Folder, name: str, found: str | None) -> None:
    assert folder.find(name) == (folder.path / found if found else None)


def test_hidden_files_are_no_samples_and_empty_folders_are_refused(folder: Folder, tmp_path: Path) -> None:
    assert len(folder.files) == 5
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"must be one with files\. Got no file in it"):
        Folder(tmp_path / "empty")
    with pytest.raises(ConfigError, match=r"Got no such folder\. Did you mean 'rec'\?"):
        Folder(tmp_path / "recs")
