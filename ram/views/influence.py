"""What each region does to map, net and physics of a run, and the warning where a net goes by what has no influence."""

from __future__ import annotations

__all__ = ["Influence", "influences", "warning"]

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float

from ram.data.dataset import Dataset
from ram.data.simulators import Simulator
from ram.data.units import difference_factor
from ram.evaluation.influence import Idle, region_shares, without_influence
from ram.evaluation.interventions import Interventions, intervene, region_masks
from ram.maps.regression_map import RegressionMap
from ram.runs.answers import answer
from ram.runs.ensemble import Ensemble
from ram.runs.run import Run
from ram.views.findings import has_truth
from ram.views.numbers import per_cent

SAMPLES = 64  # enough for shares to within some per cent; the net is asked once for each region of each
BY_TRUTH, BY_SOLVER = "by the contributions known from physics", "under intervention, the solver asked again"

_WARNING = (
    "{carried} of the contribution to {target} lies in region “{region}”, which has no influence on it {how} "
    "({influence}); the net's answers owe {answered} of their changes to it. Where “{region}” does not go along with "
    "{target}, the numbers will be wrong. Remedy: train with [training.map_supervision], by maps known from physics or "
    "by the regions that may carry {target}; or take “{region}” out of the inputs."
)


@dataclass(frozen=True, eq=False)
class Influence:
    """What regions do, sample by sample, in the unit in which maps of the target add up.

    Attributes
    ----------
    target, names, how
        How physics was asked.
    carried, answered, true
        Shape (sample, region), as for `ram.evaluation.influence.without_influence`.
    """

    target: str
    names: tuple[str, ...]
    how: str
    carried: Float[np.ndarray, "sample region"] = field(repr=False)
    answered: Float[np.ndarray, "sample region"] = field(repr=False)
    true: Float[np.ndarray, "sample region"] = field(repr=False)

    @property
    def shares(self) -> tuple[Float[np.ndarray, " region"], ...]:
        """Share of each region in map, answers and physics."""
        return region_shares(carried=self.carried, answered=self.answered, true=self.true)

    @property
    def idle(self) -> tuple[Idle, ...]:
        """The regions that the net goes by and physics does not."""
        return without_influence(self.names, carried=self.carried, answered=self.answered, true=self.true)


def influences(
    run: Run,
    data: Dataset,
    *,
    simulator: Simulator | None = None,
    samples: int = SAMPLES,
    jobs: int = 1,
    progress: bool | Callable[[int, int], None] = True,
) -> dict[str, Influence]:
    """Return for each target what the regions of the file do to map, net and physics.

    Targets are left out where nothing can be said: the file has no regions or no reference design, or physics was not
    asked (neither truth in the file nor a simulator that knows the target), or the maps lie over a spectrogram.

    Parameters
    ----------
    data
        Samples to look at, such as the test part; the first ones that have truth, or the first ones.
    simulator
        Asked for the true changes; the contributions in the file if not given.
    samples
        Most samples that are looked at.
    jobs, progress
        Of the simulator's work.
    """
    reference = data.reference_design()
    if not data.region_names or reference is None or run.spec.model.spectrogram is not None or not len(data):
        return {}
    if any(own.size != axis.size for own, axis in zip(run.spec.axes, data.axes, strict=True)):  # padded anew
        return {}
    found: dict[str, Influence] = {}
    for names, rows in _alike(run, data, with_truth=simulator is None, samples=samples):
        masks = region_masks(rows, reference=reference, patches=0)
        maps = run.explain(rows, target=names, reference=_in_units(run, rows, reference), method=run.method)
        answered = _answered(run, rows, masks, reference)
        asked = None if simulator is None else intervene(rows, simulator, patches=0, jobs=jobs, progress=progress)
        for name in names:
            true = _true(rows, maps[name], masks, asked)
            if true is not None:
                carried = _sums(maps[name].on_input_grid().contributions, masks)
                how = BY_TRUTH if asked is None else BY_SOLVER
                found[name] = Influence(name, data.region_names, how, carried, answered[name], true)
    return {name: found[name] for name in run.units if name in found}


