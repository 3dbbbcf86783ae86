"""Sweeps: the same trials again, through kills and on other machines; the validation part decides."""

from __future__ import annotations

import json
import math
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import tomli_w

from ram.errors import ConfigError, DataError, TrainingError
from ram.runs.config import Experiment, load_experiment
from ram.runs.search import with_values
from ram.training import owner, sampler, study, trials
from ram.training.loop import Epoch
from ram.training.prepare import prepare
from ram.training.sweep import Sweep, sweep
from ram.training.train import train

SPACE: dict[str, Any] = {
    "training.learning_rate": {"low": 1e-4, "high": 1e-1, "log": True},
    "training.batch_size": {"low": 4, "high": 16, "step": 4},
    "model.widths": [[4, 6], [8, 8]],
}


@pytest.fixture
def experiment(disc_folder: Path) -> Callable[..., Experiment]:
    def make(**section: Any) -> Experiment:
        content = load_experiment(disc_folder / "discs.toml").model_dump()
        content["training"]["epochs"] = 3
        content["sweep"] = {"trials": 6, "random_trials": 3, "pruner": "none", "space": SPACE} | section
        return load_experiment(content)

    return make


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[Experiment]:
    """Replace training by a formula: best at a learning rate of 1e-2, a little better with small batches."""
    seen: list[Experiment] = []

    def train(
        experiment: Experiment, *, output: Path, resume: bool, progress: bool, on_epoch: Callable[[Epoch], None]
    ) -> None:
        seen.append(experiment)
        output.mkdir(parents=True, exist_ok=resume)
        (output / "config.toml").write_text(tomli_w.dumps(experiment.model_dump(mode="json")), encoding="utf-8")
        rows = []
        for epoch in range(1, experiment.training.epochs + 1):
            off = math.log10(experiment.training.learning_rate / 1e-2) ** 2 + 0.001 * experiment.training.batch_size
            row = Epoch(epoch, 1.0, 1.0, {"umbrella": 1.0}, off + 1.0 / epoch, best=True)
            rows.append(json.dumps(asdict(row)))
            (output / "history.jsonl").write_text("\n".join(rows), encoding="utf-8")
            on_epoch(row)
        (output / "manifest.json").write_text("{}", encoding="utf-8")

    monkeypatch.setattr(trials, "train", train)
    return seen


def work_of(experiment: Experiment, folder: Path, **changes: Any) -> trials.Work:
    values: dict[str, Any] = {
        "experiment": experiment.model_dump_json(),
        "folder": str(folder),
        "storage": str(folder / "journal.log"),
        "data_digest": "d",
        "silent_after_s": 60.0,
    }
    return trials.Work(**values | changes)


def figures(found: Sweep) -> list[tuple[int, str, float | None, dict[str, Any]]]:
    return [(trial.number, trial.state, trial.criterion, trial.values) for trial in found.trials]


# The same trials again


def test_the_same_seed_gives_the_same_trials_and_another_seed_others(
    experiment: Callable[..., Experiment], quick: list[Experiment], tmp_path: Path
) -> None:
    first, second = (sweep(experiment(), output=tmp_path / name) for name in "ab")
    assert (first.path / "sweep.json").read_bytes() == (second.path / "sweep.json").read_bytes()
    other = sweep(experiment(seed=1), output=tmp_path / "c")
    assert figures(other) != figures(first)
    assert len(quick) == 18
    assert len({one.training.learning_rate for one in quick}) == 12


