"""A run: one execution of an experiment, a folder that says all about it."""

from __future__ import annotations

__all__ = ["Run", "open_run"]

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from jaxtyping import Float32
from numpy.typing import NDArray

from ram.axes import Axis
from ram.data.dataset import Dataset, Sample
from ram.data.units import convert
from ram.errors import ConfigError, DataError, explained, nearest
from ram.maps.explain import explain_regressor
from ram.maps.fronts import Spectrograms, levels_axes
from ram.maps.methods import Method, method_called
from ram.maps.regressor_net import require_exact
from ram.maps.regression_map import RegressionMap, load_maps, save_maps
from ram.models.regressor import Regressor
from ram.models.spectrogram import Spectrogram
from ram.runs.answers import Answer, answer
from ram.runs.calibration import Calibration
from ram.runs.config import Experiment, load_experiment
from ram.runs.measured import measured_targets
from ram.runs.net import NetSpec, load_net
from ram.runs.opening import open_data
from ram.runs.parts import part_of
from ram.runs.predictions import Predictions
from ram.runs.comparable import over_space, unit_factors
from ram.runs.explaining import Wish, default_reference, no_choice, require_level, require_reference
from ram.runs.references import MEAN_MAP, mean_of_padded, reference_maps

CALIBRATION_FILE, ENSEMBLE_FILE = "calibration.h5", "ensemble.json"
_BATCH = 128
Reference = str | Sample | np.ndarray


