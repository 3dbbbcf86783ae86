"""The tasks of the benchmark: what is known of the true maps, and which nets are asked."""

from __future__ import annotations

__all__ = ["TASKS", "Task", "net_of", "net_order", "task_of"]

from collections.abc import Mapping
from dataclasses import dataclass, field

from ram.data.dataset import Dataset
from ram.errors import ConfigError, explained, nearest
from ram.runs.run import Run

_ALL, _FEW = "training.map_supervision.weight=1.0", "training.map_supervision.share=0.05"
PLAIN, EVERY, MASKS = "plain", "all maps", "regions"


@dataclass(frozen=True)
class Task:
    """One task.

    Attributes
    ----------
    name, title
        What one types, and what the page says.
    data
        Name of the data set, by which runs that are given are known.
    simulator
        Entry of what says the targets of any input, or "".
    experiment
        File that its nets are trained by, or "" where runs must be given: their training is too long.
    recipe, options
        Folder and options of the data set's recipe.
    nets
        Name of a net -> how its experiment is changed.
    emptied
        Regions that hold nothing; interventions are scored with and without them.
    """

    name: str
    title: str
    data: str
    simulator: str = ""
    experiment: str = ""
    recipe: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    nets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    emptied: tuple[str, ...] = ()


def _planted(law: str, dimensions: int, title: str) -> Task:
    wide = {1: ("model.widths=[16,32,32,32]",), 2: ("model.backbone=encoder-decoder", "model.widths=[16,24,32]")}
    own = wide[dimensions] if law == "interaction" else ()
    nets = {PLAIN: own, EVERY: (*own, _ALL)}
    if law == "shortcut":
        allowed = 'training.map_supervision.regions=["plain","raising","lowering"]'
        nets |= {"5 % of the maps": (_ALL, _FEW), MASKS: ("training.map_supervision.outside=1", allowed)}
    return Task(
        name=f"{law}-{dimensions}d",
        title=f"{title}, {dimensions}D",
        data=f"planted-{law}-{dimensions}d",
        simulator=f"ram.physics.planted:{law}",
        experiment=f"planted_{dimensions}d.toml",
        recipe="planted",
        options={"task": law, "dimensions": str(dimensions)},
        nets=nets,
    )


_TITLES = {"additive": "Planted sum", "interaction": "Planted product", "shortcut": "Planted shortcut"}
_ALL_TASKS = (
    *(_planted(law, dimensions, title) for law, title in _TITLES.items() for dimensions in (1, 2)),
    Task("wheel", "Wheel discs", "wheel", simulator="ram.physics.wheel:frequencies", emptied=("void",)),
    Task("tap", "Tap tests", "wheel_tap"),
)
TASKS = {task.name: task for task in _ALL_TASKS}


def task_of(name: str) -> Task:
    """Return a task by its name.

    Raises
    ------
    ConfigError
        There is none of that name.
    """
    if name not in TASKS:
        allowed, near = f"one of {', '.join(TASKS)}", nearest(name, TASKS)
        raise ConfigError(explained(where="benchmark", what="a task", allowed=allowed, got=repr(name), next_step=near))
    return TASKS[name]


def task_for(data: Dataset) -> Task | None:
    """Return the task that a data set belongs to, by its name."""
    return next((task for task in TASKS.values() if task.data == data.name), None)


def net_of(run: Run) -> str:
    """Return what to call a run by how its maps were supervised: ``plain``, ``all maps``, ``5 % of the maps``."""
    section = run.config.training.map_supervision
    if section is None or not (section.weight or section.outside):
        return PLAIN
    if not section.weight:
        return MASKS
    return EVERY if section.share == 1 else f"{100 * section.share:g} % of the maps"


def net_order(net: str) -> tuple[int, float]:
    """Return what nets are sorted by: the plain one first, then by the share of maps that they had, masks last."""
    if net == PLAIN:
        return 0, 0.0
    if net[0].isdigit():
        return 1, -float(net.partition(" ")[0])
    return (1, -101.0) if net == EVERY else (2, 0.0)
