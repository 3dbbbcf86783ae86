"""The processes that train one net together, as torchrun or SLURM has started them; by itself a team of one.

Each batch is parted among the processes and the gradients are summed, so that a training does not depend on their
number but for rounding. The first process alone writes.
"""

from __future__ import annotations

__all__ = ["Places", "Team", "alone", "launched", "places", "shares"]

import contextlib
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import Tensor, nn

from ram.errors import ConfigError, RamError, RelayedError, TrainingError, explained
from ram.runs.config import TrainingConfig

Value = TypeVar("Value")

# The others wait while the first one predicts and explains at the end; who starts them ends them where one dies.
_PATIENCE = timedelta(days=1)
_INTERACTIVE = ("bash", "interactive")


@dataclass(frozen=True)
class Places:
    """Where this process stands among those that were started together.

    Attributes
    ----------
    count, rank
        How many there are, and which this is, from 0.
    on_this_machine
        How many of them share this machine.
    by
        Who started them: ``"torchrun"``, ``"SLURM"`` or ``""``.
    """

    count: int = 1
    rank: int = 0
    on_this_machine: int = 1
    by: str = ""


def places(environment: Mapping[str, str] | None = None) -> Places:
    """Return where this process stands, as torchrun or SLURM's srun say in the environment.

    >>> places({"SLURM_STEP_ID": "0", "SLURM_NTASKS": "4", "SLURM_NTASKS_PER_NODE": "2", "SLURM_PROCID": "3"})
    Places(count=4, rank=3, on_this_machine=2, by='SLURM')
    >>> places({"SLURM_NTASKS": "4"})  # in a batch script, not started by srun
    Places(count=1, rank=0, on_this_machine=1, by='')

    Raises
    ------
    ConfigError
        SLURM starts several tasks, and not the same number on each machine.
    """
    said = os.environ if environment is None else environment
    if "TORCHELASTIC_RUN_ID" in said and int(said.get("WORLD_SIZE", "1")) > 1:
        return Places(int(said["WORLD_SIZE"]), int(said["RANK"]), int(said["LOCAL_WORLD_SIZE"]), "torchrun")
    by_srun = "SLURM_STEP_ID" in said and said.get("SLURM_JOB_NAME") not in _INTERACTIVE
    if by_srun and int(said.get("SLURM_NTASKS", "1")) > 1:
        if not said.get("SLURM_NTASKS_PER_NODE", "").isdigit():
            got, step = f"--ntasks={said['SLURM_NTASKS']} alone", "Such as '#SBATCH --nodes=2 --ntasks-per-node=4'"
            allowed = "given by --nodes and --ntasks-per-node"
            raise ConfigError(explained(where="SLURM", what="tasks", allowed=allowed, got=got, next_step=step))
        here = int(said["SLURM_NTASKS_PER_NODE"])
        return Places(int(said["SLURM_NTASKS"]), int(said["SLURM_PROCID"]), here, "SLURM")
    return Places()


def launched(wanted: int) -> bool:
    """Whether `wanted` processes are there already, started by torchrun or SLURM; one is always there.

    Raises
    ------
    ConfigError
        Another number of them was started.
    """
    here = places()
    if here.count in (1, wanted):
        return here.count == wanted
    got, step = f"{here.count}, started by {here.by}", "Leave --processes out, or start as many"
    raise ConfigError(explained(where="--processes", what="processes", allowed=f"{wanted}", got=got, next_step=step))


def alone(what: str) -> None:
    """Refuse `what` where several processes were started to train one net.

    Raises
    ------
    ConfigError
        There are several.
    """
    here = places()
    if here.count > 1:
        step = "Start one process for each; of a sweep as many as there are machines, with one --storage"
        got = f"{here.count}, started by {here.by}"
        raise ConfigError(explained(where=what, what="processes", allowed="one", got=got, next_step=step))


