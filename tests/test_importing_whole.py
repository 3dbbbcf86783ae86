"""`ram data import` from end to end: what is written, what is said, what is asked, and that it can be repeated."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from ram.data.dataset import Dataset, open_dataset
from ram.data.importing.cutting import in_blocks, means_within
from ram.data.importing.plan import Plan, as_toml, load_plan, plan_of
from ram.errors import ConfigError

RATE, COUNT = 8000, 20
Shell = Callable[..., tuple[int, str, str]]


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with taps.csv and recordings: 20 sounds of 256 samples, two of each specimen."""
    (tmp_path / "recordings").mkdir()
    lines = ["wav;f1 (Hz);depth [cm];specimen;w;part"]
    for index in range(COUNT):
        soundfile.write(tmp_path / f"recordings/tap{index:02d}.wav", signal(index), RATE)
        frequency = "n/a" if index == 5 else f"{300 + index},5"
        part = ("train", "train", "val", "test")[index // 2 % 4]
        lines.append(f"tap{index:02d}.wav;{frequency};{index};P{index // 2};{1 + index % 2};{part}")
    (tmp_path / "taps.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def signal(index: int, *, length: int = 256) -> np.ndarray:
    return np.random.default_rng(index).integers(-(2**15), 2**15, length).astype(np.int16)


TAPS = ("data", "import", "taps.csv", "--files", "recordings", "--output", "out.h5")


def imported(shell: Shell, *words: object) -> Dataset:
    code, out, err = shell(*TAPS, "--overwrite", *words)
    assert (code, err) == (0, ""), out
    return open_dataset("out.h5")


@pytest.mark.usefixtures("workplace")
def test_a_table_and_a_folder_become_a_data_file(shell: Shell) -> None:
    data = imported(
        shell,
        "--targets",
        "f1=Hz",
        "depth=mm",
        "--group",
        "specimen",
        "--weight",
        "w",
        "--seed",
        "2",
        "--licence",
        "MIT",
    )
    expected = np.stack([signal(index) for index in range(COUNT)])[:, None] / np.float32(2**15)
    np.testing.assert_array_equal(data.x(), expected)
    assert dict(data.targets) == {"f1": "Hz", "depth": "mm"}
    assert np.isnan(data.target_array(["f1"])[5, 0])
    np.testing.assert_allclose(data.target_array(["depth"])[:, 0], 10.0 * np.arange(COUNT), rtol=1e-15)
    assert data.groups.tolist() == [f"P{index // 2}" for index in range(COUNT)]
    assert data.ids[3] == "tap03"
    assert data.weights.tolist() == [1.0, 2.0] * 10
    (axis,) = data.axes
    assert (axis.name, axis.unit, axis.size) == ("time", "s", 256)
    assert axis.centres[1] == 1 / RATE
    parts = data.split_array("default")
    assert {part: int((parts == part).sum()) for part in ("train", "validation", "test")} == {
        "train": 16, "validation": 2, "test": 2
    }  # fmt: skip
    assert all(len(set(parts[data.groups == group])) == 1 for group in set(data.groups))


@pytest.mark.usefixtures("workplace")
def test_what_was_understood_is_printed(shell: Shell) -> None:
    _, out, _ = shell(*TAPS, "--targets", "f1=Hz", "--group", "specimen")
    lines = [line.split() for line in out.splitlines()]
    assert ["f1", "Hz", "target", "f1", "1", "300,5", "301,5", "302,5"] in lines
    assert ["specimen", "group", "P0", "P0", "P1"] in lines
    assert ["wav", "file", "tap00.wav", "tap01.wav", "tap02.wav"] in lines
    assert ["depth", "cm", "-", "0", "1", "2"] in lines
    for text in (
        "taps.csv: 20 rows, utf-8, separated by semicolon",
        "inputs    20 x 1 x 256, int16 (value = stored x 3.05176e-05), 0.0 MB",
        "files by column 'wav' in recordings: 20 of 20",
        "20 WAV PCM_16",
        "8000 Hz from the header",
        "axis      time: 0 to 0.031875 s, 256 cells of 0.000125",
        "target    f1: 300.5 to 319.5 Hz, median 310.5, 1 missing",
        "in 8 groups, validation",
        "(by seed 0)",
        "data: out.h5",
        "next: ram data check out.h5",
    ):
        assert text in out


@pytest.mark.usefixtures("workplace")
def test_json_is_for_scripts_and_a_dry_run_writes_nothing(shell: Shell, workplace: Path) -> None:
    code, out, _ = shell(*TAPS, "--targets", "f1=Hz", "--dry-run", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["inputs"]["shape"] == [1, 256]
    assert found["targets"][0]["missing"] == 1
    assert "data" not in found
    assert not (workplace / "out.h5").exists()


@pytest.mark.usefixtures("workplace")
def test_equal_imports_give_equal_bytes_and_the_kept_plan_repeats_them(shell: Shell, workplace: Path) -> None:
    words = (
        "--targets",
        "f1=Hz",
        "--group",
        "specimen",
        "--split",
        "part",
        "--weight",
        "w",
        "--channels",
        "acc=m/s^2:50",
    )
    data = imported(shell, *words, "--save-plan", "plan.toml")
    first = (workplace / "out.h5").read_bytes()
    imported(shell, *words)
    assert (workplace / "out.h5").read_bytes() == first
    (workplace / "notes.toml").write_text(data.attributes["notes"], encoding="utf-8")
    for plan in ("plan.toml", "notes.toml"):
        code, _, err = shell("data", "import", plan, "--output", "out.h5", "--overwrite")
        assert (code, err) == (0, "")
        assert (workplace / "out.h5").read_bytes() == first
    data = open_dataset("out.h5")
    assert dict(data.channels) == {"acc": "m/s^2"}
    np.testing.assert_allclose(data.x()[2, 0], 50.0 * signal(2) / 2**15, rtol=1e-6)
    assert data.split_array("default")[[0, 4, 6]].tolist() == ["train", "validation", "test"]


def test_paths_of_a_plan_are_relative_to_it(shell: Shell, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    imported(shell, "--targets", "f1=Hz", "--save-plan", "plan.toml")
    (workplace / "elsewhere").mkdir()
    monkeypatch.chdir(workplace / "elsewhere")
    assert shell("data", "import", "../plan.toml", "--output", "out.h5")[0] == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--targets", "f1=Hz", "--file-column", "wave"], "the column of the files must be one of wav, f1, depth"),
        ([], "or --no-targets said. Got none. Columns of numbers: --targets 'f1=Hz' 'depth=cm' 'w=UNIT'."),
        (["--targets", "f2=Hz"], "the column of target 'f2' must be one of wav, f1, depth, specimen, w, part. Got"),
        (["--targets", "specimen=1"], "taps.csv line 2, column 'specimen': the cell must be a number, or empty"),
        (["--targets", "f1=Hz", "--parameters", "f1=Hz"], "line 7, column 'f1 (Hz)': parameter 'f1' must be given"),
        (["--targets", "f1=Hz", "--fractions", "1", "2"], "'fractions' must be"),
        (["--targets", "f1=Hz", "--seed", "-1"], "'seed' must be greater than or equal to 0"),
        (["--targets", "f1=Hz", "--sample-rate", "9 kHz"], "the rate must be 8000 Hz, as the files say, or not given"),
        (["--targets", "f1=Hz", "--sample-rate", "9 kg"], "--sample-rate: the value must be a number with a unit"),
        (["--targets", "f1=Hz", "--window", "1 s"], "a window must be within 256 samples, the longest input"),
        (["--targets", "f1=Hz", "--lengths", "some"], "--lengths: the value must be a number with a unit"),
        (["--targets", "f1=Hz", "--arrays", "a.npz"], "the inputs must be one of --files FOLDER, --arrays FILE and"),
        (["--targets", "f1=parsec/floob"], "the unit must be one that pint knows"),
        (["--targets", "f1=Hz", "--where", "specimen"], "--where: the value must be column=value. Got 'specimen'"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("workplace")
def test_wrong_words_are_named(shell: Shell, workplace: Path, words: list[str], message: str) -> None:
    code, out, err = shell(*TAPS, *words)
    assert (code, out) == (2, "")
    assert message in err
    assert [path.name for path in workplace.iterdir() if path.is_file()] == ["taps.csv"]


def test_output_must_be_given_and_is_not_replaced_unasked(shell: Shell, workplace: Path) -> None:
    code, _, err = shell(*TAPS[:5], "--targets", "f1=Hz")
    assert (code, "--output must be given. Got nothing. Such as --output taps.h5" in err) == (2, True)
    (workplace / "out.h5").write_text("mine", encoding="utf-8")
    code, _, err = shell(*TAPS, "--targets", "f1=Hz")
    assert (code, "the output must be a new file" in err) == (2, True)
    assert (workplace / "out.h5").read_text(encoding="utf-8") == "mine"


def test_a_mistyped_key_of_a_plan_is_named(workplace: Path) -> None:
    (workplace / "plan.toml").write_text('table = "taps.csv"\n[targets.f1]\nunits = "Hz"\n', encoding="utf-8")
    with pytest.raises(
        ConfigError, match=r"a key must be one of unit, column\. Got 'targets\.f1\.units'\. Did you mean 'unit'"
    ):
        load_plan(workplace / "plan.toml")


def test_a_missing_file_is_an_error_unless_it_may_be(shell: Shell, workplace: Path) -> None:
    (workplace / "recordings/tap03.wav").rename(workplace / "recordings/tip03.wav")
    (workplace / "recordings/tap08.wav").unlink()
    code, _, err = shell(*TAPS, "--targets", "f1=Hz", "--file-column", "wav")
    assert code == 2
    assert (
        "taps.csv line 5, column 'wav': the file must be one in recordings. Got 'tap03.wav', which is not there "
        "(2 of 20 rows have no file). Did you mean 'tip03.wav'? To leave such rows out, say --skip-missing." in err
    )
    code, out, _ = shell(*TAPS, "--targets", "f1=Hz", "--skip-missing")
    assert code == 0
    assert "left out  2 rows without a file (lines 5, 10; the first names tap03.wav)" in out
    assert "left out  1 files in recordings that no row names" in out
    assert len(open_dataset("out.h5")) == COUNT - 2


@pytest.fixture
def uneven(workplace: Path) -> Path:
    """The first sound is of 200 samples, the second of 300."""
    soundfile.write(workplace / "recordings/tap00.wav", signal(0, length=200), RATE)
    soundfile.write(workplace / "recordings/tap01.wav", signal(1, length=300), RATE)
    return workplace


@pytest.mark.usefixtures("workplace")
def test_samples_that_train_nothing_are_counted(shell: Shell) -> None:
    assert "left out  of training: 1 samples without a target; they stay" in shell(*TAPS, "--targets", "f1=Hz")[1]


@pytest.mark.parametrize("words", [[], ["--lengths", "refuse"]])
@pytest.mark.usefixtures("uneven")
def test_different_lengths_are_asked_about(shell: Shell, words: list[str]) -> None:
    code, _, err = shell(*TAPS, "--targets", "f1=Hz", *words)
    assert code == 2
    assert (
        "the signals must be of one length, or --lengths must say what to do. Got 200 to 300 cells, half of them "
        "below 257. Say --lengths pad (zeros to 300, each length kept), --lengths crop (all to 200), or a length"
        " such as --lengths 256" in err
    )


@pytest.mark.parametrize(
    ("word", "size", "lengths"),
    [("pad", 300, [200, 300, 256]), ("crop", 200, None), ("256", 256, [200, 256, 256]), ("25 ms", 200, None)],
)
@pytest.mark.usefixtures("uneven")
def test_lengths_are_padded_cut_or_fixed(shell: Shell, word: str, size: int, lengths: list[int] | None) -> None:
    data = imported(shell, "--targets", "f1=Hz", "--lengths", word)
    assert data.axes[-1].size == size
    for row, length in enumerate((200, 300, 256)):
        kept = min(length, size)
        np.testing.assert_array_equal(data.x()[row, 0, :kept], signal(row, length=length)[:kept] / np.float32(2**15))
        assert not data.x()[row, 0, kept:].any()
    assert data.lengths[:3].tolist() == (lengths or [size] * 3)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], ""),
        (["--lengths", "250"], "time: 250 cells are no multiple of 8, as most nets need; such are 248 and 256"),
        (["--lengths", "5"], "time: 5 cells are no multiple of 8, as most nets need; such are 8 (another --lengths"),
    ],
)
@pytest.mark.usefixtures("workplace")
def test_lengths_that_nets_do_not_take_are_told_before_training(shell: Shell, words: list[str], said: str) -> None:
    code, out, _ = shell(*TAPS, "--targets", "f1=Hz", *words)
    assert code == 0
    assert (said in out) if said else ("multiple of" not in out)


def test_rates_that_differ_are_refused_and_can_be_brought_to_one(shell: Shell, workplace: Path) -> None:
    time = np.arange(512) / 16000
    soundfile.write(workplace / "recordings/tap00.wav", 0.5 * np.sin(2 * np.pi * 400 * time), 16000)
    code, _, err = shell(*TAPS, "--targets", "f1=Hz")
    assert code == 2
    assert (
        "the sample rate must be the same in all signals. Got 8000 Hz in 19, 16000 Hz in 1. Say --resample '8000 Hz'"
        in err
    )
    data = imported(shell, "--targets", "f1=Hz", "--resample", "8 kHz")
    expected = 0.5 * np.sin(2 * np.pi * 400 * np.arange(256) / 8000)
    np.testing.assert_allclose(data.x()[0, 0, 20:-20], expected[20:-20], atol=2e-3)


def test_several_files_are_channels(shell: Shell, workplace: Path) -> None:
    text = "left;right;f1 (Hz)\n" + "".join(f"tap{2 * i:02d};tap{2 * i + 1:02d};{i}\n" for i in range(10))
    (workplace / "taps.csv").write_text(text, encoding="utf-8")
    data = imported(shell, "--file-column", "left", "right", "--targets", "f1=Hz", "--channels", "left=V", "right=V")
    assert dict(data.channels) == {"left": "V", "right": "V"}
    np.testing.assert_array_equal(data.x()[3, 1], signal(7) / np.float32(2**15))


def test_pictures_get_the_pitch_that_is_said(shell: Shell, workplace: Path) -> None:
    from PIL import Image

    (workplace / "pictures").mkdir()
    values = np.random.default_rng(1).integers(0, 255, (6, 5, 4, 3)).astype(np.uint8)
    for index, picture in enumerate(values):
        Image.fromarray(picture).save(workplace / f"pictures/p{index}.png")
    (workplace / "p.csv").write_text("file,m\n" + "".join(f"p{i}.png,{i}\n" for i in range(6)), encoding="utf-8")
    words = ("data", "import", "p.csv", "--files", "pictures", "--targets", "m=kg", "--output", "out.h5")
    assert shell(*words, "--axes", "y=0.5 mm", "x=0.5 mm@-1 mm")[0] == 0
    data = open_dataset("out.h5")
    np.testing.assert_array_equal(data.x(), np.moveaxis(values, -1, 1))
    assert list(data.channels) == ["red", "green", "blue"]
    assert [(axis.name, axis.unit, axis.centres[0], axis.size) for axis in data.axes] == [
        ("y", "mm", 0, 5),
        ("x", "mm", -1, 4),
    ]
    Image.fromarray(values[0, :4]).save(workplace / "pictures/p3.png")
    code, _, err = shell(*words, "--overwrite")
    assert code == 2
    assert "p3.png: a picture must be of 5 x 4 cells, as pictures/p0.png. Got 4 x 4. Cut or scale the pictures" in err


@pytest.fixture
def long(workplace: Path) -> np.ndarray:
    """A recording of 10 s, in long.wav, long.npy and long.csv."""
    values = np.random.default_rng(5).integers(-1000, 1000, 10 * RATE).astype(np.int16)
    soundfile.write(workplace / "long.wav", values, RATE)
    np.save(workplace / "long.npy", values)
    rows = "\n".join(f"{index / RATE:.6f};{value}" for index, value in enumerate(values[:RATE]))
    (workplace / "long.csv").write_text(f"time (s);acc\n{rows}\n", encoding="utf-8")
    times = "".join(f"{k * 0.05:.2f},{k * 0.05:.2f}\n" for k in range(200))
    (workplace / "values.csv").write_text("t (s),force (N)\n" + times, encoding="utf-8")
    return values


CUT = ("--recording", "long.wav", "--window", "0.5 s", "--hop", "0.25 s", "--block", "2 s", "--output", "out.h5")


def test_a_recording_is_cut_and_each_window_has_its_mean(shell: Shell, long: np.ndarray) -> None:
    code, out, err = shell("data", "import", "values.csv", *CUT, "--time-column", "t", "--targets", "force=N")
    assert (code, err) == (0, "")
    data = open_dataset("out.h5")
    assert "35 windows of 4,000 samples, 2,000 apart, in blocks of 16,000" in out
    starts = [block * 16000 + k * 2000 for block in range(5) for k in range(7)]
    np.testing.assert_array_equal(
        data.x()[:, 0], np.stack([long[start : start + 4000] for start in starts]) / np.float32(2**15)
    )
    # ten values, 0.05 s apart, are measured in each window of 0.5 s
    np.testing.assert_allclose(data.target_array()[:, 0], np.array(starts) / RATE + 0.225, atol=1e-9)
    assert data.groups.tolist() == [f"block{block}" for block in range(5) for _ in range(7)]
    parts = data.split_array("default")
    assert all(len(set(parts[data.groups == group])) == 1 for group in set(data.groups))


def test_blocks_share_no_sample() -> None:
    seen: dict[int, int] = {}
    for start, stop, block in in_blocks(1000, length=30, hop=7, block=130):
        for cell in range(start, stop):
            assert seen.setdefault(cell, block) == block
    assert max(seen) < 1000


def test_windows_with_nothing_measured_have_no_target() -> None:
    means = means_within(np.array([3.0, 0.5, 0.6]), np.array([np.nan, 1.0, 3.0]), [(0, 1), (1, 2), (3, 4)])
    np.testing.assert_array_equal(means, [2.0, np.nan, np.nan])


@pytest.mark.usefixtures("long")
def test_a_table_of_one_row_a_window_is_taken_in_order(shell: Shell, workplace: Path) -> None:
    rows = "".join(f"{k},g{k // 7}\n" for k in range(35))
    (workplace / "values.csv").write_text("force (N),run\n" + rows, encoding="utf-8")
    assert shell("data", "import", "values.csv", *CUT, "--targets", "force=N", "--group", "run")[0] == 0
    data = open_dataset("out.h5")
    assert data.target_array()[:, 0].tolist() == list(range(35))
    assert data.groups[-1] == "g4"
    (workplace / "values.csv").write_text("force (N)\n1\n2\n3\n", encoding="utf-8")
    code, _, err = shell("data", "import", "values.csv", *CUT, "--overwrite", "--targets", "force=N")
    assert code == 2
    assert (
        "must be with times (--time-column, or --start-column and --end-column), of 35 rows, one for each window" in err
    )


@pytest.mark.parametrize("file", ["long.wav", "long.npy"])
def test_pieces_of_time_that_a_table_names(shell: Shell, workplace: Path, long: np.ndarray, file: str) -> None:
    rows = "from (s),to (s),force (N),run\n0.5,1,10,a\n2,2.5,20,b\n7,7.5,30,c\n9.5,10,40,d\n"
    (workplace / "values.csv").write_text(rows, encoding="utf-8")
    words = (
        "--recording",
        file,
        "--start-column",
        "from",
        "--end-column",
        "to",
        "--targets",
        "force=N",
        "--group",
        "run",
    )
    rate = () if file.endswith("wav") else ("--sample-rate", "8 kHz")
    code, _, err = shell("data", "import", "values.csv", *words, *rate, "--output", "out.h5")
    assert (code, err) == (0, "")
    data = open_dataset("out.h5")
    scale = 2**15 if file.endswith("wav") else 1
    np.testing.assert_array_equal(data.x()[2, 0], long[56000:60000] / np.float32(scale))
    assert data.target_array()[:, 0].tolist() == [10, 20, 30, 40]
    (workplace / "values.csv").write_text(rows.replace("9.5,10,", "9.5,11,"), encoding="utf-8")
    code, _, err = shell("data", "import", "values.csv", *words, *rate, "--output", "b.h5")
    assert (
        "values.csv row 3: a piece of time must be within 0 to 10 s, its end after its beginning. Got 9.5 to 11 s"
        in err
    )


def test_a_recording_as_text_and_one_without_targets(shell: Shell, long: np.ndarray) -> None:
    words = ("--window", "0.1 s", "--no-targets", "--output", "out.h5")
    assert shell("data", "import", "long.wav", *words)[0] == 0
    data = open_dataset("out.h5")
    assert (len(data), dict(data.targets), set(data.split_array("default"))) == (100, {}, {"test"})
    code, _, err = shell(
        "data",
        "import",
        "values.csv",
        "--recording",
        "long.csv",
        "--time-column",
        "t",
        "--targets",
        "force=N",
        "--window",
        "800",
        "--block",
        "800",
        "--overwrite",
        "--output",
        "out.h5",
    )
    assert (code, err) == (0, "")
    np.testing.assert_array_equal(open_dataset("out.h5").x()[3, 0], long[2400:3200])


@pytest.mark.usefixtures("long")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--recording", "long.wav"],
            "a recording must be cut into windows. Got 80,000 samples and no window. Say --window",
        ),
        (
            ["--recording", "long.npy", "--window", "1 s"],
            "a time must be given where the sample rate is known. Got '1 s'",
        ),
        (
            ["--recording", "lang.wav", "--window", "1 s"],
            "the recording must be a file. Got none. Did you mean 'long.wav'?",
        ),
        (["--recording", "long.wav", "--start-column", "t"], "--start-column and --end-column must be given together"),
        (
            ["--recording", "long.npy", "--window", "80", "--time-column", "t"],
            "the sample rate of the recording must be known",
        ),
    ],
)
def test_recordings_that_lack_something(shell: Shell, words: list[str], message: str) -> None:
    code, _, err = shell("data", "import", "values.csv", "--targets", "force=N", "--output", "out.h5", *words)
    assert code == 2
    assert message in err


