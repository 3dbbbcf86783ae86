"""The training script of docs/cluster.md, run by bash as SLURM would: real tasks, a signal, and the same job again."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "cluster.md"

# Starts the tasks, each on a machine of its own for all it knows, and ends with the highest of their exit codes.
SRUN = """\
import os, subprocess, sys
words = sys.argv[1:]
while words[0].startswith("--"):
    words.pop(0)
count = int(os.environ["SLURM_NTASKS"])
places = [
    {"SLURM_STEP_ID": "0", "SLURM_PROCID": str(rank), "SLURM_NODEID": str(rank), "SLURM_LOCALID": "0"}
    for rank in range(count)
]
tasks = [subprocess.Popen(words, env={**os.environ, **place}) for place in places]
with open("tasks", "w") as file:
    file.write(" ".join(str(task.pid) for task in tasks))
codes = [task.wait() for task in tasks]
with open("codes", "a") as file:
    file.write(f"{codes}\\n")
sys.exit(max(code if code >= 0 else 128 - code for code in codes))
"""
PROGRAMS = {
    "srun": SRUN,
    "ram": "from ram.cli import main\nmain()\n",
    "scontrol": "open('said', 'a').write(str(sys.argv[1:]))",
}


def script_of(config: Path) -> str:
    """The page's script for training, on a processor and with a small experiment."""
    (script,) = [
        block
        for block in re.findall(r"```bash\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
        if "ram train" in block
    ]
    for old, new in (
        ("experiments/wheel.toml", str(config)),
        ("--set training.device=cuda", "--set training.epochs=80 --set training.batch_size=6"),
    ):
        assert old in script
        script = script.replace(old, new)
    return script


def job_number() -> str:
    """A job's number: the last four digits choose the port, which must be free."""
    for number in range(1000 + os.getpid() % 5000, 9999):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", 15000 + number)):
                return f"7{number}"
    raise AssertionError("no free port")


def start(script: str, folder: Path, programs: Path, number: str) -> subprocess.Popen[str]:
    """Run a batch script with what sbatch says to it: two machines as in the script, a task each."""
    assert "--nodes=2" in script
    name = re.search(r"--job-name=(\S+)", script)
    assert name
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("SLURM_")},
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "SLURM_JOB_ID": number,
        "SLURM_JOB_NAME": name[1],
        "SLURM_NNODES": "2",
        "SLURM_NTASKS": "2",
        "SLURM_NTASKS_PER_NODE": "1",
        "SLURM_NODELIST": "localhost,localhost",
    }
    folder.mkdir(exist_ok=True)
    return subprocess.Popen(
        ["bash", "-c", script], cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of each file of a run that no clock has a part in."""
    timed = {"times.json", "manifest.json"}
    files = [file for file in sorted(folder.rglob("*")) if file.is_file() and file.name not in timed]
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.mark.slow
def test_a_job_that_is_signalled_is_queued_again_and_ends_as_if_it_had_not_been(
    disc_folder: Path, tmp_path: Path
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, code in PROGRAMS.items():
        (programs / name).write_text(f"#!{sys.executable}\nimport sys\n{code}", encoding="utf-8")
        (programs / name).chmod(0o755)
    script, number = script_of(disc_folder / "discs.toml"), job_number()
    cut, whole = tmp_path / "cut", tmp_path / "whole"
    first = start(script, cut, programs, number)
    limit = time.monotonic() + 200
    while not (cut / "runs/wheel/history.jsonl").exists() and time.monotonic() < limit and first.poll() is None:
        time.sleep(0.01)
    for task in (cut / "tasks").read_text(encoding="ascii").split():
        os.kill(int(task), signal.SIGUSR1)
    _, err = first.communicate(timeout=200)
    assert first.returncode == 0, err
    assert err.count("Stopped by SIGUSR1: go on with 'ram train --resume") == 1, err
    assert (cut / "said").read_text(encoding="utf-8") == f"['requeue', '{number}']"
    assert not (cut / "runs/wheel/manifest.json").exists()
    for folder in (cut, whole):
        job = start(script, folder, programs, number)
        _, err = job.communicate(timeout=300)
        assert job.returncode == 0, err
    assert (cut / "codes").read_text(encoding="ascii").split("\n")[:2] == ["[75, 75]", "[0, 0]"]
    assert (cut / "said").read_text(encoding="utf-8").count("requeue") == 1
    assert digests(cut / "runs/wheel") == digests(whole / "runs/wheel")
