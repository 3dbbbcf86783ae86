"""Nets of others are cut where their feature maps are: same numbers, same weights, kept as data, or refused clearly."""

import copy
import json

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from ram.errors import ModelError
from ram.maps.activation import evaluating
from ram.models.cutting import cut
from ram.models.operations import FUNCTIONS, LAYERS
from ram.models.trunk import Trunk

CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
NORMS = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
MAX_POOLS = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}
POOLS = {1: nn.AdaptiveAvgPool1d, 2: nn.AdaptiveAvgPool2d, 3: nn.AdaptiveAvgPool3d}
MAX_POOL = {1: functional.max_pool1d, 2: functional.max_pool2d, 3: functional.max_pool3d}


def plain(ndim):
    """Convolutions in a row and a dense head: the layer before Flatten is a max pool."""
    return nn.Sequential(
        CONVOLUTIONS[ndim](2, 4, 3, padding=1), nn.ReLU(), MAX_POOLS[ndim](2),
        CONVOLUTIONS[ndim](4, 6, 3, padding=1), nn.ReLU(inplace=True), MAX_POOLS[ndim](2),
        nn.Flatten(), nn.Linear(6 * 2**ndim, 5), nn.ReLU(), nn.Linear(5, 1),
    )  # fmt: skip


class Block(nn.Module):
    """A residual block with everything that is written as a function."""

    def __init__(self, ndim, channels, features):
        super().__init__()
        self.conv = CONVOLUTIONS[ndim](channels, features, 3, padding=1, bias=False)
        self.norm = NORMS[ndim](features)
        self.skip = CONVOLUTIONS[ndim](channels, features, 1)

    def forward(self, x):
        y = functional.relu(self.norm(self.conv(x)))
        y += self.skip(x)
        return functional.dropout(y, 0.3, self.training)


class Nested(nn.Module):
    """Modules in modules, a parameter of its own, an argument with a default, ``view``, dropout and several outputs."""

    def __init__(self, ndim):
        super().__init__()
        self.features = nn.ModuleDict({"first": Block(ndim, 2, 4), "last": Block(ndim, 4, 6)})
        self.gain = nn.Parameter(torch.full((6, *(1,) * ndim), 1.5))
        self.pool = MAX_POOL[ndim]
        self.dense = nn.Sequential(nn.Linear(6 * 4**ndim, 7), nn.Tanh(), nn.Dropout(), nn.Linear(7, 3))

    def forward(self, x, mask=None):
        y = self.features["last"](self.pool(self.features["first"](x), 2)) * self.gain
        if mask is not None:
            y = y * mask
        self.looked_at = y
        return self.dense(y.view(y.shape[0], -1))


class Pooled(nn.Module):
    """As VGG ends: averages over 2 cells an axis, dropout, flatten, dense layers; one number a sample."""

    def __init__(self, ndim):
        super().__init__()
        self.conv = CONVOLUTIONS[ndim](2, 4, 3, padding=1)
        self.activation = nn.GELU()
        self.pool = POOLS[ndim](2)
        self.drop = nn.Dropout(0.2)
        self.out = nn.Linear(4 * 2**ndim, 1)

    def forward(self, x):
        y = self.drop(self.pool(self.activation(self.conv(x))))
        return self.out(torch.flatten(y, 1)).squeeze(1)


class ByMean(nn.Module):
    """Global average pooling by ``mean``, but two layers behind it."""

    def __init__(self, ndim):
        super().__init__()
        self.conv = CONVOLUTIONS[ndim](2, 4, 4, stride=2, padding=1)
        self.hidden, self.out = nn.Linear(4, 5), nn.Linear(5, 2)

    def forward(self, x):
        y = torch.relu(self.conv(x))
        return self.out(functional.silu(self.hidden(y.mean(dim=tuple(range(2, y.ndim))))))


def inputs(ndim, *, count=3):
    return torch.randn(count, 2, *(8,) * ndim, generator=torch.Generator().manual_seed(4))


