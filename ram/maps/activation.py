"""Exact RAM: what each cell of the last feature map adds to the prediction.

``contribution_i = (s / Z) sum_k W_k A_ki`` with feature maps A of Z cells, weights W of the linear unit and the
target's scale s; ``baseline = m + s b`` and ``baseline + sum of contributions = prediction`` (law 1 of the map).

Source: Wang & Yang 2017, arXiv:1703.10757, section 3; Zhou et al. 2016, arXiv:1512.04150, eq. 2.
"""

from __future__ import annotations

__all__ = [
    "array_of",
    "contributions",
    "evaluating",
    "frozen",
    "parameter_contributions",
    "parts_of",
    "structure_of",
    "uncompiled",
    "untouched",
]

import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
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
    summed = _weighted(features, weight)  # (batch, output, Z)
    maps = summed * (scale / summed.shape[2])[:, None]
    return np.asarray(maps.reshape(*maps.shape[:2], *features.shape[2:]))


def parameter_contributions(
    standardised: Float[np.ndarray, "batch parameter"],
    weight: Float[np.ndarray, "output parameter"],
    *,
    scale: Float[np.ndarray, " output"],
) -> Float[np.ndarray, "batch output parameter"]:
    """Return ``s W_p p``: what each design parameter beside the feature maps adds to each output."""
    return np.asarray(standardised[:, None, :] * (scale[:, None] * weight))


def _weighted(features: Tensor, weight: Tensor) -> NDArray[np.floating[Any]]:
    """Return the product of matrices in a precision that is exact enough: no half, and on a GPU no TF32.

    On the CPU by NumPy: torch's product of one row with a batch copies the batch and takes ten times as long.
    """
    if features.is_cuda:
        flat = features.detach().flatten(2)
        return np.asarray(torch.matmul(weight.detach().double(), flat.double()).cpu().numpy())
    values = array_of(features)
    columns = array_of(weight)
    if values.dtype is not columns.dtype:
        columns = columns.astype(values.dtype)
    return np.asarray(np.matmul(columns, values.reshape(*values.shape[:2], -1)))


def array_of(tensor: Tensor) -> NDArray[np.floating[Any]]:
    """Return a tensor as an array, its own memory where it can be: half precision as float32, from any device.

    After a pass nothing that a map needs lies in the cache. Each operation of torch's that is spared, such as
    ``detach`` where nothing is attached, spares microseconds.
    """
    if tensor.requires_grad:
        tensor = tensor.detach()
    if not tensor.is_cpu:
        tensor = tensor.cpu()
    if tensor.dtype not in _PRECISE:
        tensor = tensor.float()
    return tensor.numpy()


_PRECISE = (torch.float32, torch.float64)


def uncompiled() -> AbstractContextManager[Any]:
    """Within the block, what ``torch.compile`` made runs as it was written: compiled code cannot be looked into.

    Nothing has been compiled where torch's compiler is not loaded, which takes seconds.
    """
    if "torch._dynamo" not in sys.modules:
        return nullcontext()
    stance: AbstractContextManager[Any] = torch.compiler.set_stance("force_eager")
    return stance


class evaluating(AbstractContextManager[None]):  # noqa: N801 - used like a function; entered at every call
    """Within the block `module` is in evaluation mode; afterwards it is as it was (law 8 of the map).

    That is the train flag of each submodule, buffers and the state of torch's random generators, also after an
    exception or an interrupt. For passes without gradients; `untouched` looks after those as well. Torch's own layers
    and ours change no buffer in evaluation mode and draw no random numbers, so where there are no others neither is
    looked after.

    Parameters
    ----------
    parts
        ``parts_of(module)``, where they are known.

    >>> net = nn.Sequential(nn.Dropout(), nn.Linear(1, 1))
    >>> with evaluating(net):
    ...     net[0].training
    False
    >>> net[0].training
    True
    """

    def __init__(self, module: nn.Module, parts: Sequence[nn.Module] | None = None) -> None:
        self._parts = parts_of(module) if parts is None else parts
        strange = {kind for kind in set(map(type, self._parts)) if not _steady(kind.__module__)}
        foreign = [part for part in self._parts if type(part) in strange] if strange else []
        self._kept = _Kept(module, foreign) if foreign else None

    def __enter__(self) -> None:
        self._training = [part for part in self._parts if part.training]
        if self._kept is not None:
            self._kept.take()
        try:
            for part in self._training:
                part.training = False
        except BaseException:  # an interrupt: nothing will leave the block that was not entered
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        for part in self._parts:
            if part.training:
                part.training = False
        for part in self._training:
            part.training = True
        if self._kept is not None:
            self._kept.restore()


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


@contextmanager
def frozen(parts: Sequence[nn.Module]) -> Iterator[None]:
    """Within the block no weight asks for a gradient: a pass keeps what the gradient of activations needs, no more."""
    every = [weight for part in parts for weight in part._parameters.values()]
    weights = [weight for weight in every if weight is not None and weight.requires_grad]
    try:
        for weight in weights:
            weight.requires_grad = False
        yield
    finally:
        for weight in weights:
            weight.requires_grad = True


@cache
def _steady(module: str) -> bool:
    return module.startswith(("torch.nn.", "ram.models."))


class _Kept:
    """Buffers and random generators as they were."""

    def __init__(self, module: nn.Module, parts: Sequence[nn.Module]) -> None:
        self._parts = parts
        self._random = torch.random.fork_rng(_cuda_devices(module))

    def take(self) -> None:
        with torch.no_grad():
            self._buffers = [
                (part._buffers, name, buffer, _version(buffer), buffer.clone())
                for part in self._parts
                for name, buffer in part._buffers.items()
                if buffer is not None
            ]
        self._random.__enter__()

    def restore(self) -> None:
        self._random.__exit__(None, None, None)
        for holder, name, buffer, version, copy in self._buffers:
            if holder.get(name) is not buffer:
                holder[name] = buffer
            if _version(buffer) != version:
                with torch.no_grad():
                    buffer.copy_(copy)


def _cuda_devices(module: nn.Module) -> list[int]:
    if not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return []
    return sorted({weight.get_device() for weight in module.parameters() if weight.is_cuda})


def parts_of(module: nn.Module) -> list[nn.Module]:
    """Return all submodules once; torch's own ``modules()`` also makes their names, which takes longer."""
    found, known = [module], {id(module)}
    for part in found:  # which grows
        for child in part._modules.values():
            if child is not None and id(child) not in known:
                known.add(id(child))
                found.append(child)
    return found


def structure_of(parts: Sequence[nn.Module]) -> tuple[object, ...]:
    """Return what changes when a net is built otherwise: what is remembered of a net holds for one structure.

    The layers themselves, and where their cells lie; weights do not belong to it.

    >>> net = nn.Sequential(nn.Conv1d(1, 1, 3, padding=1))
    >>> before = structure_of(parts_of(net))
    >>> net[0].dilation, net[0].padding = (2,), (2,)
    >>> structure_of(parts_of(net)) == before
    False
    """
    own = [(id(part), part.__dict__.get) for part in parts]
    return tuple([(name, of("stride"), of("padding"), of("dilation"), of("kernel_size")) for name, of in own])


def _version(tensor: Tensor) -> int:
    """Return torch's count of changes in place; tensors made in inference mode have none."""
    return 0 if tensor.is_inference() else tensor._version
