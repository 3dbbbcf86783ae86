"""The sections of a report that are about maps: how to read one, the gallery, regions, agreement with physics."""

from __future__ import annotations

__all__ = ["gallery", "hero", "parts", "physics", "regions"]

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ram.axes import prefixed
from ram.evaluation.regions import RegionRow, RegionTable, part_table
from ram.maps.ensemble_map import EnsembleMap
from ram.maps.sight import Sight
from ram.views.carried import most_of_it
from ram.views.findings import KIND, Explained
from ram.views.influence import Influence
from ram.views.numbers import Writer, figure, fixed, per_cent
from ram.views.panels import panel
from ram.views.pictures import region_bars
from ram.views.scenes import equation, share
from ram.views.story import Story
from ram.views.style import embedded

Content = dict[str, Any]
_PARTS = {
    "input": "input",
    "net": "what each cell carries by the net",
    "over": "what each cell carries by the net, over the spectrogram",
    "truth": "what each cell carries by physics",
    "close": "what each cell carries by the net, on a colour scale of its own",
}

_HOW_TO_READ = (
    "How to read it: the net says {line}. Its map shows where that difference comes from: red cells raise "
    "{target}, blue cells lower it, and all cells together are the number over the map."
)
_FIRST_ORDER = (
    "These maps are {method}, {grade}: the net ends in flatten and dense layers ({layers}), behind which nobody can "
    "say where a value came from. On average a map and its baseline miss the prediction by {residual}, against a "
    "difference from the {reference} of {size}. ram adapt makes a net of it whose maps miss nothing."
)
_ONE_SCALE = (
    "Each map shows what every cell adds to {target}, in {label}. Red raises it, blue lowers it; one colour scale for "
    "all, and the cells of a map add up to the number over it."
)
_SAME_QUESTION = (
    "Physics is the solver's own path integral from the data set's mean design to the sample, so the net's maps "
    "here are against the mean design too: both answer the same question. {reference} The maps that the run "
    "stored are against “{stored}”; the training mean is a mean of maps, not the map of a mean design."
)
_PALE = (
    "On the shared scale the net's maps are pale: they spread {target} thinly. They are shown once more in colours "
    "{stretch} times as strong; only there does a colour mean another number."
)
_DISPUTED = (
    "Each map is the mean of those of {members} nets that differ in their seed alone. Hatched grey cells are disputed: "
    "some of the nets say that they raise the value, others that they lower it."
)
_WHOLE = (
    "Every cell belongs to a region, voids too, so the signed columns add up to prediction minus reference. The mean "
    "absolute value says how much a region makes samples differ; the share is its part of the sum of those."
)
_PARTS_TITLE = {
    "channel": "Which channel carries how much?",
    "stage": "Which stage carries how much?",
}
_PARTS_WORDS = {
    "channel": (
        "The net keeps the input's channels apart until its linear unit, so what a prediction owes to each of them is "
        "exact: the signed columns add up to prediction minus reference."
    ),
    "stage": (
        "Several stages of the net are pooled: the early ones see little and lie on fine cells, the late ones see "
        "far. What each adds is exact: the signed columns add up to prediction minus reference."
    ),
}
_OTHER_AXES = (
    "The file holds contributions by physics of {targets} over {axes}. They are left out: these maps lie over "
    "frequency and time, and what physics says of a moment of the signal does not say it of a frequency."
)
_SPECTRA = (
    "The net begins with a spectrogram: windows of {window}, {hop} apart. Maps lie over frequency and time. A cell "
    "sees {seen}, window and main lobe included; what it carries is drawn in its own extent."
)
_RANKS = (
    "Rank correlation (Spearman) between map and physics over the cells with material, the truth summed on the "
    "net's own cells, sample by sample: 1 puts every cell in the right order, 0 is chance. A map without any net "
    "(one channel minus that of the mean design) stands beside it: what a net adds must be more than that."
)

_INFLUENCES = (
    "Is it right for the right reason? Each region of each sample was given the reference's design. Of the map: mean "
    "absolute contribution; of the net's answers: standard deviation of their change; of physics: mean absolute "
    "influence. A region with much of map and answers and nothing of physics is a shortcut; the report warns of it."
)


