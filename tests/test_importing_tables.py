"""Tables as people write them: separators, decimal commas, encodings, units in headers, Excel and Parquet."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ram.data.importing.cells import decimal_mark, number, quantity, split_header
from ram.data.importing.columns import groups_of, ids_of, only, parts_of, values_of, weights_of
from ram.data.importing.plan import ValuePlan
from ram.data.importing.splitting import split_groups
from ram.data.importing.tables import Table, read_table
from ram.errors import ConfigError, DataError

# The same three rows, as different laboratories would write them.
SAME = {
    "comma": "wav,f1 (Hz),depth [cm],specimen\na.wav,512.25,1.5,P1\nb.wav,n/a,2.5,P1\nc.wav,1498.5,,P2\n",
    "german": "wav;f1 (Hz);depth [cm];specimen\na.wav;512,25;1,5;P1\nb.wav;n/a;2,5;P1\nc.wav;1.498,5;;P2\n",
    "tab": "wav\tf1 (Hz)\tdepth [cm]\tspecimen\na.wav\t512.25\t1.5\tP1\nb.wav\t-\t2.5\tP1\nc.wav\t1498.5\t\tP2\n",
    "quoted": 'wav,f1 (Hz),depth [cm],specimen\n"a.wav","512,25","1,5",P1\nb.wav,,"2,5",P1\nc.wav,"1498,5",n/a,P2\n',
    "units below": "wav;f1;depth;specimen\n;Hz;[cm];-\na.wav;512.25;1.5;P1\nb.wav;;2.5;P1\nc.wav;1498.5;?;P2\n",
    "title above": "Series\n\nwav;f1 / Hz;depth in cm;specimen\na.wav;512.25;1.5;P1\nb.wav;;2.5;P1\nc.wav;1498.5;;P2\n",
    "windows": "wav;f1 (Hz);depth [cm];specimen\r\na.wav;512,25;1,5;P1\r\n\r\nb.wav;;2,5;P1\r\nc.wav;1498,5;;P2\r\n",
}


@pytest.fixture
def table(tmp_path: Path) -> Callable[..., Table]:
    """Write a text and read it as a table."""

    def write(text: str | bytes, *, name: str = "t.csv", **words: str) -> Table:
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_table(path, **words)

    return write


@pytest.mark.parametrize("writing", SAME)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_one_table_however_it_is_written(table: Callable[..., Table], writing: str, encoding: str) -> None:
    found = table(SAME[writing].encode(encoding))
    assert [(column.name, column.unit) for column in found.columns] == [
        ("wav", ""),
        ("f1", "Hz"),
        ("depth", "cm"),
        ("specimen", ""),
    ]
    np.testing.assert_array_equal(found.numbers(found.columns[1]), [512.25, np.nan, 1498.5])
    np.testing.assert_array_equal(found.numbers(found.columns[2]), [1.5, 2.5, np.nan])
    assert found.texts(found.columns[0]) == ["a.wav", "b.wav", "c.wav"]


def test_letters_of_windows_files_are_read(table: Callable[..., Table]) -> None:
    found = table("Länge (µm);Nr\n1,5;3\n2,5;4\n".encode("cp1252"))
    assert (found.columns[0].name, found.columns[0].unit) == ("Länge", "µm")
    assert "Windows-1252" in found.said


def test_table_without_header_gets_names(table: Callable[..., Table]) -> None:
    found = table("0.0 1.5 2\n1.0 2.5 3\n", name="t.txt")
    assert [column.name for column in found.columns] == ["column1", "column2", "column3"]
    np.testing.assert_array_equal(found.numbers(found.columns[1]), [1.5, 2.5])


def test_a_row_of_ones_is_no_row_of_units(table: Callable[..., Table]) -> None:
    assert len(table("f,g\n1,1\n2,2\n")) == 2


def test_names_that_stand_twice_are_told_apart(table: Callable[..., Table]) -> None:
    assert [column.name for column in table("f,f,f\n1,2,x\n").columns] == ["f", "f_2", "f_3"]


def test_excel_is_read_like_a_text(tmp_path: Path) -> None:
    import openpyxl

    book = openpyxl.Workbook()
    sheet = book.active
    for row in (
        ["Series 7"],
        [],
        ["wav", "f1 (Hz)", "no"],
        ["a.wav", 512.25, 3.0],
        ["b.wav", "n/a", 4],
        ["c.wav", "#N/A", 5],
    ):
        sheet.append(row)
    book.save(tmp_path / "t.xlsx")
    found = read_table(tmp_path / "t.xlsx")
    assert [(column.name, column.unit) for column in found.columns] == [("wav", ""), ("f1", "Hz"), ("no", "")]
    np.testing.assert_array_equal(found.numbers(found.columns[1]), [512.25, np.nan, np.nan])
    assert found.texts(found.columns[2]) == ["3", "4", "5"]
    assert found.where(1, found.columns[1]) == f"{tmp_path / 't.xlsx'} line 5, column 'f1 (Hz)'"


def test_sheet_must_be_said_where_there_are_several(tmp_path: Path) -> None:
    import openpyxl

    book = openpyxl.Workbook()
    book.active.append(["f"])
    book.create_sheet("Results").append(["g"])
    book["Results"].append([1.0])
    book.save(tmp_path / "t.xlsx")
    with pytest.raises(
        ConfigError, match=r"the sheet must be one of 'Sheet', 'Results'\. Got none\. Say which: --sheet"
    ):
        read_table(tmp_path / "t.xlsx")
    with pytest.raises(ConfigError, match=r"Got 'Result'\. Did you mean 'Results'\?"):
        read_table(tmp_path / "t.xlsx", sheet="Result")
    assert [column.name for column in read_table(tmp_path / "t.xlsx", sheet="Results").columns] == ["g"]


@pytest.mark.parametrize("beside", ["empty sheets", "a chart"])
def test_what_holds_nothing_is_no_sheet_to_choose_from(tmp_path: Path, beside: str) -> None:
    import openpyxl.chart

    book = openpyxl.Workbook()
    book.create_sheet("Taps").append(["f"])
    book["Taps"].append([7.0])
    if beside == "a chart":
        book.remove(book["Sheet"])
        book.create_chartsheet("Chart", 0).add_chart(openpyxl.chart.BarChart())
    book.save(tmp_path / "t.xlsx")
    found = read_table(tmp_path / "t.xlsx")
    assert found.numbers(found.columns[0]).tolist() == [7.0]


def test_parquet_is_read(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    content = {"wav": ["a", "b"], "f1 [Hz]": [1.5, None], "n": pa.array([1, 2], pa.int64())}
    parquet.write_table(pa.table(content), tmp_path / "t.parquet")
    found = read_table(tmp_path / "t.parquet")
    assert [(column.name, column.unit) for column in found.columns] == [("wav", ""), ("f1", "Hz"), ("n", "")]
    np.testing.assert_array_equal(found.numbers(found.columns[1]), [1.5, np.nan])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\x03\x04 cut short", r"must be an Excel workbook \(\.xlsx\)\. Got .*Open it and save it again"),
        (b"PAR1 cut short", r"must be a whole Parquet file"),
        (
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
            r"Got an old Excel file \(\.xls\), or one with a password\. Open it and save",
        ),
        (b"a\x00\x01\x02", r"must be text in UTF-8, UTF-16 with BOM or Windows-1252\. Got 4 bytes"),
        (b"", r"must be a header and at least one row\. Got nothing"),
        (b"f1,f2\n", r"must be at least one row below its header\. Got none"),
        (b'f1,f2\n"1,2\n', r"must be rows of cells with one separator between them\. Got 'unexpected end of data'"),
        (b"f1,f2\n1,2\n1,2\n1,2,3\n", r"t\.csv line 4: a row must be of 2 cells, as the others\. Got 3 cells\."),
    ],
)
def test_what_is_no_table_is_refused(table: Callable[..., Table], content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        table(content)


def test_a_missing_file_names_the_nearest(table: Callable[..., Table], tmp_path: Path) -> None:
    table("a\n1\n", name="series.csv")
    with pytest.raises(
        DataError, match=r"seris\.csv: the file must be there\. Got no file\. Did you mean 'series\.csv'\?"
    ):
        read_table(tmp_path / "seris.csv")
    with pytest.raises(DataError, match=r"the table must be a file\. Got a folder\. Name the table first"):
        read_table(tmp_path)


@pytest.mark.parametrize(
    ("begin", "kind", "library"), [(b"PK\x03\x04", "Excel", "openpyxl"), (b"PAR1", "Parquet", "pyarrow")]
)
def test_missing_library_says_what_to_install(
    table: Callable[..., Table], monkeypatch: pytest.MonkeyPatch, begin: bytes, kind: str, library: str
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **words: Any) -> Any:
        if name.split(".", maxsplit=1)[0] == library:
            raise ImportError(name)
        return real(name, *rest, **words)

    monkeypatch.setattr(builtins, "__import__", without)
    message = rf"{library}, which reads {kind} files, must be installed.*pip install '.*\[tables\]'"
    with pytest.raises(DataError, match=message):
        table(begin + b"more")


@pytest.mark.parametrize(
    ("cell", "decimal", "value"),
    [("1,5", ",", 1.5), ("1.234,5", ",", 1234.5), ("1,234.5", ".", 1234.5), ("1.234", ",", 1234.0),
     ("\u22122", ".", -2.0),
     (" 1e-3 ", ".", 1e-3), (True, ".", None), ("1_000", ".", None), ("12 Hz", ".", None), ("1.5", ",", None),
     ("0.123", ",", None)],
)  # fmt: skip
def test_numbers_of_cells(cell: object, decimal: str, value: float | None) -> None:
    if value is None:
        with pytest.raises(ValueError):
            number(cell, decimal=decimal)
    else:
        assert number(cell, decimal=decimal) == value


@pytest.mark.parametrize("cell", ["", " ", "n/a", "N/A", "nan", "-", "?", None, float("nan"), "null", "#N/A"])
def test_missing_values_are_nan(cell: object) -> None:
    assert np.isnan(number(cell))


def test_a_comma_that_could_be_both_is_asked_for(table: Callable[..., Table]) -> None:
    text = "a;f1 (Hz)\nx;1,234\ny;2,500\n"
    with pytest.raises(
        DataError, match=r"decimal comma or a mark of thousands\. Got '1,234', which could be both\. Say which"
    ):
        found = table(text)
        found.numbers(found.columns[1])
    for decimal, first in ((",", 1.234), (".", 1234.0)):
        found = table(text, decimal=decimal)
        assert found.numbers(found.columns[1])[0] == first
    assert decimal_mark(["0,5"]) == ","


@pytest.mark.parametrize(
    ("other", "first"),
    [("0,5", 1.234), ("7.5", 1234.0), ("1.000,5", 1.234), ("1,000.5", 1234.0), ("Berlin, Mitte", None), ("1.234", None),
     ("7", None), ("", None)],
)  # fmt: skip
def test_a_comma_that_could_be_both_is_read_as_in_the_other_columns(
    table: Callable[..., Table], other: str, first: float | None
) -> None:
    found = table(f"a;b;f\nx;{other};1,234\ny;;2,500\n")
    if first is None:
        with pytest.raises(DataError, match="which could be both"):
            found.numbers(found.columns[2])
    else:
        assert found.numbers(found.columns[2]).tolist() == [first, first / 1.234 * 2.5]


def test_columns_that_differ_leave_the_doubt(table: Callable[..., Table]) -> None:
    found = table("a;b;f\n0,5;7.5;1,234\n")
    with pytest.raises(DataError, match="which could be both"):
        found.numbers(found.columns[2])


def test_a_cell_that_is_no_number_is_named(table: Callable[..., Table]) -> None:
    found = table("wav,f1 (Hz)\na,1\nb,12 Hz\n")
    with pytest.raises(
        DataError,
        match=r"t\.csv line 3, column 'f1 \(Hz\)': the cell must be a number, or empty .* Got '12 Hz'\. Correct",
    ):
        found.numbers(found.columns[1])


@pytest.mark.parametrize(
    ("header", "parted"),
    [("f1 (Hz)", ("f1", "Hz")), ("a [m/s^2]", ("a", "m/s^2")), ("depth / cm", ("depth", "cm")),
     ("ratio [-]", ("ratio", "1")),
     ("tap (left)", ("tap (left)", "")), ("f1_Hz", ("f1_Hz", "")), ("(Hz)", ("(Hz)", "")), ("T (°C)", ("T", "°C"))],
)  # fmt: skip
def test_units_in_headers(header: str, parted: tuple[str, str]) -> None:
    assert split_header(header) == parted


@pytest.mark.parametrize(
    ("text", "unit", "value"), [("48 kHz", "Hz", 48000.0), ("0.5s", "s", 0.5), ("2.5e1 ms", "s", 0.025)]
)
def test_quantities_are_converted(text: str, unit: str, value: float) -> None:
    assert quantity(text, unit=unit, where="--flag") == pytest.approx(value, rel=1e-15)


@pytest.mark.parametrize("text", ["fast", "5 kg", "", "5 nonsense", "1 2"])
def test_quantities_that_do_not_fit_are_refused(text: str) -> None:
    with pytest.raises(
        ConfigError, match=r"--hop: the value must be a number with a unit that can be given in s\. Got"
    ):
        quantity(text, unit="s", where="--hop")


def test_units_asked_for_are_converted_once(table: Callable[..., Table]) -> None:
    found = table("f1 (kHz),m\n0.5,1\n,2\n")
    (values,) = values_of({"f1": ValuePlan(unit="Hz")}, found, kind="target")
    assert (values.unit, values.said) == ("Hz", "converted from kHz")
    np.testing.assert_array_equal(values.values, [500.0, np.nan])
    (renamed,) = values_of({"mass": ValuePlan(unit="kg", column="m")}, found, kind="target")
    assert (renamed.name, renamed.values.tolist()) == ("mass", [1.0, 2.0])
    (own,) = values_of({"f1": ValuePlan()}, found, kind="target")
    assert own.unit == "kHz"


@pytest.mark.parametrize(
    ("name", "unit", "message"),
    [
        ("f1", "kg", r"the unit must be one that kHz of the header can be given in\. Got 'kg'\. Correct the header"),
        ("m", "", r"target 'm' .*the unit must be given\. Got none\. Say --targets 'm=Hz', or 'm=1'"),
        ("f2", "Hz", r"the column of target 'f2' must be one of f1, m\. Got 'f2'\. Did you mean 'f1'\?"),
    ],
)
def test_units_and_columns_that_do_not_fit(table: Callable[..., Table], name: str, unit: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        values_of({name: ValuePlan(unit=unit)}, table("f1 (kHz),m\n0.5,1\n"), kind="target")


@pytest.mark.parametrize(
    ("of", "message"),
    [
        (
            lambda t: ids_of(t, "id"),
            r"line 4, column 'id': an id must be there and unique\. Got 'a', which line 2 has too",
        ),
        (lambda t: groups_of(t, ["group"]), r"line 3, column 'group': a group must be given for every row"),
        (lambda t: weights_of(t, "w"), r"line 3, column 'w': a weight must be a number, zero or more\. Got '-1'"),
        (
            lambda t: parts_of(t, "part"),
            r"line 4, column 'part': a part must be train, validation \(val\) or test\. Got 'tst'",
        ),
        (lambda t: only(t, {"group": "z"}), r"--where group=z: the value must be one of '', 'x', 'y'\. Got no row"),
        (
            lambda t: values_of({"v": ValuePlan(unit="1")}, t, kind="target"),
            r"line 3, column 'v': the cell must be a finite",
        ),
    ],
)
def test_columns_with_a_wrong_cell_name_it(
    table: Callable[..., Table], of: Callable[[Table], object], message: str
) -> None:
    found = table("id,group,w,part,v\na,x,1,train,0\nb,,-1,val,inf\na,y,0,tst,1\n")
    with pytest.raises((DataError, ConfigError), match=message):
        of(found)


def test_rows_can_be_chosen_and_groups_joined(table: Callable[..., Table]) -> None:
    found = table("p,q,part\n1.0,x,Training\n2,x,VAL\n1,y,test\n")
    kept = only(found, {"p": "1"})
    assert (kept.texts(kept.columns[1]), list(kept.lines)) == (["x", "y"], [2, 4])
    assert groups_of(found, ["q", "p"]) == ["x/1.0", "x/2", "y/1"]
    assert parts_of(found, "part") == ["train", "validation", "test"]


def test_split_keeps_groups_whole_and_shares() -> None:
    groups = [f"g{index // 5}" for index in range(500)]
    parts = split_groups(groups, (0.7, 0.15, 0.15), seed=3)
    of_group: dict[str, set[str]] = {}
    for group, part in zip(groups, parts, strict=True):
        of_group.setdefault(group, set()).add(part)
    assert all(len(found) == 1 for found in of_group.values())
    assert {part: parts.count(part) for part in set(parts)} == {"train": 350, "validation": 75, "test": 75}
    assert split_groups(groups, (0.7, 0.15, 0.15), seed=4) != parts


def test_split_of_a_group_depends_on_names_and_not_on_rows() -> None:
    groups = [f"g{index}" for index in range(50)]
    parts = dict(zip(groups, split_groups(groups, (0.6, 0.2, 0.2), seed=1), strict=True))
    again = split_groups(groups[::-1], (0.6, 0.2, 0.2), seed=1)
    assert dict(zip(groups[::-1], again, strict=True)) == parts


@pytest.mark.parametrize(
    ("fractions", "message"),
    [((0.7, 0.7, 0.1), r"the shares must be 0 to 1, together 1\. Got 0\.7, 0\.7, 0\.1"),
     ((0.6, 0.2, 0.2), r"the samples must be of 3 groups at least, one for each part\. Got 2 groups\. Group by")],
)  # fmt: skip
def test_splits_that_cannot_be_are_refused(fractions: tuple[float, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        split_groups(["a", "a", "b"], fractions, seed=1)
