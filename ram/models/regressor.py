"""The regressor: backbone, global average pooling, one linear unit, target units.

``prediction = m + s (W mean(A) + b)`` with feature maps A, target mean m and scale s. Where several stages are pooled,
A are the feature maps of all of them, each averaged over its own cells. Everything between the file's numbers and the
prediction in the target's unit is inside the module, so that its weights say it all.
"""

from __future__ import annotations

__all__ = ["Regressor", "TargetScaling"]

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ram.errors import ModelError, explained
from ram.models.adaptation import Adaptation
from ram.models.backbones import Backbone, joined
from ram.models.dense import DenseLayers
from ram.models.fitting import require_inputs, require_lengths
from ram.models.padding import Padding
from ram.models.spectrogram import Spectrogram
from ram.models.symmetry import Symmetry

Inputs = Float[Tensor, "batch channel *space"]
Parameters = Float[Tensor, "batch parameter"]
Lengths = Int[Tensor, " batch"]


@dataclass(frozen=True)
class TargetScaling:
    """How a target is standardised.

    Parameters
    ----------
    name, unit
        As in the data file.
    mean, scale
        Of the training part, in `unit`; of the natural logarithm where `log`.
    log
        Regress the logarithm: contributions are then factors.
    """

    name: str
    unit: str
    mean: float = 0.0
    scale: float = 1.0
    log: bool = False


