"""What stands in the place of what is taken away from an input.

A reference design, the channels' means, a blurred copy or another sample; and noisy linear imputation, which leaves no
trace of the shape of what was taken.
"""

from __future__ import annotations

__all__ = ["INFILLS", "imputed", "infill"]

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from ram.evaluation.subject import Subject
from ram.randomness import generator

INFILLS = ("reference", "mean", "blurred", "neighbour")
Inputs = Float[np.ndarray, "row channel *space"]

_BLUR = 1 / 8  # of an axis: what is finer is gone
_NOISE = 0.01  # of a channel's scale, as Rong et al. have it
_CLOSE, _MOST_STEPS = 2e-4, 400  # leaves errors below the noise


def infill(subject: Subject, kind: str) -> Inputs:
    """Return what stands in the place of each sample: of its shape, one of `INFILLS`.

    ``"reference"``: the reference design. ``"mean"``: each channel's training mean. ``"blurred"``: the sample itself,
    smoothed by a Gaussian of an eighth of each axis. ``"neighbour"``: another sample, of another group where there is
    one.
    """
    x = subject.x
    if kind == "reference":
        return np.broadcast_to(subject.reference, x.shape)
    if kind == "mean":
        means = subject.net.input_mean.float().cpu().numpy().reshape(-1, *(1,) * (x.ndim - 2))
        return np.broadcast_to(means, x.shape)
    if kind == "blurred":
        for axis in range(2, x.ndim):
            x = gaussian_filter1d(x, _BLUR * x.shape[axis], axis=axis, mode="nearest")
        return np.asarray(x)
    return np.asarray(x[_others(subject)])


def _others(subject: Subject) -> np.ndarray:
    """Return another sample for each: the nearest behind half a turn that is of another group."""
    count, groups, found = len(subject), subject.groups, []
    for row in range(count):
        turns = [(row + count // 2 + step) % count for step in range(count)]
        others = [other for other in turns if other != row]
        foreign = [other for other in others if groups[row] == "" or groups[other] != groups[row]]
        found.append(next(iter(foreign or others or [row])))
    return np.array(found)


def imputed(
    subject: Subject, x: Inputs, taken: Bool[np.ndarray, "row *space"], *, rows: np.ndarray, seed: int
) -> Inputs:
    """Return inputs whose taken points are the weighted mean of their neighbours, known and unknown alike, and noise.

    Along one axis this is a straight line over the gap. Neighbours across a face weigh twice those across an edge, and
    these twice those across a corner.

    Parameters
    ----------
    rows
        Which sample each input was made of: its noise is a function of the seed and of its id.

    Source: Rong et al. 2022, arXiv:2202.00449, section 4.2 (noisy linear imputation).
    """
    values = torch.from_numpy(np.ascontiguousarray(x))
    mask = torch.from_numpy(np.ascontiguousarray(taken))[:, None].to(values.dtype)
    filled = _interpolated(values, mask).numpy()
    scale = _NOISE * subject.net.input_scale.float().cpu().numpy().reshape(-1, *(1,) * (x.ndim - 2))
    noise = np.stack([
        generator(seed, "imputation", str(subject.ids[row])).standard_normal(x.shape[1:], dtype=np.float32)
        for row in rows
    ])  # fmt: skip
    return np.asarray(np.where(taken[:, None], filled + scale * noise, x), dtype=np.float32)


def _interpolated(x: Tensor, mask: Tensor) -> Tensor:
    """Solve (D - K) u = K x_known at the masked points by conjugate gradients, all inputs and channels at once."""
    space = tuple(range(2, x.ndim))
    degree = _around(torch.ones_like(x[:1, :1]))

    def operator(u: Tensor) -> Tensor:
        return mask * (degree * u - _around(u))

    def product(a: Tensor, b: Tensor) -> Tensor:
        return (a * b).sum(dim=space, keepdim=True)

    tiny = torch.finfo(x.dtype).tiny
    known = (1 - mask) * x
    u = mask * _coarse(known, (1 - mask).expand_as(x))
    right = mask * _around(known)
    rest = right - operator(u)
    step, size = rest, product(rest, rest)
    goal = _CLOSE**2 * product(right, right) + tiny
    for _ in range(_MOST_STEPS):
        if bool((size <= goal).all()):
            break
        turned = operator(step)
        length = size / product(step, turned).clamp(min=tiny)
        u, rest = u + length * step, rest - length * turned
        new = product(rest, rest)
        step, size = rest + new / size.clamp(min=tiny) * step, new
    return known + u


def _around(x: Tensor) -> Tensor:
    """Return the weighted sum over each point's neighbours: 1/2 across a face, 1/4 an edge, 1/8 a corner.

    The product of (1/2, 1, 1/2) along every axis, without the point itself.
    """
    total = x
    for axis in range(2, x.ndim):
        size = x.shape[axis]
        if size > 1:
            before, behind = total.narrow(axis, 0, size - 1), total.narrow(axis, 1, size - 1)
            total = total.clone()
            total.narrow(axis, 1, size - 1).add_(before, alpha=0.5)
            total.narrow(axis, 0, size - 1).add_(behind, alpha=0.5)
    return total - x


def _coarse(known: Tensor, weight: Tensor) -> Tensor:
    """Return a first guess everywhere: the mean of what is known within a box that is as small as may be."""
    space = known.shape[2:]
    if max(space) == 1:
        return known / weight.clamp(min=torch.finfo(known.dtype).tiny)
    pool = _POOLS[len(space)]
    guess = _coarse(pool(known, 2, ceil_mode=True), pool(weight, 2, ceil_mode=True))
    fine = torch.nn.functional.interpolate(guess, size=tuple(space))
    return torch.where(weight > 0, known / weight.clamp(min=torch.finfo(known.dtype).tiny), fine)


_POOLS: dict[int, Callable[..., Tensor]] = {
    1: torch.nn.functional.avg_pool1d, 2: torch.nn.functional.avg_pool2d, 3: torch.nn.functional.avg_pool3d,
}  # fmt: skip
