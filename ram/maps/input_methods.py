"""Maps on the input's own grid: gradients and perturbations, computed by captum, in the target's unit.

Every function returns what each value of the input is worth for one output, shape (batch, channel, *space).

Source: Kokhlikyan et al. 2020, arXiv:2009.07896 (captum).
"""

from __future__ import annotations

__all__ = [
    "Asked",
    "deeplift",
    "gradient",
    "gradient_shap",
    "gradient_x_input",
    "guided_backprop",
    "integrated_gradients",
    "occlusion",
    "region_ablation",
    "shapley_regions",
    "smoothgrad",
]

import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor, nn

from ram.errors import ConfigError, ModelError, explained
from ram.maps.calls import require_modules
from ram.maps.nets import Explained
from ram.models.regressor import Regressor
from ram.randomness import generator

Inputs = Float[Tensor, "batch channel *space"]
_AT_ONCE = 16  # steps that run at once: more would only fall out of the cache, and take memory


@dataclass(frozen=True)
class Asked:
    """What a method is asked about.

    Attributes
    ----------
    net, x, parameters, number
        The net, its inputs and design parameters, and which of its targets.
    background
        Shape (1 or more, channel, *space): what the input is compared with or replaced by.
    options
        As the method declares them.
    regions
        Shape (1 or batch, *space): codes of the regions, for methods that ask by region.
    batch_size
        How many samples may run at once: bounds the memory.
    seed, ids
        What is drawn is a function of the seed, of the sample's id and of the number of the draw, so that a batch gives
        what its samples give; samples without ids share their draws.
    apart
        A map for each channel is wanted: what is taken away is taken from one channel at a time.
    layer
        Name of the layer that a method of layer and input looks at.
    """

    net: Explained
    x: Inputs
    parameters: Tensor | None
    number: int
    background: Inputs
    options: Mapping[str, Any]
    regions: Int[Tensor, "regions_batch *space"] | None = None
    batch_size: int = 64
    seed: int = 0
    ids: tuple[str, ...] = ()
    apart: bool = False
    layer: str | None = None
    module: nn.Module = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "module", _Output(self.net, self.number))

    @property
    def beside(self) -> tuple[Tensor, ...] | None:
        """What the net is given beside its input."""
        return None if self.parameters is None else (self.parameters,)


def _drawn(asked: Asked, what: str, draw: Callable[[np.random.Generator], NDArray[np.float64]]) -> Tensor:
    """Return what `draw` makes for each sample, shape (batch, ...), as precise and on the device as the input.

    One draw, the same for all, where samples have no ids.
    """
    rows = [draw(generator(asked.seed, what, name)) for name in asked.ids] or [draw(generator(asked.seed, what))]
    return torch.from_numpy(np.stack(rows)).to(asked.x).expand(len(asked.x), *rows[0].shape)


class _Output(nn.Module):
    """One output of a net as a module of its own, as captum wants it."""

    def __init__(self, net: Explained, number: int) -> None:
        super().__init__()
        self.module = net.module
        self._net, self._number = net, number

    def forward(self, x: Tensor, parameters: Tensor | None = None) -> Float[Tensor, " batch"]:
        """Return the output for a batch, without its unit."""
        raw: Tensor = self._net.raw(x, parameters)
        return raw[:, self._number]


def gradient(asked: Asked) -> Tensor:
    """Return dy/dx. Source: Simonyan et al. 2014, arXiv:1312.6034, section 3, without the absolute value."""
    x = asked.x.detach().requires_grad_()
    with torch.enable_grad():
        total = asked.module(x, asked.parameters).sum()
    (slope,) = torch.autograd.grad(total, x)
    return slope


def gradient_x_input(asked: Asked) -> Tensor:
    """Return dy/dx (x - background). Source: Shrikumar et al. 2016, arXiv:1605.01713."""
    return gradient(asked) * (asked.x - asked.background)


def smoothgrad(asked: Asked) -> Tensor:
    """Return the mean gradient around x. Source: Smilkov et al. 2017, arXiv:1706.03825."""
    own = asked.x.flatten(2).std(dim=2, correction=0)  # (batch, channel): noise keeps to each channel's own size
    size = asked.options["noise"] * own.view(*own.shape, *(1,) * (asked.x.ndim - 2))
    total = torch.zeros_like(asked.x)
    for number in range(asked.options["samples"]):
        noise = _drawn(asked, f"smoothgrad {number}", lambda draw: draw.standard_normal(tuple(asked.x.shape[1:])))
        total += gradient(_moved(asked, asked.x + size * noise))
    return total / float(asked.options["samples"])


