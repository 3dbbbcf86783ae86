"""``ram explain``: which regions drive the predictions of a run, in the unit of the target."""

from __future__ import annotations

__all__ = ["explain", "methods"]

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ram.cli.output import AsJson, say, say_json, say_table
from ram.cli.regions import largest_of, regions_asked, say_largest, say_regions
from ram.errors import ConfigError, explained, nearest

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float

    from ram.data.dataset import Dataset, Sample
    from ram.maps.bounds import Bounds
    from ram.maps.regression_map import RegressionMap
    from ram.runs.predictions import Predictions


_MOST_NEAR = 10_000  # ids among which the nearest is looked for: more would take minutes


def explain(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run, as ram train made it.")],
    *,
    data: Annotated[Path | None, typer.Option(metavar="FILE", help="The run's test part if not said.")] = None,
    targets: Annotated[
        list[str] | None, typer.Option("--target", metavar="NAME", help="All if not said. May be repeated.")
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(help="train-mean (ram's own), train-mean-design (others'), baseline, or the id of a sample."),
    ] = None,
    method: Annotated[str, typer.Option(help="One of those that 'ram methods' lists.")] = "ram",
    layers: Annotated[
        list[str] | None, typer.Option("--layer", metavar="NAME", help="For methods of a layer. May be repeated.")
    ] = None,
    channel: Annotated[
        str | None, typer.Option(metavar="NAME", help="For methods of the input, or each; the sum of all if not said.")
    ] = None,
    of: Annotated[
        str | None, typer.Option(help="Of a net that begins with a spectrogram: spectrogram (if not said) or signal.")
    ] = None,
    resolution: Annotated[int, typer.Option(help="How many times finer than the net's own cells.")] = 1,
    options: Annotated[
        list[str] | None, typer.Option("--option", metavar="NAME=NUMBER", help="Of the method. May be repeated.")
    ] = None,
    samples: Annotated[str, typer.Option(help="How many, or ids with commas between.")] = "12",
    regions: Annotated[
        list[str] | None,
        typer.Option(
            "--region", metavar="NAME=LOW:HIGH,...", help="What this carries: time=0.8ms:1.2ms,frequency=8kHz:10kHz."
        ),
    ] = None,
    largest: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="The N regions that carry most, and the rest.")
    ] = None,
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="Keep the maps in this HDF5 file.")] = None,
    pictures: Annotated[Path | None, typer.Option(metavar="FOLDER", help="One for each sample and target.")] = None,
    as_json: AsJson = False,
) -> None:
    """Say which regions drive the predictions of RUN, in the unit of the target."""
    import ram
    from ram.maps.bounds import bounds_in
    from ram.maps.regression_map import save_maps

    opened = ram.open_run(run)
    known = opened.open(data) if data else opened.data()
    part = known if data else known.subset("test", split=opened.config.data.split)
    chosen = chosen_samples(known, part, samples)
    bounds = [bounds_in(text, opened.axes_of(of), where="--region") for text in regions or ()]
    maps = opened.explain(
        chosen,
        target=targets or None,
        reference=None if reference is None else reference_in(known, reference),
        method=method,
        layer=layers or None,
        channel=channel,
        options=numbers_in(options or ()),
        resolution=resolution,
        of=of,
    )
    kept = {str(key): Path(path) for key, path in (("maps", output), ("pictures", pictures)) if path}
    if output:
        save_maps(output, maps)
    if pictures:
        save_pictures(pictures, maps, opened.explained_inputs(chosen, of)[:, -1])
    predicted = opened.predict(chosen)
    if as_json:
        answers = {name: as_dict(of, chosen, predicted) for name, of in maps.items()}
        for name, answer in answers.items():
            add_regions(answer, maps[name], bounds, largest)
        say_json({"run": str(run), "targets": answers, **kept})
        return
    for one in maps.values():
        if not one.part_units:  # slopes in different units have no sum
            say_map(one, chosen)
        if one.part_names:
            say_parts(one)
        if bounds:
            say_regions(one, bounds)
        if largest is not None:
            say_largest(one, largest)
    say_outside(predicted)
    for word, path in kept.items():
        say(f"{word}: {path}")


