"""``ram listen``: the part of a signal that carries its prediction, to hear and to see."""

from __future__ import annotations

__all__ = ["listen"]

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ram.cli.explain import chosen_samples, reference_in
from ram.cli.output import AsJson, say, say_json, say_table
from ram.errors import ConfigError, explained

if TYPE_CHECKING:
    from ram.maps.listening import Heard
    from ram.views.listening import Sounds


def listen(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run whose net begins with a spectrogram.")],
    *,
    output: Annotated[Path, typer.Option(metavar="FOLDER", help="For sounds and pictures.")],
    data: Annotated[Path | None, typer.Option(metavar="FILE", help="The run's test part if not said.")] = None,
    target: Annotated[str | None, typer.Option(metavar="NAME", help="The first one if not said.")] = None,
    samples: Annotated[str, typer.Option(help="How many, or ids with commas between.")] = "3",
    share: Annotated[float, typer.Option(help="Of the absolute contributions that the kept cells hold.")] = 0.8,
    sign: Annotated[
        str, typer.Option(metavar="both|raises|lowers", help="What counts; raises, lowers: against the reference.")
    ] = "both",
    reference: Annotated[str | None, typer.Option(help="As for ram explain.")] = None,
    resolution: Annotated[int, typer.Option(help="How many times finer than the net's own cells.")] = 1,
    slower: Annotated[
        float, typer.Option(metavar="TIMES", help="Play so many times slower, and deeper: ultrasound can be heard.")
    ] = 1.0,
    loud: Annotated[
        bool, typer.Option("--loud", help="Bring each sound to full level; else a signal and its parts share one.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Keep the part of each signal that carries most of its prediction; write it as WAV, and a picture of it.

    The spectrogram is masked by the cells with the largest absolute contributions, as many as hold SHARE of them all.
    For each sample FOLDER gets the signal, the part that is kept and the rest, all at the signal's sample rate, and a
    picture.
    """
    import ram
    from ram.runs.listening import listen as listened
    from ram.views.listening import save_heard

    if slower <= 0:
        raise ConfigError(explained(where="--slower", what="the factor", allowed="above 0", got=f"{slower:g}"))
    opened = ram.open_run(run)
    known = opened.open(data) if data else opened.data()
    part = known if data else known.subset("test", split=opened.config.data.split)
    chosen = chosen_samples(known, part, samples)
    against = None if reference is None else reference_in(known, reference)
    found = list(
        listened(opened, chosen, target=target, share=share, sign=sign, reference=against, resolution=resolution)
    )
    name, unit = list(opened.labels_of().items())[-1]
    label = name if unit == "1" else f"{name} ({unit})"
    sounds = save_heard(output, found, opened.explained_inputs(chosen), label=label, slower=slower, loud=loud)
    if as_json:
        say_json({"run": str(run), "samples": [_as_dict(one, of) for one, of in zip(found, sounds, strict=True)]})
        return
    rows = [_row(one) for one in found]
    first = found[0]
    title = (
        f"{first.maps.target} in {first.maps.unit}: cells that hold {100 * share:.3g} % of what "
        f"{'carries' if sign == 'both' else sign} it, against {first.maps.reference}"
    )
    say_table(title, ["sample", "prediction", "carried", "of", "energy kept", "of the spectrogram"], rows)
    for one, of in zip(found, sounds, strict=True):
        say(f"{one.id}: {of.rate_hz} samples a second; {_levels(one, of)}")
    say(f"sounds and pictures: {output}")


def _row(one: Heard) -> list[str]:
    maps = one.maps
    energy = ", ".join("-" if value != value else f"{100 * value:.3g} %" for value in one.energy)  # noqa: PLR0124 - NaN
    return [
        one.id,
        f"{maps.prediction[0]:.5g}",
        f"{one.carried:+.4g}",
        f"{maps.total[0]:+.4g}",
        energy,
        f"{100 * one.area:.3g} %",
    ]


def _as_dict(one: Heard, of: Sounds) -> dict[str, object]:
    return {
        "id": one.id,
        "target": one.maps.target,
        "unit": one.maps.unit,
        "prediction": float(one.maps.prediction[0]),
        "carried": one.carried,
        "total": float(one.maps.total[0]),
        "energy": one.energy.tolist(),
        "area": one.area,
        "files": [str(path) for path in of.files],
        "rate_hz": of.rate_hz,
        "full_scale": list(of.full_scale),
    }


def _levels(one: Heard, of: Sounds) -> str:
    """Say what full scale of the sounds means."""
    units = "; ".join(dict.fromkeys("" if unit == "1" else f" {unit}" for unit in one.channels.values()))
    if len(set(of.full_scale)) == 1:
        return f"full scale is {of.full_scale[0]:.4g}{units} in all of them"
    pairs = zip(("signal", "kept", "rest"), of.full_scale, strict=True)
    return f"full scale is {', '.join(f'{full:.4g}{units} ({word})' for word, full in pairs)}"
