"""Inputs varied as another day in the laboratory would: gain, noise, a trigger that comes late."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import ram
from ram.errors import ConfigError
from ram.runs.config import VariationConfig, load_experiment
from ram.training.variation import Variation, coloured, shifted


def varied(x: torch.Tensor, rows: list[int], *, epoch: int = 1, seed: int = 0, scale: float = 1.0, **config: float):
    settings = VariationConfig.model_validate(config)
    variation = Variation.of(settings, seed=seed, input_scale=torch.full((x.shape[1],), scale))
    assert variation is not None
    return variation.apply(x, rows=np.array(rows), epoch=epoch)


def test_a_draw_depends_on_seed_epoch_and_row_alone():
    x = torch.randn(4, 2, 50, generator=torch.Generator().manual_seed(0))
    whole = varied(x, [3, 8, 1, 5], gain=0.2, noise=0.1, shift=4)
    apart = torch.cat([varied(x[i : i + 1], [row], gain=0.2, noise=0.1, shift=4) for i, row in enumerate([3, 8, 1, 5])])
    assert torch.equal(whole, apart)
    for other in ({"epoch": 2}, {"seed": 1}):
        assert not torch.equal(whole, varied(x, [3, 8, 1, 5], gain=0.2, noise=0.1, shift=4, **other))


def test_gain_and_noise_are_as_large_as_was_asked_for():
    x, rows = torch.ones(2000, 1, 64), list(range(2000))
    gains = varied(x, rows, gain=0.3)
    assert torch.equal(gains, gains[..., :1].expand_as(gains))  # one gain for the whole of a sample
    assert gains[:, 0, 0].log().std().item() == pytest.approx(0.3, rel=0.06)  # 4 standard errors
    noise = varied(x, rows, noise=0.5, scale=4.0) - x
    assert noise.std().item() == pytest.approx(2.0, rel=0.02)
    assert abs(noise.mean().item()) < 0.03


def test_a_colour_is_a_gain_for_each_frequency_and_no_delay():
    time = torch.arange(1024) / 1024
    tones = {cycles: torch.sin(2 * torch.pi * cycles * time)[None] for cycles in (16, 128, 400)}
    draw = np.random.default_rng(0)
    logs = []
    for _ in range(300):
        heights, phases = 0.3 * draw.standard_normal(3), draw.uniform(0, 2, 3)
        found = []
        for tone in tones.values():
            middle = slice(300, 700)  # at the ends the tone begins and breaks off
            heard, own = coloured(tone, heights, phases)[0, middle], tone[0, middle]
            gain = float(heard @ own / (own @ own))
            assert (heard - gain * own).norm() < 0.06 * heard.norm()  # no delay
            found.append(np.log(gain))
        logs.append(found)
    spread = np.std(logs, axis=0)
    np.testing.assert_allclose(spread, 0.3, rtol=0.15)
    assert np.corrcoef(np.transpose(logs))[0, 2] < 0.9  # not one gain for all


def test_a_shift_reaches_both_ways_and_no_farther():
    x = torch.arange(40.0).repeat(500, 1, 1)
    moved = varied(x, list(range(500)), shift=3)
    found = {int(20 - row[0, 20]) for row in moved}
    assert found == {-3, -2, -1, 0, 1, 2, 3}
    for row in moved:
        assert torch.equal(row, shifted(x[0], int(20 - row[0, 20])))


def test_nothing_asked_for_costs_nothing():
    assert Variation.of(VariationConfig(), seed=0, input_scale=torch.ones(1)) is None


def test_the_memory_format_of_images_is_kept():
    x = torch.randn(3, 2, 8, 8).to(memory_format=torch.channels_last)
    assert varied(x, [0, 1, 2], gain=0.1, noise=0.1, shift=1).is_contiguous(memory_format=torch.channels_last)


def test_more_than_can_be_is_refused_by_name():
    words = {"name": "a", "data": {"file": "a.h5", "targets": ["depth"]}}
    with pytest.raises(ConfigError, match=r"training\.variation\.gain.*less than 1"):
        load_experiment(words, overrides=["training.variation.gain=3"])
    with pytest.raises(ConfigError, match=r"training\.variation\.nois.*noise"):
        load_experiment(words, overrides=["training.variation.nois=0.1"])


def test_training_sees_varied_inputs_and_repeats_to_the_bit(disc_folder: Path, disc_run: Path, tmp_path: Path):
    words = ["gain=0.1", "colour=0.2", "noise=0.1", "shift=2"]
    experiment = load_experiment(disc_folder / "discs.toml", overrides=[f"training.variation.{word}" for word in words])
    one, two = (ram.train(experiment, output=tmp_path / name, progress=False) for name in ("one", "two"))
    first, second, plain = ((path / "checkpoint.safetensors").read_bytes() for path in (one.path, two.path, disc_run))
    assert first == second
    assert first != plain
