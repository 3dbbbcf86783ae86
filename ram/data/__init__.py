"""Data sets: the file `ram-dataset/1`, how it is made, opened, checked and looked at."""

from __future__ import annotations

__all__ = ["Dataset", "DatasetSpec", "Record", "Sample", "open_dataset", "write_dataset"]

from ram.data.dataset import Dataset, Sample, open_dataset
from ram.data.layout import DatasetSpec, Record, write_dataset
