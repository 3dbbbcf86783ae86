"""What in an HDF5 file of unknown origin could be inputs, targets and axes, and a mapping to begin with.

Guesses from names, shapes and values, each with its reason; a person decides.
"""

from __future__ import annotations

__all__ = ["Find", "Finds", "find"]

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ram.data.info_axes import (
    FASTEST,
    AxisFind,
    Contents,
    Quantity,
    attribute_unit_of,
    axes_of,
    called_answer,
    plain_name,
    quoted,
    rates_for,
    unit_of,
    words_of,
)

Facts = Mapping[str, Any]

_LEAST = 32  # numbers in an input
_RECORDS = 8  # so many arrays of one kind are samples, fewer are channels or bands
_WORTH = 0.05  # of the numbers in the largest array
_MOST_SHOWN = 8
_MOST_CHANNELS = 64
_WINDOWS = 20  # windows that a record is cut into where nobody said how long one should be
_NO_TARGET = re.compile(
    r"\b(id|ids|index|indices|idx|time|times|timestamp|timestamps|stamp|stamps|date|split|part|fold|group|groups|weight"
    r"|weights|mask|flag|count|number|axis\d*|channel|channels)\b"
)
_NO_RATE_LINE = '# sample_rate = "1 kHz"   # none was found: cells are counted'
_COLUMNS_BY_NAME = (
    ("ids", re.compile(r"\b(id|ids|name|names|file|files|uuid)\b")),
    ("groups", re.compile(r"\b(group|groups|specimen|specimens|machine|tool|bearing|part number|family|subject)\b")),
    ("split", re.compile(r"\b(split|subset|fold|partition)\b")),
    ("weights", re.compile(r"\b(weight|weights)\b")),
)


@dataclass(frozen=True)
class Find:
    """Something that could be used: where it is, as what, and why."""

    path: str
    role: str
    reason: str
    unit: str = ""

    def as_json(self) -> dict[str, str]:
        """Return it as JSON can hold it."""
        return {"path": self.path, "role": self.role, "reason": self.reason, "unit": self.unit}


@dataclass(frozen=True)
class Finds:
    """What could be used of a file; `mapping` is TOML to paste, empty where nothing could be inputs."""

    inputs: Sequence[Find] = ()
    targets: Sequence[Find] = ()
    columns: Sequence[Find] = ()
    axes: Sequence[AxisFind] = ()
    rates: Sequence[tuple[float, str]] = ()
    mapping: str = ""
    why_not: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        axes = [
            {"size": axis.size, "name": axis.name, "unit": axis.unit, "path": axis.scale, "reason": axis.reason}
            for axis in self.axes
        ]
        return {
            "inputs": [one.as_json() for one in self.inputs],
            "targets": [one.as_json() for one in self.targets],
            "columns": [one.as_json() for one in self.columns],
            "axes": axes,
            "sample_rates_Hz": [{"value": rate, "reason": reason} for rate, reason in self.rates],
            "mapping": self.mapping,
            "why_not": self.why_not,
        }


@dataclass
class _Choice:
    """The arrays that were taken for inputs: one, or many of one kind under a pattern."""

    array: Facts
    pattern: str
    members: Sequence[Facts]
    reason: str
    axes: Sequence[AxisFind] = ()
    rates: Sequence[tuple[float, str, Quantity | None]] = ()
    channels: tuple[str, int] = ("", -1)
    targets: Sequence[Find] = ()
    columns: Sequence[Find] = ()
    roles: list[str] = field(default_factory=list)

    @property
    def many(self) -> bool:
        return "*" in self.pattern


def find(facts: Facts, *, file: str) -> Finds:
    """Return what could be used of a file whose facts `ram.storage.survey` found."""
    contents = Contents(facts)
    choices = _choices(contents)
    if not choices:
        return Finds(why_not=_why_not(contents))
    best = choices[0]
    best.axes = axes_of(contents, best.array)
    best.channels = _channel_names(contents, best.array)
    best.targets = _targets(contents, best)
    if why := _why_samples(best):
        best.axes = [AxisFind(best.axes[0].size, "sample", why), *best.axes[1:]]
    best.rates = rates_for(contents, best.array, best.axes)
    best.roles = _roles(best)
    best.columns = _columns(contents, best)
    used = {column.path for column in best.columns}
    fitting = [one for one in best.targets if best.many or _fits(contents, one.path, best)]
    best.targets = [one for one in fitting if one.path not in used]
    best.axes = [_with_role(axis, role, best) for axis, role in zip(best.axes, best.roles, strict=True)]
    inputs = [Find(one.pattern, "inputs", one.reason, unit_of(one.array)) for one in choices[:3]]
    rates = [(rate, reason) for rate, reason, _ in best.rates[:3]]
    return Finds(inputs, best.targets, best.columns, best.axes, rates, _mapping(best, file))


