"""Which few cells carry most of a map, as a soft mask over them."""

from __future__ import annotations

__all__ = ["SIGNS", "carrying"]

import numpy as np
from jaxtyping import Float

from ram.errors import ConfigError, explained, nearest

SIGNS = ("both", "raises", "lowers")
"""Which contributions count: all, those above zero, those below."""


def carrying(
    contributions: Float[np.ndarray, "batch *cells"], *, share: float, sign: str = "both"
) -> Float[np.ndarray, "batch *cells"]:
    """Return 1 for the fewest cells whose absolute contributions hold `share` of the sum of all, and 0 for the others.

    The last cell that is taken counts in part, so that the share is held exactly. Where nothing contributes the mask
    is 0.

    Parameters
    ----------
    share
        0 to 1; of the contributions that `sign` counts.
    sign
        One of `SIGNS`.

    Raises
    ------
    ConfigError
        For a share or a word that is none of these.

    >>> carrying(np.array([[4.0, -3.0, 2.0, -1.0]]), share=0.8)
    array([[1. , 1. , 0.5, 0. ]])
    """
    _require(share, sign)
    counted = {"both": np.abs(contributions), "raises": contributions, "lowers": -contributions}[sign]
    size = np.clip(counted, 0.0, None).reshape(len(contributions), -1)  # (batch, cell)
    order = np.argsort(-size, axis=1, kind="stable")
    sizes = np.take_along_axis(size, order, axis=1)
    before = np.cumsum(sizes, axis=1) - sizes
    wanted = share * sizes.sum(axis=1, keepdims=True)
    taken = np.clip(np.divide(wanted - before, sizes, out=np.zeros_like(sizes), where=sizes > 0), 0.0, 1.0)
    if share == 1:
        taken = (sizes > 0).astype(np.float64)  # what rounding would take from the last one
    mask = np.empty_like(size)
    np.put_along_axis(mask, order, taken, axis=1)
    return np.asarray(mask.reshape(contributions.shape))


def _require(share: float, sign: str) -> None:
    if not 0 < share <= 1:
        allowed, step = "above 0 and at most 1", "Such as 0.8"
        raise ConfigError(explained(where="share", what="the share", allowed=allowed, got=f"{share:g}", next_step=step))
    if sign not in SIGNS:
        allowed, near = f"one of {', '.join(SIGNS)}", nearest(sign, SIGNS)
        raise ConfigError(explained(where="sign", what="what counts", allowed=allowed, got=f"'{sign}'", next_step=near))
