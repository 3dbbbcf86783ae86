"""Checks for nets and methods of the user's own: whether their maps keep the laws that they claim.

>>> import torch
>>> from torch import nn
>>> net = nn.Sequential(nn.Conv1d(1, 2, 4, stride=4), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(2, 1))
>>> for check in check_regressor(net, torch.rand(3, 1, 16))[2:4]:
...     print(check.law)
baseline + contributions + residual = prediction
an exact map has no residual
"""

from __future__ import annotations

__all__ = ["Check", "check_method", "check_regressor"]

from ram.testing.laws import Check, check_method, check_regressor
