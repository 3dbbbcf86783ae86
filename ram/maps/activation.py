"""Exact RAM: what each cell of the last feature map adds to the prediction.

``contribution_i = (s / Z) sum_k W_k A_ki`` with feature maps A of Z cells, weights W of the linear unit and the
target's scale s; ``baseline = m + s b`` and ``baseline + sum of contributions = prediction`` (law 1 of the map).

Source: Wang & Yang 2017, arXiv:1703.10757, section 3; Zhou et al. 2016, arXiv:1512.04150, eq. 2.
"""

from __future__ import annotations

__all__ = ["contributions", "evaluating", "parameter_contributions", "untouched"]

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn


def contributions(
    features: Float[Tensor, "batch feature *cells"],
    weight: Float[Tensor, "output feature"],
    *,
    scale: Float[np.ndarray, " output"],
) -> Float[np.ndarray, "batch output *cells"]:
    """Return what each cell adds to each output, in the unit of `scale`, float64.

    One product of matrices in the precision of the net; only its result, the small map, is made float64.

    Parameters
    ----------
    features
        A, the input of the global average pooling.
    weight
        W, the columns of the linear unit that belong to the features.
    scale
        s, one number a target.

    >>> A = torch.tensor([[[1.0, 3.0], [2.0, 0.0]]])            # one sample, two features, two cells
    >>> contributions(A, torch.tensor([[2.0, -1.0]]), scale=np.array([10.0]))
    array([[[ 0., 30.]]])
    """
    flat = features.detach().flatten(2)  # (batch, feature, Z)
    summed = _weighted(flat, weight.detach())  # (batch, output, Z)
    maps = summed * (scale / flat.shape[2])[:, None]
    return np.asarray(maps.reshape(len(features), len(weight), *features.shape[2:]))


def parameter_contributions(
    standardised: Float[np.ndarray, "batch parameter"],
    weight: Float[np.ndarray, "output parameter"],
    *,
    scale: Float[np.ndarray, " output"],
) -> Float[np.ndarray, "batch output parameter"]:
    """Return ``s W_p p``: what each design parameter beside the feature maps adds to each output."""
    return np.asarray(standardised[:, None, :] * (scale[:, None] * weight))


def _weighted(flat: Tensor, weight: Tensor) -> NDArray[np.floating[Any]]:
    """Return the product of matrices in a precision that is exact enough: no half, and on a GPU no TF32.

    On the CPU by NumPy: torch's product of one row with a batch copies the batch and takes ten times as long.
    """
    if flat.device.type == "cuda":
        return np.asarray(torch.matmul(weight.double(), flat.double()).cpu().numpy())
    if flat.dtype not in {torch.float32, torch.float64}:
        flat = flat.float()
    return np.asarray(np.matmul(weight.to(flat.dtype).cpu().numpy(), flat.cpu().numpy()))


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Within the block `module` is in evaluation mode; afterwards it is as it was (law 8 of the map).

    That is the train flag of each submodule, buffers and the state of torch's random generators, also after an
    exception or an interrupt. For passes without gradients; `untouched` looks after those as well.

    >>> net = nn.Sequential(nn.Dropout(), nn.Linear(1, 1))
    >>> with evaluating(net):
    ...     net[0].training
    False
    >>> net[0].training
    True
    """
    state = _State(module)
    with nullcontext() if state.steady else torch.random.fork_rng(_cuda_devices(module)):
        try:
            for part in state.training:
                part.training = False
            yield
        finally:
            state.restore()


@contextmanager
def untouched(module: nn.Module) -> Iterator[None]:
    """Do as `evaluating`, for methods that take gradients: those of the weights are set aside and come back.

    ``requires_grad`` of each weight is kept, too. Hooks are not looked after: whoever registers one holds its
    handle in a ``with``.
    """
    weights = [(weight, weight.requires_grad, weight.grad) for weight in module.parameters()]
    with evaluating(module):
        try:
            for weight, _, gradient in weights:
                if gradient is not None:
                    weight.grad = None
            yield
        finally:
            for weight, wanted, gradient in weights:
                weight.requires_grad_(wanted)
                weight.grad = gradient


_STEADY = ("torch.nn.", "ram.models.")


class _State:
    """A module as it was. Written out plainly: it is taken at every call and must cost next to nothing.

    Torch's own layers and ours change no buffer in evaluation mode and draw no random numbers, so where there are
    no others neither is looked after.
    """

    def __init__(self, module: nn.Module) -> None:
        self.parts = _parts(module)
        self.training = [part for part in self.parts if part.training]
        foreign = [part for part in self.parts if not type(part).__module__.startswith(_STEADY)]
        self.steady = not foreign
        with torch.no_grad():
            self.buffers = [
                (part._buffers, name, buffer, _version(buffer), buffer.clone())
                for part in foreign
                for name, buffer in part._buffers.items()
                if buffer is not None
            ]

    def restore(self) -> None:
        for part in self.parts:
            if part.training:
                part.training = False
        for part in self.training:
            part.training = True
        for holder, name, buffer, version, copy in self.buffers:
            if holder.get(name) is not buffer:
                holder[name] = buffer
            if _version(buffer) != version:
                with torch.no_grad():
                    buffer.copy_(copy)


def _cuda_devices(module: nn.Module) -> list[int]:
    if not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return []
    return sorted({weight.get_device() for weight in module.parameters() if weight.is_cuda})


def _parts(module: nn.Module) -> list[nn.Module]:
    """Return all submodules once; torch's own ``modules()`` also makes their names, which takes longer."""
    found: dict[int, nn.Module] = {}
    waiting = [module]
    while waiting:
        part = waiting.pop()
        if id(part) not in found:
            found[id(part)] = part
            if part._modules:
                waiting += [child for child in part._modules.values() if child is not None]
    return list(found.values())


def _version(tensor: Tensor) -> int:
    """Return torch's count of changes in place; tensors made in inference mode have none."""
    return 0 if tensor.is_inference() else tensor._version
