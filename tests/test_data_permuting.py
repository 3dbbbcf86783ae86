"""Targets that were given to other samples: which, by what, and that a run of them says so."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

import ram
from ram.data.permuting import permute_targets
from ram.errors import ConfigError
from ram.views.sections import page
from ram.views.story import tell


def test_targets_go_to_others_of_the_same_part_and_the_test_part_keeps_its_own(disc_folder: Path) -> None:
    data = ram.open_dataset(disc_folder / "discs.h5")
    moved = permute_targets(data, split="default", seed=1)
    for part in ("train", "validation"):
        one, other = (of.subset(part).target_array() for of in (data, moved))
        assert not np.array_equal(one, other)
        np.testing.assert_array_equal(
            *(np.sort(rows.view([("", rows.dtype)] * rows.shape[1]), axis=0) for rows in (one, other))
        )
        np.testing.assert_array_equal(data.subset(part).x(), moved.subset(part).x())
    np.testing.assert_array_equal(data.subset("test").target_array(), moved.subset("test").target_array())
    again, other = permute_targets(data, split="default", seed=1), permute_targets(data, split="default", seed=2)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(again)).target_array(), moved.target_array())
    assert not np.array_equal(other.target_array(), moved.target_array())


def test_a_run_of_permuted_targets_keeps_them_and_says_so(disc_folder: Path, tmp_path: Path) -> None:
    text = (disc_folder / "discs.toml").read_text(encoding="utf-8")
    (tmp_path / "discs.toml").write_text(text.replace('"discs.h5"', f'"{disc_folder / "discs.h5"}"'), encoding="utf-8")
    changes = ["data.permute_targets=1", "training.epochs=1"]
    run = ram.train(tmp_path / "discs.toml", output=tmp_path / "run", overrides=changes, progress=False)
    run = ram.open_run(run.path)
    expected = permute_targets(ram.open_dataset(disc_folder / "discs.h5"), split="default", seed=1)
    np.testing.assert_array_equal(run.data().target_array(), expected.target_array())
    assert "permute_targets = 1" in (run.path / "config.toml").read_text(encoding="utf-8")
    said, *_ = page(tell(run))["warnings"]
    assert said.startswith(
        "This net learned from permuted targets (data.permute_targets): its numbers and maps mean nothing."
    )
    with pytest.raises(
        ConfigError, match=r"^data\.permute_targets: the experiment must be without maps known from physics"
    ):
        ram.train(
            tmp_path / "discs.toml", output=tmp_path / "other", progress=False,
            overrides=[*changes, "training.map_supervision.weight=1"],
        )  # fmt: skip