def _choices(contents: Contents) -> list[_Choice]:
    """Return arrays that could be inputs, those that hold the most numbers first; arrays of one kind as one."""
    kinds: dict[object, list[Facts]] = {}
    for node in contents.arrays():
        key = (re.sub(r"\d+", "#", node["path"]), node["dtype"], len(node["shape"]), unit_of(node))
        kinds.setdefault(key, []).append(node)
    found: list[tuple[int, _Choice]] = []
    for members in kinds.values():
        numbers = [math.prod(node["shape"]) for node in members]
        if len(members) >= _RECORDS and min(numbers) >= _LEAST:
            reason = f"{len(members):,} arrays of one kind, {sum(numbers):,} numbers: each a sample or a record"
            pattern = _pattern([node["path"] for node in members])
            found.append((sum(numbers), _Choice(members[0], pattern, members, reason)))
            continue
        for node, count in zip(members, numbers, strict=True):
            if count >= _LEAST and node["bytes"] and not (len(node["shape"]) == 1 and node.get("rises")):
                reason = f"{count:,} numbers, {len(node['shape'])} axes"
                found.append((count, _Choice(node, node["path"], [node], reason)))
    found.sort(key=lambda one: -one[0])
    return [choice for count, choice in found if count >= _WORTH * found[0][0]]


def _pattern(paths: Sequence[str]) -> str:
    """Return one path with a star in the first name that differs.

    >>> _pattern(["/runs/r1/acc", "/runs/r12/acc"]), _pattern(["/acc_1", "/acc_2"])
    ('/runs/r*/acc', '/acc_*')
    """
    columns = list(zip(*(path.split("/") for path in paths), strict=True))
    names = [column[0] if len(set(column)) == 1 else _starred(column) for column in columns]
    return "/".join(names)


def _starred(names: Sequence[str]) -> str:
    shortest = min(map(len, names))
    begin = next((n for n in range(shortest) if len({name[n] for name in names}) > 1), shortest)
    digits = re.search(r"\d*$", names[0][:begin])
    begin = digits.start() if digits else begin
    return f"{names[0][:begin]}*"


def _channel_names(contents: Contents, array: Facts) -> tuple[str, int]:
    """Return the path of texts beside an array that name the cells of one of its axes, and which; -1 for none."""
    home = array["path"].rpartition("/")[0]
    for node in contents.nodes:
        near = node["path"].rpartition("/")[0] == home and node["kind"] == "dataset"
        if not near or node.get("number") != "t" or not node["shape"] or len(node["shape"]) != 1:
            continue
        places = [place for place, size in enumerate(array["shape"]) if size == node["shape"][0]]
        if len(places) == 1 and len(array["shape"]) > 1 and node["shape"][0] <= _MOST_CHANNELS:
            return str(node["path"]), places[0]
    return "", -1


def _targets(contents: Contents, choice: _Choice) -> list[Find]:
    """Return arrays of one value a sample, or single values beside each of many records."""
    if choice.many:
        return list(_targets_beside(contents, choice))
    scales = {axis.scale for axis in choice.axes}
    found: list[Find] = []
    sizes = choice.array["shape"][: max(1, len(choice.array["shape"]) - 1)]
    for path, size, node, values in _rows(contents):
        name = words_of(path.rpartition("/")[2].rpartition(":")[2])
        even = node.get("rises") and "step" in node and not called_answer(path)
        counted = path in scales or _NO_TARGET.search(name) or even
        if size not in sizes or counted or values.get("distinct", 3) < 3 or node is choice.array:
            continue
        found.append(
            Find(path, "target", f"{size:,} values, as many as {choice.array['path']} has rows", unit_of(node))
        )
    return found[:_MOST_SHOWN]


def _rows(contents: Contents) -> Iterator[tuple[str, int, Facts, Facts]]:
    """Yield what has one number a row: arrays of one axis, and columns of tables."""
    for node in contents.nodes:
        if node["kind"] != "dataset" or not node["shape"]:
            continue
        longest = max(node["shape"])
        if node["number"] in set("fiu") and math.prod(node["shape"]) == longest > 1 and not node.get("bare"):
            yield node["path"], longest, node, node
        for name, number in node.get("fields", []):
            if number in set("fiu") and len(node["shape"]) == 1:
                yield f"{node['path']}:{name}", longest, {**node, "attributes": {}}, {}