def test_windows_of_files_belong_to_the_group_of_their_file(shell: Shell, workplace: Path) -> None:
    data = imported(shell, "--targets", "f1=Hz", "--window", "100", "--hop", "50")
    assert len(data) == COUNT * 4
    assert data.ids[5] == "tap01-01"
    assert data.groups.tolist() == [f"tap{index:02d}" for index in range(COUNT) for _ in range(4)]
    np.testing.assert_array_equal(data.x()[6, 0], signal(1)[100:200] / np.float32(2**15))
    assert data.target_array()[4:8, 0].tolist() == [301.5] * 4


def test_a_file_that_breaks_while_writing_leaves_nothing(shell: Shell, workplace: Path) -> None:
    np.save(workplace / "recordings/tap19.npy", np.full(256, np.nan))
    (workplace / "recordings/tap19.wav").unlink()
    before = sorted(path.name for path in workplace.iterdir())
    text = (workplace / "taps.csv").read_text(encoding="utf-8").replace("tap19.wav", "tap19.npy")
    (workplace / "taps.csv").write_text(text, encoding="utf-8")
    code, _, err = shell(*TAPS, "--targets", "f1=Hz", "--sample-rate", "8 kHz")
    assert code == 2
    assert "tap19.npy: every value must be a finite number. Got nan in channel 0, cell 0 (256 such values)" in err
    assert sorted(path.name for path in workplace.iterdir()) == before


