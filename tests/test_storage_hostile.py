"""Files made to harm: none is followed or executed, each is refused or described at once, memory stays as it is."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ram.data.importing.arrays import open_arrays
from ram.data.info import describe
from ram.errors import DataError
from ram.storage import guarded

PROGRAM = Path(__file__).with_name("hostile_files.py")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pipes, devices and limits are POSIX's")


def described_by_hand() -> dict[str, str]:
    """What the tree must say of a file, as a piece of its JSON."""
    return {
        "external_link": '"kind": "external link", "leads_to": "',
        "external_storage": '"kind": "external storage"',
        "virtual_dataset": '"leads_to": "secret.h5"',
        "soft_link_out": '"kind": "soft link", "leads_to": "/door/inputs"',
        "cycle_of_hard_links": '"path": "/a/b/c/up", "kind": "again", "leads_to": "/"',
        "nested_without_end": '"left_out": "deeper than 64 groups"',
        "names_without_number": '"left_out": "19,001 names"',
        "pickled_attribute": '"units": "(a pickled Python object, ',
        "pickled_objects": "varying number of uint8",
        "pickled_opaque": "opaque (200 bytes)",
        "unknown_filter": "filter 40000, unknown here",
        "codes_without_number": "... 1994 more",
        "user_block": '"userblock": 1024',
        "references": '"dtype": "reference"',
        "region_references": '"dtype": "reference to a region"',
        "element_bomb": '"dtype": "text (2000000000)"',
        "size_bomb": '"shape": [1073741824, 1073741824]',
        "compression_bomb_in_a_scale": '"path": "/time", "kind": "dataset", "shape": [64]',
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, disc_folder: Path) -> Path:
    made = tmp_path_factory.mktemp("hostile")
    names = runpy.run_path(str(PROGRAM))["build"](made, template=disc_folder / "discs.h5")
    (made / "names.json").write_text(json.dumps(names))
    return made


@pytest.fixture(scope="module")
def reports(folder: Path) -> list[dict[str, Any]]:
    """What came of opening each file in each way, in a process of its own."""
    names = json.loads((folder / "names.json").read_text())
    words = [sys.executable, str(PROGRAM), json.dumps(sys.path), str(folder), *names]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    found = [json.loads(line) for line in ended.stdout.splitlines()]
    assert (ended.returncode, len(found)) == (0, 3 * len(names) - 1), ended.stderr[-1000:]  # one is not surveyed there
    assert len(names) >= 40
    # It holds 256 MiB of zeros and says so; whoever reads all of it in place asks for them.
    return [one for one in found if (one["name"], one["way"]) != ("compression_bomb", "read_in_place")]


def test_each_is_refused_as_a_data_set_with_a_reason(reports: list[dict[str, Any]]) -> None:
    opened = [report for report in reports if report["way"] == "open_dataset"]
    assert [report["name"] for report in opened if "refused" not in report] == []
    for report in opened:
        assert f"{report['name']}.h5" in report["refused"]
        assert " must be " in report["refused"]


def test_each_is_described_or_refused_and_nothing_else_happens(reports: list[dict[str, Any]]) -> None:
    assert [report for report in reports if "broken" in report] == []
    said = {report["name"]: report.get("answer", "") for report in reports if report["way"] == "survey"}
    for name, piece in described_by_hand().items():
        assert piece in said[name], name


def test_read_in_place_each_is_refused_or_gives_its_own_numbers(reports: list[dict[str, Any]]) -> None:
    given = {
        report["name"]: report["answer"]
        for report in reports
        if report["way"] == "read_in_place" and "answer" in report
    }
    assert set(given) == {
        "attributes_without_number",
        "columns_without_number",
        "compression_bomb_in_a_scale",
        "external_link_deep",
        "heap_that_never_ends",
        "pickled_attribute",
        "user_block",
    }
    for name, numbers in given.items():
        rows = 64 if name == "compression_bomb_in_a_scale" else 8
        assert json.loads(numbers) == [[[1.0] * 8]] * rows, name


def test_each_takes_less_than_half_a_second_and_no_memory(reports: list[dict[str, Any]]) -> None:
    assert [(report["name"], report["seconds"]) for report in reports if report["seconds"] > 0.5] == []
    assert [(report["name"], report["grown_kB"]) for report in reports if report["grown_kB"] > 20_000] == []


def test_nothing_was_executed_and_nothing_beside_was_read(folder: Path, reports: list[dict[str, Any]]) -> None:
    assert not (folder / "executed").exists()
    assert not Path("owned").exists()
    assert not Path("executed").exists()
    # Numbers that stand in the secret file only; whoever opened the secret pipe would still be waiting.
    assert [report["name"] for report in reports if "63.0" in report.get("answer", "")] == []


def test_nothing_in_a_file_can_steer_the_terminal(folder: Path) -> None:
    text = describe(folder / "words_for_the_terminal.h5").as_text()
    assert [letter for letter in text.replace("\n", "") if not letter.isprintable()] == []
    assert "inputs" in text


def test_a_file_on_which_the_library_hangs_ends_the_helper_only(folder: Path) -> None:
    with pytest.raises(DataError, match=r"heap_that_never_ends\.h5: the file must be whole .* 'no end of one small"):
        describe(folder / "heap_that_never_ends.h5")


def test_an_import_ends_where_the_library_would_hang(folder: Path) -> None:
    with (
        pytest.raises(DataError, match=r"heap_that_never_ends\.h5: the file must be whole .* 'no end of one small"),
        open_arrays(folder / "heap_that_never_ends.h5"),
    ):
        pass


def test_a_helper_that_dies_is_told_by_its_death() -> None:
    assert guarded._death(-11) == "a crash of the HDF5 library (SIGSEGV)"
    assert guarded._death(-6) == "a crash of the HDF5 library (SIGABRT)"
    assert guarded._death(-9) == "no end after 2 s"
    assert guarded._death(-27) == "no end of one small piece of it"
    assert guarded._death(1) == "no answer from the HDF5 library"


def test_a_helper_without_an_answer_in_time_is_given_up(monkeypatch: pytest.MonkeyPatch, disc_folder: Path) -> None:
    monkeypatch.setattr(guarded, "_WALL_SECONDS", 0.01)
    with pytest.raises(DataError, match=r"discs\.h5: the file must be whole .* Got 'no answer after 0\.01 s'"):
        guarded.survey(disc_folder / "discs.h5")