class Regressor(nn.Module):
    """A net that ends in global average pooling and a linear unit and answers in the targets' units.

    Parameters
    ----------
    backbone
        From (batch, channel + coordinate, *space) to (batch, feature, *cells).
    targets
        One output each.
    input_mean, input_scale
        One number a channel: (x - mean) / scale is what the backbone sees. One scale per channel, not per pixel:
        pixels that are constant in the training part would be blown up.
    parameters
        Names and units of scalar design parameters that join the GAP features at the linear unit.
    parameter_mean, parameter_scale
        One number a parameter.
    coordinates
        Shape (coordinate, *space): constant channels that tell the net where it is; never attributed.
    symmetries
        Group elements over whose views features are averaged in evaluation mode: A = mean_g g^-1 A(g x). The
        result is an ordinary feature map, so every law of the map holds as it stands.
    dense
        Flatten and dense layers in place of the average, on inputs of one size. Such a net has no exact map: where a
        value comes from is lost in the layers behind the feature maps.
    front
        A spectrogram before the backbone: inputs are then signals over time, of which the backbone sees levels over
        frequency and time. Coordinates are on that grid.

    Attributes
    ----------
    ndim
        Number of space axes of an input.
    reach
        How much more than its own extent a value of the input has seen along each axis, in the axis' unit: what
        `behind` is given has gone through windows. Empty where each value is one of the file's.
    """

    input_mean: Tensor
    input_scale: Tensor
    target_mean: Tensor
    target_scale: Tensor
    parameter_mean: Tensor
    parameter_scale: Tensor
    coordinates: Tensor

    # Kept in float64 whatever the net's precision: at offset 2e5 float32 would round targets by 8e-3.
    _double = ("target_mean", "target_scale", "parameter_mean", "parameter_scale")

    def __init__(
        self,
        backbone: Backbone,
        *,
        targets: Sequence[TargetScaling],
        input_mean: Sequence[float],
        input_scale: Sequence[float],
        parameters: dict[str, str] | None = None,
        parameter_mean: Sequence[float] = (),
        parameter_scale: Sequence[float] = (),
        coordinates: Tensor | None = None,
        symmetries: Sequence[Symmetry] = (),
        dense: DenseLayers | None = None,
        front: Spectrogram | None = None,
    ) -> None:
        super().__init__()
        parameters = parameters or {}
        self.front = front
        self.reach: tuple[float, ...] = ()
        self.ndim = backbone.ndim if front is None else 1
        self.target_names = tuple(target.name for target in targets)
        self.target_units = tuple(target.unit for target in targets)
        self.target_log = tuple(target.log for target in targets)
        self.parameter_names, self.parameter_units = tuple(parameters), tuple(parameters.values())
        self.symmetries = tuple(symmetries)
        self.backbone = backbone
        self.adaptation: Adaptation | None = None  # where the net was made from another one, as ram.adapt does
        self.dense = dense
        pooled = backbone.features if dense is None else dense.features
        self.head = nn.Linear(pooled + len(parameters), len(targets))
        nn.init.zeros_(self.head.bias)
        self.register_buffer("input_mean", torch.tensor(list(input_mean), dtype=torch.float32))
        self.register_buffer("input_scale", torch.tensor(list(input_scale), dtype=torch.float32))
        self.register_buffer("target_mean", torch.tensor([t.mean for t in targets], dtype=torch.float64))
        self.register_buffer("target_scale", torch.tensor([t.scale for t in targets], dtype=torch.float64))
        self.register_buffer("parameter_mean", torch.tensor(list(parameter_mean), dtype=torch.float64))
        self.register_buffer("parameter_scale", torch.tensor(list(parameter_scale), dtype=torch.float64))
        self.register_buffer("coordinates", torch.empty(0) if coordinates is None else coordinates)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:  # noqa: FBT001, FBT002 - torch's
        kept = {name: getattr(self, name) for name in self._double}
        result = super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name, value in kept.items():
            setattr(self, name, value.to(getattr(self, name).device))
        return result

    def features(self, x: Inputs, *, lengths: Lengths | None = None) -> Float[Tensor, "batch feature *cells"]:
        """Return the feature maps A of inputs in the file's units; of several stages on the finest one's cells.

        Parameters
        ----------
        lengths
            As for `feature_maps`.

        Raises
        ------
        ModelError
            Where channels, sizes or lengths do not fit the net.
        """
        return joined(self.feature_maps(x, lengths=lengths))

    def feature_maps(
        self, x: Inputs, *, stages: int | None = None, lengths: Lengths | None = None
    ) -> list[Float[Tensor, "batch feature *cells"]]:
        """Return the feature maps of each stage that is pooled, on its own cells; of the first `stages` if given.

        Parameters
        ----------
        lengths
            Shape (batch,): how long signals are that were padded along the last axis. A sample's own cells are those
            that it has alone, in the shortest input that the net takes. Others are zero, and own ones are multiplied
            by all cells over own cells: so the mean over all cells is that over own ones, and parts of it likewise.

        Raises
        ------
        ModelError
            As `features`.
        """
        require_inputs(self, x)
        x, padding = self._padded(x, lengths)
        if self.training or len(self.symmetries) < 2:
            maps = self._feature_maps(x, stages, padding)
        else:
            views = []
            for element in self.symmetries:
                seen = self._feature_maps(element.apply(x, padding), stages, padding)
                views.append([element.undo(one, padding) for one in seen])
            maps = [torch.stack(of_stage).mean(dim=0) for of_stage in zip(*views, strict=True)]
        return maps if padding is None else [padding.shared(one) for one in maps]

    def _padded(self, x: Inputs, lengths: Lengths | None) -> tuple[Inputs, Padding | None]:
        """Return inputs with each channel's mean, zero for the backbone, as padding, and which cells it takes."""
        if lengths is None:
            return x, None
        require_lengths(self, x, lengths)
        lengths, size = lengths.to(x.device), x.shape[-1]
        inside = Padding(lengths, size).inside(size)
        mean = self.input_mean.to(x.dtype).view(-1, *(1,) * self.ndim)
        x = torch.where(inside.view(x.shape[0], *(1,) * self.ndim, size), x, mean)
        if self.front is None:
            return x, Padding(self.shortest(lengths), size)
        return x, Padding(self.shortest(lengths) // self.front.hop, self.front.frames(size))

    def shortest(self, lengths: Lengths) -> Lengths:
        """Return how long the shortest input is that holds a signal of each length and that the net takes."""
        if self.front is not None:
            return self.front.frames(lengths.clamp(min=self.front.length)) * self.front.hop
        divisor = self.backbone.divisor
        return (lengths + divisor - 1) // divisor * divisor

    def standardised_inputs(self, x: Inputs) -> Inputs:
        """Return (x - mean) / scale, channel by channel: what the backbone sees besides coordinates.

        With a front it sees the levels of that, standardised in the same way.
        """
        ones = (1,) * self.ndim
        x = (x - self.input_mean.view(-1, *ones)) / self.input_scale.view(-1, *ones)
        return x if self.front is None else self.front.standardised(self.front(x, self.input_scale))

    def levels(self, x: Inputs, lengths: Lengths | None = None) -> Float[Tensor, "batch channel frequency frame"]:
        """Return what `behind` is given: the levels of signals in the file's units, in units of their own."""
        assert self.front is not None, "only a net with a front has levels"
        require_inputs(self, x)
        x, _ = self._padded(x, lengths)
        x = (x - self.input_mean.view(-1, 1)) / self.input_scale.view(-1, 1)
        return self.front(x, self.input_scale)  # type: ignore[no-any-return]

    @property
    def behind(self) -> Regressor:
        """The net behind its front, asked about `levels`: the same weights, the same answer; without a front itself."""
        if self.front is None:
            return self
        view: Regressor = self.__dict__.get("_behind") or copy.copy(self)  # kept: what is known of a net goes by it
        own = {name: part for name, part in self._modules.items() if name != "front"}
        scaling: dict[str, Tensor | None] = {"input_mean": self.front.mean, "input_scale": self.front.deviation}
        changed = {"ndim": self.backbone.ndim, "reach": self.front.reach, "_modules": own | {"front": None}}
        view.__dict__ |= self.__dict__ | changed | {"_buffers": self._buffers | scaling, "_behind": None}
        self.__dict__["_behind"] = view
        return view

    def _feature_maps(
        self, x: Inputs, stages: int | None, padding: Padding | None
    ) -> list[Float[Tensor, "batch feature *cells"]]:
        x = self.standardised_inputs(x)
        if self.coordinates.numel():
            known = self.coordinates[..., : x.shape[-1]].to(x.dtype)
            x = torch.cat([x, known.expand(x.shape[0], *known.shape)], dim=1)
        beside = () if padding is None else (padding,)
        if len(self.backbone.head_stages) == 1:
            return [self.backbone(x, *beside)]
        return list(islice(self.backbone.feature_maps(x, *beside), stages))

    def standardised(
        self, features: Tensor | Sequence[Float[Tensor, "batch feature *cells"]], parameters: Parameters | None = None
    ) -> Float[Tensor, "batch output"]:
        """Return W mean(A) + b, the standardised prediction, in the net's own precision.

        Parameters
        ----------
        features
            What `features` or `feature_maps` gives.
        """
        return self.head(self.pooled(features, parameters))  # type: ignore[no-any-return]

    def pooled(
        self, features: Tensor | Sequence[Float[Tensor, "batch feature *cells"]], parameters: Parameters | None = None
    ) -> Float[Tensor, "batch pooled"]:
        """Return what the linear unit is given: mean(A), or what the dense layers make of A; then the parameters."""
        maps = [features] if isinstance(features, Tensor) else features
        means = [self.dense(joined(maps))] if self.dense else [one.flatten(2).mean(dim=2) for one in maps]
        if self.parameter_names:
            means.append(self.standardised_parameters(parameters, like=means[0]))
        return torch.cat(means, dim=1) if len(means) > 1 else means[0]

    def standardised_parameters(self, parameters: Parameters | None, *, like: Tensor) -> Parameters:
        """Return (p - mean) / scale, shape (batch, parameter), dtype and device of `like`; one row serves all."""
        if parameters is None or parameters.shape not in {(n, len(self.parameter_names)) for n in (1, len(like))}:
            got = "none" if parameters is None else "x".join(map(str, parameters.shape))
            allowed = f"of shape ({len(like)}, {len(self.parameter_names)}): {', '.join(self.parameter_names)}"
            raise ModelError(explained(where="regressor", what="the design parameters", allowed=allowed, got=got))
        values = parameters.to(self.parameter_mean.device, torch.float64)
        return ((values - self.parameter_mean) / self.parameter_scale).to(like.dtype).expand(len(like), -1)

    def standardised_targets(self, targets: Float[Tensor, "batch output"]) -> Float[Tensor, "batch output"]:
        """Return targets (float64, in their units, NaN where missing) as the net learns them."""
        values = targets.to(torch.float64)
        for column in (i for i, log in enumerate(self.target_log) if log):
            values = values.clone()
            values[:, column] = values[:, column].log()
        return (values - self.target_mean) / self.target_scale

    def destandardise(self, standardised: Float[Tensor, "batch output"]) -> Float[Tensor, "batch output"]:
        """Return predictions in the targets' units, float64."""
        values = self.target_mean + self.target_scale * standardised.double()
        for column in (i for i, log in enumerate(self.target_log) if log):
            values = values.clone()
            values[:, column] = values[:, column].exp()
        return values

    def forward(
        self, x: Inputs, parameters: Parameters | None = None, lengths: Lengths | None = None
    ) -> Float[Tensor, "batch output"]:
        """Return predictions in the targets' units, float64, shape (batch, output); `lengths` as for `feature_maps`."""
        return self.destandardise(self.standardised_prediction(x, parameters, lengths))

    def standardised_prediction(
        self, x: Inputs, parameters: Parameters | None = None, lengths: Lengths | None = None
    ) -> Float[Tensor, "batch output"]:
        """Return what training compares with `standardised_targets`, shape (batch, output)."""
        return self.standardised(self.feature_maps(x, lengths=lengths), parameters)

    def prediction_and_contributions(
        self, x: Inputs, parameters: Parameters | None = None
    ) -> tuple[Float[Tensor, "batch output"], Float[Tensor, "batch output *cells"]]:
        """Return the standardised prediction, and what each cell adds to it: the exact RAM that gradients pass.

        ``contribution_i = (1 / Z) sum_k W_k A_ki``, in standard deviations of the target; they sum to the prediction
        but for the bias and what design parameters add.

        Source: Wang & Yang 2017, arXiv:1703.10757, section 3.
        """
        features = self.features(x)
        weight = self.head.weight[:, : features.shape[1]]
        flat = features.flatten(2)  # (batch, feature, Z)
        maps = (weight @ flat / flat.shape[2]).reshape(len(features), len(weight), *features.shape[2:])
        return self.standardised(features, parameters), maps

    @contextmanager
    def single_view(self) -> Iterator[None]:
        """Leave the averaging over symmetries out, for a quick look during training."""
        kept, self.symmetries = self.symmetries, ()
        try:
            yield
        finally:
            self.symmetries = kept
