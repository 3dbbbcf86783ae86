"""A run as one ONNX file that answers with the prediction and its exact map, for machines without torch.

Outputs of the file, in the targets' units, float64:

- ``prediction`` (batch, target)
- ``contributions`` (batch, target, *cells): what each cell adds; where parameters enter beside the input, their share
  is the rest.
- ``baseline`` (target): baseline + sum of contributions = prediction, for log targets in the logarithm.

A net that was trained on signals of different length takes their ``lengths`` (batch) beside the padded ``inputs``.
"""

from __future__ import annotations

__all__ = ["export_onnx"]

import importlib.util
import json
import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from ram.axes import Axis
from ram.errors import ConfigError, ModelError, explained
from ram.maps.regressor_net import require_exact
from ram.models.backbones import joined
from ram.models.regressor import Regressor
from ram.runs.run import Run
from ram.storage.atomic import writing

_ALLOWED = 1e-4  # of a target's scale: what other kernels in float32 may differ by
_OUTPUTS = ("prediction", "contributions", "baseline")


def export_onnx(run: Run, output: str | Path) -> Path:
    """Write the net of `run` to an ONNX file; what onnxruntime makes of it is held against torch.

    Parameters
    ----------
    output
        The file. Its metadata name targets, units, channels and axes; of a net that begins with a spectrogram also
        those that the cells part.

    Raises
    ------
    ConfigError
        Where the extra ``[export]`` is not installed.
    ModelError
        Where the net has dense layers and no exact map, or onnxruntime answers otherwise than torch; no file is left.
    """
    _require_extra()
    require_exact(run.regressor)
    import onnx
    import onnxruntime
    from onnxscript.optimizer import fold_constants, remove_unused_nodes

    net = _Answering(run.regressor.eval()).eval()
    given, batch = _samples(run), torch.export.Dim("batch")
    with writing(output) as temporary, _exportable(run.regressor):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporter's own, about its parts
            program = torch.onnx.export(
                net, given, dynamo=True, verbose=False, input_names=_inputs_of(run), output_names=list(_OUTPUTS),
                dynamic_shapes=tuple(None if one is None else {0: batch} for one in given),
                optimize=run.regressor.front is None,  # it takes a spectrogram's floor of 1e-8 for zero: leaves it out
            )  # fmt: skip
        assert program is not None
        if run.regressor.front is not None:
            fold_constants(program.model)
            remove_unused_nodes(program.model)
        model = program.model_proto
        onnx.helper.set_model_props(model, _metadata(run))
        temporary.write_bytes(model.SerializeToString())
        session = onnxruntime.InferenceSession(str(temporary), providers=["CPUExecutionProvider"])
        _compare(session, net, given, run, output)
    return Path(output)


def _exportable(net: Regressor) -> AbstractContextManager[None]:
    """Within the block a spectrogram is a convolution: torch exports no complex numbers in full."""
    return nullcontext() if net.front is None else net.front.by_convolution()


class _Answering(nn.Module):
    """A regressor with its map as a second output."""

    def __init__(self, regressor: Regressor) -> None:
        super().__init__()
        self.regressor = regressor

    def forward(
        self, x: Float[Tensor, "batch channel *space"], parameters: Tensor | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """Return prediction, contributions and baseline."""
        net = self.regressor
        maps = net.feature_maps(x, lengths=lengths)
        features = joined(maps)
        width = features.shape[1]
        scale = net.target_scale / features[0, 0].numel()
        weighed = torch.einsum("tk,bk...->bt...", net.head.weight[:, :width].double(), features.double())
        contributions = weighed * scale.view(1, -1, *(1,) * net.backbone.ndim)
        baseline = net.target_mean + net.target_scale * net.head.bias.double()
        pooled = torch.cat([one.flatten(2).mean(dim=2) for one in maps], dim=1)
        if parameters is not None:
            own = (parameters.double() - net.parameter_mean) / net.parameter_scale
            pooled = torch.cat([pooled, own.to(pooled.dtype)], dim=1)
        return net.destandardise(net.head(pooled)), contributions, baseline


def _samples(run: Run) -> tuple[Tensor | None, ...]:
    """Return three samples like those of the training part, as far as channels' means and scales tell."""
    net = run.regressor
    draw = torch.Generator().manual_seed(0)
    ones = (1,) * net.ndim
    noise = torch.randn((3, len(run.spec.channels), *(axis.size for axis in run.spec.axes)), generator=draw)
    if net.front is not None:
        noise[-1] = 0.0  # a silent signal, whose levels are the floor
    x = net.input_mean.view(-1, *ones) + net.input_scale.view(-1, *ones) * noise
    parameters = None
    if net.parameter_names:
        drawn = torch.randn((3, len(net.parameter_names)), generator=draw)
        parameters = net.parameter_mean + net.parameter_scale * drawn
    if not run.spec.padded:
        return (x,) if parameters is None else (x, parameters)
    size = x.shape[-1]
    return (x, parameters, torch.tensor([size, max(1, size // 2), max(1, size // 3)]))


def _inputs_of(run: Run) -> list[str]:
    beside = (("parameters", bool(run.regressor.parameter_names)), ("lengths", run.spec.padded))
    return ["inputs", *(name for name, asked in beside if asked)]


def _metadata(run: Run) -> dict[str, str]:
    spec = run.spec
    content: dict[str, Any] = {
        "targets": [{"name": t.name, "unit": t.unit, "log": t.log} for t in spec.targets],
        "channels": dict(spec.channels),
        "parameters": dict(spec.parameters),
        "axes": _ends(spec.axes),
        **({} if run.regressor.front is None else {"map_axes": _ends(run.axes_of())}),
        "run": run.name,
        "data_digest": run.provenance["data"]["digest"],
    }
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in content.items()}


def _ends(axes: Sequence[Axis]) -> list[dict[str, Any]]:
    return [{"name": a.name, "unit": a.unit, "first": a.centres[0], "last": a.centres[-1]} for a in axes]


def _compare(session: Any, net: _Answering, given: tuple[Tensor | None, ...], run: Run, output: str | Path) -> None:
    """Raise ModelError unless the file answers as torch does, for a batch and for one sample."""
    scale = run.regressor.target_scale.numpy()
    for rows in (slice(None), slice(0, 1)):
        asked = [None if one is None else one[rows] for one in given]
        with torch.no_grad():
            expected = [one.numpy() for one in net(*asked)]
        fed = (one.numpy() for one in asked if one is not None)
        answer = session.run(None, dict(zip(_inputs_of(run), fed, strict=True)))
        for name, mine, other in zip(_OUTPUTS, expected, answer, strict=True):
            space = (1,) * (mine.ndim - 2)
            size = scale if name == "baseline" else scale.reshape(1, -1, *space)
            error = float(np.max(np.abs(mine - other) / (size + np.abs(mine))))
            if not error <= _ALLOWED:
                raise ModelError(
                    explained(
                        where=str(output), what=f"{name} by onnxruntime", allowed=f"torch's within {_ALLOWED:g}",
                        got=f"a difference of {error:.2g} of the target's scale",
                        next_step="Keep to torch for this net, and report it",
                    )
                )  # fmt: skip


def _require_extra() -> None:
    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if importlib.util.find_spec(name) is None]
    if missing:
        step = "Install it: pip install 'ram[export]'"
        raise ConfigError(
            explained(where="ram export", what="the extra [export]", allowed="installed", got=f"no {missing[0]}",
                      next_step=step)
        )  # fmt: skip
