"""What training costs beside the arithmetic of its steps: state, checks, history, order, as a multiple of a bare loop.

One process, one thread. Each contestant trains for an epoch, ours with the best net and the whole state written at its
end, as Lightning's Trainer does where it is installed; after every 32 of its steps a bare loop of torch takes 32 with
the same net, batches, loss, optimizer, clipping and validation, and both are timed. The table gives the median over
rounds of the ratio of the two, in CPU time and in wall-clock time, and in brackets the least and the largest.

    python benchmarks/training.py [--signals 16384] [--rounds 3] [--json results.json]

Lightning's package brings a copy of lightning_fabric: install it into an environment of its own
(``pip install pytorch-lightning``), not beside this one's.
"""

from __future__ import annotations

import argparse
import copy
import importlib.util
import json
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import machine
from torch import Tensor

from ram.axes import Axis
from ram.data.layout import DatasetSpec, Record, write_dataset
from ram.models.regressor import Regressor
from ram.runs.config import load_experiment
from ram.runs.net import save_net
from ram.runs.repeatable import repeatable
from ram.training.checkpoints import Checkpoints
from ram.training.course import Epoch
from ram.training.loop import Fit, fit
from ram.training.prepare import Prepared, prepare
from ram.training.stopping import Stop

SAMPLES, BATCH, HELD, STRIDE, MARK = 1024, 64, 256, 32, 1.05
LIGHTNING = importlib.util.find_spec("pytorch_lightning") is not None


def write(path: Path, *, signals: int) -> None:
    """Write random signals with one target."""
    draw = np.random.default_rng(0)
    spec = DatasetSpec(
        name="training",
        axes=(Axis.uniform("time", "s", size=SAMPLES, step=1e-4),),
        channels={"a": "m/s**2"},
        targets={"f": "Hz"},
        count=signals + HELD,
    )
    rows = (draw.standard_normal((1, SAMPLES), dtype=np.float32) for _ in range(spec.count))
    write_dataset(
        path,
        spec,
        (
            Record(
                id=f"{number:06d}",
                x=x,
                targets={"f": float(x[0, :8].sum())},
                split={"default": "train" if number < signals else "validation"},
            )
            for number, x in enumerate(rows)
        ),
    )


def prepared(path: Path) -> Prepared:
    """Return the smallest net of the size that people train, and its batches."""
    content = {
        "name": "training",
        "data": {"file": str(path), "targets": ["f"]},
        "model": {"backbone": "plain", "widths": [16, 16, 32]},
        "training": {"epochs": 1, "batch_size": BATCH, "optimizer": "adamw", "threads": 1},
        "trust": {"calibration": 0.0},
    }
    return prepare(load_experiment(content))


# One epoch each, in turns


class Turns:
    """Lets a bare loop take as many steps after every `STRIDE` steps of a contestant, and times both.

    A neighbour on the machine that comes and goes within seconds then slows both alike.
    """

    def __init__(self, known: Prepared) -> None:
        self._bare, self._steps = bare(known), 0
        self.theirs, self.bare = Time(), Time()
        self._since = Time.now()

    def step(self) -> None:
        """Count one step of the contestant."""
        self._steps += 1
        if self._steps % STRIDE == 0:
            self._turn(STRIDE)

    def end(self) -> None:
        """Let the bare loop finish its epoch."""
        self._turn(None)

    def _turn(self, steps: int | None) -> None:
        begin = Time.now()
        self.theirs += begin - self._since
        for _ in islice(self._bare, steps):
            pass
        self._since = Time.now()
        self.bare += self._since - begin


def bare(known: Prepared) -> Iterator[None]:
    """Train for one epoch with torch alone, on tensors in memory; yields after each step."""
    net, config = copy.deepcopy(known.regressor), known.experiment.training
    x, y = inputs_of(known)
    optimizer = adamw(net, config.weight_decay, config.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, -(-len(x) // BATCH))
    net.train()
    for rows in torch.randperm(len(x)).split(BATCH):
        loss = loss_of(net, x[rows], y[rows])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), config.gradient_clip)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        yield
    validate(net, known)


def ours(known: Prepared, folder: Path) -> Turns:
    """Train for one epoch as `ram.train` does, the best net and the state written at its end."""
    (folder / "training.safetensors").unlink(missing_ok=True)
    rows, config = known.train.data.indices, known.experiment.training
    turns = Turns(known)

    def on_epoch(epoch: Epoch) -> None:
        save_net(folder / "checkpoint.safetensors", known.regressor, known.spec, epoch=epoch.epoch)

    with repeatable(threads=1):
        keeps = Checkpoints(folder, belongs_to={}, minutes=10, stop=Stop())
        plan = Fit(config, 0, known.group, rows, on_epoch, lambda _: turns.step(), keeps)
        fit(known.regressor, known.train, known.validation, fit=plan)
    turns.end()
    return turns


