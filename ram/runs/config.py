"""An experiment: one TOML file that says everything a run depends on, besides the data.

Keys are checked strictly; an unknown or mistyped one names the nearest right one. A run keeps the config with
every default written out.
"""

from __future__ import annotations

__all__ = [
    "GIVEN",
    "DataConfig",
    "Experiment",
    "ExplainConfig",
    "LeaveOut",
    "ModelConfig",
    "TrainingConfig",
    "TrustConfig",
    "VariationConfig",
    "load_experiment",
]

import copy
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SerializerFunctionWrapHandler, model_serializer, model_validator
from pydantic_core import PydanticCustomError

from ram.data.lines import line_in
from ram.data.mapped.settings import DataMapping
from ram.data.sizes import byte_size
from ram.errors import ConfigError, explained
from ram.runs.search import SweepConfig, check_space
from ram.runs.spectrogram import SpectrogramConfig
from ram.runs.supervision import MapSupervisionConfig
from ram.storage.sections import AsTuple, Names, Section, checked, read_toml

GIVEN = "given"
"""The backbone of a net that was adapted: it is handed over with the config and kept in the run's checkpoint."""

Widths = Annotated[tuple[Annotated[int, Field(ge=1)], ...], AsTuple, Field(min_length=1)]
Positive = Annotated[int, Field(ge=1)]

# Keys that change no bit of a result.
_INDIFFERENT = {
    "data": ("file", "memory_budget"),
    "explain": ("lines",),
    "training": ("workers", "worker_start", "trackers", "checkpoint_minutes"),
}


def _a_size(text: object) -> object:
    try:
        byte_size(str(text))
    except ValueError:
        raise PydanticCustomError("byte_size", "Input should be a size such as '4 GiB' or '500 MB'") from None
    return text


ByteSize = Annotated[str, BeforeValidator(_a_size)]


def _a_line(text: object) -> object:
    try:
        line_in(str(text))
    except ConfigError:
        raise PydanticCustomError("line", "Input should be such as 'frequency = 0.96 * speed / (2 * depth)'") from None
    return text


LineText = Annotated[str, BeforeValidator(_a_line)]


class LeaveOut(Section):
    """Groups that are the test part, in place of the file's split; the others train and validate."""

    groups: Names = Field(min_length=1, description="Groups of the file, such as specimens, that the net never sees")
    validation_share: float = Field(default=0.2, gt=0, lt=1, description="Share of the other samples that validates")
    validation_by: Literal["auto", "group", "sample"] = Field(
        default="auto",
        description="Whether whole groups validate or samples of groups that are trained on; auto: groups from 5 on",
    )


class DataConfig(Section):
    """Where the data are and what is regressed."""

    file: str = Field(description="The data file, relative to this config")
    targets: Names = Field(min_length=1, description="Targets to regress, all at once; of a mapping all if not said")
    units: dict[str, str] = Field(default_factory=dict, description="Unit wanted for a target; the file's if not said")
    log_targets: Names = Field(default=(), description="Targets regressed in the logarithm: contributions are factors")
    parameters: Names = Field(default=(), description="Scalar design parameters that join at the linear unit")
    split: str = Field(default="default", description="Which of the file's splits is used")
    leave_out: LeaveOut | None = Field(default=None, description="Groups that are tested, in place of the split's part")
    train_share: float = Field(
        default=1.0, gt=0, le=1, description="Share of the training part that is used, drawn by the seed; 1: all of it"
    )
    permute_targets: int | None = Field(
        default=None,
        description="Seed by which samples of the training and of the validation part get each other's targets, for a "
        "net that can learn nothing: of the randomisation test of maps",
    )
    loading: Literal["auto", "memory", "mapped", "blocks"] = Field(
        default="auto", description="How inputs are read; auto: in memory where they fit the budget"
    )
    memory_budget: ByteSize = Field(default="4 GiB", description="What inputs may take in memory")
    mapping: DataMapping | None = Field(
        default=None, description="Where things lie in an HDF5 file of one's own, which is read in place"
    )

    @model_validator(mode="before")
    @classmethod
    def _all_mapped(cls, content: Any) -> Any:
        """Regress all mapped targets where none are named."""
        mapping = content.get("mapping") if isinstance(content, dict) else None
        targets = mapping.get("targets") if isinstance(mapping, dict) else None
        return {**content, "targets": list(targets)} if targets and "targets" not in content else content