def test_memory_holds_one_sample_at_a_time(shell: Shell, workplace: Path) -> None:
    """60 sounds of 1 MB are imported with less than 32 MB alive at once: as doubles they are 252 MB."""
    import tracemalloc

    for index in range(60):
        soundfile.write(workplace / f"recordings/long{index:02d}.wav", np.zeros(2**19, np.int16), RATE)
    rows = "".join(f"long{index:02d}.wav,{index}\n" for index in range(60))
    (workplace / "taps.csv").write_text("wav,f1 (Hz)\n" + rows, encoding="utf-8")
    shell(*TAPS, "--targets", "f1=Hz", "--dry-run")  # libraries are loaded before memory is counted
    tracemalloc.start()
    imported(shell, "--targets", "f1=Hz")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (workplace / "out.h5").stat().st_size > 60 * 2**20
    assert peak < 32 * 2**20


def test_plans_are_written_and_read(tmp_path: Path) -> None:
    flags: dict[str, Any] = {
        "table": "a.csv",
        "targets": ["f1:Column 3=Hz"],
        "axes": ["x=0.5 mm@-2 mm"],
        "shape": ["4x4"],
        "channels": ["acc=m/s^2:50"],
        "where": ["part=a=b"],
        "fractions": ["0.8", "0.1", "0.1"],
    }
    plan = plan_of({}, flags)
    assert plan.targets["f1"].column == "Column 3"
    assert (plan.axes["x"].step, plan.axes["x"].start) == ("0.5 mm", "-2 mm")
    assert (plan.channels["acc"].unit, plan.channels["acc"].scale) == ("m/s^2", 50.0)
    assert (plan.shape, plan.where, plan.fractions) == ((4, 4), {"part": "a=b"}, (0.8, 0.1, 0.1))
    assert plan_of(tomllib.loads(as_toml(plan)), {}) == plan
    assert as_toml(Plan()) == ""
