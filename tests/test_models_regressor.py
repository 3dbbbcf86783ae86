"""The regressor: what it computes, in which precision, and what it refuses."""

import numpy as np
import pytest
import torch

from ram.axes import Axis
from ram.errors import ConfigError, ModelError
from ram.models.backbones import build_backbone
from ram.models.coordinates import coordinate_channels
from ram.models.regressor import Regressor, TargetScaling
from ram.models.symmetry import Symmetry, augment, symmetry_group

SQUARE = (Axis.uniform("y", "mm", size=8, step=2.0, start=-7.0), Axis.uniform("x", "mm", size=8, step=2.0, start=-7.0))


def regressor(*, parameters=None, targets=None, symmetries=(), coordinates=None, seed=3):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        extra = 0 if coordinates is None else len(coordinates)
        backbone = build_backbone("resnet", ndim=2, channels=2 + extra, widths=(4, 6), depth=1)
        net = Regressor(
            backbone,
            targets=targets or [TargetScaling("umbrella", "Hz", 572.0, 80.0), TargetScaling("mass", "kg", 7.0, 1.5)],
            input_mean=[0.5, 20.0],
            input_scale=[0.4, 8.0],
            parameters=parameters,
            parameter_mean=[3.0] * len(parameters or {}),
            parameter_scale=[0.5] * len(parameters or {}),
            coordinates=coordinates,
            symmetries=symmetries,
        )
        for module in net.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                torch.nn.init.uniform_(module.weight, 0.5, 1.5)
    return net.eval()


def inputs(n=3, seed=1):
    return torch.rand(n, 2, 8, 8, generator=torch.Generator().manual_seed(seed)) * torch.tensor([1.0, 30.0]).view(
        1, 2, 1, 1
    )


def test_the_prediction_is_the_formula_of_the_docstring():
    net = regressor(parameters={"tyre_load": "N"})
    x, p = inputs(), torch.tensor([[2.0], [3.0], [4.5]], dtype=torch.float64)
    a = net.features(x).detach().numpy().astype(np.float64)
    w, b = net.head.weight.detach().numpy().astype(np.float64), net.head.bias.detach().numpy()
    z = a.mean(axis=(2, 3)) @ w[:, :-1].T + (p.numpy() - 3.0) / 0.5 @ w[:, -1:].T + b
    expected = np.array([572.0, 7.0]) + np.array([80.0, 1.5]) * z
    np.testing.assert_allclose(net(x, p).detach().numpy(), expected, rtol=1e-6)


def test_input_scaling_is_part_of_the_net():
    net, x = regressor(), inputs()
    standard = (x - torch.tensor([0.5, 20.0]).view(1, 2, 1, 1)) / torch.tensor([0.4, 8.0]).view(1, 2, 1, 1)
    torch.testing.assert_close(net.features(x), net.backbone(standard))


def test_target_scaling_survives_a_change_of_precision():
    net = regressor(targets=[TargetScaling("f", "Hz", 200_000.123456789, 1e-3)])
    for change in (net.float, net.half, net.bfloat16, net.double):
        change()
        assert net.target_mean.dtype == torch.float64
        assert float(net.target_mean) == 200_000.123456789


def test_a_large_offset_does_not_eat_the_digits():
    net = regressor(targets=[TargetScaling("f", "Hz", 2e5, 1e-2)])
    z = net.standardised_prediction(inputs()).double()
    assert torch.equal(net(inputs()), 2e5 + 1e-2 * z)


def test_standardised_targets_undo_destandardise_also_in_the_logarithm():
    net = regressor(targets=[TargetScaling("f", "Hz", 500.0, 50.0), TargetScaling("life", "h", 2.0, 0.7, log=True)])
    z = torch.tensor([[0.3, -1.2], [2.0, 0.1]], dtype=torch.float64)
    values = net.destandardise(z)
    assert values[0, 1] == pytest.approx(np.exp(2.0 - 0.84))
    torch.testing.assert_close(net.standardised_targets(values), z)


