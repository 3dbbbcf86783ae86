"""What a run's net is: enough to build it again, and to read and write its weights."""

from __future__ import annotations

__all__ = ["NetSpec", "leaves_padding_out", "load_net", "save_net"]

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ram.axes import Axis
from ram.data.dataset import Dataset
from ram.errors import ConfigError, DataError, ModelError, explained
from ram.maps.fronts import levels_axes
from ram.models.backbones import Backbone, build_backbone
from ram.models.coordinates import coordinate_channels
from ram.models.dense import DenseLayers
from ram.models.regressor import Regressor, TargetScaling
from ram.models.spectrogram import Spectrogram
from ram.models.symmetry import Symmetry, symmetry_group
from ram.models.trunk import Recipe, Trunk
from ram.randomness import seed_of
from ram.runs.config import GIVEN, ModelConfig
from ram.runs.spectrogram import spectrogram_of
from ram.storage.tensors import read_tensors, write_tensors

_SCHEMA = "ram-checkpoint/1"


@dataclass(frozen=True)
class NetSpec:
    """What a net was built for.

    Attributes
    ----------
    model
        The config's section.
    channels
        Name and unit of each input channel.
    axes
        The input's axes.
    symmetries
        Names that the data set declares.
    targets
        In the order of the outputs; mean and scale of the training part.
    parameters
        Name and unit of each design parameter at the linear unit.
    trunk
        The backbone of a net that was adapted, where the model's section says that it is given.
    padded
        Samples were padded to one length, and the net leaves padding out: it is told how long each sample is.
    """

    model: ModelConfig
    channels: Mapping[str, str]
    axes: tuple[Axis, ...]
    symmetries: tuple[str, ...]
    targets: tuple[TargetScaling, ...]
    parameters: Mapping[str, str]
    trunk: Recipe | None = None
    padded: bool = False

    def build(
        self,
        *,
        seed: int = 0,
        input_mean: list[float] | None = None,
        input_scale: list[float] | None = None,
        parameter_mean: list[float] | None = None,
        parameter_scale: list[float] | None = None,
    ) -> Regressor:
        """Return the net with weights drawn from `seed`; the global random state stays as it is.

        Raises
        ------
        ConfigError, ModelError
            Where the model's section does not fit the inputs.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(seed, "weights") % 2**63)
            backbone = self._backbone()
            front, axes = self._front(backbone)
            space = [axis.size for axis in axes]
            coordinates = coordinate_channels(self.model.coordinates, axes, radius=front is None)
            group = self._group(front)
            backbone.check_size(space)
            return Regressor(
                backbone,
                targets=self.targets,
                input_mean=input_mean or [0.0] * len(self.channels),
                input_scale=input_scale or [1.0] * len(self.channels),
                parameters=dict(self.parameters),
                parameter_mean=parameter_mean or [0.0] * len(self.parameters),
                parameter_scale=parameter_scale or [1.0] * len(self.parameters),
                coordinates=coordinates,
                symmetries=group,
                dense=self._dense(backbone, space),
                front=front,
            )

    def _front(self, backbone: Backbone) -> tuple[Spectrogram | None, tuple[Axis, ...]]:
        """Return the layer before the backbone, if the model's section has one, and the axes that the backbone sees."""
        section = self.model.spectrogram
        if section is None:
            return None, self.axes
        front = spectrogram_of(section, self.axes, channels=len(self.channels), divisor=backbone.divisor)
        front.check_size(self.axes[0].size)
        return front, levels_axes(front, self.axes)

    def _group(self, front: Spectrogram | None) -> tuple[Symmetry, ...]:
        """Return the symmetries that features are averaged over."""
        if not self.model.symmetry_average:
            return ()
        space = [axis.size for axis in self.axes]
        group = symmetry_group(self.symmetries, space=space)
        if len(group) > 1 and front is not None and not front.reversible(space[0]):
            allowed = "such that a reversed signal has the reversed spectrogram, where model.symmetry_average is true"
            got = f"a window of {front.length} and a hop of {front.hop} samples for {space[0]}"
            step = (
                f"Choose a hop that divides {space[0]} into a multiple of {front.divisor} frames, and a window longer "
                "than it by an even number of samples"
            )
            raise ConfigError(
                explained(where="model.spectrogram", what="window and hop", allowed=allowed, got=got, next_step=step)
            )
        return group

    def _backbone(self) -> Backbone:
        if self.model.backbone == GIVEN:
            return Trunk(self._given())
        return build_backbone(
            self.model.backbone,
            ndim=len(self.axes) if self.model.spectrogram is None else 2,
            channels=len(self.channels) + len(self.model.coordinates),
            widths=self.model.widths,
            depth=self.model.depth,
            kernel=self.model.kernel,
            norm=self.model.norm,
            head_stages=self.model.head_stages,
            channels_apart=len(self.channels) if self.model.channels_apart else 0,
            halvings=self.model.halvings or 0,
        )

    def _given(self) -> Recipe:
        if self.trunk is None:
            step = "Start it from Python: ram.train(config, net=ram.adapt(net, data=..., targets=...))"
            raise ConfigError(
                explained(where="model.backbone", what="a backbone that is given", allowed="handed over with the config",
                          got="a config alone", next_step=step)
            )  # fmt: skip
        return self.trunk

    def _dense(self, backbone: Backbone, space: list[int]) -> DenseLayers | None:
        """Return the dense layers of the model's section, for feature maps of inputs of this size."""
        if self.model.head == "gap":
            return None
        with torch.no_grad():
            channels = len(self.channels) + len(self.model.coordinates)
            values = backbone.eval()(torch.zeros(1, channels, *space)).numel()
        backbone.train()
        return DenseLayers(values, self.model.dense)

    def as_dict(self) -> dict[str, Any]:
        """Return all but the axes' cells and the targets' scaling, which are kept as tensors."""
        return {
            "model": self.model.model_dump(mode="json"),
            "channels": [list(pair) for pair in self.channels.items()],  # keys of JSON are sorted, these are not
            "axes": [{"name": a.name, "unit": a.unit, "long_name": a.long_name} for a in self.axes],
            "symmetries": list(self.symmetries),
            "targets": [{"name": t.name, "unit": t.unit, "log": t.log} for t in self.targets],
            "parameters": [list(pair) for pair in self.parameters.items()],
            **({} if self.trunk is None else {"trunk": self.trunk}),
            **({"padded": True} if self.padded else {}),
        }


