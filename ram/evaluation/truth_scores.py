"""The scores of a candidate that need a map, a region or sensitivities known from physics."""

from __future__ import annotations

__all__ = ["against_truth", "chance", "hows"]

import numpy as np
from jaxtyping import Bool, Float

from ram.evaluation import agreement
from ram.evaluation.candidates import Candidate, claims_on_inputs, truth_on_inputs
from ram.evaluation.localisation import rank_agreement
from ram.evaluation.subject import Subject, on_cells

Values = dict[str, tuple[Float[np.ndarray, " row"], Float[np.ndarray, " row"] | None]]


def against_truth(subject: Subject, candidate: Candidate) -> Values:
    """Return the scores by column, one figure a sample, and what sums are divided by where that is not their number."""
    found: Values = {}
    if candidate.claims is None:
        return found
    first = subject[: candidate.rows]
    maps, where = candidate.claims, subject.where[: candidate.rows]
    if subject.truth is not None:
        truth = subject.truth[: candidate.rows]
        found["spearman"] = rank_agreement(maps, truth, where=where), None
        found["pearson"] = agreement.linear_agreement(maps, truth, where=where), None
        found["top"] = agreement.top_overlap(maps, truth, where=where), None
        found["sign"] = agreement.sign_agreement(maps, truth, where=where), None
        if candidate.in_unit and not subject.log:
            found |= _regions(subject, candidate)
    region = _region(subject)
    if region is not None:
        here = region[: candidate.rows]
        found["mass"] = agreement.mass_within(maps, here, where=where)[0], None
        found["pointing"] = agreement.peak_within(maps, here, where=where), None
        found["auc"] = agreement.region_auc(maps, here, where=where), None
    return found | _slopes(first, candidate, where)


def _region(subject: Subject) -> Bool[np.ndarray, "sample *cells"] | None:
    """Return the true region: the one that is given, or the strongest tenth of the truth."""
    if subject.region_cells is not None:
        return subject.region_cells
    return None if subject.truth is None else agreement.strongest(subject.truth, where=subject.where)


def _regions(subject: Subject, candidate: Candidate) -> Values:
    """Return by how much the table of regions is off, of maps in the truth's unit."""
    if subject.regions is None or subject.contribution is None:
        return {}
    rows = candidate.rows
    codes, names = subject.regions[:rows], len(subject.region_names)
    codes = np.where(codes < names, codes, names).astype(np.uint8)  # points that the file puts in no region are one
    fine, physics = claims_on_inputs(subject, candidate), truth_on_inputs(subject, candidate)
    error, size = agreement.region_error(fine, physics, codes, count=names + 1)
    there = size.sum(axis=1) > 0
    off, whole = error.sum(axis=1), np.where(there, size.sum(axis=1), np.nan)
    counted = np.array([np.unique(one).size for one in codes], dtype=np.float64)
    return {"regions": (off / counted, None), "regions_share": (100 * off, whole)}


def _slopes(subject: Subject, candidate: Candidate, where: Bool[np.ndarray, "row *cells"]) -> Values:
    """Return the rank agreement of slopes with the solver's sensitivities, the mean over channels."""
    common = [name for name in candidate.slopes if name in subject.sensitivity]
    if not common:
        return {}
    each = [
        rank_agreement(
            candidate.slopes[name],
            on_cells(np.asarray(subject.sensitivity[name], np.float64), source=subject.axes, cells=subject.cells),
            where=where,
        )
        for name in common
    ]
    return {"sensitivity": (np.mean(each, axis=0), None)}


def chance(subject: Subject, name: str) -> float | None:
    """Return what chance gives for mass and pointing, which depends on how large the region is; else None."""
    region = _region(subject) if name in ("mass", "pointing") else None
    if region is None:
        return None
    share = [inside[counts].mean() for inside, counts in zip(region, subject.where, strict=True) if counts.any()]
    return float(np.mean([one for one in share if one > 0] or [np.nan]))


def hows(subject: Subject) -> dict[str, str]:
    """Return how each score was computed on this subject."""
    cells = " x ".join(str(axis.size) for axis in subject.cells)
    counted = "all" if subject.material is None else "those that hold material in the sample or the reference"
    on = f"on the net's own {cells} cells, {counted}"
    region = "the region that the data name" if subject.region is not None else "the truth's strongest tenth"
    names = ("spearman", "pearson", "top", "sign")
    found = dict.fromkeys(names, f"with the truth summed {on}") | dict.fromkeys(
        ("mass", "pointing", "auc"), f"in {region}, {on}"
    )
    if subject.regions is not None:
        words = f"sums over {', '.join(subject.region_names)}, map against truth, of maps in the target's unit"
        found |= dict.fromkeys(("regions", "regions_share"), words)
    found["sensitivity"] = f"with the solver's sensitivities by {', '.join(subject.sensitivity)}, {on}"
    return found