def warning(found: Influence) -> list[str]:
    """Return what to say of regions without influence that a net goes by; nothing where there are none."""
    return [
        _WARNING.format(
            carried=per_cent(idle.carried),
            target=found.target,
            region=idle.region,
            how=found.how,
            influence=f"{100 * idle.influence:.1f} %",
            answered=per_cent(idle.answered),
        )
        for idle in found.idle
    ]


def _alike(run: Run, data: Dataset, *, with_truth: bool, samples: int) -> list[tuple[list[str], Dataset]]:
    """Return targets with the same samples together: those that have truth, or the first ones."""
    if not with_truth:
        return [(list(run.units), data[:samples])]
    groups: dict[bytes, list[str]] = {}
    for name in run.units:
        if (name, "contribution") in data.truth_kinds and has_truth(run, data, name).any():
            groups.setdefault(has_truth(run, data, name).tobytes(), []).append(name)
    return [(names, data[has_truth(run, data, names[0])][:samples]) for names in groups.values()]


def _in_units(run: Run, data: Dataset, reference: Float[np.ndarray, "channel *space"]) -> np.ndarray:
    """Return a design of the file in the units that the net was trained on."""
    scales = [difference_factor(data.channels[name], to=unit) for name, unit in run.spec.channels.items()]
    return np.asarray(reference * np.reshape(scales, (-1, *(1,) * len(data.axes))))


def _answered(
    run: Run, data: Dataset, masks: Bool[np.ndarray, "sample region *space"], reference: Float[np.ndarray, "..."]
) -> Mapping[str, Float[np.ndarray, "sample region"]]:
    """Return by how much the net's answers change where regions are given the reference's design, where maps add up."""
    x, lengths = run.explained_inputs(data), run.explained_lengths(data)
    parameters = data.parameter_array(list(run.spec.parameters))
    design = _in_units(run, data, reference).astype(np.float32)
    log = np.array([target.log for target in run.spec.targets])
    nets = [member.regressor for member in run.members] if isinstance(run, Ensemble) else [run.regressor]

    def asked(inputs: np.ndarray) -> np.ndarray:
        each = [answer(net, [(inputs, parameters, lengths)]).values for net in nets]
        return np.asarray(np.mean([np.where(log, np.log(np.where(log, one, 1.0)), one) for one in each], axis=0))

    own = asked(x)
    changes = [own - asked(np.where(masks[:, region, None], design, x)) for region in range(masks.shape[1])]
    return {target.name: np.stack(changes, axis=1)[..., column] for column, target in enumerate(run.spec.targets)}


def _true(
    data: Dataset,
    maps: RegressionMap,
    masks: Bool[np.ndarray, "sample region *space"],
    asked: Interventions | None,
) -> Float[np.ndarray, "sample region"] | None:
    """Return what physics says of the regions, in the unit in which the maps add up; None where it was not asked."""
    if asked is None:
        scale = difference_factor(data.truth_kinds[maps.target, "contribution"], to=maps.unit)
        return scale * _sums(data.truth_array(maps.target, "contribution").astype(np.float64), masks)
    if maps.target not in asked.changes:
        return None
    value, change = asked.values[maps.target][:, None], asked.changes[maps.target]
    return (
        np.log(value / (value - change))
        if maps.log
        else difference_factor(data.targets[maps.target], to=maps.unit) * change
    )


def _sums(
    values: Float[np.ndarray, "sample *space"], masks: Bool[np.ndarray, "sample region *space"]
) -> Float[np.ndarray, "sample region"]:
    flat = masks.reshape(*masks.shape[:2], -1).astype(np.float64)
    return np.asarray(flat @ values.reshape(len(values), -1, 1))[..., 0]
