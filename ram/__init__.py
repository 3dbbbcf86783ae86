"""Regression activation mapping for engineering signals and designs."""

from __future__ import annotations

__version__ = "0.1.0"
