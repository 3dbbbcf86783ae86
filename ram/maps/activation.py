"""Exact RAM: what each cell of the last feature map adds to the prediction.

``contribution_i = (s / Z) sum_k W_k A_ki`` with feature maps A of Z cells, weights W of the linear unit and the
target's scale s; ``baseline = m + s b`` and ``baseline + sum of contributions = prediction`` (law 1 of the map).

Source: Wang & Yang 2017, arXiv:1703.10757, section 3; Zhou et al. 2016, arXiv:1512.04150, eq. 2.
"""

from __future__ import annotations

__all__ = ["contributions", "parameter_contributions", "untouched"]

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn


def contributions(
    features: Float[Tensor, "batch feature *cells"],
    weight: Float[Tensor, "output feature"],
    *,
    scale: Float[Tensor, " output"],
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
    >>> contributions(A, torch.tensor([[2.0, -1.0]]), scale=torch.tensor([10.0]))
    array([[[ 0., 30.]]])
    """
    flat = features.flatten(2)  # (batch, feature, Z)
    summed = torch.matmul(_precise(weight), _precise(flat))  # (batch, output, Z)
    share = scale.double().cpu() / flat.shape[2]
    maps = summed.cpu().double() * share.view(-1, 1)
    return maps.numpy().reshape(len(features), len(weight), *features.shape[2:])


def parameter_contributions(
    standardised: Float[Tensor, "batch parameter"],
    weight: Float[Tensor, "output parameter"],
    *,
    scale: Float[Tensor, " output"],
) -> Float[np.ndarray, "batch output parameter"]:
    """Return ``s W_p p``: what each design parameter beside the feature maps adds to each output, float64."""
    shares = scale.double().cpu().view(-1, 1) * weight.double().cpu()  # (output, parameter)
    return (standardised.double().cpu()[:, None, :] * shares).numpy()


def _precise(tensor: Tensor) -> Tensor:
    """Return `tensor` in a precision whose products are exact enough: no half, and on CUDA no TF32."""
    return tensor.double() if tensor.is_cuda else tensor.to(torch.promote_types(tensor.dtype, torch.float32))


@contextmanager
def untouched(module: nn.Module) -> Iterator[None]:
    """Within the block `module` is in evaluation mode; afterwards all is as it was (law 8 of the map).

    That is the train flag of each submodule, gradients, ``requires_grad``, buffers and the state of torch's random
    generators, also after an exception or an interrupt. Gradients are set aside within the block. Hooks are not set
    here: whoever registers one holds its handle in a ``with``.

    >>> net = nn.Sequential(nn.Dropout(), nn.Linear(1, 1))
    >>> with untouched(net):
    ...     net[0].training
    False
    >>> net[0].training
    True
    """
    state = _State(module)
    with torch.random.fork_rng(state.cuda_devices()):
        try:
            state.set_aside()
            yield
        finally:
            state.restore()


class _State:
    """A module as it was. Written out plainly: it is taken at every call and must cost next to nothing.

    Torch's own layers (batch norm) change no buffer in evaluation mode, so theirs are not copied.
    """

    def __init__(self, module: nn.Module) -> None:
        parts = _parts(module)
        self.training = [part for part in parts if part.training]
        weights = [weight for part in parts for weight in part._parameters.values() if weight is not None]
        self.weights = [(weight, weight.requires_grad, weight.grad) for weight in weights]
        with torch.no_grad():
            self.buffers = [
                (part._buffers, name, buffer, _version(buffer), buffer.clone())
                for part in parts
                if part._buffers and not type(part).__module__.startswith("torch.nn.")
                for name, buffer in part._buffers.items()
                if buffer is not None
            ]
        self.parts = parts

    def cuda_devices(self) -> list[int]:
        return sorted({weight.get_device() for weight, _, _ in self.weights if weight.is_cuda})

    def set_aside(self) -> None:
        for part in self.training:
            part.training = False
        for weight, _, gradient in self.weights:
            if gradient is not None:
                weight.grad = None

    def restore(self) -> None:
        trained = set(map(id, self.training))
        for part in self.parts:
            if part.training != (id(part) in trained):
                part.training = not part.training
        for weight, wanted, gradient in self.weights:
            if weight.requires_grad != wanted:
                weight.requires_grad_(wanted)
            if weight.grad is not gradient:
                weight.grad = gradient
        self._restore_buffers()

    def _restore_buffers(self) -> None:
        for holder, name, buffer, version, copy in self.buffers:
            if holder.get(name) is not buffer:
                holder[name] = buffer
            if _version(buffer) != version:
                with torch.no_grad():
                    buffer.copy_(copy)


def _parts(module: nn.Module) -> list[nn.Module]:
    """Return all submodules once; torch's own ``modules()`` also makes their names, which takes longer."""
    found: dict[int, nn.Module] = {}
    waiting = [module]
    while waiting:
        part = waiting.pop()
        if id(part) not in found:
            found[id(part)] = part
            waiting += [child for child in part._modules.values() if child is not None]
    return list(found.values())


def _version(tensor: Tensor) -> int:
    """Return torch's count of changes in place; tensors made in inference mode have none."""
    return 0 if tensor.is_inference() else tensor._version
