"""The data of an experiment: a file of the package's own, or a user's file with the experiment's mapping."""

from __future__ import annotations

__all__ = ["open_data", "parted"]

from pathlib import Path

from ram.data.dataset import Dataset, open_dataset, whole_of
from ram.data.leaving_out import leave_out
from ram.data.mapped.settings import Quantity
from ram.data.mapped.source import MappedFile
from ram.data.permuting import permute_targets
from ram.data.spec import SCHEMA
from ram.runs.config import DataConfig
from ram.storage import hdf5


def open_data(
    section: DataConfig, path: str | Path | None = None, *, for_prediction: bool = False, cells: int | None = None
) -> Dataset:
    """Return the data of an experiment, or those in another file that is like it.

    Parameters
    ----------
    path
        In place of the experiment's file. A `ram-dataset/1` file needs no mapping and gets none.
    for_prediction
        The file needs no targets, groups and parts.
    cells
        What whole records of different length are cut or padded to, in place of the file's longest or shortest.

    Raises
    ------
    DataError
        The file is missing, damaged, or does not hold what the mapping says.
    """
    data = _opened(section, Path(path or section.file), for_prediction=for_prediction, cells=cells)
    return data if for_prediction else parted(data, section)


def parted(data: Dataset, section: DataConfig) -> Dataset:
    """Return `data` as the experiment has it: with its own parts where it leaves groups out, and targets permuted.

    Raises
    ------
    DataError
        A group is not in the file, or too little is left.
    """
    out = section.leave_out
    if out is not None:
        data = leave_out(data, out.groups, split=section.split, share=out.validation_share, by=out.validation_by)
    if section.permute_targets is None:
        return data
    return permute_targets(data, split=section.split, seed=section.permute_targets)


def _opened(section: DataConfig, file: Path, *, for_prediction: bool, cells: int | None) -> Dataset:
    if section.mapping is None:
        return open_dataset(file)
    if hdf5.schema_of(hdf5.check_is_hdf5(file)) == SCHEMA:
        return open_dataset(file)
    mapping = section.mapping
    if cells is not None and mapping.lengths in ("pad", "crop"):
        mapping = mapping.model_copy(update={"lengths": Quantity(value=cells)})
    return whole_of(MappedFile(file, mapping, for_prediction=for_prediction))
