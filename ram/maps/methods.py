"""The methods by name: how far each may be trusted, what it costs, where it comes from."""

from __future__ import annotations

__all__ = ["METHODS", "Method", "method_called", "options_for"]

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any

from torch import Tensor

from ram.errors import ConfigError, explained, nearest
from ram.maps import cams, input_methods
from ram.maps.guided import guided_grad_cam
from ram.maps.layer_methods import Formula, ablation_cam, from_gradient, score_cam
from ram.maps.regression_map import ADDING

Number = int | float
Run = Callable[[input_methods.Asked], Tensor]


@dataclass(frozen=True)
class Method:
    """A way to make maps.

    Attributes
    ----------
    name
        What ``explain(method=...)`` is given.
    grade
        How far its maps may be trusted, one of `ram.maps.regression_map.GRADES`.
    paper, summary
        Source, and what it shows in a line.
    cost
        In forward passes; a pass with its gradient counts as three.
    kind
        ``"head"``: the pooled feature maps; ``"layer"``: any layer; ``"input"``: the input's own grid.
    needs_layer
        A method of the input that looks at a layer as well.
    options
        Name -> default; ``explain(options=...)`` may give others.
    run
        How an answer is made, for methods of a layer or of the input.
    """

    name: str
    grade: str
    paper: str
    summary: str
    cost: str
    kind: str = "head"
    needs_layer: bool = False
    options: Mapping[str, Number] = field(default_factory=dict)
    run: Callable[..., Any] | None = field(default=None, repr=False, compare=False)

    @property
    def adds_up(self) -> bool:
        """Whether contributions, baseline and prediction belong together."""
        return self.grade in ADDING

    @property
    def looks_at_layer(self) -> bool:
        """Whether ``explain(layer=...)`` means something to it."""
        return self.needs_layer or self.kind != "input"


def _of_gradient(name: str, grade: str, paper: str, summary: str, formula: Formula) -> Method:
    cost = "1 pass at the pooled layer, 3 elsewhere"
    return Method(name, grade, paper, summary, cost, kind="layer", run=partial(from_gradient, formula=formula))


def _of_input(name: str, grade: str, paper: str, summary: str, cost: str, *, run: Run, **options: Number) -> Method:
    return Method(name, grade, paper, summary, cost, kind="input", options=options, run=run)


