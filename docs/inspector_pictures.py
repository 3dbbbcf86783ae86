"""Write the pictures of docs/inspect.md: the page of a run in Chromium, as a user leaves it.

ram data make datasets/wheel --samples 400 --size 64 --seed 7 --jobs 2 --truth-test 12 --output build/wheels400.h5
ram train experiments/wheel_demo.toml --data build/wheels400.h5 --output runs/wheels400 --set training.epochs=15
python docs/inspector_pictures.py runs/wheels400
"""

from __future__ import annotations

import argparse
import io
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from ram.inspector.inspection import open_inspection
from ram.inspector.server import Server, listening
from ram.inspector.solving import Solver

SIMULATOR = "ram.physics.wheel:frequencies"


@contextmanager
def opened(run: Path, *, width: int, height: int) -> Iterator[Page]:
    """Serve a run, and open its page."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        raise SystemExit("no Chromium on this machine: apt-get install chromium")
    with listening() as socket, sync_playwright() as playwright:
        server = Server(open_inspection(run), socket, run, solver=Solver(SIMULATOR))
        thread = threading.Thread(target=server.run)
        thread.start()
        chromium = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = chromium.new_page(viewport={"width": width, "height": height})
        page.goto(server.address)
        page.locator("#map-title:not(:empty)").wait_for()
        yield page
        chromium.close()
        server.stop()
        thread.join()


def drag(page: Page, canvas: str, begin: tuple[float, float], end: tuple[float, float]) -> None:
    """Draw with the mouse, from one share of a canvas to another."""
    box = page.locator(canvas).bounding_box()
    assert box is not None
    first, last = ((box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in (begin, end))
    page.mouse.move(*first)
    page.mouse.down()
    page.mouse.move(*last, steps=6)
    page.mouse.up()


def save(page: Page, path: Path, **words: Any) -> None:
    """Write what is seen, as small as it can be without a change."""
    page.wait_for_timeout(400)
    Image.open(io.BytesIO(page.screenshot(**words))).convert("RGB").save(path, optimize=True)
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


def main() -> None:
    """Write docs/inspect.png and docs/inspect_what_if.png."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("run", type=Path)
    run = asked.parse_args().run
    here = Path(__file__).parent
    with opened(run, width=1560, height=950) as page:
        page.click("#filter-box summary")
        page.select_option("#filter-part", "test")  # where physics is known
        page.click("#filter-box summary")
        page.click("#list [role=option] >> nth=2")
        page.locator("#pictures figure:nth-child(4)").wait_for()
        drag(page, "#pictures figure:nth-child(2) canvas", (0.42, 0.2), (0.72, 0.42))
        page.locator("#region-said:has-text('from')").wait_for()
        page.mouse.move(5, 5)
        save(page, here / "inspect.png")
        page.set_viewport_size({"width": 1280, "height": 1280})
        page.locator("#region button:has-text('Clear')").click()
        page.click("#tab-whatif")
        page.locator("#panel-whatif input[type=number]").first.fill("60")
        page.evaluate("window.scrollTo(0, document.querySelector('#map-title').offsetTop - 12)")
        drag(page, "#pictures figure:nth-child(1) canvas", (0.45, 0.22), (0.66, 0.25))
        page.locator("#sample-title:has-text('edited')").wait_for()
        page.click("text=Ask the solver")
        page.locator("#panel-whatif th:has-text('solver now')").wait_for(timeout=120_000)
        page.mouse.move(5, 5)
        pictures, tools = (
            page.locator(place).bounding_box() for place in ("#pictures", "#panel-whatif .card >> nth=0")
        )
        assert pictures is not None
        assert tools is not None
        corner = {"x": pictures["x"] - 8, "y": 0}
        size = {"width": pictures["width"] + 16, "height": min(1280, tools["y"] + tools["height"] + 8)}
        save(page, here / "inspect_what_if.png", clip=corner | size)


if __name__ == "__main__":
    main()
