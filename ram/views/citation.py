"""How to cite the numbers and maps of a report: software, run, data and the method's paper."""

from __future__ import annotations

__all__ = ["cited"]

import re
from collections.abc import Mapping

from ram.maps.methods import method_called
from ram.views.story import Story

_SOFTWARE = "ram: regression activation mapping for engineering signals and designs"
_WORDS = (
    "Name the software with its version, the run by the digest of its data, and the paper of the method. With the "
    "run's folder and its data file, ram rerun makes the numbers again, and ram verify holds the files against the "
    "manifest."
)
_LATEX = {**{sign: f"\\{sign}" for sign in "_%&#$"}, **dict.fromkeys("{}\\", ""), "~": " ", "^": " "}


def cited(story: Story) -> dict[str, str]:
    """Return what the section says: words, one line to cite, the same as BibTeX, and whose the data are."""
    code, run = story.run.provenance.get("code", {}), story.run.config.name
    commit = f", commit {code['commit'][:12]}" if code.get("commit") else ""
    changed = " with changes" if code.get("dirty") else ""
    version = f"version {code.get('version', 'unknown')}{commit}{changed}"
    data = f"data set {story.data.name}, digest {story.data.digest}"
    method = method_called(story.shown.maps.method)
    return {
        "words": _WORDS,
        "text": f"{_SOFTWARE}, {version}. Run {run} ({data}). Maps: {method.name}, {method.paper}.",
        "bibtex": _bibtex(
            run,
            {
                "title": f"{run}: {', '.join(story.run.units)} by regression activation mapping",
                "howpublished": f"{_SOFTWARE}, {version}",
                "note": f"{data}; maps: {method.name}, {method.paper}",
            },
        ),
        "sources": _sources(story.data.attributes),
    }


def _bibtex(name: str, fields: Mapping[str, str]) -> str:
    key = re.sub(r"\W+", "-", name, flags=re.ASCII).strip("-") or "run"
    lines = [f"  {field} = {{{''.join(_LATEX.get(sign, sign) for sign in text)}}}," for field, text in fields.items()]
    return "\n".join([f"@misc{{{key},", *lines, "}"])


def _sources(about: Mapping[str, str]) -> str:
    """Say whose the data are, as their file has it."""
    said = [f"{word}: {about[key]}" for word, key in (("source", "source"), ("licence", "licence")) if about.get(key)]
    return f"The data ({'; '.join(said)}) are cited as their source asks." if said else ""