def trained(make, ndim):
    """A net whose weights and statistics are not those of the first day, in training mode as users leave it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        net = make(ndim)
        net.train()
        for _ in range(3):
            net(torch.randn(4, 2, *(8,) * ndim))
    return net


def cut_of(net, x):
    with evaluating(net):
        return cut(net, x)


def seen_at(net, layer, x):
    """What a layer returns, by a hook."""
    seen = []
    handle = net.get_submodule(layer).register_forward_hook(lambda _m, _i, out: seen.append(out.clone()))
    with evaluating(net), torch.no_grad():
        net(x.clone())
    handle.remove()
    return seen[-1]


@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize(("make", "layer"), [(plain, "5"), (Pooled, "activation"), (Nested, "mul"), (ByMean, "relu")])
def test_a_net_is_cut_at_its_feature_maps(make, layer, ndim):
    net, x = trained(make, ndim), inputs(ndim)
    found = cut_of(net, x)
    assert found.layer == layer
    with torch.no_grad():
        features = found.trunk(x)
    if make is Nested:
        with evaluating(net), torch.no_grad():
            net(x)
        expected = net.looked_at
    elif make is ByMean:
        expected = torch.relu(seen_at(net, "conv", x))
    else:
        expected = seen_at(net, layer, x)
    assert torch.equal(features, expected)
    assert found.trunk.features == features.shape[1]
    assert found.trunk.ndim == ndim


@pytest.mark.parametrize("make", [plain, Pooled, Nested, ByMean])
def test_weights_are_copies_bit_for_bit_by_their_own_names(make):
    net = trained(make, 2)
    trunk = cut_of(net, inputs(2)).trunk
    theirs = net.state_dict()
    ours = {name.removeprefix("net."): value for name, value in trunk.state_dict().items()}
    assert {name for name in theirs if "conv" in name or name.startswith(("0.", "3."))} <= set(ours)
    for name, value in ours.items():
        assert torch.equal(value, theirs[name])
        assert value.data_ptr() != theirs[name].data_ptr()
    assert not any(name.startswith(("dense", "out", "hidden", "7", "9")) for name in ours)


@pytest.mark.parametrize("make", [plain, Pooled, Nested])
def test_the_net_is_left_as_it_was(make):
    net, x = trained(make, 2), inputs(2)
    before = copy.deepcopy(net.state_dict())
    attributes = {name: set(vars(part)) for name, part in net.named_modules()}
    flags = [part.training for part in net.modules()]
    looked_at = getattr(net, "looked_at", None)
    state, given = torch.get_rng_state(), x.clone()
    cut_of(net, x)
    assert all(torch.equal(value, net.state_dict()[name]) for name, value in before.items())
    assert {name: set(vars(part)) for name, part in net.named_modules()} == attributes
    assert [part.training for part in net.modules()] == flags
    assert getattr(net, "looked_at", None) is looked_at
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(x, given)


@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("make", [plain, Nested, Pooled])
def test_a_recipe_is_json_and_gives_the_same_numbers(make, ndim):
    net, x = trained(make, ndim), inputs(ndim)
    trunk = cut_of(net, x).trunk
    again = Trunk(json.loads(json.dumps(trunk.recipe)))
    again.load_state_dict(trunk.state_dict())
    with torch.no_grad():
        assert torch.equal(again.eval()(x), trunk(x))
        larger = torch.cat([inputs(ndim), inputs(ndim)], dim=2)
        assert again(larger).shape[2] == 2 * again(x).shape[2]


def test_norms_and_dropout_layers_of_the_copy_can_be_trained_again():
    net = trained(lambda ndim: nn.Sequential(Block(ndim, 2, 4), nn.Dropout2d(0.5), Block(ndim, 4, 4), nn.Flatten(),
                                             nn.Linear(256, 1)), 2)  # fmt: skip
    trunk = cut_of(net, inputs(2)).trunk
    before = trunk.net.get_submodule("0.norm").running_mean.clone()
    trunk.train()
    first, second = trunk(inputs(2)), trunk(inputs(2))
    assert not torch.equal(before, trunk.net.get_submodule("0.norm").running_mean)
    assert not torch.equal(first, second)  # the dropout layer inside draws again
    first.sum().backward()
    assert all(weight.grad is not None for weight in trunk.parameters())


def test_frozen_weights_stay_frozen():
    net = trained(plain, 2)
    net[0].weight.requires_grad_(requires_grad=False)
    trunk = cut_of(net, inputs(2)).trunk
    assert {name for name, weight in trunk.named_parameters() if not weight.requires_grad} == {"net.0.weight"}
    again = Trunk(trunk.recipe)
    assert not again.net.get_parameter("0.weight").requires_grad


def test_double_precision_and_channels_last_are_kept():
    net, x = trained(plain, 2).double(), inputs(2).double()
    assert cut_of(net, x).trunk(x).dtype == torch.float64
    laid_out = trained(plain, 2).to(memory_format=torch.channels_last)
    weight = cut_of(laid_out, inputs(2)).trunk.net.get_parameter("3.weight")
    assert weight.is_contiguous(memory_format=torch.channels_last)


def test_memory_holds_no_more_than_steps_need():
    net = nn.Sequential(*(nn.Identity() for _ in range(3)), *(nn.Conv1d(1, 1, 1) for _ in range(6)), nn.Flatten())
    trunk = cut_of(net, torch.randn(2, 1, 8)).trunk
    held = [set()]
    for step, spent in trunk._steps:
        held.append((held[-1] | {step.name}) - set(spent))
    assert max(map(len, held)) <= 2


class Decides(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.out = nn.Conv1d(2, 3, 3), nn.Linear(18, 1)

    def forward(self, x):
        y = self.conv(x)
        if y.mean() > 0:
            y = -y
        return self.out(y.flatten(1))


class Around(Decides):
    def forward(self, x):
        return self.out(self.conv(x).flatten(1)) + x.mean(dim=(1, 2))[:, None]


class TwoScales(nn.Module):
    def __init__(self):
        super().__init__()
        self.fine, self.coarse = nn.Conv1d(2, 3, 3), nn.Conv1d(3, 4, 2, stride=2)
        self.out = nn.Linear(7, 1)

    def forward(self, x):
        fine = torch.relu(self.fine(x))
        coarse = torch.relu(self.coarse(fine))
        return self.out(torch.cat([fine.mean(dim=2), coarse.mean(dim=2)], dim=1))


class Recurrent(Decides):
    def __init__(self):
        super().__init__()
        self.memory = nn.GRU(3, 3, batch_first=True)

    def forward(self, x):
        y, _ = self.memory(self.conv(x).transpose(1, 2))
        return self.out(torch.relu(y.transpose(1, 2)).flatten(1))


class Cumulated(Decides):
    def forward(self, x):
        return self.out(torch.relu(torch.cumsum(self.conv(x), dim=2)).flatten(1))


class AlwaysDrawing(Decides):
    def forward(self, x):
        return self.out(torch.relu(functional.dropout(self.conv(x))).flatten(1))


class Twisted(Decides):
    """Its features stand where cells should be: (batch, time, feature)."""

    def forward(self, x):
        return self.out(torch.relu(x.transpose(1, 2)).transpose(1, 2).flatten(1)[:, :1].expand(-1, 18))


class ForTwo(Decides):
    """Its size of batch is built in."""

    def forward(self, x):
        y = torch.relu(self.conv(x))
        return self.out((y + torch.zeros(2, 3, 6)).flatten(1))


class Bound(Decides):
    """It shares something among the samples of a batch."""

    def forward(self, x):
        y = torch.relu(self.conv(x))
        return self.out((y - y.mean(dim=0, keepdim=True)).reshape(y.shape).flatten(1))


class Asking(Decides):
    """It asks for shapes and numbers of axes all the way, and decides by them."""

    def forward(self, x):
        b, channels, *space = x.shape
        assert channels == 2
        assert len(x) == b
        if space[-1] % 2 == 0 and x.dim() == 3:
            x = functional.pad(x, (0, 0) * (x.ndim - 2))
        y = torch.relu(self.conv(x))
        y = y.reshape(b, y.size(1), -1)
        return self.out(y.flatten(1).view(len(y), -1))


def hooked():
    net = nn.Sequential(nn.Conv1d(2, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(18, 1))
    net[0].register_forward_hook(lambda _m, _i, out: 2 * out)
    return net


REFUSED = {
    "runs the same way for every input. Got a Decides that decides by its values": Decides(),
    r"output comes from feature maps of shape \(batch, feature, 1 axes of cells\). Got a Around in which": Around(),
    "nothing but dense layers lies behind the last feature maps. Got a TwoScales with coarse behind": TwoScales(),
    "made of torch's own layers and functions. Got layer memory of type GRU. Write it with": Recurrent(),
    r"what lies before the feature maps must be made of .* Got cumsum\(\)": Cumulated(),
    "Got dropout that draws in evaluation mode, too": AlwaysDrawing(),
    "Got a Sequential without any. Give ram.adapt the part": nn.Sequential(nn.Flatten(), nn.Linear(16, 1)),
    "Got another answer at reshape of the Bound for a single sample": Bound(),
    "equal to the net's own. Got another answer at add of the ForTwo for a single sample": ForTwo(),
}


@pytest.mark.parametrize("message", REFUSED)
def test_nets_that_cannot_be_cut_are_refused_with_the_reason(message):
    with pytest.raises(ModelError, match=message):
        cut_of(REFUSED[message], torch.randn(2, 2, 8, generator=torch.Generator().manual_seed(0)))


def test_code_that_asks_for_shapes_is_followed():
    net, x = Asking(), torch.randn(2, 2, 8, generator=torch.Generator().manual_seed(0))
    trunk = cut_of(net, x).trunk
    more = torch.randn(5, 2, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(trunk(more), torch.relu(net.conv(more)))


def test_hooks_that_stay_are_part_of_the_net_and_refused():
    with pytest.raises(ModelError, match=r"equal to the net's own. Got another answer at 1 of the Sequential. Hooks"):
        cut_of(hooked(), torch.randn(2, 2, 8, generator=torch.Generator().manual_seed(0)))


def test_axes_that_changed_places_are_no_cells():
    x = torch.randn(2, 2, 8, generator=torch.Generator().manual_seed(0))
    with pytest.raises(ModelError, match=r"ways lead round|without any"):
        cut_of(nn.Sequential(Turned(), nn.Flatten(), nn.Linear(16, 1)), x)


class Turned(nn.Module):
    def forward(self, x):
        return x.transpose(1, 2) * 2.0  # (batch, time, channel)


@pytest.mark.parametrize("change", [
    {"steps": [{"name": "a", "do": "function", "of": "os.system", "given": ["true"], "options": {}}]},
    {"steps": [{"name": "a", "do": "method", "of": "__class__", "given": [{"step": "x"}], "options": {}}]},
    {"steps": [{"name": "a", "do": "code", "of": "relu", "given": [{"step": "x"}], "options": {}}]},
    {"layers": {"0": ["Module", {}]}},
    {"layers": {"0": ["__import__", {"name": "os"}]}},
])  # fmt: skip
def test_a_recipe_names_no_code(change):
    recipe = dict(cut_of(trained(plain, 1), inputs(1)).trunk.recipe)
    with pytest.raises(ModelError, match="not known"):
        Trunk(recipe | change)


@pytest.mark.parametrize("step", [
    {"name": "a", "do": "function", "of": "getattr", "given": [{"step": "x"}, "__class__"], "options": {}},
    {"name": "a", "do": "method", "of": "size", "given": ["text"], "options": {}},
])  # fmt: skip
def test_a_step_reaches_nothing_but_tensors(step):
    recipe = dict(cut_of(trained(plain, 1), inputs(1)).trunk.recipe)
    trunk = Trunk(recipe | {"steps": [step], "output": "a"})
    with pytest.raises(ModelError, match=r"__class__|asks a str for size"):
        trunk(inputs(1))


def test_the_lists_hold_layers_and_functions_of_torch_alone():
    assert all(kind.__module__.startswith("torch.nn.modules") for kind in LAYERS.values())
    assert not {"eval", "exec", "load", "save", "compile", "apply"} & {name.split(".")[-1] for name in FUNCTIONS}


@pytest.mark.parametrize("name", sorted(LAYERS))
def test_every_layer_on_the_list_can_be_written_down_and_built_again(name):
    from ram.models.operations import encoded, layer_options
    from ram.models.trunk import _layer

    given = {"Conv": (2, 4, 3), "ConvTranspose": (2, 4, 3), "BatchNorm": (4,), "InstanceNorm": (4,), "MaxPool": (2,),
             "AvgPool": (2,), "AdaptiveAvgPool": (2,), "AdaptiveMaxPool": (2,), "LPPool": (2, 2), "ZeroPad": (1,),
             "ConstantPad": (1, 0.5), "ReflectionPad": (1,), "ReplicationPad": (1,), "CircularPad": (1,),
             "GroupNorm": (2, 4), "LayerNorm": (4,), "RMSNorm": (4,), "Linear": (3, 2), "LocalResponseNorm": (2,),
             "PixelShuffle": (2,), "PixelUnshuffle": (2,), "ChannelShuffle": (2,), "Threshold": (0.1, 0.0),
             "Unflatten": (1, (2, 2)), "Upsample": (None, 2.0), "UpsamplingBilinear2d": (None, 2.0),
             "UpsamplingNearest2d": (None, 2.0)}  # fmt: skip
    arguments = given.get(name) or given.get(name[:-2] if name[-1] == "d" else name, ())
    layer = LAYERS[name](*arguments)
    again = _layer(name, json.loads(json.dumps({key: encoded(value) for key, value in layer_options(layer).items()})))
    assert repr(again) == repr(layer)
    assert {k: v.shape for k, v in again.state_dict().items()} == {k: v.shape for k, v in layer.state_dict().items()}
    np.testing.assert_equal(vars(again).keys(), vars(layer).keys())
