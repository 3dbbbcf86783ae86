"""What a net listens to, as sound files and as a picture: the signal, the part of it that is kept, and the mask."""

from __future__ import annotations

__all__ = ["Sounds", "full_scales", "listening_picture", "save_heard", "slowed_rate"]

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ram.axes import Axis, readable
from ram.maps.listening import Heard
from ram.maps.plots import spread_evenly
from ram.storage.atomic import write_bytes
from ram.storage.names import file_names
from ram.storage.sound import write_wav
from ram.views.numbers import figure as number
from ram.views.numbers import per_cent
from ram.views.style import BLUE, GREY, INK, SEQUENTIAL, new_figure, png, styled

_FULL = 0.9  # of full scale


@dataclass(frozen=True)
class Sounds:
    """The files of one sample.

    Attributes
    ----------
    files
        WAV files of the signal, the part that is kept and the rest; the picture.
    rate_hz
        Of the WAV files.
    full_scale
        What full scale means in each of them, in the channels' units.
    """

    files: tuple[Path, ...]
    rate_hz: int
    full_scale: tuple[float, float, float]


def save_heard(
    folder: Path,
    found: Sequence[Heard],
    levels: Float[np.ndarray, "sample channel frequency frame"],
    *,
    label: str,
    slower: float = 1.0,
    loud: bool = False,
) -> list[Sounds]:
    """Write ``<target>_<id>_signal.wav``, ``..._kept.wav``, ``..._rest.wav`` and ``<target>_<id>.png`` for each sample.

    Parameters
    ----------
    levels, label
        As for `listening_picture`.
    slower
        The files' sample rate is the signal's divided by this.
    loud
        Bring each file to nine tenths of full scale; else the largest of the three, and the others in proportion.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = file_names([f"{one.maps.target}_{one.id}" for one in found])
    return [
        _saved(folder / name, one, of, label=label, slower=slower, loud=loud)
        for one, of, name in zip(found, levels, names, strict=True)
    ]


def _saved(
    path: Path,
    heard: Heard,
    levels: Float[np.ndarray, "channel frequency frame"],
    *,
    label: str,
    slower: float,
    loud: bool,
) -> Sounds:
    parts = {"signal": heard.signal, "kept": heard.kept, "rest": heard.rest}
    first, second, third = full_scales(heard, loud=loud)
    rate, files = slowed_rate(heard, slower), []
    for (word, values), full in zip(parts.items(), (first, second, third), strict=True):
        files.append(path.with_name(f"{path.name}_{word}.wav"))
        write_wav(files[-1], values / full, rate_hz=rate)
    files.append(path.with_name(f"{path.name}.png"))
    with styled():
        write_bytes(files[-1], png(listening_picture(heard, levels, label=label)))
    return Sounds(tuple(files), rate, (first, second, third))


def full_scales(heard: Heard, *, loud: bool = False) -> tuple[float, float, float]:
    """Return what full scale means in the sounds of the signal, the kept part and the rest, in the channels' units."""
    peaks = [float(np.abs(values).max()) or 1.0 for values in (heard.signal, heard.kept, heard.rest)]
    first, second, third = (peak / _FULL for peak in (peaks if loud else [max(peaks)] * 3))
    return first, second, third


def slowed_rate(heard: Heard, slower: float) -> int:
    """Return the samples a second of sounds that are played so many times slower."""
    return max(1, round(heard.sample_rate_hz / slower))


def listening_picture(
    heard: Heard, levels: Float[np.ndarray, "channel frequency frame"], *, label: str, channel: int = -1
) -> Figure:
    """Return three pictures over one time axis: the signal, the kept part over it, the spectrogram under the mask.

    Parameters
    ----------
    levels
        The spectrogram that the map lies over.
    label
        Name and unit of the channel's levels.
    channel
        Which one is shown.
    """
    drawn = new_figure(8.2, 6.4)
    above, middle, below = drawn.subplots(3, 1, sharex=True, height_ratios=(1.0, 1.0, 1.6))
    name, unit = list(heard.channels.items())[channel]
    step = 1 / heard.sample_rate_hz
    whole = Axis.uniform("time", "s", size=heard.signal.shape[1], step=step, start=heard.start_s)
    frequency, frames = heard.maps.input_axes
    time, frames, cells = readable(whole, frames, heard.maps.axes[1])
    frequency, bands = readable(frequency, heard.maps.axes[0])
    words = name if unit == "1" else f"{name} ({unit})"
    above.plot(time.centres, heard.signal[channel], color=INK, linewidth=0.7)
    middle.plot(time.centres, heard.signal[channel], color=GREY, linewidth=0.5, alpha=0.6)
    middle.plot(time.centres, heard.kept[channel], color=BLUE, linewidth=0.9)
    for axes in (above, middle):
        axes.set(ylabel=words, xlim=time.edges[[0, -1]])
    middle.set_title(f"kept: {_shares(heard, channel)}")
    image = below.pcolormesh(frames.edges, frequency.edges, levels[channel], cmap=SEQUENTIAL, rasterized=True)
    _cover(below, heard.mask[channel if len(heard.mask) > 1 else 0], cells, bands)
    below.set(xlabel=time.label, ylabel=frequency.label, ylim=frequency.edges[[0, -1]], xlim=time.edges[[0, -1]])
    spread_evenly(below, frequency)
    drawn.colorbar(image, ax=below, label=label, pad=0.01)
    drawn.suptitle(_title(heard))
    return drawn


def _cover(axes: Axes, mask: Float[np.ndarray, "frequency time"], cells: Axis, bands: Axis) -> None:
    """Lay white over what is not kept."""
    white = np.ones((*mask.shape, 4))
    white[..., 3] = 0.85 * (1 - mask)
    axes.pcolormesh(cells.edges, bands.edges, white, rasterized=True)


def _shares(heard: Heard, channel: int) -> str:
    return f"{per_cent(heard.energy[channel])} of the energy, from {per_cent(heard.area)} of the spectrogram"


def _title(heard: Heard) -> str:
    maps, unit = heard.maps, "" if heard.maps.unit == "1" else f" {heard.maps.unit}"
    of = {"both": "what carries most", "raises": "what raises it most", "lowers": "what lowers it most"}[heard.sign]
    carried = f"× {np.exp(heard.carried):.4f}" if maps.log else f"{number(heard.carried)}{unit}"
    whole = f"× {np.exp(maps.total[0]):.4f}" if maps.log else f"{number(float(maps.total[0]))}{unit}"
    return f"{heard.id}: {maps.target} {number(float(maps.prediction[0]), digits=4)}{unit}; {of} ({carried} of {whole})"