@pytest.mark.parametrize(("pruner", "stop_at"), [("median", 1), ("halving", 7)])
@pytest.mark.usefixtures("quick")
def test_a_sweep_that_was_interrupted_draws_what_it_would_have_drawn(
    experiment: Callable[..., Experiment],
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    pruner: str,
    stop_at: int,
) -> None:
    tmp_path: Path = request.getfixturevalue("tmp_path")
    wanted = experiment(pruner=pruner, prune_after_trials=2, prune_after_epochs=1)
    whole = sweep(wanted, output=tmp_path / "whole")
    report, reports = trials._report, iter(range(1000))

    def interrupted(*words: Any) -> None:
        if next(reports) == stop_at:
            raise KeyboardInterrupt
        report(*words)

    monkeypatch.setattr(trials, "_report", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sweep(wanted, output=tmp_path / "cut")
    monkeypatch.setattr(trials, "_report", report)
    again = sweep(wanted, output=tmp_path / "cut")
    assert (again.path / "sweep.json").read_bytes() == (whole.path / "sweep.json").read_bytes()
    assert any(trial.state == "pruned" for trial in whole.trials)


@pytest.mark.slow
def test_a_sweep_that_was_killed_goes_on_as_if_it_had_not_been(
    experiment: Callable[..., Experiment], disc_folder: Path, tmp_path: Path
) -> None:
    wanted = experiment(trials=3, pruner="median")
    config = tmp_path / "sweep.toml"
    config.write_text(tomli_w.dumps(wanted.model_dump(mode="json")), encoding="utf-8")
    command = [sys.executable, "-m", "ram", "sweep", str(config), "--output", str(tmp_path / "cut")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    history = tmp_path / "cut" / "trials" / "0001" / "history.jsonl"
    limit = time.monotonic() + 120
    while not history.exists() and time.monotonic() < limit and process.poll() is None:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    told: list[trials.Trial] = []
    found = sweep(config, output=tmp_path / "cut", on_trial=told.append)
    assert [trial.number for trial in told] == [1, 2]  # trial 0 was complete
    whole = sweep(config, output=tmp_path / "whole")
    assert figures(found) == figures(whole)
    for number in (trial.number for trial in whole.trials if trial.run):
        name = f"trials/{number:04d}/checkpoint.safetensors"
        assert (found.path / name).read_bytes() == (whole.path / name).read_bytes()


def test_the_best_config_trains_to_the_run_of_its_trial(experiment: Callable[..., Experiment], tmp_path: Path) -> None:
    found = sweep(experiment(trials=3), output=tmp_path / "sweep")
    assert found.best.run is not None
    run = train(found.path / "best.toml", output=tmp_path / "run", progress=False)
    trial = found.path / found.best.run
    assert (run.path / "checkpoint.safetensors").read_bytes() == (trial / "checkpoint.safetensors").read_bytes()
    assert (run.path / "history.jsonl").read_bytes() == (trial / "history.jsonl").read_bytes()
    assert min(row["criterion"] for row in run.history) == found.best.criterion


def test_the_test_part_decides_nothing(changed_discs: Callable[..., Path], tmp_path: Path) -> None:
    def wrong(record: Any) -> Any:
        if record.split["default"] != "test":
            return record
        return replace(record, targets={"umbrella": 510.0 - 3 * record.targets["mass"], "mass": 40.0}, truth={})

    found = []
    for change in (None, wrong):
        content = load_experiment(changed_discs(change)).model_dump()
        content["sweep"] = {"trials": 2, "space": {"training.learning_rate": [1e-3, 1e-2]}}
        found.append(sweep(content, output=tmp_path / f"sweep {change is None}"))
    assert figures(found[0]) == figures(found[1])
    tested = [json.loads((one.path / str(one.best.run) / "metrics.json").read_text())["test"] for one in found]
    assert tested[0] != tested[1]  # the change was there to be seen


# What is kept, and what is said


def test_the_best_runs_are_kept_and_the_pruned_are_not(
    experiment: Callable[..., Experiment], quick: list[Experiment], tmp_path: Path
) -> None:
    section = {"trials": 12, "pruner": "median", "prune_after_trials": 3, "prune_after_epochs": 1, "keep": 2}
    found = sweep(experiment(**section), output=tmp_path / "sweep")
    complete = sorted((t for t in found.trials if t.state == "complete"), key=lambda t: (t.criterion, t.number))
    assert sorted(path.name for path in (tmp_path / "sweep/trials").iterdir()) == sorted(
        f"{trial.number:04d}" for trial in complete[:2]
    )
    assert found.best == complete[0]
    pruned = [trial for trial in found.trials if trial.state == "pruned"]
    assert pruned
    assert all(trial.epochs < 3 and trial.run is None for trial in pruned)
    worst = max(trial.criterion or 0.0 for trial in found.trials)
    assert worst in {trial.criterion for trial in pruned} | {trial.criterion for trial in complete[-3:]}


def test_what_the_criterion_depends_on_comes_first(
    experiment: Callable[..., Experiment], quick: list[Experiment], tmp_path: Path
) -> None:
    found = sweep(experiment(trials=20), output=tmp_path / "sweep")
    assert next(iter(found.importance)) == "training.learning_rate"
    assert found.importance["training.learning_rate"] > 0.8
    assert sum(found.importance.values()) == pytest.approx(1.0)
    assert abs(math.log10(found.best.values["training.learning_rate"] / 1e-2)) < 0.3
    content = json.loads((found.path / "sweep.json").read_text(encoding="utf-8"))
    assert content["best"]["values"] == found.best.values
    assert content["importance"] == found.importance
    assert (found.path / "importance.png").read_bytes().startswith(b"\x89PNG")
    few = sweep(experiment(trials=2), output=tmp_path / "few")
    assert few.importance == {}
    assert (few.path / "importance.png").is_file()


def test_more_trials_may_be_asked_for_and_nothing_else_may_change(
    experiment: Callable[..., Experiment], quick: list[Experiment], tmp_path: Path
) -> None:
    three = sweep(experiment(), output=tmp_path / "sweep", trials=3)
    five = sweep(experiment(keep=1), output=tmp_path / "sweep", trials=5)
    assert figures(five)[:3] == figures(three)
    assert len(quick) == 5
    assert len(list((tmp_path / "sweep/trials").iterdir())) == 1
    other = experiment(space={**SPACE, "training.learning_rate": {"low": 1e-3, "high": 1e-1, "log": True}})
    message = (
        r"'sweep\.space\.training\.learning_rate\.low' must be 0\.0001 as in the sweep that was begun\. Got 0\.001"
    )
    with pytest.raises(ConfigError, match=message):
        sweep(other, output=tmp_path / "sweep")
    with pytest.raises(ConfigError, match=r"'training\.epochs' must be 3 as in .* Got 4\. Undo the change"):
        sweep(experiment(), output=tmp_path / "sweep", overrides=["training.epochs=4"])


def test_other_data_are_refused(
    experiment: Callable[..., Experiment],
    quick: list[Experiment],
    changed_discs: Callable[..., Path],
    tmp_path: Path,
) -> None:
    sweep(experiment(trials=1), output=tmp_path / "sweep")
    other = changed_discs(count=40).with_name("discs.h5")
    with pytest.raises(ConfigError, match=r"the data's digest must be \w+ as in the sweep that was begun"):
        sweep(experiment(trials=1), output=tmp_path / "sweep", data=other)


def test_a_trial_that_fails_says_why_and_the_sweep_goes_on(
    experiment: Callable[..., Experiment], tmp_path: Path
) -> None:
    space = {"training.learning_rate": [1e-3, 1e30], "training.optimizer": ["adamw"]}
    found = sweep(experiment(trials=4, space=space, sampler="random"), output=tmp_path / "sweep")
    failed = [trial for trial in found.trials if trial.state == "failed"]
    assert 0 < len(failed) < 4
    assert all(trial.values["training.learning_rate"] == 1e30 for trial in failed)
    assert all("loss and gradient must be finite" in trial.error for trial in failed)
    assert found.best.values["training.learning_rate"] == 1e-3
    assert not any((found.path / f"trials/{trial.number:04d}").exists() for trial in failed)


def test_a_sweep_of_which_nothing_comes_stops(experiment: Callable[..., Experiment], tmp_path: Path) -> None:
    space = {"training.learning_rate": [1e30], "training.optimizer": ["adamw"]}
    message = r"trials of a sweep must be able to train\. Got 3 that failed and none that ended well, the last with"
    with pytest.raises(TrainingError, match=message):
        sweep(experiment(trials=9, space=space), output=tmp_path / "sweep")
    with pytest.raises(TrainingError, match="Got 1 failed, the last failed with 'TrainingError"):
        sweep(experiment(trials=1, space=space), output=tmp_path / "one")


# Processes that are gone


def someone_elses(work: trials.Work, who: dict[str, Any] | None) -> None:
    """A trial that another process has begun and never ends."""
    opened = trials.open_work(work)
    trial = opened.ask(study.distributions(work.content))
    if who is not None:
        trial.set_user_attr("owner", who)


def test_a_trial_is_done_again_where_its_process_is_gone(
    experiment: Callable[..., Experiment], quick: list[Experiment], tmp_path: Path
) -> None:
    here, now = owner.this_process(), time.time()
    gone = [
        here | {"pid": 2**22 + 1},
        here | {"start": "1"},
        here | {"boot": "another", "alive_at": now - 61},
        here | {"host": "another", "alive_at": now - 61},
    ]
    alive = [here, here | {"host": "another", "alive_at": now - 20}]
    for number, (who, is_gone) in enumerate([*((one, True) for one in gone), *((one, False) for one in alive)]):
        work = work_of(experiment(trials=1), tmp_path / str(number))
        someone_elses(work, who)
        drawn = trials.trials_of(trials.open_work(work), work)[0].values
        done = trials.do_trial(work)
        assert (done is not None) is is_gone, who
        if done is not None:
            assert (done.number, done.state, done.values) == (0, "complete", drawn)
    assert len(quick) == len(gone)


def test_a_trial_is_not_begun_for_ever(
    experiment: Callable[..., Experiment], quick: list[Experiment], tmp_path: Path
) -> None:
    work = work_of(experiment(trials=2), tmp_path)
    for _ in range(5):
        someone_elses(work, {"alive_at": 0.0})
        trials.again_where_gone(trials.open_work(work), work)
    first, *others = trials.trials_of(trials.open_work(work), work)
    assert (first.number, first.state) == (0, "failed")
    assert first.error == "its process ended 5 times before the trial did"
    assert not others
    assert trials.do_trial(work).number == 1  # type: ignore[union-attr]


def test_two_processes_do_not_do_the_same_trial_again(
    experiment: Callable[..., Experiment], quick: list[Experiment], tmp_path: Path
) -> None:
    work = work_of(experiment(trials=1), tmp_path)
    someone_elses(work, {"alive_at": 0.0})
    first, second = trials.open_work(work), trials.open_work(work)
    seen = second.get_trials()  # both have seen it run
    trials.again_where_gone(first, work)
    assert not trials._fails(second, seen[0], final=False)
    assert [trial.state.name for trial in trials.open_work(work).trials] == ["FAIL", "WAITING"]


def test_a_run_that_was_finished_is_not_trained_again(experiment: Callable[..., Experiment], tmp_path: Path) -> None:
    work = work_of(experiment(trials=1), tmp_path)
    someone_elses(work, {"alive_at": 0.0})
    drawn = trials.trials_of(trials.open_work(work), work)[0].values
    run = train(with_values(work.content, drawn), output=tmp_path / "trials" / "0000", progress=False)
    (run.path / ".lock").write_text('{"pid": 1, "host": "another"}', encoding="utf-8")
    before = (run.path / "manifest.json").stat().st_mtime_ns
    done = trials.do_trial(work)
    assert done is not None
    assert (done.state, done.criterion, done.epochs) == ("complete", min(row["criterion"] for row in run.history), 3)
    assert (run.path / "manifest.json").stat().st_mtime_ns == before


def test_the_number_of_a_trial_does_not_depend_on_how_often_others_were_done_again() -> None:
    def made(number: int, **attributes: int) -> optuna.trial.FrozenTrial:
        trial = optuna.trial.create_trial(state=optuna.trial.TrialState.RUNNING, user_attrs=attributes)
        trial.number = number
        return trial

    all_trials = [made(0), made(1), made(2, slot=0), made(3), made(4, slot=3), made(5, slot=0), made(6)]
    assert [sampler.slot_of(trial, all_trials) for trial in all_trials] == [0, 1, 0, 2, 3, 0, 3]


# Where trials are kept


def test_a_line_that_was_cut_off_is_taken_away(
    experiment: Callable[..., Experiment], quick: list[Experiment], tmp_path: Path
) -> None:
    whole = sweep(experiment(), output=tmp_path / "whole")
    sweep(experiment(), output=tmp_path / "cut", trials=3)
    journal = tmp_path / "cut" / "journal.log"
    with journal.open("ab") as file:
        file.write(b'{"op_code":4,"worker_id":"x')  # a disk that was full, a machine that lost its power
    again = sweep(experiment(), output=tmp_path / "cut")
    assert figures(again) == figures(whole)
    content = journal.read_bytes()
    journal.write_bytes(content.replace(b'{"op_code":4', b"<", 1))
    with pytest.raises(DataError, match=r"journal\.log: a sweep's journal must be whole\. .* Restore it from a copy"):
        sweep(experiment(), output=tmp_path / "cut")


@pytest.mark.slow
def test_a_database_keeps_the_trials_of_all(
    experiment: Callable[..., Experiment], quick: list[Experiment], tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'sweeps.db'}"
    journal = sweep(experiment(), output=tmp_path / "journal")
    first = sweep(experiment(), output=tmp_path / "a", storage=url, trials=4)
    second = sweep(experiment(), output=tmp_path / "b", storage=url)
    assert figures(second) == figures(journal)  # where they are kept does not matter
    assert figures(second)[:4] == figures(first)
    assert not list(tmp_path.glob("[ab]/journal.log"))
    assert second.best.run is None or (second.path / second.best.run).is_dir()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (
            "postgresql://me:secret@127.0.0.1:1/x",
            r"postgresql://me:\*\*\*@127\.0\.0\.1:1/x: --storage must be a database",
        ),
        ("sqlite:////no/such/folder/x.db", r"Got 'unable to open database file'\. Start the database, or correct"),
        ("foo://x", r"Got 'Can't load plugin: sqlalchemy\.dialects:foo'\. Such as sqlite:///sweep\.db"),
    ],
)
def test_a_database_that_cannot_be_opened(
    experiment: Callable[..., Experiment], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, url: str, message: str
) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    with pytest.raises(ConfigError, match=message) as error:
        sweep(experiment(), output=tmp_path / "sweep", storage=url)
    assert "secret" not in str(error.value)
    assert not (tmp_path / "sweep").exists()


