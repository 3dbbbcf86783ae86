"""``ram explain``: which regions drive the predictions of a run, in the unit of the target."""

from __future__ import annotations

__all__ = ["explain"]

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ram.cli.output import AsJson, say, say_json, say_table
from ram.errors import ConfigError, explained, nearest

if TYPE_CHECKING:
    from ram.data.dataset import Dataset, Sample
    from ram.maps.regression_map import RegressionMap


def explain(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run, as ram train made it.")],
    *,
    data: Annotated[Path | None, typer.Option(metavar="FILE", help="The run's test part if not said.")] = None,
    targets: Annotated[
        list[str] | None, typer.Option("--target", metavar="NAME", help="All if not said. May be repeated.")
    ] = None,
    reference: Annotated[
        str, typer.Option(help="train-mean, train-mean-design, baseline, or the id of a sample.")
    ] = "train-mean",
    samples: Annotated[str, typer.Option(help="How many, or ids with commas between.")] = "12",
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="Keep the maps in this HDF5 file.")] = None,
    pictures: Annotated[Path | None, typer.Option(metavar="FOLDER", help="One for each sample and target.")] = None,
    as_json: AsJson = False,
) -> None:
    """Say which regions drive the predictions of RUN, in the unit of the target."""
    import ram
    from ram.maps.regression_map import save_maps

    opened = ram.open_run(run)
    known = ram.open_dataset(data) if data else opened.data()
    part = known if data else known.subset("test", split=opened.config.data.split)
    chosen = chosen_samples(known, part, samples)
    maps = opened.explain(chosen, target=targets or None, reference=reference_in(known, reference))
    kept = {str(key): Path(path) for key, path in (("maps", output), ("pictures", pictures)) if path}
    if output:
        save_maps(output, maps)
    if pictures:
        save_pictures(pictures, maps, chosen)
    if as_json:
        say_json({"run": str(run), "targets": {name: as_dict(of) for name, of in maps.items()}, **kept})
        return
    for one in maps.values():
        say_map(one)
    for word, path in kept.items():
        say(f"{word}: {path}")


def chosen_samples(known: Dataset, part: Dataset, words: str) -> Dataset:
    """Return so many samples of `part`, or those of `known` with these ids.

    Raises
    ------
    ConfigError
        For an id that is not there, or less than one sample.
    """
    from ram.training.train import shown_samples

    if not words.lstrip("-").isdecimal():
        ids = [word.strip() for word in words.split(",") if word.strip()]
        return known[[position_of(known, word, option="--samples") for word in ids]]
    if int(words) < 1:
        raise ConfigError(explained(where="--samples", what="the number of samples", allowed="at least 1", got=words))
    return shown_samples(part, int(words))


def reference_in(known: Dataset, word: str) -> str | Sample:
    """Return one of the references that have a name, or the sample whose id is `word`."""
    from ram.runs.run import REFERENCES

    return word if word in REFERENCES else known[position_of(known, word, option="--reference", also=REFERENCES)]


def position_of(known: Dataset, word: str, *, option: str, also: Sequence[str] = ()) -> int:
    """Return where the sample with this id stands.

    Raises
    ------
    ConfigError
        Where there is none; names the nearest.
    """
    ids = [str(name) for name in known.ids]
    if word not in ids:
        choices = " or ".join([*also, f"the id of a sample of {known.path}"])
        near = nearest(word, [*also, *ids]) or f"The first id is '{ids[0]}'"
        raise ConfigError(explained(where=option, what="the value", allowed=choices, got=f"'{word}'", next_step=near))
    return ids.index(word)


def as_dict(maps: RegressionMap) -> dict[str, object]:
    """Return what a script would ask of maps: the numbers of each sample, not the cells."""
    return {
        "unit": maps.unit,
        "method": maps.method,
        "grade": maps.grade,
        "reference": maps.reference,
        "samples": [
            {"id": str(name), "prediction": float(total), "baseline": float(base), "residual": float(rest)}
            for name, total, base, rest in zip(maps.ids, maps.prediction, maps.baseline, maps.residual, strict=True)
        ],
    }


def say_map(maps: RegressionMap) -> None:
    """Print for each sample what its prediction is made of."""
    rows = [
        [str(name), f"{total:.5g}", f"{base:.5g}", f"{total - base:+.4g}", f"{rest:+.1e}"]
        for name, total, base, rest in zip(maps.ids, maps.prediction, maps.baseline, maps.residual, strict=True)
    ]
    title = f"{maps.target} in {maps.unit}, against {maps.reference} ({maps.method}, {maps.grade})"
    say_table(title, ["sample", "prediction", "baseline", "sum of the map", "residual"], rows)


def save_pictures(folder: Path, maps: Mapping[str, RegressionMap], data: Dataset) -> None:
    """Write ``<target>_<id>.png`` for each map, laid over the sample's last channel."""
    from ram.storage.atomic import write_bytes
    from ram.views.style import png, styled

    folder.mkdir(parents=True, exist_ok=True)
    images = data.x()[:, -1]
    for target, of in maps.items():
        for row, name in enumerate(of.ids):
            with styled():
                write_bytes(folder / f"{target}_{name}.png", png(of.plot(row, image=images[row])))