_ALL = (
    Method(
        "ram",
        "exact",
        "Wang & Yang 2017, arXiv:1703.10757; Zhou et al. 2016, arXiv:1512.04150",
        "what each cell of the last feature map adds to the prediction; needs pooling and a linear unit",
        "1 pass",
    ),
    Method(
        "cam",
        "relative",
        "Zhou et al. 2016, arXiv:1512.04150, equation 2",
        "class activation map: RAM times the number of cells, sums instead of shares of a mean; signed",
        "1 pass",
    ),
    _of_gradient(
        "grad-ram",
        "first-order",
        "Selvaraju et al. 2017, arXiv:1610.02391, without the ReLU",
        "features of a layer, weighed by their mean gradient; signed",
        cams.grad_ram,
    ),
    _of_gradient(
        "hirescam",
        "first-order",
        "Draelos & Carin 2020, arXiv:2011.08891",
        "activation times gradient, cell by cell; signed",
        cams.hires_cam,
    ),
    _of_gradient(
        "xgrad-cam",
        "first-order",
        "Fu et al. 2020, arXiv:2008.02312",
        "features weighed so that they keep the sum of activation times gradient; signed",
        cams.xgrad_cam,
    ),
    Method(
        "ablation-cam",
        "first-order",
        "Desai & Ramaswamy 2020, doi:10.1109/WACV45572.2020.9093360",
        "features weighed by what the prediction loses without them; signed",
        "1 pass at the pooled layer; else the rest of the net once a feature",
        kind="layer",
        run=ablation_cam,
    ),
    _of_gradient(
        "grad-cam",
        "relative",
        "Selvaraju et al. 2017, arXiv:1610.02391",
        "the published Grad-CAM, what lowers the prediction cut off",
        cams.grad_cam,
    ),
    _of_gradient(
        "grad-cam++",
        "relative",
        "Chattopadhay et al. 2018, arXiv:1710.11063",
        "Grad-CAM with weights from powers of the gradient",
        cams.grad_cam_plus_plus,
    ),
    _of_gradient(
        "layercam",
        "relative",
        "Jiang et al. 2021, doi:10.1109/TIP.2021.3089943",
        "activation times positive gradient, for early layers too",
        cams.layer_cam,
    ),
    _of_gradient(
        "eigen-cam",
        "relative",
        "Muhammad & Yeasin 2020, arXiv:2008.00299",
        "what is active in a layer, whatever the prediction makes of it",
        cams.eigen_cam,
    ),
    Method(
        "score-cam",
        "relative",
        "Wang et al. 2020, arXiv:1910.01279, without the softmax",
        "features weighed by what the prediction gains where they are; signed",
        "1 pass a feature",
        kind="layer",
        run=score_cam,
    ),
    _of_input(
        "integrated-gradients",
        "complete",
        "Sundararajan et al. 2017, arXiv:1703.01365",
        "the gradient, integrated on the way from the reference",
        "3 passes a step",
        run=input_methods.integrated_gradients,
        steps=32,
    ),
    _of_input(
        "deeplift",
        "complete",
        "Shrikumar et al. 2017, arXiv:1704.02685",
        "differences from the reference, passed back layer by layer",
        "about 8 passes",
        run=input_methods.deeplift,
    ),
    _of_input(
        "gradient-shap",
        "complete",
        "Lundberg & Lee 2017, arXiv:1705.07874",
        "the gradient at random places on the way from the references",
        "3 passes a sample",
        run=input_methods.gradient_shap,
        samples=64,
    ),
    _of_input(
        "shapley-regions",
        "complete",
        "Castro, Gomez & Tejada 2009, doi:10.1016/j.cor.2008.04.004",
        "each region's fair share of the difference from the reference",
        "1 pass a region and permutation",
        run=input_methods.shapley_regions,
        samples=25,
    ),
    _of_input(
        "gradient-x-input",
        "first-order",
        "Shrikumar et al. 2016, arXiv:1605.01713",
        "gradient times the difference from the reference",
        "3 passes",
        run=input_methods.gradient_x_input,
    ),
    _of_input(
        "gradient",
        "sensitivity",
        "Simonyan et al. 2014, arXiv:1312.6034",
        "change of the target for a change of one input channel",
        "3 passes",
        run=input_methods.gradient,
    ),
    _of_input(
        "smoothgrad",
        "sensitivity",
        "Smilkov et al. 2017, arXiv:1706.03825",
        "the mean gradient in a neighbourhood of the input",
        "3 passes a sample",
        run=input_methods.smoothgrad,
        samples=25,
        noise=0.1,
    ),
    _of_input(
        "occlusion",
        "effect",
        "Zeiler & Fergus 2014, arXiv:1311.2901",
        "what is lost where a window shows the reference",
        "1 pass a window",
        run=input_methods.occlusion,
        window=0.125,
    ),
    _of_input(
        "region-ablation",
        "effect",
        "Zeiler & Fergus 2014, arXiv:1311.2901",
        "what is lost where a region shows the reference",
        "1 pass a region",
        run=input_methods.region_ablation,
    ),
    _of_input(
        "guided-backprop",
        "relative",
        "Springenberg et al. 2015, arXiv:1412.6806",
        "gradients above zero; all weights drawn anew, 0.27 to 0.34 of its ranking stays in two nets (gradient: 0.18)",
        "3 passes",
        run=input_methods.guided_backprop,
    ),
    Method(
        "guided-grad-cam",
        "relative",
        "Selvaraju et al. 2017, arXiv:1610.02391, section 3.2",
        "guided backpropagation times Grad-CAM; all weights drawn anew, 0.09 to 0.11 of its ranking stays in two nets",
        "4 passes at the pooled layer, 7 elsewhere",
        kind="input",
        needs_layer=True,
        run=guided_grad_cam,
    ),
)

METHODS: Mapping[str, Method] = MappingProxyType({method.name: method for method in _ALL})


def method_called(name: str) -> Method:
    """Return the method of this name.

    Raises
    ------
    ConfigError
        There is none; names the nearest.
    """
    if name not in METHODS:
        raise ConfigError(
            explained(
                where="explain",
                what="method",
                allowed=f"one of {', '.join(METHODS)}",
                got=name,
                next_step=nearest(name, METHODS),
            )
        )
    return METHODS[name]


def options_for(method: Method, given: Mapping[str, Number] | None) -> dict[str, Number]:
    """Return the method's options, those given in the place of their defaults.

    >>> options_for(METHODS["integrated-gradients"], {"steps": 8})
    {'steps': 8}

    Raises
    ------
    ConfigError
        For an option that the method does not have, or a value that is no positive number of the default's kind.
    """
    values = dict(method.options)
    for name, value in (given or {}).items():
        where = f"explain, method {method.name}"
        if name not in values:
            allowed = f"one of {', '.join(values)}" if values else "left out, for the method has none"
            raise ConfigError(
                explained(where=where, what="an option", allowed=allowed, got=name, next_step=nearest(name, values))
            )
        whole = isinstance(values[name], int)
        if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)) or value <= 0:
            kind = "a whole number above zero" if whole else "a number above zero"
            raise ConfigError(explained(where=where, what=f"option {name}", allowed=kind, got=repr(value)))
        values[name] = value
    return values
