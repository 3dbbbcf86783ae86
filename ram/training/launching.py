"""Starts a command in several processes on this machine that train one net together, by torchrun's own agent."""

from __future__ import annotations

__all__ = ["run_together"]

import logging
import signal
import sys
import uuid
from collections.abc import Sequence

from torch.distributed.elastic.multiprocessing import ProcessFailure, SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from ram.errors import Stopped, TrainingError, explained

_SIGNALS = "SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1"
_PATIENCE_S = 600  # a step may be long, and the state is written after it


def run_together(processes: int, words: Sequence[str]) -> int:
    """Run ``ram WORDS`` in so many processes and return their exit code; signals are passed on to them.

    torchrun itself would leave with 1 after a stop that can be gone on from, with a traceback over what its processes
    have said, and would die of SIGUSR1 while they go on.

    Raises
    ------
    TrainingError
        One of them was killed, and could not say anything itself.
    """
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=str(uuid.uuid4()),
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
        signals_to_handle=_SIGNALS,
        shutdown_timeout=_PATIENCE_S,
    )
    try:
        elastic_launch(config, sys.executable)("-m", "ram", *words)
    except SignalException:
        return Stopped.code
    except ChildFailedError as failed:
        return _exit_code(failed)
    return 0


def _exit_code(failed: ChildFailedError) -> int:
    """Return what all agree on; who ends first has the others ended, by SIGTERM."""
    if any(failure.exitcode == Stopped.code for failure in failed.failures.values()):
        return Stopped.code
    rank, first = failed.get_first_failure()
    if first.exitcode > 0:
        return int(first.exitcode)
    raise TrainingError(_killed(rank, first))


def _killed(rank: int, first: ProcessFailure) -> str:
    where, what, allowed = "training", f"process {rank}", "alive to the end"
    got, step = f"killed by {signal.Signals(-first.exitcode).name}", "Memory may be short; go on with --resume"
    return explained(where=where, what=what, allowed=allowed, got=got, next_step=step)
