"""How much of the input a cell sees, in words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from ram.axes import Axis
from ram.maps.explain import explain, explain_regressor
from ram.maps.sight import Sight
from ram.models.backbones import build_backbone
from ram.models.regressor import Regressor, TargetScaling
from ram.models.spectrogram import Spectrogram

TIME = Axis.uniform("time", "s", size=504, step=1e-4, start=0.5)


def regressor(name: str, ndim: int = 1, **words) -> Regressor:
    front = words.pop("front", None)
    words = {"widths": (2, 3, 4), "depth": 1, **words}
    backbone = build_backbone(name, ndim=ndim, channels=1, **words)
    return Regressor(
        backbone, targets=[TargetScaling("f", "Hz")], input_mean=[0.0], input_scale=[1.0], front=front
    ).eval()


@pytest.mark.parametrize(
    ("name", "words", "said"),
    [
        ("fcn", {}, "each cell sees 1.3 ms of the signal (2.6 % of it), cells every 100 µs"),
        ("resnet-1d", {}, "each cell sees 3.7 ms of the signal (7.3 % of it), cells every 100 µs"),
        ("fcn", {"halvings": 2}, "each cell sees 5.8 ms of the signal (12 % of it), cells every 400 µs"),
        ("plain", {"head_stages": (1, 3)}, "each cell sees 2.2 ms of the signal (4.4 % of it), cells every 200 µs"),
    ],
)
def test_signals_in_the_unit_of_their_axis(name: str, words: dict, said: str) -> None:
    net = regressor(name, **words)
    assert str(Sight.of(net, [TIME])) == said
    (one,) = explain_regressor(net, np.zeros((1, 1, 504)), input_axes=[TIME]).values()
    assert str(Sight.in_map(one)) == said


def test_images_volumes_and_numbered_points() -> None:
    y, x = (Axis.uniform(name, "mm", size=64, step=2.5) for name in "yx")
    net = regressor("plain", 2, widths=(2, 2))
    said = "each cell sees 25 mm of y (16 % of it) and 25 mm of x (16 % of it), cells every 10 x 10 mm"
    assert str(Sight.of(net, [y, x])) == said
    numbered = Sight.of(regressor("plain", widths=(2,)), [Axis.uniform("x", "1", size=16, step=1.0)])
    assert str(numbered) == "each cell sees 4 points of the input (25 % of it), cells every 2 points"


def test_a_spectrogram_s_window_is_seen_too() -> None:
    front = Spectrogram(1, sample_rate_hz=10000.0, length=32, hop=8, divisor=2)
    net = regressor("plain", 2, widths=(2,), front=front)
    sight = Sight.of(net, [TIME])
    (one,) = explain_regressor(net, np.zeros((1, 1, 504)), input_axes=[TIME]).values()
    assert str(Sight.in_map(one)) == str(sight)
    assert sight.fields[1] == pytest.approx((4 * 8 + 24) * 1e-4)
    assert str(sight).endswith("5.6 ms of time (11 % of it), cells every 1.6 ms x 625 Hz")


def test_what_cannot_be_followed_is_not_guessed() -> None:
    class Mixed(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.fft.rfft(x).abs()[..., :8].mean(dim=2)

    one = explain(nn.Sequential(Mixed(), nn.Linear(1, 1)), np.random.default_rng(1).normal(size=(2, 1, 16)))
    assert str(Sight.in_map(one)).startswith("each cell sees nobody knows how much of the input")


def test_training_config_and_report_say_it(disc_folder: Path, disc_run: Path, shell, tmp_path: Path) -> None:
    said = "each cell sees 100 mm of y (62 % of it) and 100 mm of x (62 % of it), cells every 40 x 40 mm"
    _, _, errors = shell(
        "train", disc_folder / "discs.toml", "--output", tmp_path / "run", "--set", "training.epochs=1"
    )
    assert f"net: {said}\n" in errors
    code, out, _ = shell("config", "show", disc_run)
    assert code == 0
    assert f"\n# {said}\n" in out
    (tmp_path / "elsewhere.toml").write_text((disc_folder / "discs.toml").read_text(), encoding="utf-8")
    code, out, _ = shell("config", "show", tmp_path / "elsewhere.toml")
    assert code == 0
    assert "each cell sees" not in out