def hero(story: Story) -> Content:
    """Return the one sample by which a reader learns to read a map."""
    card = _card(story, story.hero)
    words = [_HOW_TO_READ.format(line=card["equation"], target=story.first), _first_order(story)]
    if story.shown.truth is not None:
        words.append("Beside it is what physics says of the same sample, cell by cell, in the same colours.")
        words.append(_reference_words(story))
    words.append(card["words"])
    return {**card, "title": f"One sample of the test part, {card['title']}", "words": " ".join(filter(None, words))}


def _first_order(story: Story) -> str:
    """Say by how much maps miss the predictions, where they are not exact."""
    maps, writer = story.shown.maps, story.writers[story.first]
    if story.run.method == "ram" or maps.log:
        return ""
    missed, size = (float(np.abs(one).mean()) for one in (maps.residual, maps.prediction - maps.baseline))
    return _FIRST_ORDER.format(
        method=maps.method, grade=maps.grade, layers=", ".join(map(str, story.run.spec.model.dense)),
        residual=writer.value(missed), size=writer.value(size), reference=story.shown.reference_words,
    )  # fmt: skip


def gallery(story: Story) -> Content:
    """Return the samples shown, each with its pictures, and what to know of them."""
    unit = story.run.units[story.first]
    title = f"Where do the {unit if unit != '1' else story.first} come from?"
    return {
        "title": title,
        "words": _gallery_words(story),
        "cards": [_card(story, i) for i in range(len(story.scenes))],
    }


def _gallery_words(story: Story) -> list[str]:
    words = [_ONE_SCALE.format(target=story.first, label=story.scale.label)]
    if story.shown.truth is not None:
        words.append(_SAME_QUESTION.format(reference=_reference_words(story), stored=story.stored.reference))
    else:
        words.append(
            f"The maps are against the mean of the training samples' maps. {_no_physics(story, [story.first])}"
        )
    if "close" in story.scale.parts:
        words.append(_PALE.format(target=story.first, stretch=f"{story.scale.stretch:.2g}"))
    if story.shown.maps.log:
        words.append(f"{story.first} was regressed in the logarithm: contributions are factors (%), and multiply.")
    if isinstance(story.shown.maps, EnsembleMap):
        words.append(_DISPUTED.format(members=len(story.shown.maps.members)))
    if story.shown.over_inputs:
        seen = str(Sight.in_map(story.shown.maps))
        words.append(f"{seen[0].upper()}{seen[1:]}; what it carries is drawn in its own extent.")
    else:
        words.append(_spectra(story))
    if len(story.data.axes) == 3:
        first = story.data.axes[0].name
        words.append(f"Of inputs in 3D the middle slice is shown; contributions are summed along {first}.")
    return words


def _spectra(story: Story) -> str:
    """Say what lies between the signal and the map."""
    section, fields = story.run.spec.model.spectrogram, story.shown.maps.receptive_field
    assert section is not None, "the caller has looked"
    seen = " and ".join(_written(one, axis.unit) for one, axis in zip(fields, story.shown.maps.input_axes, strict=True))
    return _SPECTRA.format(window=section.length, hop=section.hop, seen=seen)


def _written(number: float, unit: str) -> str:
    """Return a number with the prefix that suits it."""
    name, size = prefixed(unit, largest=number)
    return f"{figure(number / size)}\N{NO-BREAK SPACE}{name}"


def _reference_words(story: Story) -> str:
    """Say what net and solver say of the mean design: by this the totals of their maps differ in every picture."""
    agreement, writer = story.targets[story.first].agreement, story.writers[story.first]
    if agreement is None:
        return ""
    net, solver = agreement.net_reference, agreement.solver_reference
    return (
        f"The mean design itself, blurred as no sample is, has {writer.value(net)} by the net and "
        f"{writer.value(solver)} by the solver, so the two totals differ by {writer.value(abs(net - solver))} "
        "from the start."
    )


