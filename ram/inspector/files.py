"""What can be taken away from the page: a map as PNG, CSV or HDF5, a table of samples, the sound of a signal."""

from __future__ import annotations

__all__ = ["Taken", "as_file", "hearing", "table"]

import itertools
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ram.errors import ConfigError, explained
from ram.inspector.frames import frame
from ram.inspector.inspection import Inspection
from ram.inspector.questions import Download, Hearing, Rows
from ram.inspector.words import Said
from ram.maps.regression_map import RegressionMap
from ram.runs.explaining import no_choice
from ram.runs.listening import listen
from ram.storage.names import file_names
from ram.storage.plain import as_csv
from ram.storage.sound import wav
from ram.views.listening import full_scales, slowed_rate
from ram.views.numbers import per_cent
from ram.views.style import png, styled


@dataclass(frozen=True)
class Taken:
    """A file that the page hands on.

    Attributes
    ----------
    name
        What it is called: fit for every file system.
    kind
        Its media type.
    """

    name: str
    kind: str
    content: bytes


def as_file(looked: Inspection, question: Download) -> Taken:
    """Return a map as a picture, as a table with one row a cell, or as HDF5.

    Raises
    ------
    ConfigError
        A channel is asked for that is not there.
    """
    maps = looked.map_of(question)
    edited = "_edited" if question.edits else ""
    (name,) = file_names([f"{maps.target}_{maps.ids[0]}{edited}"])
    if question.kind == "csv":
        return Taken(f"{name}.csv", "text/csv; charset=utf-8", as_csv(_rows(maps)).encode())
    if question.kind == "hdf5":
        return Taken(f"{name}.h5", "application/x-hdf5", _hdf5(maps))
    return Taken(f"{name}.png", "image/png", _picture(looked, question, maps))


def _picture(looked: Inspection, question: Download, maps: RegressionMap) -> bytes:
    channels = list(looked.run.channels_of(question.of))
    if question.shown is not None and question.shown not in channels:
        raise ConfigError(no_choice("download", "a channel", question.shown, channels))
    place = -1 if question.shown is None else channels.index(question.shown)
    image = looked.run.explained_inputs(looked.sample(question), question.of)[0, place]
    with styled():
        return png(maps.plot(image=image))


def _rows(maps: RegressionMap) -> list[dict[str, object]]:
    """Return one row for each cell: where it lies, how far it extends, what it carries."""
    heads = [f"{axis.name}_{axis.unit}" if axis.unit not in ("", "1") else axis.name for axis in maps.axes]
    unit = "logarithm" if maps.log and maps.adds_up else maps.map_unit
    named = f"contribution_{unit}" if unit not in ("", "1") else "contribution"
    places = itertools.product(*(range(axis.size) for axis in maps.axes))
    rows = []
    for place, value in zip(places, maps.contributions[0].ravel().tolist(), strict=True):
        row: dict[str, object] = {}
        for head, axis, cell in zip(heads, maps.axes, place, strict=True):
            low, high = axis.edges[cell : cell + 2].tolist()
            row |= {head: float(axis.centres[cell]), f"{head}_low": low, f"{head}_high": high}
        rows.append({**row, named: value})
    return rows


def _hdf5(maps: RegressionMap) -> bytes:
    with tempfile.TemporaryDirectory(prefix="ram-inspect-") as folder:
        path = Path(folder) / "maps.h5"
        maps.save(path)
        return path.read_bytes()


def table(looked: Inspection, question: Rows) -> Taken:
    """Return id, group, part, measured and predicted values of some samples as a table."""
    looked.require_row(max(question.rows))
    rows = np.array(question.rows)
    predictions, groups = looked.predictions, looked.data.groups[rows]
    chosen = predictions.at(rows)
    found = []
    for row, group, part, measured in zip(chosen.rows(), groups, chosen.part_of, chosen.measured, strict=True):
        known = {
            f"measured_{name}" if unit in ("", "1") else f"measured_{name}_{unit}": float(value)
            for name, unit, value in zip(chosen.target_names, chosen.units, measured, strict=True)
        }
        found.append({"id": row["id"], "group": str(group), "part": str(part), **row, **known})
    return Taken("samples.csv", "text/csv; charset=utf-8", as_csv(found).encode())


def hearing(looked: Inspection, question: Hearing) -> bytes:
    """Return the sounds of a signal, of the part that carries its prediction, and of the rest, of one channel.

    Raises
    ------
    ConfigError
        The net begins with no spectrogram, or there is no such channel.
    """
    channels = list(looked.data.channels)
    if question.heard not in channels:
        raise ConfigError(no_choice("sound", "a channel", question.heard, channels))
    (one,) = listen(
        looked.run, looked.sample(question), target=question.target, share=question.share, sign=question.sign,
        reference=looked.reference_of(question),
    )  # fmt: skip
    place, rate = channels.index(question.heard), slowed_rate(one, question.slower)
    if not 3000 <= rate <= 384_000:
        step = "Play it so much slower or faster that the rate lies there"
        raise ConfigError(
            explained(where="sound", what="samples a second", allowed="3,000 to 384,000, which browsers play",
                      got=f"{rate:,}", next_step=step)
        )  # fmt: skip
    pairs = zip(("signal", "kept", "rest"), (one.signal, one.kept, one.rest), full_scales(one), strict=True)
    sounds = {
        name: np.frombuffer(wav(values[place : place + 1] / full, rate_hz=rate), dtype=np.uint8)
        for name, values, full in pairs
    }
    said = Said(one.maps, looked.writer(one.maps.target))
    head = {
        "id": one.id,
        "said": f"{said.share(one.carried)} of {said.share(float(one.maps.total[0]))}",
        "energy": per_cent(float(one.energy[place])),
        "area": per_cent(one.area),
        "rate": rate,
        "channel": question.heard,
        "start": one.start_s,
        "step": 1 / one.sample_rate_hz,
    }
    curves = {"curve": one.signal[place].astype(np.float32), "curve_kept": one.kept[place].astype(np.float32)}
    return frame(head, {**sounds, **curves})
