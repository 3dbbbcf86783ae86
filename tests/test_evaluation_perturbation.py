"""What the net says without cells: known answers of a linear net, captum, a sparse solver, and what is drawn."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse.linalg
import torch
from captum.metrics import infidelity, sensitivity_max
from torch import nn

from ram.axes import Axis
from ram.errors import DataError
from ram.evaluation.candidates import candidate_of_method
from ram.evaluation.claims import Patches, intervention
from ram.evaluation.infills import imputed, infill
from ram.evaluation.perturbation import FRACTIONS, Curves, area, order_of
from ram.evaluation.randomisation import cascade_stages, forgotten, rank_kept
from ram.evaluation.stability import Cascade, likeness, max_sensitivity
from ram.evaluation.subject import Subject, claimed_maps
from ram.maps.explain import explain
from ram.models.backbones.backbone import Backbone, Features, Inputs
from ram.models.padding import Padding
from ram.models.regressor import Regressor, TargetScaling

COUNT = 5


class Linear(Backbone):
    """Features that are a linear function of each point: what a cell is worth is then known to the last digit."""

    def __init__(self, ndim: int) -> None:
        super().__init__(ndim, stage_features=[3], divisor=1)
        self.mix = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[ndim - 1](2, 3, 1)

    def stage_maps(self, x: Inputs, padding: Padding | None = None) -> Iterator[Features]:
        yield self.mix(x)


def subject(ndim: int = 2, *, bent: bool = False, size: int = 6) -> Subject:
    """A linear net, or one with a bend in it, in float64."""
    torch.manual_seed(ndim)
    backbone: Backbone = Linear(ndim)
    if bent:
        from ram.models.backbones import build_backbone

        backbone = build_backbone("plain", ndim=ndim, channels=2, widths=[5], depth=2)
    net = Regressor(
        backbone, targets=[TargetScaling("f", "Hz", mean=100.0, scale=20.0)], input_mean=[0.5, 1.0],
        input_scale=[0.5, 2.0],
    ).double().eval()  # fmt: skip
    draw = np.random.default_rng(ndim)
    x = draw.normal(size=(COUNT, 2, *(size,) * ndim))
    axes = tuple(Axis.uniform(name, "mm", size=size, step=1.0) for name in "zyx"[3 - ndim :])
    measured = draw.normal(100.0, 20.0, size=COUNT)
    return Subject(net, "f", x, draw.normal(size=x.shape[1:]), axes, {"a": "1", "b": "mm"}, measured=measured)


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_of_a_linear_net_the_curves_are_sums_of_what_cells_are_worth(ndim: int) -> None:
    linear = subject(ndim)
    cells = linear.explain("ram").contributions
    order = order_of(cells, absolute=False)
    worth = np.take_along_axis(cells.reshape(COUNT, -1), order, axis=1)
    gone = [round(fraction * worth.shape[1]) for fraction in FRACTIONS]
    expected = linear.answer[:, None] - np.stack([worth[:, :count].sum(axis=1) for count in gone], axis=1)
    curves = Curves(linear)
    np.testing.assert_allclose(curves.answers(order), expected, rtol=1e-12)
    np.testing.assert_allclose(curves.answers(order)[:, -1], linear.reference_answer, rtol=1e-12)
    # no order pulls the two curves farther apart than that of the true values
    best = curves.ordering(cells)
    draw = np.random.default_rng(0)
    for other in (draw.normal(size=cells.shape), np.abs(cells), -cells):
        assert (curves.ordering(other) < best).all()
    np.testing.assert_allclose(curves.ordering(-cells), -best, rtol=1e-9)


def test_one_sample_is_enough() -> None:
    linear = subject(2)
    one = Curves(linear[:1]).deletion(linear.explain("ram").contributions[:1])
    np.testing.assert_allclose(one, Curves(linear).deletion(linear.explain("ram").contributions)[:1], rtol=1e-9)


def test_random_orders_have_no_pull_in_the_mean_and_no_gain() -> None:
    linear = subject(2)
    curves, draw = Curves(linear), np.random.default_rng(3)
    noise = [draw.normal(size=(COUNT, 6, 6)) for _ in range(60)]
    pull = np.mean([curves.ordering(one) for one in noise])
    gain = np.mean([curves.deletion(one) for one in noise])
    scale = curves.ordering(linear.explain("ram").contributions).mean()
    assert abs(pull) < 0.06 * scale
    assert abs(gain) < 0.06 * scale


def test_deletion_and_insertion_by_hand() -> None:
    linear = subject(1, size=4)
    cells = np.zeros((COUNT, 4))
    cells[:, 2] = 1.0  # then 0, 1, 3 in their order
    curves = Curves(linear)
    worth = linear.explain("ram").contributions
    first = np.cumsum(worth[:, [2, 0, 1, 3]], axis=1)
    counts = [round(fraction * 4) for fraction in FRACTIONS]
    lost = np.stack([first[:, count - 1] if count else np.zeros(COUNT) for count in counts], axis=1)
    np.testing.assert_allclose(curves.deletion(cells) + curves.random, area(np.abs(lost)), rtol=1e-9)
    last = np.cumsum(worth[:, [3, 1, 0, 2]], axis=1)
    lost = np.stack([last[:, count - 1] if count else np.zeros(COUNT) for count in counts], axis=1)
    np.testing.assert_allclose(curves.random - curves.insertion(cells), area(np.abs(lost)), rtol=1e-9)


def test_an_offset_of_the_target_enters_no_score() -> None:
    linear = subject(2)
    other = replace(linear, measured=linear.measured + 1e5)
    net = forgotten(linear.net, layers=0)
    net.target_mean += 1e5
    moved = replace(other, net=net)
    maps = linear.explain("ram").contributions
    for name in ("ordering", "deletion", "insertion", "road"):
        one, two = (getattr(Curves(of), name)(maps) for of in (linear, moved))
        np.testing.assert_allclose(one, two, atol=1e-6)


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_imputation_is_what_a_sparse_solver_finds(ndim: int) -> None:
    size = 5
    of = replace(subject(ndim, size=size), x=subject(ndim, size=size).x.astype(np.float32))
    of.net.input_scale[:] = 1e-9  # no noise
    draw = np.random.default_rng(5)
    taken = draw.random((COUNT, *(size,) * ndim)) < 0.7
    found = imputed(of, of.x, taken, rows=np.arange(COUNT), seed=0)
    for row, channel in itertools.product(range(COUNT), range(2)):
        expected = solved(of.x[row, channel].astype(np.float64), taken[row])
        np.testing.assert_allclose(found[row, channel], expected, atol=0.005)


def solved(image: np.ndarray, taken: np.ndarray) -> np.ndarray:
    """Each taken point is the weighted mean of its neighbours: a loop over points and a direct solver."""
    number = np.arange(image.size).reshape(image.shape)
    matrix, right = scipy.sparse.lil_matrix((image.size, image.size)), image.ravel().copy()
    for place in np.ndindex(*image.shape):
        matrix[number[place], number[place]] = 1.0
        if not taken[place]:
            continue
        weights = {}
        for step in itertools.product((-1, 0, 1), repeat=image.ndim):
            other = tuple(a + b for a, b in zip(place, step, strict=True))
            if any(step) and all(0 <= a < size for a, size in zip(other, image.shape, strict=True)):
                weights[number[other]] = 0.5 ** np.abs(step).sum()
        for column, weight in weights.items():
            matrix[number[place], column] = -weight / sum(weights.values())
        right[number[place]] = 0.0
    return scipy.sparse.linalg.spsolve(matrix.tocsr(), right).reshape(image.shape)


def test_a_gap_in_a_signal_becomes_a_line_with_a_little_noise() -> None:
    of = subject(1, size=32)
    x = np.broadcast_to(np.linspace(0.0, 1.0, 32, dtype=np.float32), (COUNT, 2, 32))
    taken = np.zeros((COUNT, 32), dtype=bool)
    taken[:, 5:25] = True
    found = imputed(of, x, taken, rows=np.arange(COUNT), seed=0)
    noise = (found - x)[:, :, 5:25].std(axis=(0, 2))
    np.testing.assert_allclose(noise, [0.005, 0.02], rtol=0.2)  # a hundredth of each channel's scale
    np.testing.assert_array_equal(found[:, :, :5], x[:, :, :5])
    again = imputed(of, x[1:], taken[1:], rows=np.arange(1, COUNT), seed=0)
    np.testing.assert_allclose(again, found[1:], atol=1e-6)  # a function of the sample, not of the batch


def test_the_error_grows_first_where_the_net_looks() -> None:
    whole = subject(2)
    exact = replace(whole, measured=whole.answer)  # a net without error: whatever is taken away adds to it
    maps = exact.explain("ram").contributions
    found = Curves(exact).road(maps)
    np.testing.assert_allclose(Curves(exact).road(1 / maps), -found, rtol=1e-6)  # the order turned round
    assert np.isnan(Curves(replace(whole, measured=None)).road(maps)).all()


def test_infills_are_what_they_are_called() -> None:
    of = replace(subject(2), groups=np.array(["a", "a", "b", "b", ""]))
    np.testing.assert_array_equal(infill(of, "reference")[3], of.reference)
    np.testing.assert_allclose(infill(of, "mean")[0, :, 0, 0], [0.5, 1.0])
    others = [int(np.flatnonzero((of.x == one).all(axis=(1, 2, 3)))[0]) for one in infill(of, "neighbour")]
    assert all(of.groups[row] != of.groups[other] for row, other in enumerate(others))
    smooth = infill(of, "blurred")
    assert (smooth.std(axis=(2, 3)) < of.x.std(axis=(2, 3))).all()


def test_infidelity_is_captums_with_the_same_patches() -> None:
    bent = subject(2, bent=True)
    patches = Patches(bent, 7)
    claims = claimed_maps(bent, bent.explain("gradient"))
    x, reference = torch.from_numpy(bent.x), torch.from_numpy(np.array(bent.reference))
    gone = torch.from_numpy(patches.within.reshape(COUNT, 7, -1)[:, :, bent.cell_of_point])  # (row, patch, y, x)

    def perturbed(inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mask = gone.flatten(0, 1)[:, None].double()
        change = (inputs - reference) * mask
        return change, inputs - change

    slope = explain(bent.net, bent.x, method="gradient", output="f", channel="each").part_contributions
    expected = infidelity(
        lambda one: bent.net(one)[:, 0], perturbed, x, torch.from_numpy(np.array(slope)), n_perturb_samples=7,
        max_examples_per_batch=None,
    )  # fmt: skip
    np.testing.assert_allclose(patches.infidelity(claims) ** 2, expected.numpy(), rtol=1e-9)


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_exact_claims_of_a_linear_net_come_true(ndim: int) -> None:
    linear = subject(ndim)
    patches, maps = Patches(linear, 9), linear.explain("ram").contributions
    np.testing.assert_allclose(patches.infidelity(maps), 0.0, atol=1e-10)
    np.testing.assert_allclose(patches.fidelity(-3 * maps), -1.0, atol=1e-10)
    share = patches.within.reshape(COUNT * 9, -1).mean(axis=1)
    assert share.min() >= 1 / 6**ndim
    assert share.max() <= (1 / 2) ** ndim


def test_the_largest_change_is_captums_with_the_same_draws() -> None:
    bent = subject(2, bent=True)
    candidate = candidate_of_method(bent, "gradient", passes=1e9, least=1, options={}, seed=0)
    seen: list[np.ndarray] = []
    inner = Subject.explain

    def watched(self: Subject, method: str, **words: object) -> object:
        if words.get("x") is not None:
            seen.append(np.array(words["x"]))
        return inner(self, method, **words)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Subject, "explain", watched)
        found = max_sensitivity(bent, candidate, draws=4, seed=1)
    moved = torch.from_numpy(np.stack(seen, axis=1)).flatten(0, 1).double()  # (row x draw, channel, y, x)
    steps = np.abs(np.stack(seen) - bent.x).max(axis=(0, 1, 3, 4))
    assert (steps <= [0.0101, 0.0401]).all()

    def gradients(given: torch.Tensor | tuple[torch.Tensor, ...]) -> tuple[torch.Tensor]:
        one = given if isinstance(given, torch.Tensor) else given[0]
        made = explain(bent.net, one.numpy(), method="gradient", output="f", channel="each")
        return (torch.from_numpy(np.array(made.part_contributions)),)

    expected = sensitivity_max(
        gradients, torch.from_numpy(bent.x), perturb_func=lambda _: moved, n_perturb_samples=4, norm_ord="fro"
    )
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4)


def test_interventions_by_hand() -> None:
    true, claimed = np.array([[1.0, 2.0], [3.0, np.nan]]), np.array([[0.0, 2.0], [4.0, 9.0]])
    found = intervention(true, claimed)
    assert (found.slope, found.offset, found.r2) == (pytest.approx(0.5), pytest.approx(1.0), pytest.approx(1.0))
    assert found.r2_as_claimed == pytest.approx(1 - 2 / 2)
    assert (found.mae, found.mean_absolute, found.changes) == (pytest.approx(2 / 3), pytest.approx(2.0), 3)
    with pytest.raises(DataError, match=r"intervention: true and claimed must be of one shape\. Got \(2,\) and \(3,\)"):
        intervention(np.zeros(2), np.zeros(3))
    with pytest.raises(DataError, match=r"intervention: changes that are known must be two or more. Got 1"):
        intervention(np.array([1.0, np.nan]), np.zeros(2))


def test_the_cascade_forgets_from_the_linear_unit_down_and_leaves_the_net_alone() -> None:
    bent = subject(2, bent=True)
    before = {name: value.clone() for name, value in bent.net.state_dict().items()}
    state = torch.random.get_rng_state()
    layers = cascade_stages(bent.net)
    changed = []
    for count in layers:
        after = forgotten(bent.net, layers=count, seed=1).state_dict()
        changed.append({name.rsplit(".", 1)[0] for name in after if not torch.equal(after[name], before[name])})
    assert changed[0] == {"head"}
    assert all(one < two for one, two in itertools.pairwise(changed))
    assert changed[-1] == {name.rsplit(".", 1)[0] for name, _ in bent.net.named_parameters()}
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in bent.net.state_dict().items())


def test_what_does_not_look_at_the_weights_keeps_all_of_its_ranking() -> None:
    bent = subject(2, bent=True)
    made = {
        name: candidate_of_method(bent, name, passes=1e9, least=1, options={}, seed=0) for name in ("ram", "gradient")
    }
    cascade = Cascade(bent, 2)
    for name, candidate in made.items():
        kept = cascade.kept(candidate, rows=3)
        assert kept.signed.shape == (len(cascade.layers), 3), name
        assert np.abs(kept.signed[-1]).mean() < 0.6, name
    still = Cascade(bent, 2)
    still.__dict__["nets"] = [[bent.net, bent.net]]
    still.__dict__["layers"] = (0,)
    np.testing.assert_allclose(still.kept(made["ram"], rows=3).signed, 1.0)
    assert rank_kept(np.array([[1.0, 2.0]]), np.array([[5.0, 5.0]]), absolute=True) == pytest.approx([0.0])


def test_maps_of_the_same_net_are_alike_and_those_of_another_are_less() -> None:
    bent = subject(2, bent=True)
    candidate = candidate_of_method(bent, "ram", passes=1e9, least=1, options={}, seed=0)
    np.testing.assert_allclose(likeness(bent, candidate, [forgotten(bent.net, layers=0)], seed=0), 1.0)
    assert (likeness(bent, candidate, [forgotten(bent.net)], seed=0) < 0.95).all()