def methods(*, as_json: AsJson = False) -> None:
    """List the ways to make maps, how far each may be trusted, and where it comes from."""
    from ram.maps.methods import METHODS
    from ram.maps.regression_map import GRADES

    if as_json:
        rows = [
            {"method": one.name, "grade": one.grade, "of": one.kind, "options": dict(one.options), "what": one.summary,
             "cost": one.cost, "paper": one.paper}
            for one in METHODS.values()
        ]  # fmt: skip
        say_json({"methods": rows, "grades": dict(GRADES)})
        return
    for grade, meaning in GRADES.items():
        say(f"{grade}: {meaning}")
        for one in METHODS.values():
            if one.grade == grade:
                options = "".join(f" [{name}={value}]" for name, value in one.options.items())
                say(f"  {one.name:<21}{one.summary}{options}")


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


def numbers_in(words: Sequence[str]) -> dict[str, int | float]:
    """Return options of a method by name.

    >>> numbers_in(["steps=64", "noise=0.2"])
    {'steps': 64, 'noise': 0.2}

    Raises
    ------
    ConfigError
        For a word that is not NAME=NUMBER.
    """
    found: dict[str, int | float] = {}
    for word in words:
        name, _, text = word.partition("=")
        try:
            found[name.strip()] = int(text) if text.strip().isdecimal() else float(text)
        except ValueError:
            raise ConfigError(
                explained(where="--option", what="an option", allowed="NAME=NUMBER, such as steps=64", got=f"'{word}'")
            ) from None
    return found


def reference_in(known: Dataset, word: str) -> str | Sample:
    """Return one of the references that have a name, or the sample whose id is `word`."""
    from ram.runs.explaining import REFERENCES

    return word if word in REFERENCES else known[position_of(known, word, option="--reference", also=REFERENCES)]


def position_of(known: Dataset, word: str, *, option: str, also: Sequence[str] = ()) -> int:
    """Return where the sample with this id stands.

    Raises
    ------
    ConfigError
        Where there is none; names the nearest.
    """
    import numpy as np

    ids = known.ids
    found = np.flatnonzero(ids == word)
    if not found.size:
        choices = " or ".join([*also, f"the id of a sample of {known.path}"])
        near = nearest(word, [*also, *ids[:_MOST_NEAR].tolist()]) or f"The first id is '{ids[0]}'"
        raise ConfigError(explained(where=option, what="the value", allowed=choices, got=f"'{word}'", next_step=near))
    return int(found[0])


def as_dict(maps: RegressionMap, data: Dataset, predicted: Predictions) -> dict[str, Any]:
    """Return what a script would ask of maps: the numbers of each sample, not the cells."""
    names, carried = regions_of(maps, data)
    columns = (maps.ids, maps.prediction, maps.baseline, maps.residual, carried, maps.part_totals)
    known = trusted(maps, predicted)
    return {
        "unit": maps.unit,
        "map_unit": maps.map_unit,
        "method": maps.method,
        "grade": maps.grade,
        "reference": maps.reference,
        "log": maps.log,
        "samples": [
            {
                "id": str(name),
                "prediction": float(total),
                "baseline": float(base),
                "residual": float(rest),
                "carried": dict(zip(names, map(float, regions), strict=True)),
                **({maps.part_kind: dict(zip(maps.part_names, map(float, parts), strict=True))} if parts.size else {}),
                **trust,
            }
            for name, total, base, rest, regions, parts, trust in zip(*columns, known, strict=True)
        ],
    }


def add_regions(answer: dict[str, Any], maps: RegressionMap, bounds: Sequence[Bounds], largest: int | None) -> None:
    """Add to `answer` what regions carry that were asked for, and the largest ones."""
    if bounds:
        answer["regions"] = regions_asked(maps, bounds)
    if largest is not None:
        for index, sample in enumerate(answer["samples"]):
            sample.update(largest_of(maps, index, largest))


def trusted(maps: RegressionMap, predicted: Predictions) -> list[dict[str, object]]:
    """Return for each sample how far its numbers may be trusted: interval, outside, and what members agree on."""
    from ram.maps.ensemble_map import EnsembleMap

    low, high = predicted.interval(maps.target)
    rows: list[dict[str, object]] = [{} for _ in maps.ids]
    for place, row in enumerate(rows):
        if predicted.has_intervals:
            row |= {"lower": float(low[place]), "upper": float(high[place])}
            row |= {"outside": bool(predicted.is_outside[place]), "outside_p": float(predicted.outside[place])}
        if isinstance(maps, EnsembleMap):
            row["undisputed"] = float(maps.undisputed_share()[place])
    return rows