def _no_physics(story: Story, targets: Sequence[str]) -> str:
    held = [name for name in targets if (name, KIND) in story.data.truth_kinds]
    if held and not story.shown.over_inputs:
        return _OTHER_AXES.format(targets=", ".join(held), axes=", ".join(axis.name for axis in story.data.axes))
    return f"The file holds no contributions by physics that maps of {', '.join(targets)} could be held against."


def _card(story: Story, number: int) -> Content:
    scene, scale = story.scenes[number], story.scale
    parts = [part for part in scale.parts if part != "truth" or scene.truth is not None]
    line = equation(story.shown.maps, number, words=story.shown.reference_words, writer=story.writers[story.first])
    return {
        "title": f"{scene.name}: {line}",
        "equation": line,
        "words": _card_words(story, number),
        "pictures": [embedded(panel(scene, part, scale=scale), f"{scene.name}: {_PARTS[part]}") for part in parts],
        "without_truth": scene.truth is None and story.shown.truth is not None,
    }


def _card_words(story: Story, number: int) -> str:
    """Say what was measured at a sample of the gallery, and what else belongs to its prediction."""
    maps, stored, writer = story.shown.maps, story.stored, story.writers[story.first]
    measured = story.measured(story.scenes[number].name)
    words = ["Not measured."]
    if np.isfinite(measured):
        error = writer.signed(maps.prediction[number] - measured)
        words = [f"Measured {writer.value(measured)}: the prediction is off by {error}."]
    if maps.parameter_names:
        shares = zip(maps.parameter_names, maps.parameter_contributions[number], strict=True)
        carried = ", ".join(f"{name} carries {share(maps, value, writer=writer)}" for name, value in shares)
        words.append(f"Beside the map, {carried}.")
    if story.shown.regions is None and maps.adds_up:
        unit, times = ("%", 100.0) if maps.log else (maps.unit, 1.0)
        most = most_of_it(maps, maps.contributions[number], unit=unit, times=times)
        words.append(f"Most of the map: {most}.")
    if story.shown.truth is not None and stored.reference == "train-mean":
        words.append(f"Against the training mean: {equation(stored, number, words='training mean', writer=writer)}.")
    return " ".join(words)


def regions(story: Story) -> Content | None:
    """Return what each region carries, by target and by sample shown; None where the file names no regions."""
    tables = {name: _readable(found.regions) for name, found in story.targets.items() if found.regions is not None}
    if not tables or story.shown.regions is None:
        return None
    title = f"{story.first}: what each region carries against the {story.targets[story.first].reference_words}"
    bars = region_bars(tables[story.first].rows, unit=tables[story.first].unit, title=title)
    words = [_WHOLE]
    if "void" in tables[story.first].names:
        words.append("What void carries: the mean has some material in each place, and the sample has none there.")
    contents = [_region_content(story, name, table) for name, table in tables.items()]
    return {
        "words": words,
        "picture": embedded(bars, title),
        "tables": [*contents, _shown_regions(story, _readable(story.shown.regions))],
    }


def parts(story: Story) -> Content | None:
    """Return what each channel or stage carries, by target and by sample shown; None where maps have no parts."""
    shown = story.shown.maps
    if not shown.part_names:
        return None
    tables = {name: _readable(part_table(found.maps)) for name, found in story.targets.items()}
    contents = [_region_content(story, name, table, shown.part_kind) for name, table in tables.items()]
    return {
        "title": _PARTS_TITLE[shown.part_kind],
        "words": [_PARTS_WORDS[shown.part_kind]],
        "tables": [*contents, _shown_regions(story, _readable(part_table(shown)))],
    }


def _readable(table: RegionTable) -> RegionTable:
    """Return logarithms of factors as per cent, other tables as they are."""
    return replace(table, net=100 * table.net, unit="%") if table.log else table


