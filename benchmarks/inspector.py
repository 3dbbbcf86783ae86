"""How quick the page of ``ram inspect`` is, and what it leaves behind: measured in Chromium, as a user waits.

A net as that of experiments/wheel_demo.toml on wheels of 64 px that no solver has seen, and a small one with 100,000
samples; both are made first. Times are from the click to the picture, medians and the slowest of twenty; memory is what
the server's process has grown by between the 100th click and the last.

    python benchmarks/inspector.py [--clicks 1000] [--json benchmarks/results/inspector.json]
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import machine
from playwright.sync_api import Page, sync_playwright

from ram.axes import Axis
from ram.data.layout import write_dataset
from ram.data.spec import DatasetSpec, Record
from ram.inspector.inspection import open_inspection
from ram.inspector.server import Server, listening
from ram.randomness import generator
from ram.training.train import train

MANY, WHEELS = 100_000, 200
WHEEL_NET: dict[str, Any] = {
    "backbone": "resnet", "widths": [24, 64, 128], "depth": 1, "coordinates": ["radius"], "symmetry_average": True,
}  # fmt: skip
SMALL_NET: dict[str, Any] = {"backbone": "plain", "widths": [8, 16]}
INPUT = "#pictures figure:nth-child(1) canvas"


def rings(count: int, size: int, *, learned: int) -> Iterator[Record]:
    """Discs with a hub and a rim of random thickness; the first `learned` are learned from and choose."""
    y, x = np.meshgrid(*[np.linspace(-1, 1, size)] * 2, indexing="ij")
    radius = np.hypot(x, y)
    fill = ((radius < 1) & ((radius < 0.3) | (radius > 0.8) | (np.abs(x * y) < 0.05))).astype(np.float32)
    for index in range(count):
        hub, rim = generator(1, "ring", index).uniform(20.0, 50.0, 2)
        thickness = np.where(radius < 0.3, hub, np.where(radius > 0.8, rim, 25.0)).astype(np.float32)
        part = "test" if index >= learned else "train" if index % 4 else "validation"
        targets = {"umbrella": 300 + 6 * hub - 2 * rim, "mass": hub + 4 * rim}
        group = f"g{index % 50}" if index >= learned else f"own{index}"
        x = np.stack([fill, thickness * fill])
        yield Record(id=f"w{index:06d}", group=group, x=x, targets=targets, split={"default": part})


def made(folder: Path, *, count: int, size: int, learned: int, net: dict[str, Any]) -> Path:
    """Return the folder of a run on so many discs."""
    step = 440 / size
    axes = tuple(Axis.uniform(name, "mm", size=size, step=step, start=step / 2 - 220) for name in "yx")
    spec = DatasetSpec(
        name="rings", axes=axes, channels={"fill": "1", "thickness": "mm"}, targets={"umbrella": "Hz", "mass": "kg"},
        count=count, symmetries=("rotate90", "mirror"),
    )  # fmt: skip
    file = folder / f"{count}.h5"
    write_dataset(file, spec, rings(count, size, learned=learned))
    experiment = {
        "name": "rings", "seed": 1, "data": {"file": str(file), "targets": ["umbrella", "mass"]}, "model": net,
        "training": {"epochs": 2, "batch_size": 16, "threads": 1},
    }  # fmt: skip
    return train(experiment, output=folder / f"run-{count}", progress=False).path


@contextmanager
def opened(run: Path, chromium: Any) -> Iterator[tuple[Page, Server, float]]:
    """Serve a run and open its page; yields it, the server, and the seconds to the first picture."""
    with listening() as socket:
        start = time.perf_counter()
        server = Server(open_inspection(run), socket, run, ahead=True)
        server.warm_up()
        thread = threading.Thread(target=server.run)
        thread.start()
        page = chromium.new_page(viewport={"width": 1280, "height": 900})
        page.on("pageerror", lambda error: print("page:", error))
        page.goto(server.address)
        page.locator("#map-title:not(:empty)").wait_for()
        seconds = time.perf_counter() - start
        try:
            yield page, server, seconds
        finally:
            page.close()
            server.stop()
            thread.join()


# In the page, so that the clock stops with the picture and not with the way back to this process. One walks forward and
# back again: a sample at an end has no next one.
CLICK = """() => new Promise((done) => {
    const watched = document.querySelector('#map-title'), start = performance.now();
    const seen = new MutationObserver(() => {
        seen.disconnect();
        requestAnimationFrame(() => done(performance.now() - start));
    });
    seen.observe(watched, { childList: true, characterData: true, subtree: true });
    window.walked = (window.walked ?? -1) + 1;
    document.querySelector(window.walked % TURN < TURN / 2 ? '#next' : '#previous').click();
})"""
STROKE = """() => { window.painted = new Promise((done) => {
    let start = null;
    const up = () => { start = performance.now(); };
    document.addEventListener('pointerup', up, { once: true, capture: true });
    const seen = new MutationObserver(() => {
        if (start === null) return;
        seen.disconnect();
        done(performance.now() - start);
    });
    seen.observe(document.querySelector('#map-title'), { childList: true, characterData: true, subtree: true });
}); }"""


def clicks(page: Page, times: int) -> list[float]:
    """Return the milliseconds from clicking "next sample" to its map, each time."""
    return [page.evaluate(CLICK.replace("TURN", str(2 * WHEELS - 10))) for _ in range(times)]


def strokes(page: Page, times: int) -> list[float]:
    """Return the milliseconds from the end of a stroke of the brush to the new prediction, each time."""
    page.click("#tab-whatif")
    page.locator(INPUT).scroll_into_view_if_needed()
    box = page.locator(INPUT).bounding_box()
    assert box is not None
    found = []
    for number in range(times):
        page.evaluate(STROKE)
        at = box["x"] + box["width"] * (0.35 + 0.02 * number), box["y"] + box["height"] * 0.35
        page.mouse.move(*at)
        page.mouse.down()
        page.mouse.move(at[0] + 12, at[1] + 12)
        page.mouse.up()
        found.append(page.evaluate("window.painted"))
    return found


def grown(page: Page, times: int) -> float:
    """Return the MB that this process, which is the server, has grown by after so many clicks."""
    clicks(page, 100)
    before = resident_mb()
    clicks(page, times)
    return resident_mb() - before


def resident_mb() -> float:
    """Return the memory that this process holds."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096 / 2**20


