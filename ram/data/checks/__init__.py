"""What is wrong with a data set, said before it is trained on: a catalogue of defects, and what finds them.

Nothing here changes a file. An error is what would make a training fail or give nonsense, and refuses it; a
warning is what a person must look at, and is kept with the run.
"""

from __future__ import annotations

__all__ = ["CATALOGUE", "Defect", "Finding", "check_for_training", "find", "unreadable"]

from ram.data.checks.check import CATALOGUE, check_for_training, find
from ram.data.checks.defects import Defect, Finding
from ram.data.checks.stored import unreadable
