"""What training costs beside the arithmetic of its steps: state, checks, history, order, as a multiple of a bare loop.

One process, one thread. The contestants take turns, round by round, each with one epoch of the same net, batches, loss,
optimizer, clipping and validation; ours writes the best net and the whole state at the end of it, as does Lightning's
Trainer where it is installed. The table gives the median over rounds of the ratio to the same round's bare loop, in CPU
time (which a busy machine disturbs less) and in wall-clock time, and in brackets the ratio of the fastest rounds: a
neighbour that comes and goes moves single rounds by a tenth and more.

    python benchmarks/training.py [--signals 16384] [--rounds 3] [--json results.json]

Lightning's package brings a copy of lightning_fabric: install it into an environment of its own
(``pip install pytorch-lightning``), not beside this one's.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
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

SAMPLES, BATCH, HELD, MARK = 1024, 64, 256, 1.05
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


# One epoch each


def bare(known: Prepared) -> None:
    """Train for one epoch with torch alone, on tensors in memory."""
    net, config = known.regressor, known.experiment.training
    x, y = inputs_of(known)
    optimizer = adamw(net, config.weight_decay, config.learning_rate)
    steps = -(-len(x) // BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    net.train()
    for rows in torch.randperm(len(x)).split(BATCH):
        loss = loss_of(net, x[rows], y[rows])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), config.gradient_clip)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
    validate(net, known)


def ours(known: Prepared, folder: Path) -> None:
    """Train for one epoch as `ram.train` does, the best net and the state written at its end."""

    def on_epoch(epoch: Epoch) -> None:
        save_net(folder / "checkpoint.safetensors", known.regressor, known.spec, epoch=epoch.epoch)

    (folder / "training.safetensors").unlink(missing_ok=True)
    keeps = Checkpoints(folder, belongs_to={}, minutes=10, stop=Stop())
    rows, config = known.train.data.indices, known.experiment.training
    with repeatable(threads=1):
        plan = Fit(config, 0, known.group, rows, on_epoch, lambda _: None, keeps)
        fit(known.regressor, known.train, known.validation, fit=plan)


def lightning(known: Prepared, folder: Path) -> None:
    """Train for one epoch with Lightning's Trainer, a checkpoint at its end."""
    import pytorch_lightning as pl  # type: ignore[import-not-found,unused-ignore]
    from torch.utils.data import DataLoader, TensorDataset

    config = known.experiment.training

    class Module(pl.LightningModule):  # type: ignore[misc,name-defined,unused-ignore]
        def __init__(self) -> None:
            super().__init__()
            self.net = known.regressor

        def training_step(self, batch: list[Tensor], _: int) -> Tensor:
            return loss_of(self.net, *batch)

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
        DataLoader(TensorDataset(held.x, held.targets), 256),
    ]
    trainer.fit(Module(), *loaders)


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


# Taking turns


def seconds(action: Callable[[], object]) -> tuple[float, float]:
    """Return CPU and wall-clock time of one call."""
    cpu, wall = time.process_time(), time.perf_counter()
    action()
    return time.process_time() - cpu, time.perf_counter() - wall


def ratios(actions: dict[str, Callable[[], object]], *, rounds: int) -> Iterator[dict[str, Any]]:
    """Yield each contestant's time over the bare loop's, round by round."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in actions}
    for number in range(rounds):
        names = list(actions) if number % 2 == 0 else list(actions)[::-1]
        for name in names:
            times[name].append(seconds(actions[name]))
    base = times.pop("bare loop")
    yield {"name": "bare loop (s)", **summary([cpu for cpu, _ in base], [wall for _, wall in base]), "mark": None}
    for name, found in times.items():
        pairs = list(zip(found, base, strict=True))
        cpu, wall = [mine[0] / bare[0] for mine, bare in pairs], [mine[1] / bare[1] for mine, bare in pairs]
        fastest = [min(column) for column in zip(*found, strict=True)]
        least = [min(column) for column in zip(*base, strict=True)]
        best = {"cpu_best": fastest[0] / least[0], "best": fastest[1] / least[1]}
        yield {"name": name, **summary(cpu, wall), **best, "mark": MARK if name == "ram" else None}


def summary(cpu: list[float], wall: list[float]) -> dict[str, float]:
    """Return median and least of both times."""
    return {
        "cpu_median": statistics.median(cpu),
        "cpu_best": min(cpu),
        "median": statistics.median(wall),
        "best": min(wall),
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
        actions = {"bare loop": lambda: bare(known), "ram": lambda: ours(known, folder)}
        if LIGHTNING:
            actions["Lightning's Trainer"] = lambda: lightning(known, folder)
        for action in actions.values():
            action()  # once unmeasured
        rows = []
        for row in ratios(actions, rounds=options.rounds):
            rows.append(row)
            mark = f"   mark {row['mark']}" if row["mark"] else ""
            cpu, wall = f"{row['cpu_median']:.3f} ({row['cpu_best']:.3f})", f"{row['median']:.3f} ({row['best']:.3f})"
            print(f"{row['name']:24s} CPU {cpu:20s} wall {wall:20s}{mark}", flush=True)
        if not LIGHTNING:
            print("Lightning's Trainer is not installed here")
    if options.json:
        on = {"signals": options.signals, "rounds": options.rounds, "machine": machine("lightning-fabric")}
        options.json.write_text(json.dumps({**on, "rows": rows}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
