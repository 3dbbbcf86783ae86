"""The maps that are scored: those of every method, and those that need no net."""

from __future__ import annotations

__all__ = [
    "Candidate",
    "candidate_of_method",
    "candidate_of_trivial",
    "claims_on_inputs",
    "passes_of",
    "truth_on_inputs",
]

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float

from ram.errors import RamError
from ram.evaluation.leaderboard import METHOD, TRIVIAL
from ram.evaluation.subject import Subject, claimed_maps, claimed_values, default_reference_of, on_cells
from ram.evaluation.trivial import Trivial
from ram.maps.input_methods import EXACT_REGIONS
from ram.maps.methods import Method, method_called, options_for
from ram.maps.parts import spread
from ram.maps.regression_map import RegressionMap


@dataclass(frozen=True, eq=False)
class Candidate:
    """Maps of the first samples of a subject on the net's own cells, and what is to be said of them.

    Attributes
    ----------
    name, kind, what, grade, reference
        As a row of the leaderboard has them.
    claims
        Shape (row, *cells): what each cell is said to add to the difference from the reference; None where there is no
        map. As many rows as there are maps, which may be fewer than there are samples.
    in_unit
        Whether claims are in the unit in which maps add up.
    slopes
        By channel, shape (row, *cells): change of the target for a change of the channel, for maps that are that.
    maps
        As the method made them.
    seconds
        For one sample; NaN where that says nothing.
    refused
        Why there is no map.
    """

    name: str
    kind: str
    what: str = ""
    grade: str = ""
    reference: str = ""
    claims: Float[np.ndarray, "row *cells"] | None = field(default=None, repr=False)
    in_unit: bool = False
    slopes: Mapping[str, Float[np.ndarray, "row *cells"]] = field(default_factory=dict, repr=False)
    maps: RegressionMap | None = field(default=None, repr=False)
    options: Mapping[str, int | float] = field(default_factory=dict)
    seconds: float = float("nan")
    refused: str = ""

    @property
    def rows(self) -> int:
        """Of how many samples there are maps."""
        return 0 if self.claims is None else len(self.claims)


def candidate_of_method(
    subject: Subject, name: str, *, passes: float, least: int, options: Mapping[str, int | float], seed: int
) -> Candidate:
    """Return the maps of a method, of as many samples as its passes allow; a method that refuses says why.

    Parameters
    ----------
    passes, least
        How many forward passes its maps may take together, and of how many samples there are maps at least.
    options
        The method's own, in the place of its defaults.
    """
    method = method_called(name)
    chosen = options_for(method, options)
    against = "the reference design" if default_reference_of(method) else "nothing"
    plain = Candidate(name, METHOD, method.summary, method.grade, against, options=chosen)
    count = int(min(len(subject), max(least, passes // passes_of(method, subject, chosen))))
    began = time.perf_counter()
    try:
        maps = subject.explain(name, rows=slice(0, count), options=chosen, seed=seed)
    except RamError as error:
        return replace(plain, refused=str(error))
    seconds = (time.perf_counter() - began) / count
    return replace(
        plain,
        claims=claimed_maps(subject, maps, rows=slice(0, count)),
        in_unit=_adds_claims(method),
        slopes=_slopes(subject, maps),
        maps=maps,
        seconds=seconds,
    )


def _adds_claims(method: Method) -> bool:
    """Say whether what a method gives cells may be summed over a region, in the unit in which maps add up.

    What occlusion gives a point is what a whole window around it is worth: no share of anything.
    """
    return method.grade != "relative" and method.name != "occlusion"


def candidate_of_trivial(trivial: Trivial) -> Candidate:
    """Return a map that needs no trained net as a candidate."""
    slopes = {trivial.channel: trivial.cells} if trivial.channel and trivial.cells is not None else {}
    return Candidate(
        trivial.name, TRIVIAL, trivial.what, reference="", claims=trivial.cells, in_unit=trivial.in_unit, slopes=slopes,
        refused=trivial.missing,
    )  # fmt: skip


def passes_of(method: Method, subject: Subject, options: Mapping[str, int | float]) -> int:
    """Return about how many forward passes the map of one sample takes; a pass with its gradient counts as three.

    Passes count for each symmetry that the net averages over.
    """
    space = [axis.size for axis in subject.axes]
    regions = subject.region_answers()
    sets = 2**regions if regions <= EXACT_REGIONS else regions * int(options.get("samples", 1))
    own = {
        "score-cam": subject.net.backbone.features,
        "integrated-gradients": 3 * options.get("steps", 1),
        "deeplift": 8,
        "gradient-shap": 3 * options.get("samples", 1),
        "shapley-regions": sets,
        "gradient-x-input": 3,
        "gradient": 3,
        "smoothgrad": 3 * options.get("samples", 1),
        "occlusion": math.prod(_windows(size, float(options.get("window", 1.0))) for size in space),
        "region-ablation": regions,
        "guided-backprop": 3,
        "guided-grad-cam": 4,
    }
    return subject.views * int(own.get(method.name, 1))


def claims_on_inputs(subject: Subject, candidate: Candidate) -> Float[np.ndarray, "row *space"]:
    """Return what each point of the input is said to add: claims on their own grid, and each spread over its extent."""
    assert candidate.claims is not None, "a candidate with maps"
    if candidate.maps is None:
        return spread(candidate.claims, subject.cells, subject.axes)
    own = claimed_values(subject, candidate.maps, rows=slice(0, candidate.rows))
    return spread(own, candidate.maps.axes, subject.axes)


def truth_on_inputs(subject: Subject, candidate: Candidate) -> Float[np.ndarray, "row *space"]:
    """Return what each point of the input adds by physics, as the cells of a candidate can say it.

    A cell that lies in two regions cannot be held to a border that is finer than it is: the truth is summed on the
    cells and each spread over its extent, as the candidate's claims are.
    """
    assert subject.contribution is not None, "a subject with truth"
    grid = subject.cells if candidate.maps is None else candidate.maps.axes
    physics = np.asarray(subject.contribution[: candidate.rows], dtype=np.float64)
    return spread(on_cells(physics, source=subject.axes, cells=grid), grid, subject.axes)


def _windows(size: int, share: float) -> int:
    window = min(size, max(1, round(share * size)))
    return 1 + math.ceil((size - window) / max(1, window // 2))


def _slopes(subject: Subject, maps: RegressionMap) -> dict[str, Float[np.ndarray, "row *cells"]]:
    if maps.grade != "sensitivity":
        return {}
    parts = zip(maps.part_names, np.moveaxis(maps.part_contributions, 1, 0), strict=True)
    return {name: on_cells(values, source=maps.axes, cells=subject.cells) for name, values in parts}
