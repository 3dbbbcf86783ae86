"""The report of a run: one HTML file that needs nothing else, and three pictures beside it."""

from __future__ import annotations

__all__ = ["LARGEST", "PICTURES", "render", "write_report"]

import base64
import hashlib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

import ram
from ram.data.simulators import Simulator, load_simulator
from ram.runs.manifest import extend_manifest
from ram.runs.run import Run
from ram.storage.atomic import write_bytes, write_text
from ram.views.panels import Scene, gallery
from ram.views.pictures import accuracy_overview, region_bars
from ram.views.sections import page
from ram.views.story import Story, tell
from ram.views.style import coarser, png, styled

PICTURES = ("pictures/accuracy.png", "pictures/maps.png", "pictures/regions.png")
_IN_PICTURE = 4  # samples in pictures/maps.png
_LONGEST_HEAD = 90
LARGEST = 10_000_000
"""Bytes of a page above which its pictures are drawn coarser: what mail servers take."""
_COARSER = (1.0, 1.4, 2.0, 2.8)


def write_report(
    run: Run, *, lines: Sequence[str] = (), simulator: Simulator | str | None = None, jobs: int = 1
) -> Path:
    """Write ``report.html`` and the pictures of `PICTURES` into the run's folder; return the page's path.

    All is computed before anything is written, and each file is replaced as a whole; the manifest comes last.
    The same run gives the same bytes. The page holds at most `LARGEST` bytes unless its words alone are more. Without
    regions in the data file there is no ``regions.png``.

    Parameters
    ----------
    lines
        That physics expects along an axis of the maps, drawn besides those of the run's config, such as
        ``"frequency = 0.96 * p_wave_speed / (2 * depth)"``: a formula of parameters and targets of the data file.
    simulator
        That says what regions do to the target, ``"ram.physics.wheel:frequencies"``: the report warns of regions that
        the net goes by and that have no influence. Without one, the contributions in the data file say it, if there are
        some. Its code is run.
    jobs
        Processes for the simulator's work.

    Raises
    ------
    ConfigError
        Where a line or a simulator is none, or names what is not there.
    DataError
        Where the run's data file is gone or another one, or the folder cannot be written.
    """
    asked = load_simulator(simulator) if isinstance(simulator, str) else simulator
    with styled():
        story = tell(run, lines=lines, simulator=asked, jobs=jobs)
        text, pictures = _mailable(story), _pictures(story)
    (run.path / "pictures").mkdir(exist_ok=True)
    for name, content in pictures.items():
        write_bytes(run.path / name, content)
    write_text(run.path / "report.html", text)
    extend_manifest(run.path, ["report.html", *pictures])
    return run.path / "report.html"


def _mailable(story: Story) -> str:
    """Return the page with pictures as fine as a mail may carry: of very many targets they are coarser."""
    for times in _COARSER:
        with coarser(times):
            text = render(page(story))
        if len(text) <= LARGEST:
            break
    return text


def render(content: Mapping[str, Any]) -> str:
    """Return the page for the content of its sections; every word in it is escaped.

    The policy in the page allows images inside the file and its one style sheet, known by its digest; nothing
    else, no script at all.
    """
    folder = files("ram.views")
    style = folder.joinpath("report.css").read_text(encoding="utf-8") + _running_head(str(content["title"]))
    template = folder.joinpath("report.html.jinja").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return environment.from_string(template).render(
        content,
        style=Markup(style),  # the package's own file and code points, whose digest the policy names
        style_digest=f"sha256-{digest}",
        generator=f"ram {ram.__version__}",
    )


def _running_head(title: str) -> str:
    """Return the rule that puts a title on top of every printed page but the first; no sign of it is read as CSS."""
    words = title if len(title) <= _LONGEST_HEAD else f"{title[:_LONGEST_HEAD]}…"
    points = "".join(f"\\{ord(sign):06x}" for sign in words)
    head = f'@top-left {{ content: "{points}"; font: 8pt "DejaVu Sans", sans-serif; color: #444; }}'
    return f"@page {{ {head} }}\n@page :first {{ @top-left {{ content: none; }} }}\n"


def _pictures(story: Story) -> dict[str, bytes]:
    """Return the pictures beside the report: what a mail or a slide would take from it."""
    measured = [cloud for cloud in story.clouds.values() if cloud.measured.size]
    words = f"{story.first}: what each cell adds against the {story.shown.reference_words}"
    drawn = {PICTURES[1]: gallery(_spread(story), scale=story.scale, title=words)}
    if measured:
        drawn[PICTURES[0]] = accuracy_overview(measured)
    table = story.targets[story.first].regions
    if table is not None:
        drawn[PICTURES[2]] = region_bars(table.rows, unit=table.unit, title=f"{words}, region by region")
    return {name: png(figure) for name, figure in drawn.items()}


def _spread(story: Story) -> list[Scene]:
    """Return a few of the samples shown, from the most lowered to the most raised one."""
    order = np.argsort(story.shown.maps.prediction, kind="stable")
    chosen = np.unique(np.linspace(0, len(order) - 1, min(_IN_PICTURE, len(order))).round().astype(int))
    return [story.scenes[order[i]] for i in chosen]