@dataclass(frozen=True)
class Run:
    """An opened run; its parts are read when they are first asked for.

    Attributes
    ----------
    path
        The run's folder.
    """

    path: Path

    @property
    def name(self) -> str:
        """Name of the folder, such as ``wheel-7f3a``."""
        return self.path.name

    @cached_property
    def config(self) -> Experiment:
        """The experiment, with every default written out."""
        return load_experiment(self.path / "config.toml")

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """Data digest, code, versions, platform, seeds, threads."""
        return dict(self._json("provenance.json"))

    @cached_property
    def checks(self) -> list[dict[str, Any]]:
        """What the data check had to warn of: code, path, rows and text of each finding."""
        return list(self._json("checks.json")) if (self.path / "checks.json").is_file() else []

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """``metrics["test"]["umbrella"]["mape"]``: the figures of `ram.evaluation.accuracy` for each part."""
        return dict(self._json("metrics.json"))

    @cached_property
    def trust(self) -> dict[str, Any]:
        """How intervals were calibrated, and which samples of the test part are outside; empty for an old run."""
        return dict(self._json("trust.json")) if (self.path / "trust.json").is_file() else {}

    @cached_property
    def adaptation(self) -> dict[str, Any]:
        """Where the net was made from another one: what that was worth, as `ram.models.adaptation`; else empty."""
        return dict(self._json("adaptation.json")) if (self.path / "adaptation.json").is_file() else {}

    @cached_property
    def times(self) -> dict[str, Any]:
        """Wall-clock times, which no comparison of runs looks at."""
        return dict(self._json("times.json"))

    @cached_property
    def history(self) -> list[dict[str, Any]]:
        """One row for each epoch."""
        return [json.loads(line) for line in (self.path / "history.jsonl").read_text(encoding="utf-8").splitlines()]

    @cached_property
    def _net(self) -> tuple[Regressor, NetSpec]:
        return load_net(self.path / "checkpoint.safetensors")

    @property
    def regressor(self) -> Regressor:
        """The trained net, in evaluation mode."""
        return self._net[0]

    @property
    def spec(self) -> NetSpec:
        """What the net was built for: channels, axes, targets."""
        return self._net[1]

    @property
    def method(self) -> str:
        """The method of the maps that the run stores: exact RAM, or Grad-RAM for a net with a dense head."""
        return "ram" if self.regressor.dense is None else "grad-ram"

    @property
    def units(self) -> dict[str, str]:
        """Unit of each target."""
        return {target.name: target.unit for target in self.spec.targets}

    def data(self, path: str | Path | None = None) -> Dataset:
        """Return the data set that the run was trained on.

        Parameters
        ----------
        path
            Where the file lies now; where it lay if not given.

        Raises
        ------
        DataError
            Where the file is gone or is another one than it was.
        """
        data = open_data(self.config.data, path)
        if data.digest != self.provenance["data"]["digest"]:
            raise DataError(
                explained(
                    where=str(data.path),
                    what="the data of this run",
                    allowed=f"those with digest {self.provenance['data']['digest']}",
                    got=data.digest,
                    next_step="Give the data explicitly (--data FILE), or make the file again",
                )
            )
        return data

    def open(self, path: str | Path) -> Dataset:
        """Return the data in another file that is like the run's: read by the run's mapping where it has one.

        Raises
        ------
        DataError
            Where the file is missing, damaged, or does not hold what the mapping says; targets need not be there.
        """
        return open_data(self.config.data, path, for_prediction=True, cells=self.spec.axes[-1].size)

    def predictions(self, part: str = "test") -> Predictions:
        """Return the stored predictions of ``"train"``, ``"validation"`` or ``"test"``, with measured values."""
        return self.all_predictions().part(part)

    def all_predictions(self) -> Predictions:
        """Return the stored predictions of every sample that has a part, with measured values."""
        return Predictions.load(self.path / "predictions.h5")

    def predict(
        self, data: Dataset, *, level: float | None = None, progress: Callable[[int], None] | None = None
    ) -> Predictions:
        """Return the predictions for all samples of `data`, in the targets' units; targets are not needed.

        Each has an interval and says whether the sample is unlike those that the net was trained on.

        Parameters
        ----------
        level
            Share of new samples that the intervals hold, in place of the run's own: 0.95.

        Raises
        ------
        DataError
            Where channels, axes, units or parameters are not those that the net was trained on, or an input is
            not finite.
        ConfigError
            For a level that is no share.
        """
        return self.judge(data, self.answer(data, progress=progress), level=level)

    def answer(self, data: Dataset, *, progress: Callable[[int], None] | None = None) -> Answer:
        """Return the bare predictions for `data`, and the features that they are made of.

        Raises
        ------
        DataError
            As `predict`.
        """
        slices = (data[rows] for rows in _batches(len(data)))
        given = (
            (self._inputs(part), part.parameter_array(self._parameter_names), self._lengths(part)) for part in slices
        )
        found = answer(self.regressor, given, progress=progress)
        _check_finite(found.values, data)
        return found

    def judge(self, data: Dataset, found: Answer, *, level: float | None = None) -> Predictions:
        """Return the predictions for `data` of an answer that was given before."""
        bare = Predictions(
            ids=data.ids,
            part_of=np.full(len(data), ""),
            target_names=tuple(self.units),
            units=tuple(self.units.values()),
            values=found.values,
            measured=measured_targets(data, self.units),
        )
        require_level(level)
        if self.calibration is None or self.calibration.surroundings is None:
            return bare
        distances = self.calibration.surroundings.distances(found.features)
        return bare.with_judgement(
            self.calibration.judged(found.values, distances, targets=self.spec.targets, level=level)
        )

    @overload
    def explain(  # type: ignore[overload-overlap]  # a str is a Sequence[str]; the first wins
        self,
        data: Dataset,
        *,
        target: str,
        reference: Reference | None = None,
        method: str = "ram",
        layer: str | Sequence[str] | None = None,
        channel: str | None = None,
        regions: NDArray[np.integer[Any]] | None = None,
        options: Mapping[str, int | float] | None = None,
        resolution: int = 1,
        seed: int = 0,
        of: str | None = None,
    ) -> RegressionMap: ...
    @overload
    def explain(
        self,
        data: Dataset,
        *,
        target: Sequence[str] | None = None,
        reference: Reference | None = None,
        method: str = "ram",
        layer: str | Sequence[str] | None = None,
        channel: str | None = None,
        regions: NDArray[np.integer[Any]] | None = None,
        options: Mapping[str, int | float] | None = None,
        resolution: int = 1,
        seed: int = 0,
        of: str | None = None,
    ) -> dict[str, RegressionMap]: ...
    def explain(
        self,
        data: Dataset,
        *,
        target: str | Sequence[str] | None = None,
        reference: Reference | None = None,
        method: str = "ram",
        layer: str | Sequence[str] | None = None,
        channel: str | None = None,
        regions: NDArray[np.integer[Any]] | None = None,
        options: Mapping[str, int | float] | None = None,
        resolution: int = 1,
        seed: int = 0,
        of: str | None = None,
    ) -> RegressionMap | dict[str, RegressionMap]:
        """Return which regions drive the predictions for `data`, in the target's unit.

        Parameters
        ----------
        data
            Samples of any data set with the same channels and axes.
        target
            A name gives one map; several names, or None for all, a dictionary of maps by name.
        reference
            ``"train-mean"``, the default of exact RAM on the net's own cells: against the mean map of the training
            part; ``"train-mean-design"``, the default else: against the mean training input; ``"baseline"``: the
            net's own zero; or a sample, or an input of shape (channel, *space). Methods whose maps do not add up
            and look at no input of reference have none.
        method, layer, options, resolution, seed
            As for `ram.explain`.
        channel
            Name of the input channel that a map of the input is of; ``"each"``: all, as parts of the map; the sum over
            all if not given.
        regions
            Shape (*space) or (sample, *space), codes, for methods that ask by region; the data set's own if it has
            some.
        of
            For a net that begins with a spectrogram: ``"signal"`` for a map over the signal by methods of the input,
            in place of one over frequency and time.

        Raises
        ------
        ConfigError
            For an unknown target, reference, method, layer, channel or option.
        DataError
            Where `data` do not fit the net.
        ModelError
            Where the net has dense layers behind its feature maps and an exact map is asked for.
        """
        names = [target] if isinstance(target, str) else list(target or self.units)
        for name in names:
            if name not in self.units:
                raise ConfigError(no_choice(str(self.path), "a target", name, self.units))
        wish = Wish(method, layer, channel, regions, options, resolution, seed, of)
        maps = self._explained(names, data, reference, wish)
        return maps[target] if isinstance(target, str) else maps

    def _explained(
        self, names: Sequence[str], data: Dataset, reference: Reference | None, wish: Wish
    ) -> dict[str, RegressionMap]:
        """Return the maps of targets that are known."""
        known, whole = method_called(wish.method), wish.regions_for(data)
        if known.kind == "head":
            require_exact(self.regressor)
        # What references.h5 has maps of.
        own = wish.method == self.method and wish.layer is None and wish.resolution == 1
        against, parameters, called, length = self._reference(reference, data, known, own=own, of=wish.of)
        maps = explain_regressor(
            self.regressor,
            self._inputs(data),
            parameters=data.parameter_array(self._parameter_names),
            targets=names,
            reference=against,
            reference_parameters=parameters,
            reference_name=called,
            reference_length=length,
            lengths=self._lengths(data),
            input_axes=self.spec.axes,
            ids=data.ids,
            batch_size=_BATCH,
            **wish.given(self.channels_of(wish.of), regions=whole, where=str(self.path)),
        )
        labels = self.labels_of(wish.of)
        return {name: replace(one, pictured=replace(one.pictured, channels=labels)) for name, one in maps.items()}

    def maps(self) -> dict[str, RegressionMap]:
        """Return the maps that the run stored for samples of its test part, by target."""
        return load_maps(self.path / "maps.h5")

    def reference_maps(self, name: str = MEAN_MAP) -> dict[str, RegressionMap]:
        """Return the stored mean map (``"train-mean"``) or the mean design's (``"train-mean-design"``), by target."""
        return dict(self._references(name))

    def _references(self, name: str) -> dict[str, RegressionMap]:
        """Return maps of references.h5, read once: whoever asks sample by sample would read them as often."""
        known = self._kept_references
        if name not in known:
            known[name] = load_maps(self.path / "references.h5", prefix=name)
        return known[name]

    @cached_property
    def _kept_references(self) -> dict[str, dict[str, RegressionMap]]:
        return {}

    @cached_property
    def calibration(self) -> Calibration | None:
        """What the run learned about its own errors; None for a run that did not calibrate."""
        path = self.path / CALIBRATION_FILE
        return Calibration.load(path) if path.is_file() else None

    def part(self, name: str) -> Dataset:
        """Return a part of the run's data: train, choosing, calibration, validation or test; see `ram.runs.parts`."""
        return part_of(self.data(), self.config, name)

    def store_references(self, train: Dataset, *, progress: Callable[[int], None] | None = None) -> None:
        """Compute and write what maps are held against, from the training part; `progress` counts samples."""

        def explain(x: np.ndarray, parameters: np.ndarray, lengths: np.ndarray | None) -> dict[str, RegressionMap]:
            return explain_regressor(
                self.regressor.behind, x, parameters=parameters, method=self.method, input_axes=self.axes_of(),
                batch_size=_BATCH, channels=tuple(self.spec.channels), lengths=lengths,
            )  # fmt: skip

        def batches() -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray | None]]:
            for rows in _batches(len(train)):
                part = train[rows]
                given = part.parameter_array(self._parameter_names)
                yield self.explained_inputs(part), given, self.explained_lengths(part)
                if progress:
                    progress(len(rows))

        save_maps(self.path / "references.h5", reference_maps(explain, batches()))
        self._kept_references.clear()

    def mean_input(self, of: str | None = None) -> Float32[np.ndarray, "channel *space"]:
        """Return the mean of what is explained over the training part: of its inputs, or of their spectrograms.

        Parameters
        ----------
        of
            As for `explain`.

        Raises
        ------
        DataError
            Where the run's data are not at hand.
        """
        return self._mean_input(of)[0]

    def _mean_input(self, of: str | None) -> tuple[Float32[np.ndarray, "channel *space"], int | None]:
        """Return the mean input, and how long it is where samples were padded."""
        train = self.part("train")
        parts = (train[rows] for rows in _batches(len(train)))
        if self.spec.padded:
            mean, length = mean_of_padded(
                (self.explained_inputs(part, of), self.explained_lengths(part, of)) for part in parts
            )
            return mean.astype(np.float32), length
        total = sum(self.explained_inputs(part, of).sum(axis=0, dtype=np.float64) for part in parts)
        return np.asarray(total / len(train), dtype=np.float32), None

    def explained_inputs(
        self, data: Dataset, of: str | None = None
    ) -> Float32[np.ndarray, "sample channel *space"]:
        """Return what maps of `data` lie over: the inputs, or for a net that begins with one their spectrograms.

        On the axes `axes_of`, in the units of `channels_of`.

        Parameters
        ----------
        of
            As for `explain`.
        """
        x = self._inputs(data)
        if self._front is None or of == "signal":
            return x
        return Spectrograms(self._net[0], x, self._lengths(data))[:].float().numpy()

    def explained_lengths(self, data: Dataset, of: str | None = None) -> np.ndarray | None:
        """Return how many cells of `explained_inputs` are each sample's own; None where the net does not ask."""
        lengths, front = self._lengths(data), self._front
        if lengths is None or front is None or of == "signal":
            return lengths
        frames = self._net[0].shortest(torch.from_numpy(lengths)) // front.hop
        return np.asarray(np.minimum(frames.numpy(), self.axes_of(of)[-1].size))

    def axes_of(self, of: str | None = None) -> tuple[Axis, ...]:
        """Return the axes of what is explained, as `explained_inputs`; the ``input_axes`` of the maps."""
        front = self._front
        return self.spec.axes if front is None or of == "signal" else levels_axes(front, self.spec.axes)

    def channels_of(self, of: str | None = None) -> dict[str, str]:
        """Return name and unit of each channel of what is explained: a spectrogram's are in dB, say."""
        front = self._front
        if front is None or of == "signal":
            return dict(self.spec.channels)
        return {name: front.unit_of(unit) for name, unit in self.spec.channels.items()}

    def labels_of(self, of: str | None = None) -> dict[str, str]:
        """Return name and unit of each channel as a picture says them: ``"dB re 1 V"`` of a spectrogram's."""
        units = self.channels_of(of)
        own = {name: "" if unit == "1" else f" {unit}" for name, unit in self.spec.channels.items()}
        return {name: f"dB re 1{own[name]}" if unit == "dB" else unit for name, unit in units.items()}

    @property
    def _front(self) -> Spectrogram | None:
        return self._net[0].front

    def _reference(
        self, reference: Reference | None, data: Dataset, method: Method, *, own: bool, of: str | None
    ) -> tuple[dict[str, RegressionMap] | np.ndarray | None, np.ndarray | None, str, int | None]:
        """Return maps by target or an input, an input's design parameters, what to call it, and how long it is."""
        if isinstance(reference, Sample):
            x = (reference.x * over_space(unit_factors(data, self.spec), reference.x.ndim - 1)).astype(np.float32)
            parameters = [[reference.parameters[name] for name in self._parameter_names]]
            return self._as_long(x), np.array(parameters), reference.id, reference.length if self.spec.padded else None
        if reference is not None and not isinstance(reference, str):
            return np.asarray(reference, dtype=np.float32), None, "an input", None
        word = reference or (MEAN_MAP if own else default_reference(method))
        require_reference(word, kept=own, where=str(self.path))
        if word == "baseline":
            return None, None, "" if method.kind == "input" else word, None
        if own:
            return self.reference_maps(word), None, word, None
        mean, length = self._mean_input(of)
        return mean, None, word, length

    @property
    def _parameter_names(self) -> list[str]:
        return list(self.spec.parameters)

    def _lengths(self, data: Dataset) -> np.ndarray | None:
        """Return how long samples are, where the net leaves padding out; None where it does not ask."""
        return data.lengths if self.spec.padded else None

    def _inputs(self, data: Dataset) -> np.ndarray:
        """Return inputs in the units that the net was trained on, shape (sample, channel, *space), float32."""
        factors = unit_factors(data, self.spec)
        x = data.x()
        x = x if (factors == 1).all() else (x * over_space(factors, len(data.axes))).astype(np.float32)
        return self._as_long(x, data.lengths)

    def _as_long(self, x: np.ndarray, lengths: np.ndarray | None = None) -> np.ndarray:
        """Return padded inputs as long as those that the net was trained on, as far as only padding comes and goes."""
        size = self.spec.axes[-1].size
        if not self.spec.padded or x.shape[-1] == size:
            return x
        if x.shape[-1] < size:
            return np.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, size - x.shape[-1])])
        return x[..., :size] if lengths is not None and lengths.max() <= size else x

    def _json(self, name: str) -> Any:
        path = self.path / name
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            step = "Train again: the run was not finished, or its files were changed"
            raise DataError(
                explained(
                    where=str(path), what="a run's file", allowed="readable JSON", got=f"'{error}'", next_step=step
                )
            ) from None


