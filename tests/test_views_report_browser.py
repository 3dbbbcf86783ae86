"""The report as it is opened from a mail, and as it is printed: in a real browser without any network."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ram.runs.run import open_run
from ram.views import story
from ram.views.report import LARGEST, write_report

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install -e '.[dev]'")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: apt-get install chromium")

A4_PX = (210 - 2 * 14) / 25.4 * 96  # between the margins of the style sheet
ON_PAPER = """(width) => {
    const parts = document.querySelectorAll("main, table, img, pre, p, h1, h2, h3, .card, .tile");
    return [...parts].filter((part) => part.getClientRects().length && part.getBoundingClientRect().right > width + 1)
        .map((part) => `${part.tagName} ${part.getBoundingClientRect().right} ${part.textContent.slice(0, 40)}`);
}"""


@pytest.fixture(scope="module")
def mailed(disc_folder: Path, disc_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report in a folder of its own, as if it came by mail; one sample, for drawing is nearly all of the time."""
    folder = tmp_path_factory.mktemp("mail")
    shutil.copy(disc_folder / "discs.h5", folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(story, "_SHOWN", 1)
        page = write_report(open_run(shutil.copytree(disc_run, folder / "run")))
    return Path(shutil.copy(page, folder / "attachment.html"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def visit(browser: Any, mailed: Path) -> Iterator[Callable[..., Any]]:
    """Open the report without network; nothing may be asked for, nor said on the console."""
    contexts, wrong = [], []

    def opened(*, width: int = 1280, scheme: str = "light", policy: bool = True) -> Any:
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True, bypass_csp=not policy
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda said: wrong.append(said.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda asked: wrong.append(asked.url) if asked.url[:5] not in ("data:", "file:") else None)
        page.goto(mailed.as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()
    assert wrong == []


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_it_opens_alone_and_fits_the_screen(visit: Callable[..., Any], width: int, scheme: str) -> None:
    page = visit(width=width, scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("[...document.images].every((image) => image.complete && image.naturalWidth > 0)")
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", background))) < 200) == (scheme == "dark")


def test_axe_finds_nothing_serious(visit: Callable[..., Any]) -> None:
    import axe_playwright_python

    script = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
    for width, scheme in ((1280, "light"), (390, "dark")):
        page = visit(width=width, scheme=scheme, policy=False)  # the policy would not let axe in either
        page.evaluate(script)
        found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
        serious = [(one["id"], [node["html"][:90] for node in one["nodes"]]) for one in found
                   if one["impact"] in ("serious", "critical")]  # fmt: skip
        assert serious == []


def test_the_policy_lets_no_script_in(visit: Callable[..., Any], mailed: Path) -> None:
    text = mailed.read_text(encoding="utf-8")
    assert text.count('<meta http-equiv="Content-Security-Policy"') == 1
    assert len(text) < LARGEST
    hostile = text.replace("</main>", "<script>document.title = 'run'</script><p id=x style='color: red'>x</p></main>")
    mailed.with_name("hostile.html").write_text(hostile, encoding="utf-8")
    page = visit().context.browser.new_page()
    page.goto(mailed.with_name("hostile.html").as_uri())
    assert page.title() != "run"
    assert page.evaluate("getComputedStyle(document.querySelector('#x')).color") != "rgb(255, 0, 0)"
    page.close()


def test_printed_nothing_is_cut_and_pages_are_numbered(visit: Callable[..., Any]) -> None:
    page = visit(width=int(A4_PX))
    page.emulate_media(media="print")
    assert page.evaluate(ON_PAPER, A4_PX) == []
    style = page.evaluate("document.querySelector('style').textContent")
    assert 'counter(page) " / " counter(pages)' in style
    printed = page.pdf(format="A4", print_background=True)
    boxes = {tuple(map(float, box.split())) for box in re.findall(rb"/MediaBox \[([^\]]+)\]", printed)}
    assert boxes
    assert all(box[2:] == pytest.approx((595.0, 842.0), abs=1.5) for box in boxes)
    assert 4 <= len(re.findall(rb"/Type /Page\b", printed)) <= 30
