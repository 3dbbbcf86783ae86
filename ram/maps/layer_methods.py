"""Maps from a layer of the net: what it passes on, weighed by what the output makes of it."""

from __future__ import annotations

__all__ = ["Formula", "ablation_cam", "from_gradient", "score_cam"]

from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from ram.maps.answers import Answer, Viewed
from ram.maps.layers import LayerPass, known_layer
from ram.maps.leaving_out import with_features_left_out
from ram.maps.nets import Explained

Inputs = Float[Tensor, "batch channel *space"]
Formula = Callable[[Tensor, Tensor], Tensor]
_COPIES = 16  # of one sample run at once: more would only fall out of the cache, and take memory


def from_gradient(
    net: Explained, x: Inputs, parameters: Tensor | None, *, layer: str | None, formula: Formula
) -> Answer:
    """Return the maps that a formula of `ram.maps.cams` makes of activation and gradient."""
    return _answer(
        net, x, parameters, layer=layer, weigh=lambda one, _x, _number: formula(one.activation, one.gradient)
    )


def ablation_cam(net: Explained, x: Inputs, parameters: Tensor | None, *, layer: str | None) -> Answer:
    """Return Ablation-CAM: the output lost without each feature, spread over the cells by where the feature is.

    ``sum_k (y - y without A_k) A_k / sum(A_k)``. The published form divides by y, which for a number may be zero,
    and clips; this one is in the target's unit and equals exact RAM where the output is linear in A.

    Source: Desai & Ramaswamy 2020, doi:10.1109/WACV45572.2020.9093360, equations 3 and 4.
    """

    def weigh(one: LayerPass, seen: Inputs, number: int) -> Tensor:
        if one.name:
            lost = torch.stack([_lost(net, one, seen, parameters, number=number, row=row) for row in range(len(seen))])
        else:
            lost = (one.activation * one.gradient).flatten(2).sum(dim=2)
        return torch.einsum("bk...,bk->b...", _shares(one.activation), lost)

    return _answer(net, x, parameters, layer=layer, weigh=weigh)


def score_cam(net: Explained, x: Inputs, parameters: Tensor | None, *, layer: str | None, background: Inputs) -> Answer:
    """Return Score-CAM without its softmax: each feature weighs by what the output gains where the feature is.

    ``sum_k (y(background + M_k (x - background)) - y(background)) A_k`` with the mask M_k, feature k between 0 and 1
    on the input's grid. Signed, no unit.

    Source: Wang et al. 2020, arXiv:1910.01279, equations 3 to 6.
    """

    def weigh(one: LayerPass, seen: Inputs, number: int) -> Tensor:
        gained = []
        for row in range(len(seen)):
            output = partial(_output, net, _row(parameters, row), number)
            gained.append(_gained(output, seen[row : row + 1], one.activation[row], background))
        return torch.einsum("bk...,bk->b...", one.activation, torch.stack(gained))  # fmt: skip

    return _answer(net, x, parameters, layer=layer, weigh=weigh)


def _answer(
    net: Explained, x: Inputs, parameters: Tensor | None, *, layer: str | None,
    weigh: Callable[[LayerPass, Inputs, int], Tensor],
) -> Answer:  # fmt: skip
    """Return the maps of every target; those of several views are turned back and averaged."""
    maps, silent, outputs = [], [], []
    for number, viewed in enumerate(net.passes(x, parameters, layer)):
        turned = [one.view.undo(weigh(one.layer, one.view.apply(x), number)) for one in viewed]
        maps.append(torch.stack(turned).double().mean(dim=0))
        silent.append(_mean(viewed, lambda layer_pass: layer_pass.silent))
        outputs.append(_mean(viewed, lambda layer_pass: layer_pass.output))
    contributions = torch.stack(maps, dim=1).cpu().numpy()  # (batch, target, *cells)
    ones = (1,) * (contributions.ndim - 2)
    rows = net.parameter_rows(parameters, batch=len(x))
    return Answer(
        contributions=((contributions * net.scale.reshape(-1, *ones))[:, :, None],),
        parameters=rows,
        baseline=net.in_unit(torch.stack(silent, dim=1)) - rows.sum(axis=2),
        prediction=net.in_unit(torch.stack(outputs, dim=1)),
    )


def _mean(viewed: list[Viewed], of: Callable[[LayerPass], Tensor]) -> Tensor:
    return torch.stack([of(one.layer) for one in viewed]).double().mean(dim=0)


def _lost(
    net: Explained, one: LayerPass, seen: Inputs, parameters: Tensor | None, *, number: int, row: int
) -> Float[Tensor, " feature"]:
    """Return what each feature's absence takes from the output of one sample."""
    part, features = known_layer(net.module, one.name), one.activation.shape[1]
    without = []
    for start in range(0, features, _COPIES):
        some = range(start, min(start + _COPIES, features))
        output = partial(_output, net, _row(parameters, row), number)
        without.append(with_features_left_out(output, part, seen[row : row + 1].clone(), features=some))
    return one.output[row] - torch.cat(without)


def _output(net: Explained, own: Tensor | None, number: int, x: Inputs) -> Float[Tensor, " batch"]:
    """Return one output; the design parameters of one sample go with every copy of it."""
    raw: Tensor = net.raw(x, own)
    return raw[:, number]


def _gained(
    output: Callable[[Inputs], Tensor], x: Inputs, activation: Float[Tensor, "feature *cells"], background: Inputs
) -> Float[Tensor, " feature"]:
    """Return what the output of one sample gains over the background where each feature is."""
    gained = activation.new_zeros(len(activation))
    flat, silent, shown = activation.flatten(1), output(background), x - background
    varied = torch.nonzero(flat.amin(dim=1) < flat.amax(dim=1)).flatten()  # the others show nothing, and gain nothing
    for start in range(0, len(varied), _COPIES):
        some = varied[start : start + _COPIES]
        gained[some] = (output(background + _masks(activation[some], x.shape[2:]) * shown) - silent).to(gained)
    return gained


def _masks(activation: Float[Tensor, "feature *cells"], space: torch.Size) -> Float[Tensor, "feature 1 *space"]:
    """Return each feature between 0 and 1 on the input's grid; a feature that is the same everywhere shows nothing."""
    mode = {1: "linear", 2: "bilinear", 3: "trilinear"}[len(space)]
    fine = torch.nn.functional.interpolate(activation[:, None], size=tuple(space), mode=mode, align_corners=False)
    flat = fine.flatten(1)
    ones = (1,) * (len(space) + 1)
    low, high = flat.min(dim=1).values.view(-1, *ones), flat.max(dim=1).values.view(-1, *ones)
    return (fine - low) / torch.where(high > low, high - low, 1.0)


def _shares(activation: Float[Tensor, "batch feature *cells"]) -> Float[Tensor, "batch feature *cells"]:
    """Return which share of each feature lies in each cell; by size where positive and negative values cancel."""
    cells = tuple(range(2, activation.ndim))
    total, size = activation.sum(dim=cells, keepdim=True), activation.abs().sum(dim=cells, keepdim=True)
    shared = torch.where(total.abs() < 0.1 * size, activation.abs(), activation)
    below = shared.sum(dim=cells, keepdim=True)
    return shared / torch.where(below != 0, below, 1.0)


def _row(parameters: Tensor | None, row: int) -> Tensor | None:
    return None if parameters is None else parameters[row : row + 1]
