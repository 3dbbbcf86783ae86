"""Starts ``ram`` in processes that train together: ``python team_runs.py PLANS.json``, in a process of its own.

Each plan is a folder, so many processes, and the words after ``ram``. Processes are children made by fork, so that
torch is imported once, and find their place in the environment as srun's tasks do, each on a machine of its own. What
they say lies in ``FOLDER.RANK.out`` and ``FOLDER.RANK.err``, digests of the weights they end with in
``FOLDER.RANK.weights``. Their exit codes are printed as JSON; one that does not end in time is killed.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import sys
import time
import traceback
from pathlib import Path
from typing import Any

LIMIT_S = 240


def main() -> None:
    plans = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    import ram.training.train  # noqa: F401  imported once, here

    codes = []
    for plan in plans:
        port = free_port()
        children = [start(plan, rank, port) for rank in range(plan["count"])]
        codes.append(ends(children))
    sys.stdout.write(json.dumps(codes))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def places(rank: int, count: int, port: int) -> dict[str, str]:
    """What srun says to each of its tasks."""
    return {
        "SLURM_JOB_ID": "1",
        "SLURM_STEP_ID": "0",
        "SLURM_NTASKS": str(count),
        "SLURM_NTASKS_PER_NODE": "1",
        "SLURM_NNODES": str(count),
        "SLURM_PROCID": str(rank),
        "SLURM_NODEID": str(rank),
        "SLURM_LOCALID": "0",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }


def start(plan: dict[str, Any], rank: int, port: int) -> int:
    child = os.fork()
    if child:
        return child
    code = 70
    try:
        for number, kind in ((1, "out"), (2, "err")):
            os.dup2(os.open(f"{plan['folder']}.{rank}.{kind}", os.O_WRONLY | os.O_CREAT, 0o644), number)
        if plan["count"] > 1:
            os.environ |= places(rank, plan["count"], port)
        code = run(plan, rank)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def run(plan: dict[str, Any], rank: int) -> int:
    """Run the command as the shell does; returns its exit code."""
    from ram.cli import main as shell
    from ram.training import train

    real = train.fit

    def fit(regressor: Any, *words: Any, **options: Any) -> None:
        if plan.get("killed") == rank:
            os.kill(os.getpid(), signal.SIGKILL)
        real(regressor, *words, **options)
        content = b"".join(value.numpy().tobytes() for value in regressor.state_dict().values())
        Path(f"{plan['folder']}.{rank}.weights").write_text(hashlib.sha256(content).hexdigest(), encoding="ascii")

    train.fit = fit
    try:
        shell(plan["words"])
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def ends(children: list[int]) -> list[int]:
    """Exit codes, negative the signal that has killed one; what hangs is killed."""
    codes: dict[int, int] = {}
    limit = time.monotonic() + LIMIT_S
    while len(codes) < len(children):
        for child in set(children) - set(codes):
            if time.monotonic() > limit:
                os.kill(child, signal.SIGKILL)
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                codes[child] = os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    return [codes[child] for child in children]


if __name__ == "__main__":
    main()
