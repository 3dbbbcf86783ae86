"""The section of a report that says how good the numbers are group by group, and whether groups were known before."""

from __future__ import annotations

__all__ = ["groups", "groups_of_test", "remembered"]

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ram.data.dataset import Dataset
from ram.evaluation.groups import GroupRow, group_rows, over_groups
from ram.runs.measured import training_means
from ram.runs.parts import part_of
from ram.views.groups import MOST_SHOWN, group_picture, group_table
from ram.views.story import Story
from ram.views.style import embedded

Content = dict[str, Any]
_MANY = 5

_WHAT = (
    "The test part by groups (specimens, tools, design families). R²: against the group's own mean; shifted: after the "
    "one shift of all predictions that suits the group best; of the mean: error of always saying the mean of the "
    "training part. In the mean over groups each group has the same weight (± is the standard deviation over the "
    "groups)."
)
_REMEMBERED = (
    "{names} {have} samples in the training part as well as in the test part. Samples of one group are alike, so these "
    "figures say how well known groups are remembered, and not how good the net is on a new one: ram cross-validate "
    "leaves each group out once."
)
_NEW = "The net has seen no sample of any of these groups."


def groups(story: Story) -> Content | None:
    """Return figures of each group; None where the test part has but one, or groups of single samples."""
    own = groups_of_test(story)
    names, counts = np.unique(own[own != ""], return_counts=True)
    if names.size < 2 or counts.max() < 2:
        return None
    means = training_means(_train(story), story.run.units, log=story.run.config.data.log_targets)
    cards = [
        _card(story, name, own, float(mean))
        for (name, cloud), mean in zip(story.clouds.items(), means, strict=True)
        if cloud.measured.size
    ]
    said = [_WHAT, remembered(story) or _NEW]
    if names.size > MOST_SHOWN:
        said.append(f"Shown are the {MOST_SHOWN} of {names.size:,} groups with the largest errors.")
    return {"words": said, "cards": cards}


def remembered(story: Story) -> str:
    """Return a warning that names the groups of the test part that the net has learned from; nothing where none is."""
    tested, learned = groups_of_test(story), set(_train(story).groups.tolist())
    known = [name for name in np.unique(tested[tested != ""]).tolist() if name in learned]
    if not known:
        return ""
    more = f" and {len(known) - _MANY} more groups" if len(known) > _MANY else ""
    words = f"{'Groups' if len(known) > 1 else 'Group'} {', '.join(known[:_MANY])}{more}"
    return _REMEMBERED.format(names=words, have="have" if len(known) > 1 else "has")


def _card(story: Story, name: str, own: NDArray[np.str_], mean: float) -> Content:
    rows = _rows(story, name, own, mean)
    (whole,) = _rows(story, name, np.full(own.shape, "all"), mean)
    table = group_table(rows, over_groups=over_groups(rows), over_samples=whole.as_dict(), writer=story.writers[name])
    title = f"{name}: test part by groups"
    return {
        "table": {"caption": title, **table},
        "picture": embedded(group_picture(*story.test.column(name), own, rows, title=title), title),
        "words": [],
    }


def _rows(story: Story, name: str, own: NDArray[np.str_], mean: float) -> list[GroupRow]:
    held, outside = story.test.judgement(name)
    return group_rows(
        *story.test.column(name),
        np.where(own == "", "no group", own),
        unit=story.run.units[name],
        constant=np.full(own.shape, mean),
        held=held,
        outside=outside,
    )


def groups_of_test(story: Story) -> NDArray[np.str_]:
    """Return the group of each row of the stored predictions of the test part."""
    of = dict(zip(story.data.ids.tolist(), story.data.groups.tolist(), strict=True))
    return np.array([of[name] for name in story.test.ids.tolist()], dtype=np.str_)


def _train(story: Story) -> Dataset:
    return part_of(story.data, story.run.config, "train")
