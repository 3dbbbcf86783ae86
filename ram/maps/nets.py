"""The nets that can be explained. Two kinds answer alike: our `Regressor`, whose parts are known, and any module."""

from __future__ import annotations

__all__ = ["Explained"]

from ram.maps.any_net import AnyNet
from ram.maps.regressor_net import RegressorNet

Explained = RegressorNet | AnyNet