class ModelConfig(Section):
    """The net: backbone, global average pooling (or flatten and dense layers), linear unit."""

    backbone: str = Field(
        default="resnet",
        description="plain, resnet, encoder-decoder, small-field, fcn, resnet-1d, inception-time; "
        "given: of an adapted net",
    )
    widths: Widths = Field(default=(24, 64, 128), description="Feature maps of each stage; each halves the grid once but where it is kept")
    depth: Positive = Field(default=1, description="Convolutions or blocks of each stage")
    kernel: Positive = Field(default=3, description="Width of the convolutions, odd; of the narrowest where they differ")
    halvings: Positive | None = Field(
        default=None,
        description="Times the grid is halved before the first stage; of fcn, resnet-1d and inception-time, which keep it",
    )
    norm: Literal["none", "batch"] = Field(default="none", description="Batch norms after convolutions, or none")
    head: Literal["gap", "dense"] = Field(
        default="gap",
        description="gap: global average pooling, exact maps; dense: flatten and dense layers, no exact map",
    )
    dense: Widths = Field(default=(64,), description="Widths of the hidden layers of a dense head")
    head_stages: Annotated[tuple[Positive, ...], AsTuple] = Field(
        default=(), description="Stages pooled for the linear unit, from 1, one for each width; the last if not said"
    )
    channels_apart: bool = Field(
        default=False, description="A net of these widths for each channel: what each contributes is then exact"
    )
    coordinates: Names = Field(default=(), description="Coordinate channels: names of axes, or radius")
    symmetry_average: bool = Field(
        default=False, description="Average features over the data set's symmetries when evaluating; for head gap"
    )
    spectrogram: SpectrogramConfig | None = Field(
        default=None, description="A spectrogram before the backbone, for signals over time; none if not said"
    )

    @model_validator(mode="after")
    def _averaged_before_gap(self) -> ModelConfig:
        """Refuse averaged features before dense layers, which have learned from those of single views."""
        if self.head == "dense" and self.symmetry_average:
            raise PydanticCustomError("averaged", "Input should be head = 'gap' where symmetry_average is true")
        return self


class VariationConfig(Section):
    """How training inputs are varied while their targets stay: what another day in the laboratory would change."""

    gain: float = Field(default=0.0, ge=0, lt=1, description="Standard deviation of the logarithm of a sample's gain")
    colour: float = Field(
        default=0.0,
        ge=0,
        lt=2,
        description="The same of a gain that varies over frequency, along the last axis: another sensor or hammer",
    )
    noise: float = Field(
        default=0.0, ge=0, description="Standard deviation of added noise, as a share of the channel's own"
    )
    shift: int = Field(default=0, ge=0, description="Most cells by which the last axis is shifted: a trigger's jitter")


class TrainingConfig(Section):
    """How the weights are found."""

    epochs: Positive = Field(default=30, description="Passes over the training part")
    batch_size: Positive = Field(default=64, description="Samples of one step")
    optimizer: Literal["muon", "adamw"] = Field(
        default="muon", description="How weights move; see ram.training.optimizers"
    )
    learning_rate: float = Field(default=3e-3, gt=0, description="Largest; rises over the warm-up, falls as a cosine")
    weight_decay: float = Field(default=0.02, ge=0, description="Share of a kernel taken away, times the learning rate")
    warmup_epochs: float = Field(default=1.0, ge=0, description="Epochs over which the learning rate rises from 0")
    gradient_clip: float = Field(default=1.0, gt=0, description="Largest norm of the gradient")
    frozen_norms: float = Field(
        default=0.4,
        ge=0,
        le=1,
        description="Share of the epochs, at the end, in which batch norms stop following batches",
    )
    loss: Literal["huber", "squared"] = Field(default="huber", description="On standardised targets")
    patience: int = Field(default=0, ge=0, description="Stop after this many epochs without gain; 0: never")
    augment: bool = Field(default=True, description="Apply the symmetries that the data set declares")
    variation: VariationConfig = Field(
        default_factory=VariationConfig, description="Gain, noise and shift that training inputs are varied with"
    )
    map_supervision: MapSupervisionConfig | None = Field(
        default=None, description="What the maps of training samples are fitted to; nothing if not said"
    )
    threads: Positive = Field(default=2, description="Threads of torch; results repeat to the bit for the same number")
    device: Literal["cpu", "cuda", "mps", "auto"] = Field(
        default="cpu", description="Where the net is trained; auto: on a graphics card where there is one"
    )
    precision: Literal["32-true", "bf16-mixed", "64-true"] = Field(
        default="32-true", description="Of the net's numbers: float32, mixed with bfloat16, or float64"
    )
    channels_last: bool = Field(default=True, description="Memory layout of 2D and 3D inputs: faster on CPUs")
    workers: int = Field(
        default=0,
        ge=0,
        description="Processes that read batches ahead where inputs are not kept in memory; 0: a thread",
    )
    worker_start: Literal["spawn", "fork"] = Field(default="spawn", description="How these processes are started")
    trackers: Annotated[tuple[Literal["tensorboard", "mlflow"], ...], AsTuple] = Field(
        default=(), description="What is told of each epoch: tensorboard, mlflow; their files lie beside the run"
    )
    checkpoint_minutes: float = Field(
        default=10.0, gt=0, description="Wall-clock time between checkpoints within an epoch; one ends each epoch"
    )


