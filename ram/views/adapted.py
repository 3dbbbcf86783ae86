"""What global average pooling cost a net that was adapted: errors, size and time, before and after."""

from __future__ import annotations

__all__ = ["adapted"]

from typing import Any

from ram.views.numbers import figure
from ram.views.story import Story

Content = dict[str, Any]
_TIMES = {"prediction": "prediction, a sample", "step": "step of training, a sample"}


def adapted(story: Story) -> Content | None:
    """Return the section of a run that began with ram adapt; None for any other."""
    found = story.run.adaptation
    return None if not found else {"words": _words(found), "tables": [_errors(story, found), _sizes(story, found)]}


def _words(found: Content) -> str:
    came = f"The convolutions of this net come from another one ({found['source']}, cut behind {found['layer']})."
    if found["kept"]:
        return f"{came} It had global average pooling and a linear unit already; both were kept."
    return (
        f"{came} What lay behind them gave way to global average pooling and a linear unit, which started with the "
        f"least squares of the targets (ridge {found['ridge']:.0e}) and was trained on with the rest."
    )


def _errors(story: Story, found: Content) -> Content:
    head = ["target", "before", "at the start", "trained on", "change", "R², before", "R², trained on"]
    rows = [_row(story, found, name, after) for name, after in story.run.metrics["test"].items()]
    return {"caption": "mean absolute error on the test part", "head": head, "rows": rows}


def _row(story: Story, found: Content, name: str, after: Content) -> list[str]:
    before, start = (found[when]["test"].get(name, {}) for when in ("before", "start"))
    value = story.writers[name].value
    change = 100 * (after["mae"] / before["mae"] - 1) if before.get("mae") else float("nan")
    maes = [value(one.get("mae")) for one in (before, start, after)]
    return [name, *maes, _per_cent(change), *(f"{one['r2']:.4f}" if one.get("r2") else "–" for one in (before, after))]


def _sizes(story: Story, found: Content) -> Content:
    sizes, times = found["parameters"], story.run.times
    rows = [_before_after("trained numbers", sizes["before"], sizes["after"], "{:,.0f}", 1.0)]
    for kind, words in _TIMES.items():
        before, after = (times.get(f"{kind}_{when}_s") for when in ("before", "after"))
        if before and after:
            rows.append(_before_after(f"{words} (processor)", before, after, "{:.3g} ms", 1e3))
    return {"caption": "size and time", "head": ["", "before", "after", "change"], "rows": rows}


def _before_after(words: str, before: float, after: float, text: str, factor: float) -> list[str]:
    change = 100 * (after / before - 1)
    return [words, text.format(factor * before), text.format(factor * after), _per_cent(change)]


def _per_cent(change: float) -> str:
    return f"{'+' if change > 0 else ''}{figure(change)} %"