# What may be searched

WRONG: dict[str, tuple[Any, str]] = {
    "mistyped": ({"training.learnig_rate": {"low": 1, "high": 2}}, "Did you mean 'training.learning_rate'"),
    "a word": (
        {"training.learning_rate": {"lo": 1e-4, "high": 1.0}},
        r"Got 'sweep\.space\..*\.lo'\. Did you mean 'low'",
    ),
    "beyond": ({"training.learning_rate": {"low": -1.0, "high": 1.0}}, r"must be greater than 0\. Got -1\.0"),
    "reversed": ({"training.learning_rate": {"low": 2.0, "high": 1.0}}, "must be a range whose low is below its high"),
    "log of 0": (
        {"training.weight_decay": {"low": 0, "high": 1, "log": True}},
        "must be a range above 0 without a step",
    ),
    "half": ({"training.batch_size": {"low": 1.5, "high": 4}}, r"must be of whole numbers\. Got 1\.5 to 4"),
    "no number": (
        {"training.loss": {"low": 1, "high": 4}},
        r"a range must be of numbers\. Got 1 to 4 for 'training\.loss'",
    ),
    "choice": ({"training.loss": ["huber", "hubber"]}, r"must be 'huber' or 'squared'\. Got 'hubber'"),
    "no choice": ({"training.loss": []}, r"must be a range \{ low = \.\.\., high = \.\.\. \} or a list of values"),
    "one": ({"training.loss": "huber"}, r"must be a range \{ low = \.\.\., high = \.\.\. \} or a list of values"),
    "both": ({"training.depth": {"low": 1, "choices": [1]}}, "must be a range or a list of values, not both"),
    "seed": ({"seed": [1, 2]}, "the best of several seeds is luck"),
    "split": ({"data.split": ["a", "b"]}, "Errors of other data or targets cannot be compared"),
    "nothing": ({}, "should have at least 1 item"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_space_that_cannot_be_searched_is_refused(experiment: Callable[..., Experiment], name: str) -> None:
    space, message = WRONG[name]
    with pytest.raises(ConfigError, match=message):
        experiment(space=space)


def test_a_key_may_be_written_without_quotes(experiment: Callable[..., Experiment]) -> None:
    nested = {"training": {"learning_rate": SPACE["training.learning_rate"], "loss": ["huber", "squared"]}}
    found = experiment(space=nested).sweep
    assert found is not None
    assert list(found.space) == ["training.learning_rate", "training.loss"]


def test_values_are_drawn_from_the_space(
    experiment: Callable[..., Experiment], quick: list[Experiment], tmp_path: Path
) -> None:
    sweep(experiment(trials=30, sampler="random"), output=tmp_path / "sweep")
    rates = np.array([one.training.learning_rate for one in quick])
    assert ((rates >= 1e-4) & (rates <= 1e-1)).all()
    assert 0.2 < np.mean(np.log10(rates) < -2.5) < 0.8  # evenly in the logarithm
    assert {one.training.batch_size for one in quick} == {4, 8, 12, 16}
    assert {one.model.widths for one in quick} == {(4, 6), (8, 8)}
    assert all(one.sweep is None and one.seed == 3 for one in quick)


# The shell


def test_the_command(
    shell: Callable[..., tuple[int, str, str]],
    quick: list[Experiment],
    disc_folder: Path,
    tmp_path: Path,
) -> None:
    text = (disc_folder / "discs.toml").read_text(encoding="utf-8").replace('"discs.h5"', f'"{disc_folder}/discs.h5"')
    config = tmp_path / "discs.toml"
    config.write_text(
        f"{text}\n[sweep]\ntrials = 5\n[sweep.space]\ntraining.learning_rate = {{ low = 1e-4, high = 1e-2 }}\n"
    )
    code, out, err = shell("sweep", config, "--output", tmp_path / "sweep", "--json")
    assert code == 0
    content = json.loads(out)
    assert len(content["trials"]) == 5
    assert content["folder"] == str(tmp_path / "sweep")
    assert err.count("trial ") == 5
    code, out, err = shell("sweep", config, "--output", tmp_path / "sweep")
    assert (code, err) == (0, "")
    assert "the best of 5 trials (5 complete)" in out
    assert f"best: {tmp_path / 'sweep' / 'best.toml'}" in out
    code, _, err = shell("sweep", disc_folder / "discs.toml", "--output", tmp_path / "none")
    assert code == 2
    assert "the experiment must be one with a section [sweep.space]. Got none." in err


def test_without_optuna_it_is_said_what_to_install(
    experiment: Callable[..., Experiment], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"Optuna must be installed\. Got none\. pip install '.*\[sweep\]'"):
        sweep(experiment(), output=tmp_path / "sweep")


# Several processes


@pytest.mark.slow
def test_processes_side_by_side_part_the_trials_and_one_that_is_killed_costs_nothing(
    experiment: Callable[..., Experiment], tmp_path: Path
) -> None:
    config = tmp_path / "sweep.toml"
    config.write_text(tomli_w.dumps(experiment(trials=10).model_dump(mode="json")), encoding="utf-8")
    for storage in ("", f"sqlite:///{tmp_path / 'sweeps.db'}"):
        folder = tmp_path / f"sweep {bool(storage)}"
        command = [sys.executable, "-m", "ram", "sweep", str(config), "--output", str(folder)]
        command += ["--storage", storage] if storage else []
        processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
        limit = time.monotonic() + 120
        while len(list(folder.glob("trials/*/history.jsonl"))) < 3 and time.monotonic() < limit:
            time.sleep(0.005)
        processes[0].kill()
        errors = [process.communicate(timeout=300)[1] for process in processes]
        assert [process.returncode for process in processes[1:]] == [0, 0], errors
        found = sweep(config, output=folder, storage=storage or None)
        assert [trial.number for trial in found.trials] == list(range(10))
        assert {trial.state for trial in found.trials} == {"complete"}
        told = [line.split(":")[0] for text in errors for line in text.splitlines() if line.startswith("trial ")]
        assert len(told) == len(set(told)) == 10  # each once


@pytest.mark.slow
def test_a_pool_whose_worker_is_killed_goes_on(experiment: Callable[..., Experiment], tmp_path: Path) -> None:
    killed: list[int] = []

    def kill_one(trial: trials.Trial) -> None:
        if not killed:
            opened = trials.open_work(work)
            running = [t for t in opened.trials if t.state.name == "RUNNING" and "owner" in t.user_attrs]
            if running:
                killed.append(int(running[0].user_attrs["owner"]["pid"]))
                assert running[0].user_attrs["owner"]["host"] == socket.gethostname()
                os.kill(killed[0], signal.SIGKILL)

    wanted = experiment(trials=8)
    work = work_of(wanted, tmp_path / "sweep", data_digest=prepare(wanted).data.digest)
    found = sweep(wanted, output=tmp_path / "sweep", jobs=2, on_trial=kill_one)
    assert killed
    assert [(trial.number, trial.state) for trial in found.trials] == [(number, "complete") for number in range(8)]