def many(page: Page) -> dict[str, float]:
    """Return the milliseconds of what is done with very many samples."""

    def timed(act: str) -> float:
        return float(
            page.evaluate(
                f"() => new Promise((done) => {{ const start = performance.now(); {act}; \
            requestAnimationFrame(() => done(performance.now() - start)); }})"
            )
        )

    filtered = timed(
        "document.querySelector('#filter-id').value = '7'; \
        document.querySelector('#filters').dispatchEvent(new Event('input'))"
    )
    ordered = timed(
        "document.querySelector('#order').value = 'error'; \
        document.querySelector('#order').dispatchEvent(new Event('change'))"
    )
    time.sleep(15)  # of looking at the picture, in which the process of slow questions starts
    page.evaluate("document.querySelector('#cohort-of-filtered').click()")
    start = time.perf_counter()
    page.locator("#panel-cohort .number:has-text('the cohort is')").wait_for(timeout=120_000)
    first = 1e3 * (time.perf_counter() - start)
    return {"filter_ms": filtered, "order_ms": ordered, "cohort_ms": first}


def two_users(chromium: Any, server: Server, times: int) -> list[float]:
    """Return the milliseconds of one user's clicks while another waits for a slow method."""
    pages = [chromium.new_page() for _ in range(2)]
    for page in pages:
        page.goto(server.address)
        page.locator("#map-title:not(:empty)").wait_for()
    pages[0].select_option("#target", "mass")  # maps that nobody has asked for yet
    pages[0].locator("#map-title:has-text('mass')").wait_for()
    pages[1].select_option("#choices label:has-text('Method') select", "occlusion")
    time.sleep(6)  # until the process of slow questions has begun to work
    found = clicks(pages[0], times)
    for page in pages:
        page.close()
    return found


def said(values: list[float]) -> dict[str, float]:
    """Return median and slowest, in ms."""
    return {"median_ms": round(statistics.median(values)), "slowest_ms": round(max(values))}


def measured(folder: Path, chromium: Any, *, count: int, tell: Callable[[str], None]) -> dict[str, Any]:
    """Return all figures."""
    found: dict[str, Any] = {}
    tell("a wheel net")
    run = made(folder, count=WHEELS, size=64, learned=48, net=WHEEL_NET)
    with opened(run, chromium) as (page, server, seconds):
        found["first_picture_s"] = round(seconds, 2)
        found["click_to_map"] = said(clicks(page, 20))
        found["stroke_to_prediction"] = said(strokes(page, 10))
        page.click("text=Start over")
        found["beside_a_slow_question"] = said(two_users(chromium, server, 10))
        tell(f"{count} clicks")
        found["clicks"], found["grown_mb"] = count, round(grown(page, count), 1)
    tell(f"{MANY} samples")
    run = made(folder, count=MANY, size=16, learned=2000, net=SMALL_NET)
    with opened(run, chromium) as (page, _, seconds):
        of = {"first_picture_s": round(seconds, 2), "click_to_map": said(clicks(page, 20))}
        found["many"] = of | {name: round(value) for name, value in many(page).items()}
    return found


def main() -> None:
    """Print the figures; write them where asked to."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--clicks", type=int, default=1000)
    asked.add_argument("--json", type=Path)
    options = asked.parse_args()
    torch.set_num_threads(1)
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        print("no Chromium on this machine: apt-get install chromium")
        return
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        figures = measured(Path(folder), chromium, count=options.clicks, tell=lambda text: print(f"{text} ..."))
        chromium.close()
    for name, value in figures.items():
        print(f"{name}: {value}")
    if options.json:
        content = {"machine": machine(), **figures}
        options.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