class ExplainConfig(Section):
    """Which maps a run stores."""

    samples: Positive = Field(default=12, description="Samples of the test part whose maps are stored and shown")
    reference: Literal["baseline", "train-mean", "train-mean-design"] = Field(
        default="train-mean", description="What the stored maps are held against"
    )
    lines: Annotated[tuple[LineText, ...], AsTuple] = Field(
        default=(), description="Lines that physics expects on maps: 'frequency = 0.96 * p_wave_speed / (2 * depth)'"
    )

    @model_serializer(mode="wrap")
    def _without_lines(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out an empty list: runs without lines have the config that they had before there were any."""
        content: dict[str, Any] = handler(self)
        return {key: value for key, value in content.items() if key != "lines" or value}


class TrustConfig(Section):
    """What a run says of how far its numbers may be trusted; docs/trust.md."""

    level: float = Field(default=0.9, gt=0, lt=1, description="Share of new samples that their intervals shall hold")
    calibration: float = Field(
        default=0.5,
        ge=0,
        lt=1,
        description="Share of the validation part that takes no part in choosing the best epoch, and calibrates",
    )
    difficulty: Literal["none", "distance", "spread"] = Field(
        default="none",
        description="What makes intervals wider: nothing, distance from the training part, or members' spread",
    )
    alarm: float = Field(
        default=0.01, gt=0, lt=1, description="Samples are called outside at this rate of false alarms"
    )


class Experiment(Section):
    """One experiment, complete."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", description="Names the run's folder")
    seed: int = Field(default=0, ge=0, description="What all randomness of the run is a function of")
    data: DataConfig = Field(description="Where the data are and what is regressed")
    model: ModelConfig = Field(default_factory=ModelConfig, description="The net")
    training: TrainingConfig = Field(default_factory=TrainingConfig, description="How the weights are found")
    explain: ExplainConfig = Field(default_factory=ExplainConfig, description="Which maps a run stores")
    trust: TrustConfig = Field(default_factory=TrustConfig, description="How far its numbers may be trusted")
    sweep: SweepConfig | None = Field(default=None, description="What 'ram sweep' searches; others leave it alone")

    def decisive(self) -> dict[str, Any]:
        """Return what results depend on: all but where the data lie, how they are read, and when the state is kept.

        >>> words = {"name": "a", "data": {"file": "a.h5", "targets": ["depth"]}}
        >>> one = load_experiment(words, overrides=["training.workers=2"])
        >>> one.decisive() == load_experiment(words).decisive()
        True
        """
        content = self.model_dump(mode="json", exclude={"sweep"})
        for section, keys in _INDIFFERENT.items():
            for key in keys:
                content[section].pop(key, None)
        return content


def load_experiment(
    source: str | Path | Mapping[str, Any] | Experiment, *, overrides: Sequence[str] = ()
) -> Experiment:
    """Return the experiment in a TOML file (or in a mapping), with ``section.key=value`` overrides applied.

    The data file's path is made absolute: in a file it is relative to that file, in an override to where one is.

    Raises
    ------
    ConfigError
        Where the file is missing or not TOML, or a key or value is not allowed.
    """
    if isinstance(source, Experiment):
        return _validated({**source.model_dump()}, where=f"experiment {source.name}", overrides=overrides)
    if isinstance(source, Mapping):
        return _validated(copy.deepcopy(dict(source)), where="experiment", overrides=overrides)
    path = Path(source)
    content = read_toml(path, what="an experiment")
    data = content.get("data")
    if isinstance(data, dict) and isinstance(data.get("file"), str):
        data["file"] = str((path.resolve().parent / data["file"]).resolve())
    experiment = _validated(content, where=str(source), overrides=overrides)
    file = str(Path(experiment.data.file).resolve())
    return experiment.model_copy(update={"data": experiment.data.model_copy(update={"file": file})})


def _validated(content: dict[str, Any], *, where: str, overrides: Sequence[str]) -> Experiment:
    for override in overrides:
        _set(content, override)
    experiment = checked(Experiment, content, where=where)
    if experiment.sweep is not None:
        check_space(experiment, where=where)
    return experiment


def _set(content: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    *sections, last = key.strip().split(".")
    if not equals or not last:
        raise ConfigError(
            explained(
                where=f"--set {override}",
                what="an override",
                allowed="section.key=value",
                got=override,
                next_step="For example --set training.epochs=50",
            )
        )
    for section in sections:
        content = content.setdefault(section, {})
        if not isinstance(content, dict):
            raise ConfigError(
                explained(where=f"--set {override}", what=f"'{section}'", allowed="a section", got="a value")
            )
    content[last] = _value(text.strip())


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
