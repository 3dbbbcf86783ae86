"""All randomness of the package: a function of a seed and of what it is for, never of a state.

A draw depends on the seed and on words such as ``("augment", epoch, sample_id)`` alone. The number of
workers, the order of work and an interruption therefore change nothing.

Source: counter-based generators, Salmon et al. 2011, doi:10.1145/2063384.2063405 (Philox, as in NumPy).
"""

from __future__ import annotations

__all__ = ["generator", "seed_of"]

import hashlib

import numpy as np


def seed_of(seed: int, *words: str | int) -> int:
    """Return a 128-bit key made of `seed` and the words that say what it is for.

    >>> seed_of(1, "augment", 3) == seed_of(1, "augment", 3) != seed_of(1, "augment", 4)
    True
    """
    text = "\x1f".join([str(int(seed)), *(f"{type(word).__name__}:{word}" for word in words)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big")


def generator(seed: int, *words: str | int) -> np.random.Generator:
    """Return NumPy's Philox generator for `seed` and the words that say what it is for.

    >>> float(generator(1, "wheel", 0).random()) == float(generator(1, "wheel", 0).random())
    True
    """
    return np.random.Generator(np.random.Philox(key=seed_of(seed, *words)))
