"""The parts of signals that carry the predictions of a run whose net begins with a spectrogram."""

from __future__ import annotations

__all__ = ["listen"]

from collections.abc import Iterator

import numpy as np

from ram.data.dataset import Dataset
from ram.data.rates import sampling
from ram.errors import ConfigError, explained
from ram.maps.listening import Heard, heard
from ram.runs.run import Reference, Run


def listen(
    run: Run,
    data: Dataset,
    *,
    target: str | None = None,
    share: float = 0.8,
    sign: str = "both",
    reference: Reference | None = None,
    resolution: int = 1,
) -> Iterator[Heard]:
    """Yield for each sample of `data` the part of the signal that carries most of its prediction.

    Its spectrogram is masked by the cells with the largest absolute contributions, as many as hold `share` of them all,
    and put together again with the net's own windows and hop.

    Parameters
    ----------
    target
        The first one if not given.
    share
        Above 0 to 1.
    sign
        ``"raises"`` or ``"lowers"``: only what raises or lowers the prediction against the reference counts.
    reference, resolution
        As for `Run.explain`.

    Raises
    ------
    ConfigError
        Where the net begins with no spectrogram, its windows do not overlap, or a word or number is not allowed.
    DataError
        Where `data` do not fit the net.

    >>> for one in listen(run, run.data().subset("test")[:3], share=0.9): one.carried, one.energy  # doctest: +SKIP
    """
    net = run._net[0]  # of an ensemble the first one's: all are built alike, for the same inputs
    front = net.front
    if front is None:
        raise ConfigError(
            explained(
                where=str(run.path), what="the net", allowed="one that begins with a spectrogram, to be listened to",
                got="one that is given the input itself",
                next_step="Train with [model.spectrogram], or ask for ranges of time: ram explain --largest 5",
            )
        )  # fmt: skip
    name = next(iter(run.units)) if target is None else target
    maps = run.explain(data, target=name, reference=reference, method=run.method, resolution=resolution)
    signals = run.explained_inputs(data, "signal").astype(np.float64)
    signals -= net.input_mean.double().cpu().numpy()[:, None]
    start_s = sampling(run.spec.axes, where=str(data.path)).start_s
    for one, padded, length in zip(maps, signals, data.lengths.tolist(), strict=True):
        signal = padded[:, :length]  # what lies behind is padding
        yield heard(
            one, signal, front, channels=dict(run.spec.channels), start_s=start_s, share=share, sign=sign
        )