def say_outside(predicted: Predictions) -> None:
    """Name the samples that are unlike those that the net was trained on."""
    names = [str(name) for name in predicted.ids[predicted.is_outside]]
    if names:
        many = f"{len(names)} of {len(predicted)} samples {'is' if len(names) == 1 else 'are'}"
        say(f"{many} unlike what the net was trained on; trust their maps less: {', '.join(names)}")


def say_map(maps: RegressionMap, data: Dataset) -> None:
    """Print for each sample what its prediction is made of."""
    from ram.maps.ensemble_map import EnsembleMap

    names, carried = regions_of(maps, data)
    if not maps.adds_up:
        heads = ["sample", "prediction", *names]
        plain = zip(maps.ids, maps.prediction, carried, strict=True)
        rows = [[str(name), f"{total:.5g}", *(f"{part:+.4g}" for part in parts)] for name, total, parts in plain]
        unit = "no unit" if maps.grade == "relative" else maps.map_unit
        say_table(
            f"{maps.target} in {maps.unit}; sums over regions in {unit} ({maps.method}, {maps.grade})", heads, rows
        )
        return
    columns = (maps.ids, maps.prediction, maps.baseline, carried, maps.residual)
    rows = [
        [str(name), f"{total:.5g}", f"{base:.5g}", *(f"{part:+.4g}" for part in parts), f"{rest:+.0e}"]
        for name, total, base, parts, rest in zip(*columns, strict=True)
    ]
    sums = "logarithms of factors" if maps.log else maps.unit
    heads = ["sample", "prediction", "= baseline", *(f"+ {name}" for name in names), "+ residual"]
    if isinstance(maps, EnsembleMap):
        heads.append("undisputed")
        rows = [[*row, f"{100 * share:.0f} %"] for row, share in zip(rows, maps.undisputed_share(), strict=True)]
    say_table(
        f"{maps.target} in {maps.unit}, against {maps.reference}; parts in {sums} ({maps.method}, {maps.grade})",
        heads,
        rows,
    )


def say_parts(maps: RegressionMap) -> None:
    """Print what each channel, stage or layer carries, sample by sample."""
    units = maps.part_units or (("1" if maps.log else maps.map_unit),) * len(maps.part_names)
    heads = [name if unit == "1" else f"{name} ({unit})" for name, unit in zip(maps.part_names, units, strict=True)]
    pairs = zip(maps.ids, maps.part_totals, strict=True)
    rows = [[str(name), *(f"{part:+.4g}" for part in parts)] for name, parts in pairs]
    say_table(f"{maps.target}: what each {maps.part_kind} carries", ["sample", *heads], rows)


def regions_of(maps: RegressionMap, data: Dataset) -> tuple[Sequence[str], Float[np.ndarray, "batch part"]]:
    """Return what the named regions (and parameters) carry, or the whole map where the file names no regions.

    Nothing for parts in different units, which have no sum.
    """
    if maps.part_units:
        return [], maps.total[:, None][:, :0]
    from ram.evaluation.regions import region_table
    from ram.maps.fronts import over_input

    codes = data.regions_array() if data.region_names else None
    if codes is None or codes.max() >= len(data.region_names):  # some samples have no regions
        return ["map"], maps.total[:, None]
    table = region_table(over_input(maps, data.axes), codes, data.region_names)
    return table.names, table.net


def save_pictures(folder: Path, maps: Mapping[str, RegressionMap], images: Float[np.ndarray, "sample *space"]) -> None:
    """Write ``<target>_<id>.png`` for each map, laid over what it is of: a channel of each sample."""
    from ram.storage.atomic import write_bytes
    from ram.storage.names import file_names
    from ram.views.style import png, styled

    folder.mkdir(parents=True, exist_ok=True)
    pairs = [(target, row) for target, of in maps.items() for row in range(len(of.ids))]
    names = file_names([f"{target}_{maps[target].ids[row]}" for target, row in pairs])
    for (target, row), name in zip(pairs, names, strict=True):
        with styled():
            write_bytes(folder / f"{name}.png", png(maps[target].plot(row, image=images[row])))