def open_run(path: str | Path) -> Run:
    """Return the run in a folder; of a folder with runs of several seeds the `Ensemble`, which answers as one run.

    Raises
    ------
    DataError
        Where there is no such folder, or it holds no finished run.
    """
    folder = Path(path)
    if (folder / ENSEMBLE_FILE).is_file():
        from ram.runs.ensemble import Ensemble

        return Ensemble(folder)
    if not (folder / "checkpoint.safetensors").is_file() or not (folder / "config.toml").is_file():
        got = "a folder without checkpoint.safetensors and config.toml" if folder.is_dir() else "no such folder"
        near = nearest(folder.name, [run.parent.name for run in folder.parent.glob("*/config.toml")])
        raise DataError(
            explained(where=str(path), what="a run", allowed="a folder that 'ram train' made", got=got, next_step=near)
        )
    return Run(folder)


def _batches(count: int) -> list[np.ndarray]:
    return np.array_split(np.arange(count), range(_BATCH, count, _BATCH)) if count else []


def _check_finite(values: np.ndarray, data: Dataset) -> None:
    bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if bad.size:
        raise DataError(
            explained(
                where=f"{data.path}:/inputs row {data.indices[bad[0]]} (id {data.ids[bad[0]]})",
                what="the prediction",
                allowed="finite",
                got=f"NaN or inf for {bad.size} of {len(data)} samples",
                next_step="Look for values that are not finite in these inputs",
            )
        )