def leaves_padding_out(data: Dataset, model: ModelConfig) -> bool:
    """Say whether a net for these data is to be told their lengths: they differ, and it averages its own layers' cells.

    Dense layers see padding as signal, and so does an adapted net.
    """
    pools = model.head == "gap" and model.backbone != GIVEN
    return pools and bool((data.lengths < data.axes[-1].size).any())


def save_net(path: Path, regressor: Regressor, spec: NetSpec, *, epoch: int) -> None:
    """Write weights, buffers and `spec` as one safetensors file, atomically."""
    tensors = {f"net.{name}": value for name, value in regressor.state_dict().items()}
    for number, axis in enumerate(spec.axes):
        tensors[f"axes.{number}.centres"] = torch.tensor(axis.centres)
        tensors[f"axes.{number}.edges"] = torch.tensor(axis.edges)
    write_tensors(path, tensors, {"epoch": epoch, "spec": spec.as_dict()}, schema=_SCHEMA)


def load_net(path: Path) -> tuple[Regressor, NetSpec]:
    """Return the net in evaluation mode and what it was built for.

    Raises
    ------
    DataError
        Where the file is missing, is not a checkpoint of this package, or any byte of it has changed.
    """
    tensors, content = read_tensors(path, schema=_SCHEMA)
    spec = _spec(content["spec"], tensors)
    return _built(spec, tensors, path).eval(), spec


def _built(spec: NetSpec, tensors: Mapping[str, Tensor], path: Path) -> Regressor:
    """Return the net of a checkpoint; what a recipe holds that no `Trunk` can be is a fault of the file."""
    state = {name.removeprefix("net."): value for name, value in tensors.items() if name.startswith("net.")}
    try:
        regressor = spec.build()
        regressor.to(state["head.weight"].dtype)
        regressor.load_state_dict(state)
    except (AttributeError, KeyError, ModelError, RuntimeError, TypeError, ValueError) as error:
        if spec.trunk is None:
            raise
        step = "It was written by a newer version or changed: update ram, or restore it from a copy"
        raise DataError(
            explained(where=str(path), what="the backbone of a checkpoint", allowed="made of layers known to ram",
                      got=f"'{str(error).splitlines()[0]}'", next_step=step)
        ) from None  # fmt: skip
    return regressor


def _spec(content: dict[str, Any], tensors: dict[str, Tensor]) -> NetSpec:
    axes = tuple(
        Axis(
            a["name"],
            a["unit"],
            tensors[f"axes.{i}.centres"].numpy(),
            tensors[f"axes.{i}.edges"].numpy(),
            a["long_name"],
        )
        for i, a in enumerate(content["axes"])
    )
    return NetSpec(
        model=ModelConfig.model_validate(content["model"]),
        channels=dict(content["channels"]),
        axes=axes,
        symmetries=tuple(content["symmetries"]),
        targets=tuple(TargetScaling(**target) for target in content["targets"]),
        parameters=dict(content["parameters"]),
        trunk=content.get("trunk"),
        padded=content.get("padded", False),
    )
