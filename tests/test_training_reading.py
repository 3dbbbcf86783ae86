"""Weights, padding, and ways of reading, as training meets them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ram.data.spec import Record
from ram.errors import ConfigError, DataError
from ram.runs.config import load_experiment
from ram.training.loop import Fit, _loss, fit
from ram.training.prepare import Prepared, prepare

# Weights and padding


def test_a_sample_counts_as_its_weight_says() -> None:
    predicted, wanted = torch.tensor([[1.0], [2.0], [5.0]]), torch.tensor([[0.0], [0.0], [1.0]])
    plain = _loss(predicted, wanted, kind="squared")
    assert float(plain) == pytest.approx((0.5 + 2.0 + 8.0) / 3)
    weighted = _loss(predicted, wanted, kind="squared", weights=torch.tensor([2.0, 1.0, 0.0], dtype=torch.float64))
    assert float(weighted) == pytest.approx((2 * 0.5 + 2.0) / 3)
    twice = _loss(predicted[[0, 0, 1]], wanted[[0, 0, 1]], kind="squared")
    assert float(weighted) == pytest.approx(float(twice))
    missing = torch.tensor([[float("nan")], [0.0], [1.0]])
    assert float(_loss(predicted, missing, kind="squared", weights=torch.ones(3).double())) == pytest.approx(10.0 / 2)


def test_a_sample_without_weight_changes_nothing(changed_discs: Callable[..., Path]) -> None:
    """Two runs that differ in the target and the input of a sample of weight 0 learn the same."""

    def losses(value: float) -> list[float]:
        def change(record: Record) -> Record:
            if record.id != "d000":
                return record
            return replace(record, targets={"umbrella": value, "mass": 1.0}, x=record.x + value, weight=0.0)

        prepared = prepare(load_experiment(changed_discs(change, weighted=True)))
        assert "d000" in prepared.train.data.ids
        taken: list[float] = []
        fit(prepared.regressor, prepared.train, prepared.validation, fit=_quiet_fit(prepared, taken))
        return taken

    assert losses(600.0) == pytest.approx(losses(450.0), rel=1e-3)  # its own gradient is nothing but rounding


def test_weights_count_in_every_scaling_as_repetitions_do(changed_discs: Callable[..., Path]) -> None:
    """Weights of whole numbers give the means and scales of a data set in which samples stand several times."""
    counts: dict[str, int] = {}

    def change(record: Record) -> Record:
        counts[record.id] = int(record.id[1:]) % 3
        targets = record.targets if int(record.id[1:]) % 5 else {**record.targets, "umbrella": float("nan")}
        return replace(record, weight=float(counts[record.id]), targets=targets)

    prepared = prepare(load_experiment(changed_discs(change, weighted=True)))
    train, net = prepared.train.data, prepared.regressor
    rows = np.repeat(np.arange(len(train)), [counts[name] for name in train.ids])
    targets, x = train.target_array(list(prepared.experiment.data.targets))[rows], train.x(rows).astype(np.float64)
    np.testing.assert_allclose(net.target_mean, np.nanmean(targets, axis=0), rtol=1e-12)
    np.testing.assert_allclose(net.target_scale, np.nanstd(targets, axis=0), rtol=1e-12)
    np.testing.assert_allclose(net.input_mean.flatten(), x.mean(axis=(0, 2, 3)), rtol=1e-5)
    np.testing.assert_allclose(net.input_scale.flatten(), x.std(axis=(0, 2, 3)), rtol=1e-5)
    assert len(set(counts.values())) == 3
    assert np.isnan(targets).any()


def test_a_target_that_only_samples_without_weight_have_is_refused(changed_discs: Callable[..., Path]) -> None:
    def change(record: Record) -> Record:
        known = int(record.id[1:]) % 2 == 0
        targets = record.targets if known else {**record.targets, "umbrella": float("nan")}
        return replace(record, weight=0.0 if known else 1.0, targets=targets)

    wanted = (
        r"discs\.h5:/targets/umbrella: the target must be of different values .* weight above 0\. Got none measured"
    )
    config = changed_discs(change, weighted=True)
    with pytest.raises(DataError, match=wanted):
        prepare(load_experiment(config))


def _quiet_fit(prepared: Prepared, losses: list[float]) -> Fit:
    experiment = prepared.experiment
    rows = prepared.train.data.indices
    keep = lambda epoch: losses.append(epoch.loss)  # noqa: E731
    return Fit(experiment.training, experiment.seed, prepared.group, rows, keep, lambda count: None)


def test_weights_of_nothing_but_zero_are_refused(changed_discs: Callable[..., Path]) -> None:
    config = changed_discs(lambda record: replace(record, weight=0.0), weighted=True)
    wanted = r"discs\.h5:/weights"
    with pytest.raises(DataError, match=wanted):
        prepare(load_experiment(config))


def test_padding_does_not_shift_the_scaling_of_the_inputs(changed_discs: Callable[..., Path]) -> None:
    measured: dict[str, np.ndarray] = {}

    def padded(value: float) -> Callable[[Record], Record]:
        def change(record: Record) -> Record:
            x = record.x.copy()
            if record.split["default"] == "train":
                measured[record.id] = record.x[..., :10]
            x[..., 10:] = value
            return replace(record, x=x, length=10)

        return change

    found = []
    for value in (0.0, 900.0):
        config = changed_discs(padded(value), lengths=True)
        found.append(prepare(load_experiment(config, overrides=["training.augment=false"])).regressor)
    assert torch.equal(found[0].input_mean, found[1].input_mean)
    assert torch.equal(found[0].input_scale, found[1].input_scale)
    x = np.stack(list(measured.values()))
    np.testing.assert_allclose(found[0].input_mean.flatten(), x.mean(axis=(0, 2, 3)), rtol=1e-5)


# How inputs are read


def test_a_net_is_the_same_whether_its_inputs_are_in_memory_or_read(changed_discs: Callable[..., Path]) -> None:
    for stored in ({}, {"compression": "gzip", "block_rows": 4}):
        config = changed_discs(**stored)
        trained = []
        for budget in ("1 GB", "20 kB"):
            prepared = prepare(load_experiment(config, overrides=[f"data.memory_budget={budget}"]))
            fit(prepared.regressor, prepared.train, prepared.validation, fit=_quiet_fit(prepared, []))
            trained.append(prepared)
        kinds = [prepared.train.loading.kind for prepared in trained]
        assert kinds == ["memory", "blocks" if stored else "mapped"]
        for one, other in zip(*(prepared.regressor.state_dict().values() for prepared in trained), strict=True):
            assert torch.equal(one, other)


@pytest.mark.parametrize("budget", ["4", "4 gigs", "0 GiB", "-1 GB", "lots"])
def test_a_budget_that_is_no_size_is_refused(disc_folder: Path, budget: str) -> None:
    wanted = r"'data\.memory_budget' must be a size such as '4 GiB' or '500 MB'\. Got .*What inputs may take in memory"
    with pytest.raises(ConfigError, match=wanted):
        load_experiment(disc_folder / "discs.toml", overrides=[f"data.memory_budget={budget}"])
