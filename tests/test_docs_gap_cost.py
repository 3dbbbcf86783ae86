"""The page on what pooling costs is what its command writes from the kept figures."""

import importlib.util
import json
import re
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def command():
    specification = importlib.util.spec_from_file_location("gap_cost_command", ROOT / "docs" / "gap_cost.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def result():
    return json.loads((ROOT / "experiments/wheel_dense_head.json").read_text(encoding="utf-8"))


def test_the_page_is_current(command, result):
    page = (ROOT / "docs/gap_cost.md").read_text(encoding="utf-8")
    assert command.written(page, result) == page, "run `make numbers`"


def test_the_tables_hold_mean_and_spread_over_seeds(command, result):
    maes = [result["runs"][f"gap-{seed}"]["mae"]["test"]["umbrella"] for seed in (1, 2, 3)]
    row = next(line for line in command.table_of_errors(result).splitlines() if line.startswith("| GAP from the start"))
    assert row.split("|")[2].strip() == f"{np.mean(maes):.2f} ± {np.std(maes, ddof=1):.2f}"


def test_what_is_measured_of_a_run(command, disc_run):
    found = command.measured(disc_run)
    metrics = json.loads((disc_run / "metrics.json").read_text(encoding="utf-8"))
    assert found["mae"]["test"]["mass"] == metrics["test"]["mass"]["mae"]
    assert found["maps"]["method"] == "ram"
    assert found["maps"]["residual"] < 1e-4 * found["maps"]["difference"]
    assert found["adaptation"] is None
    assert re.fullmatch(r"[0-9a-f]{32}", found["data"])