def integrated_gradients(asked: Asked) -> Tensor:
    """Return integrated gradients from the background. Source: Sundararajan et al. 2017, arXiv:1703.01365."""
    from captum.attr import IntegratedGradients

    integral, at_once = IntegratedGradients(asked.module), min(asked.batch_size, _AT_ONCE)
    parts = []
    for start in range(0, len(asked.x), at_once):
        rows = slice(start, start + at_once)
        found = integral.attribute(
            asked.x[rows],
            baselines=asked.background[:1],
            n_steps=asked.options["steps"],
            internal_batch_size=at_once,
            additional_forward_args=None if asked.parameters is None else (asked.parameters[rows],),
        )
        parts.append(_tensor(found))
    return torch.cat(parts)


def deeplift(asked: Asked) -> Tensor:
    """Return DeepLIFT's contributions; of a net that averages over views of its input, the mean of the views' own.

    Source: Shrikumar et al. 2017, arXiv:1704.02685.

    Raises
    ------
    ModelError
        Where the net calls functions such as relu outside modules, for captum would then hand out plain gradients; or
        calls one nonlinear module several times.
    """
    net, background = asked.net.module, asked.background[:1]
    if not isinstance(net, Regressor) or len(net.symmetries) < 2 or net.dense is not None:
        return _deeplift(asked, asked.x, background)
    views = net.symmetries
    with net.single_view():  # the prediction is linear in the features, so it is the mean of the views' predictions
        found = [view.undo(_deeplift(asked, view.apply(asked.x), view.apply(background))) for view in views]
    return torch.stack(found).mean(dim=0)


def _deeplift(asked: Asked, x: Tensor, background: Tensor) -> Tensor:
    from captum.attr import DeepLift

    require_modules(asked.module, asked.x, asked.beside, method="deeplift")
    try:
        with _quiet():
            found = DeepLift(asked.module).attribute(
                x.detach().requires_grad_(), baselines=background, additional_forward_args=asked.beside
            )
    except RuntimeError as error:
        if "used more than once" not in str(error):
            raise
        raise ModelError(
            explained(
                where="explain, method deeplift", what="each nonlinear module of the net",
                allowed="called once in a pass: its rule compares what that one call was given",
                got=f"a {type(asked.net.module).__name__} that calls one several times",
                next_step="Put a module of its own in the place of each call, or use integrated-gradients",
            )
        ) from None  # fmt: skip
    return _tensor(found)


def gradient_shap(asked: Asked) -> Tensor:
    """Return the mean of gradients on the way from random backgrounds.

    Source: Lundberg & Lee 2017, arXiv:1705.07874 (expected gradients).
    """
    total = torch.zeros_like(asked.x)
    for number in range(asked.options["samples"]):
        drawn = _drawn(asked, f"gradient-shap {number}", lambda draw: draw.random(2))  # which background, how far
        which = (drawn[:, 0].double() * len(asked.background)).long().clamp(max=len(asked.background) - 1)
        start = asked.background[which]
        place = drawn[:, 1].view(-1, *(1,) * (asked.x.ndim - 1))
        total += gradient(_moved(asked, start + place * (asked.x - start))) * (asked.x - start)
    return total / float(asked.options["samples"])


def guided_backprop(asked: Asked) -> Tensor:
    """Return guided backpropagation. Source: Springenberg et al. 2015, arXiv:1412.6806.

    Raises
    ------
    ModelError
        As `deeplift`.
    """
    from captum.attr import GuidedBackprop

    require_modules(asked.module, asked.x, asked.beside, method="guided-backprop")
    with _quiet():
        found = GuidedBackprop(asked.module).attribute(
            asked.x.detach().requires_grad_(), additional_forward_args=asked.beside
        )
    return _tensor(found)


