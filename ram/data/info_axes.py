"""Which axis of an array is which and how fast it was sampled: guesses from names and settings, each with a reason."""

from __future__ import annotations

__all__ = [
    "FASTEST",
    "AxisFind",
    "Contents",
    "Quantity",
    "attribute_unit_of",
    "axes_of",
    "called_answer",
    "rates_for",
    "unit_of",
]

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Facts = Mapping[str, Any]

_RATE = re.compile(
    r"sampl\w* ?(rate|freq\w*)|^(fs|f s|sf|rate)$|(output|data|scan|frame|block|acquisition) ?(data )?rate"
)
_PLAIN_RATE = re.compile(r"sampl(e|ing) ?(rate|freq|frequency)|d ?t|fs|output data rate")
_PERIOD = re.compile(r"^(d ?t|delta ?t|dt computer)$|(time|sampl\w*) ?(step|interval|increment|period)|^x ?incr")
_NO_RATE = re.compile(r"max|min|spatial|pulse|clock|distance|length|bit|saving|raw data")
_ANSWER = re.compile(r"\b(labels?|targets?)\b")
_TIME = re.compile(r"\b(times?|clock|stamps?|timestamps?|date|t|seconds)\b")
FASTEST = 1e6  # Hz; what is called a rate beyond it is mostly that of the converter, before it was decimated
_NUMBER = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*")
_HERTZ = {"": 1.0, "Hz": 1.0, "hz": 1.0, "HZ": 1.0, "S/s": 1.0, "1/s": 1.0, "kHz": 1e3, "kS/s": 1e3, "MHz": 1e6}
_SECONDS = {"": 1.0, "s": 1.0, "sec": 1.0, "seconds": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_INSTANTS = ((1e17, "ns"), (1e14, "us"), (1e11, "ms"), (1e8, "s"))


@dataclass(frozen=True)
class Quantity:
    """A number that stands as an attribute or as a single value; `near` says how close to the inputs."""

    place: str
    name: str
    value: float
    unit: str
    near: int
    is_text: bool = False

    def in_toml(self, unit: str) -> str:
        """Return how a mapping names it: by its place where the file holds a number, else by its value."""
        if self.is_text:
            return f'"{self.value:.12g} {unit}"'
        said = f', unit = "{unit}"' if not self.unit and unit else ""
        return f"{{ path = {quoted(self.place)}{said} }}" if said else quoted(self.place)


@dataclass(frozen=True)
class AxisFind:
    """What one axis of an array seems to be. `scale` is the path of its coordinates, `step` what parts them."""

    size: int
    name: str
    reason: str
    scale: str = ""
    unit: str = ""
    step: float | None = None

    @property
    def is_time(self) -> bool:
        """Whether it is a time, by its name or the unit of its coordinates."""
        return bool(_TIME.search(words_of(self.name))) or self.unit in _SECONDS.keys() - {""}


class Contents:
    """The facts of a file by path."""

    def __init__(self, facts: Facts) -> None:
        self.root: Facts = {"path": "/", "kind": "group", **facts}
        self.nodes: Sequence[Facts] = facts["tree"]
        self.by_path = {node["path"]: node for node in self.nodes}

    def arrays(self) -> list[Facts]:
        """Return the arrays of numbers of at least one axis; dimensions without values are none."""
        return [
            node
            for node in self.nodes
            if node["kind"] == "dataset" and node["shape"] and node["number"] in set("fiu") and not node.get("bare")
        ]

    def above(self, path: str) -> list[Facts]:
        """Return the node at `path` and all groups above it, the nearest first."""
        found = [self.by_path[path]] if path in self.by_path else []
        while "/" in path[1:]:
            path = path.rpartition("/")[0]
            found += [self.by_path[path]] if path in self.by_path else []
        return [*found, self.root]

    def quantities(self, path: str) -> Iterator[Quantity]:
        """Yield every number among attributes and single values, with how near it stands to the array at `path`."""
        chain = [node["path"] for node in self.above(path)]
        for node in (self.root, *self.nodes):
            near = 3 if node["path"] == path else 2 if node["path"] in chain else 0
            attributes = node.get("attributes", {})
            for name, value in attributes.items():
                number, unit = _as_number(value), _unit_beside(name, attributes)
                if number is not None:
                    place = f"{'' if node['path'] == '/' else node['path']}@{name}"
                    yield Quantity(place if near < 3 else f"@{name}", name, number, unit, near, isinstance(value, str))
            values = node.get("values", [])
            number = _as_number(values[0]) if len(values) == 1 else None
            if number is not None:
                name = node["path"].rpartition("/")[2]
                beside = 1 + (node["path"].rpartition("/")[0] in chain)
                unit = unit_of(node) or _unit_beside(name, {})
                yield Quantity(node["path"], name, number, unit, beside, isinstance(values[0], str))


def axes_of(contents: Contents, array: Facts) -> list[AxisFind]:
    """Return what each axis of an array seems to be; the name is empty where nothing tells."""
    named, source = _named_dims(contents, array)
    found: list[AxisFind] = []
    for place, size in enumerate(array["shape"]):
        name = named[place] if place < len(named) else ""
        scale = _scale(contents, array, size, name, {axis.scale for axis in found})
        if scale is not None:
            found.append(_axis_by_scale(scale, size, name))
        else:
            found.append(AxisFind(size, plain_name(name), source if name else ""))
    return found


def rates_for(contents: Contents, array: Facts, axes: Sequence[AxisFind]) -> list[tuple[float, str, Quantity | None]]:
    """Return sample rates in Hz with the reason and the place, the most likely first.

    A rate that agrees with the step of a time axis comes before one that is only called so.
    """
    by_axis = [(1.0 / axis.step, f"1 / step of {axis.scale}", None) for axis in axes if axis.is_time and axis.step]
    named: list[tuple[float, float, str, Quantity]] = []
    for quantity in contents.quantities(array["path"]):
        rate = _rate_of(quantity)
        if rate is not None:
            agrees = any(abs(rate - other) <= 0.02 * other for other, _, _ in by_axis)
            exactly = _PLAIN_RATE.fullmatch(words_of(quantity.name)) is not None
            reason = f"{quantity.place}{', as the time axis says' if agrees else ''}"
            score = 10.0 * agrees + quantity.near + 0.5 * exactly - 5.0 * (rate > FASTEST)
            named.append((score, rate, reason, quantity))
    named.sort(key=lambda one: -one[0])
    # The same setting stands with each of many records: it is told once.
    first = {(quantity.name, rate): (rate, reason, quantity) for _, rate, reason, quantity in reversed(named)}
    order = dict.fromkeys((quantity.name, rate) for _, rate, _, quantity in named)
    ranked: list[tuple[float, str, Quantity | None]] = [first[key] for key in order]
    agreed = bool(named) and named[0][0] >= 10
    return ranked if agreed or not by_axis else [*by_axis, *ranked]


def called_answer(path: str) -> bool:
    """Whether a path says that what it holds are targets: also where their values go up in even steps.

    >>> called_answer("/labels/freq"), called_answer("/daq/freq")
    (True, False)
    """
    return _ANSWER.search(words_of(path)) is not None


def unit_of(facts: Facts) -> str:
    """Return the unit that an array carries under the names that files use for it."""
    for name, value in facts.get("attributes", {}).items():
        if name.lower() in {"unit", "units", "uom"} and isinstance(value, str):
            return value
    return ""


def attribute_unit_of(name: str, attributes: Facts) -> str:
    """Return the unit of an attribute, which stands beside it under the attribute's own name.

    >>> attribute_unit_of("depth", {"depth": 3.5, "depth_unit": "mm"})
    'mm'
    """
    spelled = {f"{name}{join}{word}".lower() for join in (".", "_", " ", "") for word in ("units", "unit", "uom")}
    return next((value for key, value in attributes.items() if key.lower() in spelled and isinstance(value, str)), "")


def words_of(name: str) -> str:
    """Return a name as words in small letters, its unit in brackets left out.

    >>> words_of("SamplingFrequency[Hz]"), words_of("wf_increment"), words_of("dT")
    ('sampling frequency', 'wf increment', 'd t')
    """
    bare = re.sub(r"[\[(][^\])]*[\])]\s*$", "", name)
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", bare)
    return " ".join(re.sub(r"[\W_]+", " ", apart).lower().split())


def plain_name(name: str) -> str:
    """Return a name that a data set may carry: letters first, no brackets or blanks.

    >>> plain_name("_coord_time"), plain_name("Raw[0]"), plain_name("/a/SR Valencia")
    ('time', 'Raw_0', 'SR_Valencia')
    """
    last = name.rpartition("/")[2].removeprefix("_coord_")
    return re.sub(r"\W+", "_", last, flags=re.ASCII).strip("_").lstrip("0123456789_")


def quoted(text: str) -> str:
    r"""Return a TOML string.

    >>> print(quoted('a"b'))
    "a\"b"
    """
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(letter if letter.isprintable() else f"\\u{ord(letter):04x}" for letter in escaped) + '"'


def _rate_of(quantity: Quantity) -> float | None:
    """Return a rate in Hz where the name speaks of one."""
    name = words_of(quantity.name)
    if not quantity.value > 0 or _NO_RATE.search(name):
        return None
    if _RATE.search(name) and quantity.unit in _HERTZ:
        return quantity.value * _HERTZ[quantity.unit]
    if _PERIOD.search(name) and quantity.unit in _SECONDS:
        return 1.0 / (quantity.value * _SECONDS[quantity.unit])
    return None


def _named_dims(contents: Contents, array: Facts) -> tuple[list[str], str]:
    """Return the names of the axes as the file gives them, and where."""
    count = len(array["shape"])
    if any(array.get("dims", [])):
        return [plain_name(name) for name in array["dims"]], "a dimension of the file"
    for node in contents.above(array["path"])[:3]:
        for name, value in node.get("attributes", {}).items():
            names = value if isinstance(value, list) else str(value).split(",")
            if words_of(name).endswith(("dims", "dimensions", "dimension names")) and len(names) == count:
                return [str(one).strip() for one in names], f"{node['path']}@{name}"
    for node in contents.nodes:
        texts = node.get("values", [])
        if words_of(node["path"].rpartition("/")[2]) == "dimension names" and len(texts) == count:
            return [str(one) for one in texts], node["path"]
    return [], ""


def _scale(contents: Contents, array: Facts, size: int, name: str, taken: set[str]) -> Facts | None:
    """Return the coordinates of an axis: rising numbers of its length, called as it, or the nearest in the tree."""
    home = array["path"].rpartition("/")[0]
    best: tuple[int, Facts] | None = None
    for node in contents.arrays():
        shape = [length for length in node["shape"] if length != 1]
        if shape != [size] or not node.get("rises") or node["path"] in taken or node is array:
            continue
        if called_answer(node["path"]):
            continue
        there, _, called = node["path"].rpartition("/")
        if name and name.lower() not in words_of(called) and plain_name(called) != name:
            continue
        score = 2 * (there == home) + home.startswith(there) + ("step" in node) + 4 * (plain_name(called) == name)
        if score > 0 and (best is None or score > best[0]):
            best = (score, node)
    return best[1] if best else None


def _axis_by_scale(scale: Facts, size: int, name: str) -> AxisFind:
    unit, step = unit_of(scale), scale.get("step")
    called = name or plain_name(scale["path"])
    if _TIME.search(words_of(called)):
        unit = unit if unit in _SECONDS.keys() - {""} else _unit_of_instants(scale)
        step = step * _SECONDS[unit] if step and unit else None
        called = "time"
    return AxisFind(size, called, f"its coordinates are {scale['path']}", scale["path"], unit, step)


def _unit_of_instants(scale: Facts) -> str:
    """Return the unit in which a clock counts since 1970, by how large its numbers are; small ones are seconds."""
    return next((unit for least, unit in _INSTANTS if abs(scale["first"]) > least), "s")


def _as_number(value: object) -> float | None:
    if isinstance(value, str):
        return float(value) if _NUMBER.fullmatch(value) else None
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _unit_beside(name: str, attributes: Mapping[str, Any]) -> str:
    """Return the unit in the name itself or in the attribute beside it: ``rate[Hz]``, ``rate.uom``, ``rate_unit``."""
    inside = re.search(r"[\[(]\s*([A-Za-zµ/%]+)\s*[\])]\s*$", name)
    if inside:
        return inside[1]
    for ending in (".uom", "Unit", "Units", "_unit", "_units", ".unit"):
        if isinstance(attributes.get(f"{name}{ending}"), str):
            return str(attributes[f"{name}{ending}"])
    return ""
