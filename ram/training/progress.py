"""What a user sees while a net is trained: epoch, loss, validation error in the target's unit, time left."""

from __future__ import annotations

__all__ = ["TrainingProgress", "say_checked", "say_differences", "say_fold", "say_sight", "say_warm"]

from collections.abc import Sequence
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ram.data.checks import Finding
from ram.maps.sight import Sight
from ram.training.loop import Epoch
from ram.training.warm_start import WarmStart


def say_checked(findings: Sequence[Finding], *, samples: int) -> None:
    """Say on standard error what the data check has found: one line, and one paragraph for each warning."""
    console = Console(stderr=True, highlight=False, markup=False, emoji=False)
    codes = ", ".join(dict.fromkeys(finding.code for finding in findings))
    many = f"{len(findings)} warning{'s' if len(findings) > 1 else ''}: {codes}"
    console.print(f"data check: {samples:,} samples, {many if findings else 'nothing found'}", soft_wrap=True)
    for finding in findings:
        console.print(f"Warning: {finding.text}", soft_wrap=True)


def say_differences(differences: Sequence[str]) -> None:
    """Say on standard error what is other than it was when the run was started."""
    said = f"Warning: goes on elsewhere than it was started, so that the last bits may differ: {', '.join(differences)}"
    Console(stderr=True, highlight=False, markup=False, emoji=False).print(said, soft_wrap=True)


def say_fold(groups: Sequence[str], *, number: int, count: int) -> None:
    """Say on standard error which groups are left out of the training that begins."""
    said = f"fold {number} of {count}: without {', '.join(groups)}"
    Console(stderr=True, highlight=False, markup=False, emoji=False).print(said, soft_wrap=True)


def say_sight(sight: Sight) -> None:
    """Say on standard error how much of the input the cells of the net see that is to be trained."""
    Console(stderr=True, highlight=False, markup=False, emoji=False).print(f"net: {sight}", soft_wrap=True)


def say_warm(warm: WarmStart | None) -> None:
    """Say on standard error what of another run's weights a training begins with, and what was left out."""
    if warm is not None:
        Console(stderr=True, highlight=False, markup=False, emoji=False).print(str(warm), soft_wrap=True)


class TrainingProgress:
    """A live line on a terminal; silent elsewhere.

    Parameters
    ----------
    epochs, samples
        How many epochs of how many samples.
    units
        Unit of each target; the first target's validation error is shown.
    visible
        None: on a terminal only.
    """

    def __init__(self, *, epochs: int, samples: int, units: dict[str, str], visible: bool | None = None) -> None:
        console = Console(stderr=True)
        shown = console.is_terminal if visible is None else visible
        self._epochs, self._units = epochs, units
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            disable=not shown,
        )
        self._task = self._progress.add_task("epoch 1", total=epochs * samples, figures="")

    def __enter__(self) -> TrainingProgress:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def say(self, text: str) -> None:
        """Print a line above the bar, where there is one."""
        if not self._progress.disable:
            self._progress.console.print(text, markup=False, highlight=False)

    def on_step(self, samples: int) -> None:
        """Count `samples` as seen."""
        self._progress.advance(self._task, samples)

    def on_epoch(self, epoch: Epoch) -> None:
        """Show what an epoch gave."""
        name = next(iter(self._units))
        figures = f"loss {epoch.loss:.5f}, {name} off by {epoch.validation[name]:.3g} {self._units[name]}"
        following = min(epoch.epoch + 1, self._epochs)
        self._progress.update(self._task, description=f"epoch {following}/{self._epochs}", figures=figures)