def occlusion(asked: Asked) -> Tensor:
    """Return the output lost where a window shows the background, the mean over the windows that cover a value.

    The loss is parted evenly among the channels, or found for each by itself where they are asked apart.

    Source: Zeiler & Fergus 2014, arXiv:1311.2901, section 4.2.
    """
    from captum.attr import Occlusion

    space = asked.x.shape[2:]
    window = tuple(min(size, max(1, round(asked.options["window"] * size))) for size in space)
    stride = tuple(max(1, size // 2) for size in window)
    together = 1 if asked.apart else asked.x.shape[1]
    found = Occlusion(asked.module).attribute(
        asked.x,
        sliding_window_shapes=(together, *window),
        strides=(together, *stride),
        baselines=asked.background[:1].expand_as(asked.x),
        perturbations_per_eval=max(1, asked.batch_size // len(asked.x)),
        additional_forward_args=asked.beside,
    )
    return _tensor(found) / together


def region_ablation(asked: Asked) -> Tensor:
    """Return the output lost where a region shows the background, spread evenly over the region."""
    from captum.attr import FeatureAblation

    mask = _region_mask(asked, "region-ablation")
    found = FeatureAblation(asked.module).attribute(
        asked.x,
        baselines=asked.background[:1].expand_as(asked.x),
        feature_mask=mask,
        perturbations_per_eval=max(1, asked.batch_size // len(asked.x)),
        additional_forward_args=asked.beside,
    )
    return _spread(_tensor(found), mask)


def shapley_regions(asked: Asked) -> Tensor:
    """Return each region's Shapley value against the background, spread evenly over the region.

    Source: Castro, Gomez & Tejada 2009, doi:10.1016/j.cor.2008.04.004 (sampled permutations); exact for up to seven
    regions, where all sets of regions are fewer than what sampling needs: Shapley 1953, doi:10.1515/9781400881970-018.
    """
    from captum.attr import ShapleyValueSampling

    mask = _region_mask(asked, "shapley-regions")
    if int(mask.max()) < EXACT_REGIONS:
        return _spread(_exact_shapley(asked, mask), mask)
    if asked.regions is not None and len(asked.regions) > 1:  # the draws depend on how many regions there are
        return torch.cat([shapley_regions(_only(asked, row)) for row in range(len(asked.x))])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(asked.seed)
        found = ShapleyValueSampling(asked.module).attribute(
            asked.x,
            baselines=asked.background[:1].expand_as(asked.x),
            feature_mask=mask,
            perturbations_per_eval=max(1, asked.batch_size // len(asked.x)),
            additional_forward_args=asked.beside,
            n_samples=asked.options["samples"],
        )
    return _spread(_tensor(found), mask)


EXACT_REGIONS = 7
"""Up to so many regions every set of them is tried."""


def _exact_shapley(asked: Asked, mask: Int[Tensor, "batch channel_or_1 *space"]) -> Tensor:
    """Return at each value the Shapley value of its region, from the net's answers to every set of regions.

    phi_i = sum over sets S without i of |S|! (n - |S| - 1)! / n! (y(S and i) - y(S)). A region that a sample does not
    have changes no answer and no other region's value.
    """
    count = int(mask.max()) + 1
    sets = (torch.arange(2**count)[:, None] >> torch.arange(count)) & 1 == 1  # (set, region): which show the sample
    background = asked.background[:1]
    with torch.no_grad():
        answers = torch.stack([
            asked.module(torch.where(shown.to(mask.device)[mask], asked.x, background), asked.parameters)
            for shown in sets
        ])  # fmt: skip
    sizes = sets.sum(dim=1)
    found = torch.zeros_like(asked.x)
    for region in range(count):
        without = torch.nonzero(~sets[:, region])[:, 0]
        weights = torch.tensor([
            math.factorial(size) * math.factorial(count - size - 1) / math.factorial(count)
            for size in sizes[without].tolist()
        ])  # fmt: skip
        gained = (answers[without + 2**region] - answers[without]).double()
        value = (weights.to(gained)[:, None] * gained).sum(dim=0).to(asked.x)
        found = torch.where(mask == region, value.view(-1, *(1,) * (asked.x.ndim - 1)), found)
    return found


@contextmanager
def _quiet() -> Iterator[None]:
    """Captum warns of the hooks that it sets and removes."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Setting (forward, )?backward hooks")
        yield


def _region_mask(asked: Asked, method: str) -> Int[Tensor, "batch channel_or_1 *space"]:
    """Return the regions' numbers without gaps, for all channels alike or, asked apart, each channel's own."""
    if asked.regions is None:
        step = "Give regions=, codes of shape (*space), such as a data set's regions_array()"
        raise ConfigError(
            explained(where=f"explain, method {method}", what="regions", allowed="given", got="none", next_step=step)
        )
    numbers: Tensor = torch.unique(asked.regions, return_inverse=True)[1]
    mask = numbers[:, None].to(asked.x.device)
    if not asked.apart:
        return mask
    channels = torch.arange(asked.x.shape[1], device=mask.device).view(1, -1, *(1,) * (asked.x.ndim - 2))
    return mask + (int(mask.max()) + 1) * channels


def _spread(found: Tensor, mask: Tensor) -> Tensor:
    """Share a region's one number among its values; what stands at each of them is that number."""
    whole = mask.expand_as(found)
    shared = torch.zeros_like(found)
    for code in range(int(mask.max()) + 1):
        here = whole == code
        count = here.flatten(1).sum(dim=1).clamp(min=1).view(-1, *(1,) * (found.ndim - 1))
        shared = torch.where(here, found / count, shared)
    return shared


def _moved(asked: Asked, x: Tensor) -> Asked:
    return replace(asked, x=x.detach(), regions=None)


def _only(asked: Asked, row: int) -> Asked:
    """Return the question about one sample alone, with its own regions."""
    rows = slice(row, row + 1)
    return replace(
        asked, x=asked.x[rows], ids=asked.ids[rows],
        parameters=None if asked.parameters is None else asked.parameters[rows],
        regions=None if asked.regions is None else asked.regions[rows],
    )  # fmt: skip


def _tensor(found: Any) -> Tensor:
    tensor: Tensor = found[0] if isinstance(found, tuple) else found
    return tensor.detach()