@dataclass(frozen=True)
class Team:
    """The processes that train together.

    Attributes
    ----------
    fabric
        Device, precision and the link to the others.
    places
        Where this process stands.
    control
        A link over processors, for what is not worth a wait of a GPU; None where there is one process.
    """

    fabric: Fabric
    places: Places = field(default_factory=Places)
    control: Any = None

    @classmethod
    def start(cls, config: TrainingConfig) -> Team:
        """Find the others, and wait until all are there.

        Raises
        ------
        ConfigError
            The number of processes does not fit the batch or the devices.
        """
        here = places()
        if here.count == 1:
            alone = LightningEnvironment()
            return cls(Fabric(accelerator=config.device, devices=1, precision=config.precision, plugins=alone))
        _check_fits(config, here)
        logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # who is there is no news
        fabric = Fabric(
            accelerator=config.device,
            devices=here.on_this_machine,
            num_nodes=here.count // here.on_this_machine,
            strategy=DDPStrategy(timeout=_PATIENCE),
            precision=config.precision,
        )
        fabric.launch()
        return cls(fabric, here, torch.distributed.new_group(backend="gloo", timeout=_PATIENCE))

    @property
    def count(self) -> int:
        """How many processes there are."""
        return self.places.count

    @property
    def first(self) -> bool:
        """Whether this is the process that writes."""
        return self.places.rank == 0

    def share(self, positions: np.ndarray) -> np.ndarray:
        """Return this process's part of a batch, shape (share,); parts differ by one sample at most."""
        return positions if self.count == 1 else np.array_split(positions, self.count)[self.places.rank]

    def sum(self, value: Tensor) -> Tensor:
        """Return the sum over all processes."""
        if self.count == 1:
            return value
        total = value.clone()
        torch.distributed.all_reduce(total)
        return total

    def joined(self, rows: Tensor, *, of: int) -> Tensor:
        """Return the rows of all processes, which were parted as `share` parts `of` positions."""
        if self.count == 1:
            return rows
        sizes = [len(part) for part in np.array_split(np.arange(of), self.count)]
        padded = rows.new_zeros((max(sizes), *rows.shape[1:]))
        padded[: len(rows)] = rows
        gathered = [torch.empty_like(padded) for _ in sizes]
        torch.distributed.all_gather(gathered, padded)
        return torch.cat([part[:size] for part, size in zip(gathered, sizes, strict=True)])

    def share_buffers(self, net: nn.Module) -> None:
        """Give all processes the first one's buffers: batch norms have counted each process's own samples."""
        if self.count > 1:
            for buffer in net.buffers():
                torch.distributed.broadcast(buffer, src=0)

    def any(self, asked: bool) -> bool:  # noqa: FBT001 - the one thing it is about
        """Return whether any process says so; all are told the same."""
        if self.count == 1:
            return asked
        flag = torch.tensor([int(asked)])
        torch.distributed.all_reduce(flag, op=torch.distributed.ReduceOp.MAX, group=self.control)
        return bool(flag.item())

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.count > 1:
            torch.distributed.barrier(group=self.control)

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Say it plainly where another process is gone, in place of what the link to it says.

        Raises
        ------
        TrainingError
            The link is broken.
        """
        try:
            yield
        except RuntimeError as error:
            if self.count == 1 or not (isinstance(error, torch.distributed.DistError) or "gloo" in str(error)):
                raise
            got, step = "the link to one of them broken", "What it said itself says why; go on with --resume"
            allowed = f"all {self.count} there to the end"
            raise TrainingError(
                explained(where="training", what="processes", allowed=allowed, got=got, next_step=step)
            ) from error

    def told(self, make: Callable[[], Value]) -> Value:
        """Return what the first process makes; the others are told, of its error too.

        Raises
        ------
        RelayedError
            In the other processes, where the first one's `make` has raised.
        """
        if self.count == 1:
            return make()
        if not self.first:
            message: list[Any] = [None]
            torch.distributed.broadcast_object_list(message, group=self.control)
            kind, value = message[0]
            if isinstance(kind, type):
                raise RelayedError(value, of=kind)
            made: Value = value
            return made
        try:
            made = make()
        except BaseException as error:
            told = str(error) if isinstance(error, RamError) else f"{type(error).__name__}: {error}"
            kind = type(error) if isinstance(error, (RamError, OSError)) else Exception
            torch.distributed.broadcast_object_list([(kind, told)], group=self.control)
            raise
        torch.distributed.broadcast_object_list([("value", made)], group=self.control)
        return made

    def same(self, said: str, *, what: str) -> None:
        """Require that all processes say the same of something.

        Raises
        ------
        ConfigError
            They do not.
        """
        if self.count == 1:
            return
        everybody: list[Any] = [None] * self.count
        torch.distributed.all_gather_object(everybody, said, group=self.control)
        if len(set(everybody)) > 1:
            others = "; ".join(f"process {rank}: {text}" for rank, text in enumerate(everybody))
            step = "Give all of them the same files: a folder that every machine sees"
            allowed = "the same in all processes"
            raise ConfigError(explained(where="training", what=what, allowed=allowed, got=others, next_step=step))


def shares(order: np.ndarray, *, batch_size: int, team: Team) -> tuple[np.ndarray, Sequence[np.ndarray]]:
    """Part the batches of an epoch.

    Returns
    -------
    mine
        Shape (sample,): this process's samples of all batches, one batch after the other.
    batches
        All samples of each batch.
    """
    batches = [order[begin : begin + batch_size] for begin in range(0, len(order), batch_size)]
    if team.count == 1:
        return order, batches
    # A batch that is too small for all: who has no part of it takes its first sample, which then counts nothing.
    parts = [part if (part := team.share(batch)).size else batch[:1] for batch in batches]
    return np.concatenate(parts) if parts else order, batches


def _check_fits(config: TrainingConfig, here: Places) -> None:
    where = f"{here.count} processes started by {here.by}"
    if config.batch_size < here.count:
        got, step = f"batches of {config.batch_size}", "Start fewer processes, or raise training.batch_size"
        allowed = f"at least {here.count}: one sample a process"
        raise ConfigError(explained(where=where, what="training.batch_size", allowed=allowed, got=got, next_step=step))
    if config.device == "mps":
        step = "Set training.device to cpu or cuda, or start one process"
        raise ConfigError(
            explained(where=where, what="training.device", allowed="cpu or cuda", got="mps", next_step=step)
        )
    there = torch.cuda.device_count()
    wanted = config.device == "cuda" or (config.device == "auto" and there > 0)
    if wanted and there < here.on_this_machine:
        got, step = f"{there} for {here.on_this_machine} processes", "Start one process for each GPU"
        if here.by == "SLURM":  # --gpus-per-task hides a task's GPU from the other tasks
            step += " and let each task see all of its machine: --gpus-per-node, not --gpus-per-task"
        raise ConfigError(explained(where=where, what="GPUs", allowed="one a process", got=got, next_step=step))
    if here.count % here.on_this_machine:
        got = f"{here.count}, {here.on_this_machine} on this one"
        allowed = "the same number on each machine"
        raise ConfigError(explained(where=where, what="processes", allowed=allowed, got=got))