def test_symmetry_averaging_makes_the_prediction_invariant_and_the_features_equivariant():
    group = symmetry_group(("rotate90", "mirror"), space=(8, 8))
    plain, averaged = regressor(), regressor(symmetries=group)
    x = inputs()
    mean = torch.stack([plain(g.apply(x)) for g in group]).mean(dim=0)
    torch.testing.assert_close(averaged(x), mean, rtol=1e-6, atol=1e-4)
    for g in group:
        torch.testing.assert_close(averaged.features(g.apply(x)), g.apply(averaged.features(x)), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(plain(x), mean, rtol=1e-4)  # or the test would show nothing


def test_single_view_leaves_the_averaging_out_and_puts_it_back():
    group = symmetry_group(("mirror",), space=(8, 8))
    net, x = regressor(symmetries=group), inputs()
    with pytest.raises(KeyboardInterrupt), net.single_view():
        torch.testing.assert_close(net(x), regressor()(x))
        raise KeyboardInterrupt
    assert net.symmetries == group


def test_the_group_of_the_square_has_eight_distinct_elements_that_undo():
    group = symmetry_group(("rotate90", "mirror"), space=(4, 4))
    x = torch.arange(16.0).view(1, 1, 4, 4)
    assert group[0] == Symmetry()
    assert len({tuple(g.apply(x).flatten().tolist()) for g in group}) == 8
    for g in group:
        assert torch.equal(g.undo(g.apply(x)), x)


def test_augment_applies_the_chosen_element_to_each_sample():
    group = symmetry_group(("rotate90", "mirror"), space=(8, 8))
    x = inputs(16).contiguous(memory_format=torch.channels_last)
    choice = np.arange(16) % 8
    out = augment(x, group, choice)
    for i, g in enumerate(choice):
        assert torch.equal(out[i : i + 1], group[g].apply(x[i : i + 1]))
    assert out.is_contiguous(memory_format=torch.channels_last)


def test_coordinates_are_standardised_and_the_radius_keeps_the_symmetries():
    radius, x = coordinate_channels(("radius", "x"), SQUARE)
    assert float(radius.mean()) == pytest.approx(0, abs=1e-6)
    assert float(radius.std(correction=0)) == pytest.approx(1, abs=1e-6)
    assert torch.equal(radius, radius.rot90().flip(-1))
    assert torch.equal(x, -x.flip(-1))
    assert torch.equal(x[0], x[5])  # rows are y


def test_a_coordinate_channel_lets_the_net_tell_where():
    coordinates = coordinate_channels(("x",), SQUARE)
    with_x, without = regressor(coordinates=coordinates), regressor()
    x = torch.zeros(2, 2, 8, 8)
    x[0, :, 3:5, 3], x[1, :, 3:5, 4] = 10.0, 10.0  # the same mark at two places away from the padding
    assert not torch.allclose(with_x(x)[0], with_x(x)[1], rtol=1e-6)
    assert without.coordinates.numel() == 0


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.zeros(2, 3, 8, 8), r"inputs must be of shape \(batch, 2, 2 space axes\). Got 2x3x8x8."),
        (torch.zeros(2, 2, 8), r"inputs must be of shape \(batch, 2, 2 space axes\). Got 2x2x8."),
        (torch.zeros(2, 2, 8, 6), r"each a multiple of 4. Got 8 x 6."),
    ],
)
def test_inputs_that_do_not_fit_are_named(x, message):
    with pytest.raises(ModelError, match=message):
        regressor()(x)


def test_inputs_of_another_size_than_the_coordinates_are_named():
    net = regressor(coordinates=coordinate_channels(("radius",), SQUARE))
    allowed = r"size of the coordinate channels, \(8, 8\), or shorter along the last axis"
    with pytest.raises(ModelError, match=rf"{allowed}. Got \(16, 16\). Train without"):
        net(torch.zeros(1, 2, 16, 16))


def test_missing_parameters_are_named():
    with pytest.raises(ModelError, match=r"must be of shape \(3, 1\): tyre_load. Got none."):
        regressor(parameters={"tyre_load": "N"})(inputs())


def test_unknown_names_are_answered_with_the_nearest():
    with pytest.raises(ConfigError, match=r"one of y, x, radius. Got radios. Did you mean 'radius'\?"):
        coordinate_channels(("radios",), SQUARE)
    with pytest.raises(ModelError, match=r"rotate90, mirror, reverse. Got rotate. Did you mean 'rotate90'\?"):
        symmetry_group(("rotate",), space=(4, 4))
    with pytest.raises(ModelError, match=r"inputs turned by 90 degrees must be square. Got 4 x 6."):
        symmetry_group(("rotate90",), space=(4, 6))
