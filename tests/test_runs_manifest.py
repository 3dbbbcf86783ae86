"""The manifest of a run: any byte that changes, goes or comes is found, in itself too."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ram.errors import DataError
from ram.runs.manifest import NAME, Problem, extend_manifest, read_manifest, run_digest, verify_files, write_manifest

Shell = Callable[..., tuple[int, str, str]]
EDITS = 500


@pytest.fixture
def run(disc_run: Path, tmp_path: Path) -> Path:
    """A copy of a run that may be damaged, with a file in a folder of its own."""
    folder = tmp_path / "run"
    shutil.copytree(disc_run, folder)
    (folder / "pictures").mkdir()
    (folder / "pictures/a.png").write_bytes(bytes(range(256)))
    extend_manifest(folder, ["pictures/a.png"])
    return folder


def files_of(run: Path) -> list[Path]:
    return sorted(path for path in run.rglob("*") if path.is_file())


def kinds(run: Path) -> dict[str, str]:
    return {one.file: one.kind for one in verify_files(run)}


def test_an_untouched_run_has_no_problems(run: Path) -> None:
    assert verify_files(run) == []
    assert set(read_manifest(run)) == {path.relative_to(run).as_posix() for path in files_of(run)} - {NAME}


def test_every_one_of_500_edits_of_one_byte_is_found(run: Path) -> None:
    """Half of them anywhere in all bytes, half in a file drawn first: the small ones, the manifest too, get theirs."""
    draw = np.random.default_rng(7)
    paths = files_of(run)
    sizes = np.array([path.stat().st_size for path in paths])
    touched, missed = set(), []
    for number in range(EDITS):
        share = sizes / sizes.sum() if number % 2 else np.full(len(paths), 1 / len(paths))
        path = paths[draw.choice(len(paths), p=share)]
        content = bytearray(path.read_bytes())
        position, change = int(draw.integers(len(content))), int(draw.integers(1, 256))
        whole = bytes(content)
        content[position] ^= change
        path.write_bytes(content)
        name = path.relative_to(run).as_posix()
        touched.add(name)
        if kinds(run).get(name) != "changed":
            missed.append((name, position, change))
        path.write_bytes(whole)
    assert missed == []
    assert NAME in touched
    assert len(touched) == len(paths)
    assert verify_files(run) == []


def test_files_that_grow_shrink_or_go_are_found(run: Path) -> None:
    for path in files_of(run):
        name, whole = path.relative_to(run).as_posix(), path.read_bytes()
        for content in (whole + b"\n", whole + b"\0", b"\n" + whole, whole[:-1], whole[1:], b""):
            path.write_bytes(content)
            assert kinds(run)[name] == "changed"
        path.unlink()
        assert kinds(run)[name] == "missing"
        path.write_bytes(whole)
    assert verify_files(run) == []


def test_files_that_come_are_found(run: Path) -> None:
    (run / ".hidden").write_text("", encoding="utf-8")
    (run / "pictures/deep").mkdir()
    (run / "pictures/deep/b.png").write_bytes(b"1")
    (run / "empty").mkdir()
    assert kinds(run) == dict.fromkeys([".hidden", "empty", "pictures/deep", "pictures/deep/b.png"], "extra")


def test_what_was_renamed_or_swapped_says_what_it_was(run: Path) -> None:
    (run / "history.jsonl").rename(run / "History.jsonl")
    assert verify_files(run) == [
        Problem("History.jsonl", "extra", "holds what history.jsonl held"),
        Problem("history.jsonl", "missing", "is not there"),
    ]
    (run / "History.jsonl").rename(run / "history.jsonl")
    (run / "maps.h5").rename(run / "kept")
    (run / "references.h5").rename(run / "maps.h5")
    (run / "kept").rename(run / "references.h5")
    assert verify_files(run) == [
        Problem("maps.h5", "changed", "holds what references.h5 held"),
        Problem("references.h5", "changed", "holds what maps.h5 held"),
    ]


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege there")
@pytest.mark.parametrize("name", ["metrics.json", NAME, "pictures"])
def test_a_link_is_no_file_of_the_run_even_to_the_same_bytes(run: Path, tmp_path: Path, name: str) -> None:
    (run / name).rename(tmp_path / "elsewhere")
    (run / name).symlink_to(tmp_path / "elsewhere")
    found = verify_files(run)
    assert any(one.file == name and "a link to" in one.text for one in found)


@pytest.mark.skipif(os.name == "nt", reason="there are no named pipes there")
def test_a_pipe_is_not_waited_for(run: Path) -> None:
    (run / "times.json").unlink()
    os.mkfifo(run / "times.json")
    assert kinds(run) == {"times.json": "link"}


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="everything is readable here")
def test_a_file_that_cannot_be_read_is_named(run: Path) -> None:
    (run / "times.json").chmod(0)
    assert kinds(run) == {"times.json": "unreadable"}


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace('"schema"', ' "schema"'),
        lambda text: json.dumps(json.loads(text)),
        lambda text: text.replace("ram-run/1", "ram-run/2"),
        lambda text: text.replace('"sha256": {', '"sha256": {\n    "../../secret": "00",'),
        lambda text: text.replace('"digest"', '"Digest"'),
        lambda text: text.replace('"digest": "', '"digest": "0'),
        lambda text: text[:-2],
        lambda _: "[]",
        lambda _: "null",
        lambda _: '{"sha256": 3}',
        lambda _: '{"sha256": {"a": 3}}',
        lambda _: '{"sha256": {"\\ud800": "\\udfff"}}',
        lambda _: "[" * 100_000,
    ],
)
def test_a_manifest_in_any_other_form_is_a_changed_one(run: Path, change: Callable[[str], str]) -> None:
    path = run / NAME
    path.write_bytes(change(path.read_text(encoding="utf-8")).encode())
    assert kinds(run)[NAME] == "changed"
    with pytest.raises(DataError, match=r"json: the manifest must be as it was written. Got other bytes. 'ram verify'"):
        read_manifest(run)


def test_a_run_without_a_manifest_is_not_finished(run: Path) -> None:
    (run / NAME).unlink()
    assert kinds(run) == {NAME: "missing"}
    with pytest.raises(DataError, match=r"must be in every finished run. Got none. The run was not finished"):
        run_digest(run)
    extend_manifest(run, ["metrics.json"])
    assert not (run / NAME).exists()


def test_a_file_that_comes_later_blesses_no_other(run: Path) -> None:
    before = run_digest(run)
    (run / "metrics.json").write_text("{}", encoding="utf-8")
    (run / "report.html").write_text("<p>", encoding="utf-8")
    extend_manifest(run, ["report.html"])
    assert kinds(run) == {"metrics.json": "changed"}
    assert run_digest(run) != before


def test_the_same_files_give_the_same_manifest(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "other")
    write_manifest(tmp_path / "other")
    assert (tmp_path / "other" / NAME).read_bytes() == (run / NAME).read_bytes()


def test_names_that_are_no_text_are_kept(run: Path) -> None:
    try:
        (run / os.fsdecode(b"caf\xe9")).write_bytes(b"1")
    except OSError:
        pytest.skip("this file system takes text only")
    write_manifest(run)
    assert verify_files(run) == []


def test_verify_says_what_changed_and_leaves_with_one(shell: Shell, run: Path) -> None:
    code, out, err = shell("verify", run)
    assert (code, err) == (0, "")
    assert out == f"{run}: every byte as it was written\ndigest: {run_digest(run)}\n"
    with (run / "history.jsonl").open("ab") as file:
        file.write(b" ")
    (run / "times.json").unlink()
    code, out, err = shell("verify", run)
    assert (code, err) == (1, "")
    assert out.splitlines() == [
        "changed: history.jsonl holds other bytes than were written",
        "missing: times.json is not there",
        f"{run}: 2 problem(s)",
    ]


def test_verify_as_json(shell: Shell, run: Path) -> None:
    code, out, _ = shell("verify", run, "--json")
    assert (code, json.loads(out)) == (
        0,
        {"run": str(run), "good": True, "digest": run_digest(run), "problems": []},
    )
    (run / NAME).write_bytes((run / NAME).read_bytes() + b" ")
    code, out, _ = shell("verify", run, "--json")
    said = json.loads(out)
    assert (code, said["good"], said["digest"]) == (1, False, None)
    assert [(one["file"], one["kind"]) for one in said["problems"]] == [(NAME, "changed")]


def test_a_digest_noted_elsewhere_finds_a_manifest_that_was_made_to_fit(shell: Shell, run: Path) -> None:
    noted = run_digest(run)
    assert shell("verify", run, "--expect", noted.upper()[:12])[0] == 0
    (run / "metrics.json").write_text("{}", encoding="utf-8")
    write_manifest(run)
    assert shell("verify", run)[0] == 0
    code, out, _ = shell("verify", run, "--expect", noted)
    assert code == 1
    assert f"is of a run with digest {run_digest(run)}, not {noted}" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["none"], "a run must be a folder that 'ram train' made. Got no such folder"),
        (["RUN", "--expect", "abc"], "a run's digest must be 64 hexadecimal digits, or the first 12 or more of them."),
        (["RUN", "--data", "x.h5"], "--data: it must be given with --deep. Got --data alone."),
    ],
)
def test_a_wrong_request_leaves_with_two(shell: Shell, run: Path, words: list[str], message: str) -> None:
    code, out, err = shell("verify", *[run if word == "RUN" else word for word in words])
    assert (code, out) == (2, "")
    assert message in err


def test_the_lock_of_a_process_at_work_is_no_part_of_the_run(run: Path) -> None:
    (run / ".lock").write_text("{}", encoding="utf-8")
    write_manifest(run)
    assert kinds(run) == {".lock": "extra"}  # left behind by a process that was killed
    (run / ".lock").unlink()
    assert verify_files(run) == []
