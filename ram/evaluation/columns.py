"""The scores that a leaderboard has, in the order in which it shows them."""

from __future__ import annotations

__all__ = ["COLUMNS", "column"]

from dataclasses import replace

from ram.errors import ConfigError, explained, nearest
from ram.evaluation.leaderboard import Column

_UNIT = "of maps"  # stands for the unit in which the maps of a board add up

_ALL = (
    Column("spearman", "Spearman", "1", "higher", "are the cells in physics' order, with their signs?", chance=0.0),
    Column("pearson", "Pearson", "1", "higher", "is the map the truth, but for offset and scale?", chance=0.0),
    Column("top", "top tenth", "1", "higher", "which part of the truth's strongest tenth does it find?", chance=0.1),
    Column("sign", "sign", "1", "higher", "how much of the truth lies where the map has its sign?", chance=0.5),
    Column("mass", "mass", "1", "higher", "which share of the map lies in the true region?"),
    Column("pointing", "pointing", "1", "higher", "how often is the map's peak in the true region?"),
    Column("auc", "AUC", "1", "higher", "how well does the map's size tell the true region apart?", chance=0.5),
    Column("regions", "regions off", _UNIT, "lower", "by how much is what a region carries off, in the mean?"),
    Column("regions_share", "regions off, %", "%", "lower", "by how much of what physics gives them?", chance=100.0),
    Column("sensitivity", "slopes", "1", "higher", "are slopes in the order of the solver's?", chance=0.0),
    Column("ordering", "ordering", _UNIT, "higher", "how far apart do its highest and lowest cells pull?", chance=0.0),
    Column("deletion", "deletion", _UNIT, "higher", "how soon does the prediction leave without them?", chance=0.0),
    Column("insertion", "insertion", _UNIT, "higher", "how soon is the prediction there with them?", chance=0.0),
    Column("deletion_mean", "deletion, mean", _UNIT, "higher", "the same, with means?", chance=0.0),
    Column("deletion_blurred", "deletion, blurred", _UNIT, "higher", "the same, with blurred values?", chance=0.0),
    Column("deletion_neighbour", "deletion, other", _UNIT, "higher", "the same, with another sample?", chance=0.0),
    Column("road", "ROAD", _UNIT, "higher", "does the error grow more without its first cells?", chance=0.0),
    Column("infidelity", "infidelity", _UNIT, "lower", "by how much are claims about patches off?"),
    Column("fidelity", "fidelity", "1", "higher", "do claims about patches go along with what happens?", chance=0.0),
    Column("residual", "residual", _UNIT, "lower", "how much of the difference is in no cell?"),
    Column("max_sensitivity", "change", "1", "lower", "how much does the map change with the input's last digits?"),
    Column("kept", "kept", "1", "zero", "how much of its order outlives the weights?", chance=0.0),
    Column("kept_signed", "kept, signed", "1", "zero", "how much of its signed order outlives them?", chance=0.0),
    Column("permuted", "permuted", "1", "zero", "how like is it to that of a net that learned nothing?", chance=0.0),
    Column("seeds", "seeds", "1", "higher", "how like are the maps of nets that differ in their seed?", chance=0.0),
)  # fmt: skip

COLUMNS = {one.name: one for one in _ALL}


def column(name: str, *, unit: str, how: str = "", chance: float | None = None) -> Column:
    """Return a column for maps in `unit`, with what is to be said of how it was computed.

    Raises
    ------
    ConfigError
        There is none of this name.
    """
    if name not in COLUMNS:
        allowed, near = f"one of {', '.join(COLUMNS)}", nearest(name, COLUMNS)
        raise ConfigError(explained(where="leaderboard", what="a score", allowed=allowed, got=name, next_step=near))
    known = COLUMNS[name]
    own = unit if known.unit == _UNIT else known.unit
    return replace(known, unit=own, how=how, chance=known.chance if chance is None else chance)