def _region_content(story: Story, name: str, table: RegionTable, what: str = "region") -> Content:
    writer = _table_writer(story, name, table)
    sides = ("net", "physics") if np.isfinite(table.physics).any() else ("net",)
    head = [f"{figure}, {side}" for figure in ("mean", "mean |…|", "share") for side in sides]
    rows = [_region_row(row, writer, sides) for row in table.rows]
    sums = [writer.bare(float(np.nansum([getattr(r, side) for r in table.rows])), sign=True) for side in sides]
    count, reference = len(table.ids), story.targets[name].reference_words
    return {
        "caption": f"{_headed(name, table)}: mean over {count:,} samples of the test part, against the {reference}",
        "head": [what, *head, *(["mean |net − physics|"] if len(sides) == 2 else [])],
        "rows": rows,
        "foot": ["all together", *sums, *([""] * (len(rows[0]) - 1 - len(sums)))],
    }


def _table_writer(story: Story, name: str, table: RegionTable) -> Writer:
    return Writer(table.unit, 2 if table.log else story.writers[name].decimals)


def _headed(name: str, table: RegionTable) -> str:
    return name if table.unit == "1" else f"{name} ({table.unit})"


def _region_row(row: RegionRow, writer: Writer, sides: Sequence[str]) -> list[str]:
    return [
        row.name,
        *(writer.bare(getattr(row, side), sign=True) for side in sides),
        *(writer.bare(getattr(row, f"{side}_absolute")) for side in sides),
        *(per_cent(getattr(row, f"{side}_share")) for side in sides),
        *([writer.bare(row.difference)] if len(sides) == 2 else []),
    ]


def _shown_regions(story: Story, table: RegionTable) -> Content:
    """Return what each region of each shown sample carries, net before physics."""
    writer, known = _table_writer(story, story.first, table), story.shown.truth is not None
    rows = []
    for name, net, physics in zip(table.ids, table.net, table.physics, strict=True):
        total = np.nansum(physics) if np.isfinite(physics).any() else np.nan
        pairs = zip([*net, net.sum()], [*physics, total], strict=True)
        rows.append([name, *(_pair(writer, one, other, known=known) for one, other in pairs)])
    known = known and bool(np.isfinite(table.physics).any())
    sides = "by the net | by physics" if known else "by the net"
    against = story.shown.reference_words
    return {
        "caption": f"{_headed(story.first, table)} of the samples shown: {sides}, against the {against}",
        "head": ["sample", *table.names, "all together"],
        "rows": rows,
    }


def _pair(writer: Writer, net: float, physics: float, *, known: bool) -> str:
    left = writer.bare(net, sign=True)
    return f"{left} | {writer.bare(physics, sign=True)}" if known else left


def physics(story: Story) -> Content:
    """Return how the maps of each target agree with physics."""
    rows = [_physics_row(story, name, found) for name, found in story.targets.items() if found.agreement]
    without = [name for name, found in story.targets.items() if not found.agreement]
    words = []
    if rows:
        words.append(_RANKS)
    if without:
        words.append(_no_physics(story, without))
    head = [
        "target",
        "samples",
        "rank correlation",
        "10 % … 90 %",
        "without a net",
        "mean design, net",
        "by the solver",
    ]
    if story.influences:
        words.append(_INFLUENCES)
    tables = [_influence_table(found) for found in story.influences.values()]
    return {"words": words, "table": {"head": head, "rows": rows} if rows else None, "influences": tables}


def _influence_table(found: Influence) -> Content:
    shares = zip(found.names, *found.shares, strict=True)
    return {
        "caption": f"{found.target}: shares of the regions, physics {found.how} ({len(found.carried):,} samples)",
        "head": ["region", "of the map", "of the net's answers", "of physics"],
        "rows": [[name, *map(per_cent, row)] for name, *row in shares],
    }


def _physics_row(story: Story, name: str, found: Explained) -> list[str]:
    agreement, writer = found.agreement, story.writers[name]
    assert agreement is not None, "the caller leaves targets without truth out"
    known = agreement.ranks[np.isfinite(agreement.ranks)]
    low, high = np.percentile(known, (10, 90)) if known.size else (np.nan, np.nan)
    return [
        name,
        f"{known.size:,}",
        fixed(agreement.mean, decimals=2),
        f"{fixed(low, decimals=2)} … {fixed(high, decimals=2)}",
        f"{fixed(agreement.trivial, decimals=2)} ({agreement.trivial_name})",
        writer.value(agreement.net_reference),
        writer.value(agreement.solver_reference),
    ]
