"""What the shell and the pages say of groups: cross-validation, and figures of groups that the net knows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import ram
from ram.runs.manifest import read_manifest, verify_files
from ram.views.group_sections import groups, remembered
from ram.views.story import tell

Shell = Callable[..., tuple[int, str, str]]


def in_two(record: Any) -> Any:
    return replace(record, group="plate <1>" if int(record.id[1:]) % 2 else "plate 2")


@pytest.fixture(scope="module")
def plates(discs_in: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return discs_in(tmp_path_factory.mktemp("plates"), in_two, words=("epochs = 2", "epochs = 1"))


def test_each_group_is_left_out_tabled_and_reported(shell: Shell, plates: Path) -> None:
    folder = plates.parent / "groups"
    code, out, err = shell("cross-validate", plates, "--output", folder, "--validation-share", 0.3)
    assert code == 0
    assert "fold 1 of 2: without plate 2" in err
    assert "umbrella, each group left out once" in out
    lines = [line.split() for line in out.splitlines()]
    assert ["plate", "<1>", "15"] in [line[:3] for line in lines]
    assert ["mean", "over", "2", "groups"] in [line[:4] for line in lines]
    assert ["all", "samples", "30"] in [line[:3] for line in lines]
    assert f"report: {folder / 'report.html'}" in out
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "plate &lt;1&gt;" in page
    assert "30 % of the samples of the other groups chose the best epoch" in page
    assert {"report.html", "groups.png", "groups-2.png", "table.json"} < set(read_manifest(folder))
    assert verify_files(folder) == []
    before = (folder / "report.html").read_bytes()
    (folder / "report.html").unlink()
    code, out, _ = shell("report", folder)
    assert (code, out) == (0, f"report: {folder / 'report.html'}\n")
    assert (folder / "report.html").read_bytes() == before


def test_groups_that_the_net_knows_are_named_in_training_and_report(
    shell: Shell, plates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in ("ram.views.style.png", "ram.views.report.png"):  # what is drawn is looked at elsewhere
        monkeypatch.setattr(place, lambda _: b"a picture")
    folder = plates.parent / "random"
    code, _, err = shell("train", plates, "--output", folder)
    assert code == 0
    warning = f"Test it on groups that it has not seen, 'ram cross-validate {plates}', or split by group."
    assert err.splitlines()[-1].endswith(warning)
    assert "Got plate 2, plate <1> in train and validation and test" in err
    page = ram.write_report(ram.open_run(folder)).read_text(encoding="utf-8")
    assert page.count("Groups plate 2, plate &lt;1&gt; have samples in the training part as well as in the test") == 2
    assert '<a href="#groups">Groups</a>' in page
    assert "umbrella: test part by groups" in page


def test_groups_that_the_net_has_not_seen(disc_run: Path) -> None:
    story = tell(ram.open_run(disc_run))
    section = groups(story)
    assert section is not None
    assert section["words"][-1] == "The net has seen no sample of any of these groups."
    assert remembered(story) == ""
    assert [row[0] for row in section["cards"][0]["table"]["rows"][:-2]] == ["g14", "g4", "g9"]


def test_the_shell_refuses_what_is_none(shell: Shell, plates: Path, many_discs: Path) -> None:
    for words, message in (
        (["--folds", 7], "folds: the number of folds must be 2 to 2, the number of groups. Got 7."),
        (
            ["--validation-by", "grup"],
            "'validation_by' must be 'auto', 'group' or 'sample'. Got 'grup'. Did you mean 'group'?",
        ),
        (["--validation-share", 0], "'validation_share' must be greater than 0. Got 0"),
    ):
        code, _, err = shell("cross-validate", plates, *words)
        assert code == 2
        assert message in err
    code, _, err = shell("cross-validate", many_discs / "discs.toml")
    assert code == 2
    assert "/groups: a group must be given for every sample. Got none for 300 of 300." in err