def _targets_beside(contents: Contents, choice: _Choice) -> Iterator[Find]:
    """Yield attributes and single values that stand with every record and differ among them."""
    group, _, last = choice.pattern.rpartition("/")
    seen: dict[str, list[object]] = {}
    units: dict[str, str] = {}
    beside: dict[str, list[Facts]] = {}
    for node in contents.nodes if "*" in group else ():
        if len(node.get("values", [])) == 1:
            beside.setdefault(node["path"].rpartition("/")[0], []).append(node)
    for member in choice.members:
        home = member["path"].rpartition("/")[0]
        above = contents.by_path.get(home, {}) if "*" in group else {}
        for where, attributes in ((choice.pattern, member.get("attributes", {})), (group, above.get("attributes", {}))):
            for name, value in attributes.items():
                seen.setdefault(f"{where}@{name}", []).append(value)
                units[f"{where}@{name}"] = attribute_unit_of(name, attributes)
        for node in beside.get(home, ()):
            name = node["path"].rpartition("/")[2]
            if name != last:
                seen.setdefault(f"{group}/{name}", []).append(node["values"][0])
                units[f"{group}/{name}"] = unit_of(node)
    for place, values in seen.items():
        numbers = {value for value in values if isinstance(value, (int, float)) and not isinstance(value, bool)}
        name = words_of(re.split(r"[@/]", place)[-1])
        if len(numbers) >= 3 and not _NO_TARGET.search(name):
            reason = f"a number with each of {len(values):,} records, {len(numbers):,} different"
            yield Find(place, "target", reason, units.get(place, ""))


def _roles(choice: _Choice) -> list[str]:
    """Return a word for each axis: sample, channel, time or the name of the axis."""
    roles = ["time" if axis.is_time else plain_name(axis.name) for axis in choice.axes]
    shape = choice.array["shape"]
    if choice.channels[0] and not roles[choice.channels[1]]:
        roles[choice.channels[1]] = "channel"
    if "time" not in roles and (choice.rates or len(shape) == 1):
        free = [place for place, role in enumerate(roles) if not role]
        longest = max(free, key=lambda place: shape[place], default=None)
        if longest is not None:
            roles[longest] = "time"
    few = [place for place, role in enumerate(roles) if not role and shape[place] <= 8 and "channel" not in roles]
    for place in few[:1]:
        roles[place] = "channel"
    spare = iter([name for name in "xyzuvwabcdefghijklmnopqrst" * 2 if name not in roles])
    return [role or next(spare) for role in roles]


def _why_samples(choice: _Choice) -> str:
    """Return why the first axis counts samples, empty where it does not: as many targets, or a few long rows."""
    first, shape = choice.axes[0], choice.array["shape"]
    if choice.many or len(shape) == 1:
        return ""
    sizes = {int(one.reason.partition(" ")[0].replace(",", "")) for one in choice.targets}
    # Channels over time have a value of each target for each moment, too.
    record = first.is_time and len(shape) == 2 and (bool(choice.axes[1].name) or shape[1] <= _MOST_CHANNELS)
    if shape[0] in sizes and (not first.name or first.is_time) and not record:
        return "as many as there are targets"
    few = 2 * _WINDOWS > shape[0] < max(shape[1:]) / 8
    return "moments, too few to be cut" if first.is_time and few else ""


def _with_role(axis: AxisFind, role: str, choice: _Choice) -> AxisFind:
    """Return the axis called by its role; the reason says where it is no more than a guess."""
    if role == "channel" and choice.channels[0]:
        return replace(axis, name="channel", reason=f"named by {choice.channels[0]}")
    if axis.name:
        return axis
    return replace(axis, name=f"{role}?", reason="a guess, nothing tells")


def _fits(contents: Contents, path: str, choice: _Choice) -> bool:
    """Say whether a target has as many values as there are samples, or moments of the record."""
    node = contents.by_path[path] if path in contents.by_path else contents.by_path[path.rpartition(":")[0]]
    sizes = dict(zip(choice.roles, choice.array["shape"], strict=True))
    return max(node["shape"]) in {sizes.get("sample"), sizes.get("time")}


def _columns(contents: Contents, choice: _Choice) -> list[Find]:
    """Return ids, groups, splits and weights, told by their names and lengths."""
    sizes = dict(zip(choice.roles, choice.array["shape"], strict=True))
    found: list[Find] = []
    for node in contents.nodes:
        if node["kind"] != "dataset" or not node["shape"] or node["shape"] != [sizes.get("sample")]:
            continue
        name = words_of(node["path"].rpartition("/")[2])
        for role, pattern in _COLUMNS_BY_NAME:
            if pattern.search(name) and role not in {one.role for one in found}:
                found.append(
                    Find(node["path"], role, f"its name, and one value for each of {node['shape'][0]:,} samples")
                )
                break
    return found


