"""What names and parts the samples of a mapped file: ids, groups, train, validation and test."""

from __future__ import annotations

__all__ = ["Labels", "labels_of"]

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, UInt8
from numpy.typing import NDArray

from ram.data.mapped.columns import Series, optional_series_of, series_of, texts_along
from ram.data.mapped.inputs import Inputs
from ram.data.mapped.places import Places
from ram.data.mapped.settings import DataMapping
from ram.data.mapped.windows import Windows
from ram.data.parting import draw_parts, parts_wanted
from ram.data.spec import PARTS
from ram.errors import DataError, explained

Texts = NDArray[np.str_]
_WORDS = {
    "train": "train", "training": "train", "0": "train",
    "validation": "validation", "valid": "validation", "val": "validation", "dev": "validation", "1": "validation",
    "test": "test", "testing": "test", "2": "test",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Labels:
    """Name, group and part of each sample; a part is its place in `PARTS`."""

    ids: Texts
    groups: Texts
    parts: UInt8[np.ndarray, " sample"]


def labels_of(
    places: Places, mapping: DataMapping, inputs: Inputs, windows: Windows, *, for_prediction: bool, draw: bool
) -> tuple[Windows, Labels]:
    """Return the samples' labels, and the windows without those over which a group or a part changes.

    Parameters
    ----------
    for_prediction
        Ids, groups and parts need not be there.
    draw
        Whether parts are needed: without targets, all samples are in the test part.

    Raises
    ------
    DataError
        Something does not stand where the mapping says, ids that are not unique, a word that names no part.
    """
    found = {
        key: None if path is None else _series(places, path, inputs, key=key, may_lack=for_prediction)
        for key, path in (("ids", mapping.ids), ("groups", mapping.groups), ("split", mapping.split.path))
    }
    texts = {key: texts_along(places, one, windows, key=key) for key, one in found.items() if one is not None}
    constant = np.ones(windows.count, dtype=np.bool_)
    for _, holds in texts.values():
        constant &= holds
    windows = _kept(places, inputs, windows, constant)
    given = {key: names[constant] for key, (names, _) in texts.items()}
    ids = _ids(mapping, inputs, windows, given.get("ids"))
    _check_unique(places, ids, mapping.ids or "ids")
    groups = given.get("groups", _own_groups(mapping, inputs, windows))
    if "split" in given:
        return windows, Labels(ids, groups, _parts(places, mapping, given["split"], ids))
    if for_prediction or not draw:
        return windows, Labels(ids, groups, np.full(windows.count, PARTS.index("test"), dtype=np.uint8))
    return windows, Labels(ids, groups, _drawn(places, mapping, np.where(groups == "", ids, groups)))


def _drawn(places: Places, mapping: DataMapping, groups: Texts) -> UInt8[np.ndarray, " sample"]:
    """Return parts by the seed of the mapping; no group lies in two of them."""
    split = mapping.split
    shares = (1 - split.validation - split.test, split.validation, split.test)
    count, needed = np.unique(groups).size, len(parts_wanted(shares))
    if count < needed:
        allowed = f"at least {needed}, one for each part that is drawn"
        step = 'Part a long record with stretch = "60 s", or name the parts: split = "/path"'
        where = f"{places.path} (split)"
        raise DataError(explained(where=where, what="the groups", allowed=allowed, got=count, next_step=step))
    return draw_parts(groups.tolist(), shares, seed=split.seed)


def _series(places: Places, path: str, inputs: Inputs, *, key: str, may_lack: bool) -> Series | None:
    find = optional_series_of if may_lack else series_of
    return find(places, path, inputs, key=key)


def _kept(places: Places, inputs: Inputs, windows: Windows, constant: Bool[np.ndarray, " row"]) -> Windows:
    if not constant.any():
        step = "Take shorter windows, or check what the paths of groups and split lead to"
        raise places.refused(
            inputs.array.text, "window", what="a window", allowed="of one group and one part",
            got=f"changes within each of {windows.count:,} windows", step=step,
        )  # fmt: skip
    return windows.keep(constant)


def _ids(mapping: DataMapping, inputs: Inputs, windows: Windows, given: Texts | None) -> Texts:
    """Return names: the record's, and where it is cut into windows the first cell of each."""
    record, begin = windows.places(np.arange(windows.count))
    names = _record_names(inputs)[record] if given is None else given
    if mapping.window is None and mapping.stretch is None:
        return names
    width = len(str(int(begin.max(initial=0))))
    begins = np.char.zfill(begin.astype(np.str_), width)
    alone = given is None and inputs.records == 1
    return begins if alone else np.char.add(np.char.add(names, "-"), begins)


def _record_names(inputs: Inputs) -> Texts:
    if inputs.keys:
        return np.array(["-".join(words) for words in inputs.keys])
    width = len(str(inputs.records - 1))
    return np.char.zfill(np.arange(inputs.records).astype(np.str_), width)


def _own_groups(mapping: DataMapping, inputs: Inputs, windows: Windows) -> Texts:
    """Return the groups of windows that overlap or follow each other: their record, or their stretch of it."""
    if mapping.window is None and mapping.stretch is None:
        return np.full(windows.count, "", dtype=np.str_)
    segment = windows.segments(np.arange(windows.count))
    names: Texts = _record_names(inputs)[windows.record[segment]]
    if mapping.split.path is not None:
        return np.full(windows.count, "", dtype=np.str_)
    if mapping.stretch is None:
        return names
    return np.char.add(np.char.add(names, "-"), windows.begin[segment].astype(np.str_))


def _parts(places: Places, mapping: DataMapping, words: Texts, ids: Texts) -> UInt8[np.ndarray, " sample"]:
    """Return parts from the file's words for them."""
    known = {**({} if mapping.split.words else _WORDS), **mapping.split.words}
    others = known.pop("*", None)
    found, inverse = np.unique(words, return_inverse=True)
    codes = np.zeros(found.size, dtype=np.uint8)
    for place, word in enumerate(found.tolist()):
        part = known.get(word) or known.get(word.lower()) or others
        if part is None:
            row = int(np.argmax(inverse == place))
            allowed = f"one of {', '.join(sorted(set(known.values())))}, or a word of split.words"
            step = f'Say what it means: split = {{ path = "...", words = {{ {word or "A"} = "test", "*" = "train" }} }}'
            got = f"{word!r} for sample {row} (id {ids[row]})"
            raise places.refused(str(mapping.split.path), "split", what="a part", allowed=allowed, got=got, step=step)
        codes[place] = PARTS.index(part)
    return np.asarray(codes[inverse])


def _check_unique(places: Places, ids: Texts, text: str) -> None:
    order = np.argsort(ids, kind="stable")
    same = np.flatnonzero(ids[order][1:] == ids[order][:-1])
    if same.size:
        one, other = order[same[0]], order[same[0] + 1]
        got = f"{str(ids[one])!r} for samples {one} and {other}"
        raise places.refused(text, "ids", what="an id", allowed="unique", got=got, step="Leave `ids` out for numbers")
    if (ids == "").any():
        got = f"an empty one for sample {int(np.argmax(ids == ''))}"
        raise places.refused(text, "ids", what="an id", allowed="not empty", got=got)
