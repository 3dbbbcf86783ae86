from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ram.errors import DataError
from ram.storage import atomic

CALLS = ["open", "fsync", "replace"]


def fail_on(monkeypatch: pytest.MonkeyPatch, name: str, number: int) -> None:
    """Let call `number` of ``os.<name>`` find the disk full."""
    real: Callable[..., object] = getattr(os, name)
    count = iter(range(1, 1000))

    def call(*args: object, **options: object) -> object:
        if next(count) == number:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*args, **options)

    monkeypatch.setattr(os, name, call)


def test_content_appears_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with atomic.writing(path) as temporary:
        temporary.write_text("new")
        assert temporary.parent == tmp_path
        assert not path.exists()
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("trouble", [ValueError, KeyboardInterrupt, SystemExit])
def test_old_file_survives_any_exception(tmp_path: Path, trouble: type[BaseException]) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(trouble), atomic.writing(path) as temporary:
        temporary.write_text("half")
        raise trouble
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "number"), [("open", 1), ("open", 2), ("open", 3), ("open", 4), ("fsync", 1), ("fsync", 2), ("replace", 1)]
)
def test_a_full_disk_at_any_call_leaves_a_whole_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, number: int
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with monkeypatch.context() as patched:
        fail_on(patched, name, number)
        with pytest.raises(
            DataError, match=r"a\.txt: the file must be writable as a whole\. Got 'No space .* bytes free"
        ):
            atomic.write_text(path, "new")
    renamed = (name, number) in {("open", 4), ("fsync", 2)}  # the folder's own flush comes last
    assert path.read_text() == ("new" if renamed else "old")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO])
def test_trouble_of_the_disk_inside_the_body_is_named(tmp_path: Path, number: int) -> None:
    path = tmp_path / "a.txt"
    with pytest.raises(DataError, match=r"a\.txt: .* bytes free"), atomic.writing(path):
        raise OSError(number, os.strerror(number))
    assert not list(tmp_path.iterdir())


def test_other_errors_of_the_body_pass_unchanged(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="the input"), atomic.writing(tmp_path / "a.txt"):
        raise FileNotFoundError(errno.ENOENT, "the input")


def test_missing_folder_and_folder_in_the_way(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none/a\.txt: the file must be writable"):
        atomic.write_text(tmp_path / "none" / "a.txt", "x")
    (tmp_path / "taken").mkdir()
    with pytest.raises(DataError, match=r"taken: the file must be writable .*directory"):
        atomic.write_text(tmp_path / "taken", "x")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_a_file_may_be_read_by_those_that_the_umask_allows(tmp_path: Path) -> None:
    def remade(temporary: Path) -> None:  # as safetensors does: a private file takes the place of the empty one
        temporary.unlink()
        os.close(os.open(temporary, os.O_CREAT | os.O_WRONLY, 0o600))

    plain = tmp_path / "plain"
    plain.touch()
    with atomic.writing(tmp_path / "whole") as temporary:
        remade(temporary)
    assert (tmp_path / "whole").stat().st_mode == plain.stat().st_mode


def test_a_link_keeps_pointing_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "real.txt").write_text("old")
    (tmp_path / "link.txt").symlink_to(tmp_path / "real.txt")
    atomic.write_text(tmp_path / "link.txt", "new")
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "real.txt").read_text() == "new"


def test_json_is_strict_and_keeps_order(tmp_path: Path) -> None:
    atomic.write_json(tmp_path / "a.json", {"b": 1, "a": "µm"})
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert text == '{\n  "b": 1,\n  "a": "µm"\n}\n'
    assert json.loads(text) == {"b": 1, "a": "µm"}
    with pytest.raises(ValueError, match="not JSON compliant"):
        atomic.write_json(tmp_path / "b.json", {"a": float("nan")})
    assert not (tmp_path / "b.json").exists()


def test_two_writers_at_once_leave_one_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with atomic.writing(path) as first, atomic.writing(path) as second:
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


def killed_writer(path: Path) -> Path:
    """Kill a process while it writes `path`; return what it leaves behind."""
    code = (
        "import os, signal, sys; from ram.storage import atomic\n"
        "with atomic.writing(sys.argv[1]) as temporary:\n"
        "    temporary.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    ended = subprocess.run([sys.executable, "-c", code, path], check=False)
    assert ended.returncode == -signal.SIGKILL
    return next(path.parent.glob(f".{path.name}.*.part"))


@pytest.mark.skipif(os.name == "nt", reason="no process can be asked for without ending it")
def test_what_a_killed_writer_left_goes_when_the_file_is_written_again(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    left = killed_writer(path)
    machine, process, _ = left.name.split(".")[-2].split("-")
    alive, elsewhere = f".a.txt.{machine}-{os.getppid()}-00000000.part", f".a.txt.00000000-{process}-00000000.part"
    others = [alive, elsewhere, f".ba.txt.{machine}-{process}-00000000.part", ".a.txt.mine.part"]
    for name in others:
        (tmp_path / name).touch()
    atomic.write_text(tmp_path / "b.txt", "another file")
    assert left.exists()
    atomic.write_text(path, "new")
    assert not left.exists()
    assert sorted(one.name for one in tmp_path.iterdir()) == sorted([*others, "a.txt", "b.txt"])


@pytest.mark.skipif(os.name == "nt", reason="no process can be asked for without ending it")
def test_a_file_that_cannot_be_removed_does_not_stop_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    left = killed_writer(path)
    real = Path.unlink

    def unlink(one: Path, missing_ok: bool = False) -> None:  # noqa: FBT001, FBT002 - the signature of pathlib
        if one == left:
            raise PermissionError(errno.EPERM, "not yours")
        real(one, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", unlink)
    atomic.write_text(path, "new")
    assert path.read_text() == "new"