def _mapping(choice: _Choice, file: str) -> str:
    """Return TOML for an experiment; what is not known stands as a comment that says what to fill in."""
    sure = not any(axis.name.endswith("?") for axis in choice.axes) or len(choice.axes) == 1
    lines = ["[data]", f"file = {quoted(file)}", "", "[data.mapping]", f"inputs = {quoted(choice.pattern)}"]
    lines.append(f"layout = {quoted(' '.join(choice.roles))}{'' if sure else '   # a guess: nothing names all axes'}")
    if choice.channels[0] and choice.roles[choice.channels[1]] == "channel":
        lines.append(f"channels = {quoted(choice.channels[0])}")
    lines += _time_lines(choice)
    for axis, role in zip(choice.axes, choice.roles, strict=True):
        if role not in {"sample", "channel", "time"} and axis.scale:
            line = f"axes.{role}.centres = {quoted(axis.scale)}"
            lines.append(line if axis.step else f"# {line}   # they do not rise evenly")
    lines += [f"{column.role} = {quoted(column.path)}" for column in choice.columns]
    lines += [_target_line(one) for one in choice.targets]
    if not choice.targets:
        lines.append('# targets.NAME = "/path"   # none was found: one value a sample, or a moment')
    return "\n".join(lines)


def _target_line(target: Find) -> str:
    name = plain_name(re.split("[@:]", target.path)[-1]) or "target"
    if target.unit:
        return f"targets.{name} = {quoted(target.path)}"
    return f'targets.{name} = {{ path = {quoted(target.path)}, unit = "1" }}   # the file names no unit: say it here'


def _time_lines(choice: _Choice) -> list[str]:
    """Return the lines of the sample rate and of the windows that a record is cut into."""
    along, lines = _axis_to_cut(choice), []
    if "time" in choice.roles:
        lines.append(_rate_line(*choice.rates[0]) if choice.rates else _NO_RATE_LINE)
    elif along:
        lines.append(f"along = {quoted(along)}")
    if along:
        cells = choice.array["shape"][choice.roles.index(along)]
        length = max(1, cells // _WINDOWS)
        length -= length % 8 if length > 8 else 0  # nets halve it a few times
        lines.append(f"window = {length}   # cells of one sample: {cells // length} windows in {cells:,}; choose")
        lines.append(f"stretch = {4 * length}   # what is trained on and what is tested on lie in different stretches")
    return lines + _length_lines(choice)


def _length_lines(choice: _Choice) -> list[str]:
    """Return what to say of records that differ along the time axis alone."""
    shapes = [member["shape"] for member in choice.members]
    if not choice.many or "time" not in choice.roles or len({len(shape) for shape in shapes}) > 1:
        return []
    along = choice.roles.index("time")
    cells = [shape[along] for shape in shapes]
    if min(cells) == max(cells):
        return []
    return [
        f'lengths = "pad"   # records of {min(cells):,} to {max(cells):,} cells; or "crop", one length, or window = ...'
    ]


def _axis_to_cut(choice: _Choice) -> str:
    """Return the axis along which a record is cut into samples: the time, else a long first axis; empty for samples."""
    if "sample" in choice.roles or choice.many:
        return ""
    long = choice.array["shape"][0] >= 2 * _WINDOWS and choice.roles[0] != "channel"
    return "time" if "time" in choice.roles else choice.roles[0] if long else ""


def _rate_line(rate: float, reason: str, quantity: Quantity | None) -> str:
    is_rate = quantity is not None and abs(quantity.value - rate) < 1e-9 * rate
    said = quantity.in_toml("Hz") if quantity is not None and is_rate else f'"{rate:.9g} Hz"'
    if rate > FASTEST:
        return f"# sample_rate = {said}   # too fast to be true of what is stored?"
    short = re.sub(r"/\S*/", ".../", reason)
    return f"sample_rate = {said}" + (f"   # {short}" if said.endswith('Hz"') else "")


def _why_not(contents: Contents) -> str:
    """Return why nothing could be inputs, in words."""
    kinds = {node["kind"] for node in contents.nodes}
    outside = kinds & {"external link", "external storage", "virtual dataset"}
    if outside:
        return f"its values lie in other files ({', '.join(sorted(outside))}), which are not followed: open those"
    if any("reference" in node.get("dtype", "") for node in contents.nodes):
        return "its arrays are reached through references only (as Julia's JLD2 stores them): export them by name"
    if not any(node["kind"] == "dataset" for node in contents.nodes):
        return "it holds no arrays"
    return f"it holds no array of {_LEAST} numbers or more"
