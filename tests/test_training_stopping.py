"""What a signal does to work that may be stopped, and what it does afterwards."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from ram.errors import ConfigError, DataError, Stopped
from ram.runs.run import open_run
from ram.training import loop, resuming
from ram.training.stopping import SIGNALS, stopping
from ram.training.train import train


def handlers() -> list[object]:
    return [signal.getsignal(number) for number in SIGNALS]


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_a_signal_is_kept_until_it_is_asked_for(number: signal.Signals) -> None:
    before = handlers()
    with pytest.raises(Stopped, match=f"Stopped by {number.name}: go on"), stopping() as stop:
        stop.says = "go on"
        signal.raise_signal(number)
        assert stop.requested
        stop.check()
    assert handlers() == before


def test_a_signal_that_nothing_answered_leaves_at_the_end() -> None:
    done = []
    with pytest.raises(Stopped), stopping():
        signal.raise_signal(signal.SIGTERM)
        done.append("all")
    assert done == ["all"]


def test_where_nothing_is_written_a_signal_leaves_at_once() -> None:
    with pytest.raises(Stopped, match="nothing was written"), stopping() as stop, stop.at_once():
        signal.raise_signal(signal.SIGINT)
        pytest.fail("went on")


def test_a_second_signal_does_what_it_did_before() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    try:
        with pytest.raises(KeyboardInterrupt) as found, stopping():
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGTERM)  # one `timeout` sends two: they are one
            time.sleep(0.15)
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    assert type(found.value) is KeyboardInterrupt


def test_a_stop_is_an_interrupt_and_ends_a_script_with_75() -> None:
    assert issubclass(Stopped, KeyboardInterrupt)
    assert not issubclass(Stopped, Exception)
    code = "from ram.errors import Stopped; raise Stopped('x')"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 75


def test_outside_the_main_thread_handlers_stay() -> None:
    seen: list[list[object]] = []

    def work() -> None:
        with stopping():
            seen.append(handlers())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [handlers()]


def test_the_shell_says_how_to_go_on_and_a_second_signal_ends_it(disc_folder: Path, tmp_path: Path) -> None:
    code = (
        "import os, signal, sys, time, ram.training.loop as loop, ram.cli\n"
        "real = loop.Course.count\n"
        "def count(*words):\n"
        "    os.kill(os.getpid(), signal.SIGUSR1)\n"
        "    if sys.argv[1] == 'twice':\n"
        "        time.sleep(0.2)\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "    real(*words)\n"
        "loop.Course.count = count\n"
        f"ram.cli.main(['train', {str(disc_folder / 'discs.toml')!r}, '--output', sys.argv[2]])\n"
    )
    once, twice = (
        subprocess.run(
            [sys.executable, "-c", code, word, str(tmp_path / word)], capture_output=True, text=True, check=False
        )
        for word in ("once", "twice")
    )
    assert once.returncode == 75, once.stderr
    assert f"Stopped by SIGUSR1: go on with 'ram train --resume {tmp_path / 'once'}'." in once.stderr
    assert "Traceback" not in once.stderr
    assert twice.returncode == -signal.SIGTERM
    assert not (tmp_path / "twice" / "training.safetensors").exists()


# What must be as it was


@pytest.fixture
def begun(disc_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a run that was stopped in its first epoch."""
    real = loop.Course.count

    def count(*words: object) -> None:
        signal.raise_signal(signal.SIGTERM)
        real(*words)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(loop.Course, "count", count)
        with pytest.raises(Stopped):
            train(disc_folder / "discs.toml", output=tmp_path / "run", progress=False)
    return tmp_path / "run"


def test_another_experiment_is_refused_and_another_number_of_workers_is_not(disc_folder: Path, begun: Path) -> None:
    wanted = r"the one that the run was begun with. Got seed: 3, now 4; training.epochs: 2, now 5. Choose another"
    with pytest.raises(ConfigError, match=wanted):
        train(begun, resume=True, overrides=["seed=4", "training.epochs=5"])
    run = train(disc_folder / "discs.toml", output=begun, resume=True, overrides=["training.workers=1"], progress=False)
    assert [row["epoch"] for row in run.history] == [1, 2]
    assert run.config.training.workers == 0  # as it was begun
    modified = (begun / "manifest.json").stat().st_mtime_ns
    assert train(begun, resume=True).path == begun  # finished: nothing to do
    assert (begun / "manifest.json").stat().st_mtime_ns == modified


def test_other_data_are_refused(begun: Path, changed_discs) -> None:
    other = changed_discs(count=40).with_name("discs.h5")
    with pytest.raises(DataError, match=r"the data must be those that the run was begun with, digest \w+. Got \w+"):
        train(begun, resume=True, data=other)


def test_another_environment_is_said_and_noted(
    begun: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = json.loads((begun / "provenance.json").read_text(encoding="utf-8"))
    said["versions"]["torch"] = "2.10.0"
    (begun / "provenance.json").write_text(json.dumps(said), encoding="utf-8")
    run = train(begun, resume=True)
    now = run.provenance["resumed"]
    assert len(now) == 1
    assert now[0][0].startswith('versions.torch: "2.10.0", now ')
    assert (
        "goes on elsewhere than it was started, so that the last bits may differ: versions.torch"
        in capsys.readouterr().err
    )


def test_a_folder_of_something_else_is_refused(disc_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"a run must be begun by 'ram train'. Got a folder without config.toml"):
        train(disc_folder / "discs.toml", output=tmp_path, resume=True)
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]
    with pytest.raises(ConfigError, match=r"an experiment must be a TOML file. Got a folder. Add --resume"):
        train(tmp_path)


def test_a_run_that_is_being_written_is_refused_at_once(begun: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with resuming.locked(begun):
        monkeypatch.setattr("ram.training.train.prepare", lambda *_, **__: pytest.fail("prepared"))
        with pytest.raises(ConfigError, match=f"the run's folder must be free. Got process {os.getpid()} at work"):
            train(begun, resume=True)


def test_a_state_of_another_run_is_refused(begun: Path, disc_folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    finished = train(disc_folder / "discs.toml", output=other, overrides=["seed=4"], progress=False)
    assert open_run(other).history == finished.history
    (begun / "training.safetensors").write_bytes((other / "training.safetensors").read_bytes())
    with pytest.raises(ConfigError, match=r"training.safetensors: the config must be \w+. Got one of \w+"):
        train(begun, resume=True, progress=False)