def lightning(known: Prepared, folder: Path) -> Turns:
    """Train for one epoch with Lightning's Trainer, a checkpoint at its end."""
    import pytorch_lightning as pl  # type: ignore[import-not-found,unused-ignore]
    from torch.utils.data import DataLoader, TensorDataset

    config, turns = known.experiment.training, Turns(known)

    class Module(pl.LightningModule):  # type: ignore[misc,name-defined,unused-ignore]
        def __init__(self) -> None:
            super().__init__()
            self.net = known.regressor

        def training_step(self, batch: list[Tensor], _: int) -> Tensor:
            return loss_of(self.net, *batch)

        def on_train_batch_end(self, *_: object) -> None:
            turns.step()

        def validation_step(self, batch: list[Tensor], _: int) -> None:
            self.log("validation", loss_of(self.net, *batch))

        def configure_optimizers(self) -> dict[str, Any]:
            optimizer = adamw(self.net, config.weight_decay, config.learning_rate)
            schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, -(-len(known.train) // BATCH))
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    x, y = inputs_of(known)
    held = known.validation.take(np.arange(len(known.validation)))
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = pl.Trainer(
        max_epochs=1,
        accelerator="cpu",
        devices=1,
        gradient_clip_val=config.gradient_clip,
        default_root_dir=str(folder),
        num_sanity_val_steps=0,
        **quiet,
    )
    loaders = [
        DataLoader(TensorDataset(x, y), BATCH, shuffle=True),
        DataLoader(TensorDataset(held.x, held.targets), HELD),
    ]
    trainer.fit(Module(), *loaders)
    turns.end()
    return turns


def adamw(net: Regressor, weight_decay: float, learning_rate: float) -> torch.optim.Optimizer:
    """Return the optimizer, weights of more than one axis decaying."""
    weights = list(net.parameters())
    decaying = {"params": [weight for weight in weights if weight.ndim > 1], "weight_decay": weight_decay}
    rest = {"params": [weight for weight in weights if weight.ndim <= 1], "weight_decay": 0.0}
    return torch.optim.AdamW([decaying, rest], lr=learning_rate)


def loss_of(net: Regressor, x: Tensor, y: Tensor) -> Tensor:
    """Return the loss of a batch, on standardised targets."""
    predicted = net.standardised_prediction(x, torch.zeros(len(x), 0, dtype=torch.float64))
    return torch.nn.functional.huber_loss(predicted, net.standardised_targets(y).to(predicted.dtype), delta=0.3)


def inputs_of(known: Prepared) -> tuple[Tensor, Tensor]:
    """Return all training samples as tensors; read once."""
    kept: dict[int, tuple[Tensor, Tensor]] = inputs_of.__dict__.setdefault("kept", {})
    if id(known) not in kept:
        batch = known.train.take(np.arange(len(known.train)))
        kept[id(known)] = batch.x, batch.targets
    return kept[id(known)]


def validate(net: Regressor, known: Prepared) -> None:
    """Predict the validation part and take its error."""
    net.eval()
    batch = known.validation.take(np.arange(len(known.validation)))
    with torch.no_grad():
        loss_of(net, batch.x, batch.targets).item()


# The table


@dataclass(frozen=True)
class Time:
    """CPU and wall-clock time, s."""

    cpu: float = 0.0
    wall: float = 0.0

    @classmethod
    def now(cls) -> Time:
        """Read both clocks."""
        return cls(time.process_time(), time.perf_counter())

    def __add__(self, other: Time) -> Time:
        return Time(self.cpu + other.cpu, self.wall + other.wall)

    def __sub__(self, other: Time) -> Time:
        return Time(self.cpu - other.cpu, self.wall - other.wall)


def ratios(actions: dict[str, Callable[[], Turns]], *, rounds: int) -> Iterator[dict[str, Any]]:
    """Yield each contestant's time over that of the bare loop beside it."""
    found: dict[str, list[Turns]] = {name: [] for name in actions}
    for _ in range(rounds):
        for name, action in actions.items():
            found[name].append(action())
    base = [one.bare for several in found.values() for one in several]
    yield row("bare loop (s)", [one.cpu for one in base], [one.wall for one in base])
    for name, several in found.items():
        cpu = [one.theirs.cpu / one.bare.cpu for one in several]
        yield row(name, cpu, [one.theirs.wall / one.bare.wall for one in several], mark=MARK if name == "ram" else None)


def row(name: str, cpu: list[float], wall: list[float], *, mark: float | None = None) -> dict[str, Any]:
    """Return one line of the table: medians, least and largest."""
    return {
        "name": name,
        "cpu_median": statistics.median(cpu),
        "cpu_range": [min(cpu), max(cpu)],
        "median": statistics.median(wall),
        "range": [min(wall), max(wall)],
        "mark": mark,
    }


def main() -> None:
    """Print the table, and write it as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--signals", type=int, default=90112)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder / "signals.h5", signals=options.signals)
        known = prepared(folder / "signals.h5")
        actions: dict[str, Callable[[], Turns]] = {"ram": lambda: ours(known, folder)}
        if LIGHTNING:
            actions["Lightning's Trainer"] = lambda: lightning(known, folder)
        for action in actions.values():
            action()  # once unmeasured
        rows = list(ratios(actions, rounds=options.rounds))
        for one in rows:
            mark = f"   mark {one['mark']}" if one["mark"] else ""
            figures = [
                f"{kind} {one[middle]:.3f} ({one[ends][0]:.3f} to {one[ends][1]:.3f})"
                for kind, middle, ends in (("CPU", "cpu_median", "cpu_range"), ("wall", "median", "range"))
            ]
            print(f"{one['name']:24s} {figures[0]:32s} {figures[1]:32s}{mark}", flush=True)
        if not LIGHTNING:
            print("Lightning's Trainer is not installed here")
    if options.json:
        on = {"signals": options.signals, "rounds": options.rounds, "machine": machine("lightning-fabric")}
        options.json.write_text(json.dumps({**on, "rows": rows}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
