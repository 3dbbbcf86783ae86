"""The pages are whole: every page in the menu, every public name in the API, every picture in the gallery."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import ram
import ram.testing

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"


def text_of(page: str) -> str:
    return (DOCS / page).read_text(encoding="utf-8")


def test_every_page_stands_in_the_menu_once() -> None:
    menu = re.findall(r": (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(menu) == sorted(path.name for path in DOCS.glob("*.md"))


def test_the_api_holds_every_public_name_and_no_other() -> None:
    named = re.findall(r"^::: (\S+)$", text_of("api.md"), re.MULTILINE)
    public = [f"ram.{name}" for name in ram.__all__] + [f"ram.testing.{name}" for name in ram.testing.__all__]
    assert sorted(named) == sorted(public)


def test_every_picture_stands_in_the_gallery() -> None:
    shown = set(re.findall(r"!\[[^\]]+\]\(([^)]+)\)", text_of("gallery.md")))
    assert shown == {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.png")}


@pytest.mark.parametrize("program", sorted(set(re.findall(r"`python (docs/\w+\.py)", text_of("gallery.md")))))
def test_programs_of_the_gallery_are_there(program: str) -> None:
    assert (ROOT / program).is_file()


def test_failures_of_other_packages_are_each_held_by_a_test() -> None:
    tests = (ROOT / "tests/test_maps_peers_failures.py").read_text(encoding="utf-8")
    named = re.findall(r"`(test_\w+)` \|$", text_of("comparison.md"), re.MULTILINE)
    assert sorted(named) == sorted(re.findall(r"def (test_\w+)", tests))


def test_the_laws_on_the_page_of_theory_are_those_that_contributors_are_told() -> None:
    told = re.search(r"## The laws of a map\n(.*?)\n## ", (ROOT / "CONTRIBUTING.md").read_text("utf-8"), re.DOTALL)
    assert told is not None
    laws = re.findall(r"^\| (\d+) \|", text_of("theory.md"), re.MULTILINE)
    assert re.findall(r"^(\d+)\. ", told[1], re.MULTILINE) == laws
