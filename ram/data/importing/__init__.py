"""Data files from what users have: tables with files, arrays, long recordings."""

from __future__ import annotations

__all__ = ["account_of", "load_plan", "plan_of", "prepared", "write_import"]

from ram.data.importing.account import account_of
from ram.data.importing.building import prepared, write_import
from ram.data.importing.plan import load_plan, plan_of
