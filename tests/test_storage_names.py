from __future__ import annotations

from pathlib import Path

import pytest

from ram.storage.names import file_names

ODD = ["a/b", "a?b", "a\\b", "../../etc/passwd", "", ".", "..", ".hidden", "con", "NUL.txt", "a\0b", "a\nb", "x. ", "*"]


def test_plain_names_stay() -> None:
    plain = ["umbrella_d001", "Träger 7", "2024-01-02_10.30", "a,b;c", "d(1)"]
    assert file_names(plain) == plain


@pytest.mark.parametrize("odd", ODD)
def test_odd_names_become_files_of_the_folder_itself(odd: str, tmp_path: Path) -> None:
    (name,) = file_names([odd])
    (tmp_path / name).write_text("there")
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert not name.startswith(".")
    assert name.encode("ascii", "strict").decode() == name


def test_no_two_texts_share_a_file_on_any_system() -> None:
    texts = [*ODD, "Run", "run", "a_b", "é" * 200 + "1", "é" * 200 + "2"]
    names = file_names(texts)
    assert len({name.casefold() for name in names}) == len(texts)
    assert all(len(f"{name}.png".encode()) < 200 for name in names)
    assert names == file_names(texts)
