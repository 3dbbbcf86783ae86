"""The tree of an HDF5 file of unknown origin as a page for a terminal: like things folded, settings in flowing text."""

from __future__ import annotations

__all__ = ["size_words", "tree_lines"]

import math
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ram.data.info_axes import unit_of
from ram.storage.survey import natural

Facts = Mapping[str, Any]

_ALIKE = 4  # from here on like things are told once
_FEW_VALUES = 3  # so many single values of a group still stand in lines of their own
_MOST_TOKENS = 40  # attributes or single values of one group
_LONGEST_VALUE = 48
_WORTH_SAYING = 10_000  # bytes
_SHAPE, _TYPE, _UNIT = 22, 20, 14  # widths of columns; what is wider goes to the notes
_COLUMN = 12  # what shapes, types and units mostly need
_DIGITS = re.compile(r"\d+")


@dataclass
class _Branch:
    """One name with what is in it; `alike` holds the others that it stands for."""

    name: str
    facts: Facts
    children: list[_Branch] = field(default_factory=list)
    alike: list[_Branch] = field(default_factory=list)

    @property
    def title(self) -> str:
        name = f"{self.name}/" if self.facts["kind"] == "group" else self.name
        return f"{name} ... {self.alike[-1].name}: {len(self.alike) + 1:,} alike" if self.alike else name


def tree_lines(root: Facts, nodes: Sequence[Facts], *, width: int, most: int) -> list[str]:
    """Return the lines of a tree, each at most `width` letters where a word allows it, and at most `most` of them.

    Parameters
    ----------
    root
        Facts of the root: its attributes.
    nodes
        Facts of all others, parents before what is in them.
    """
    trunk = _grown(root, nodes)
    lines = [*_tokens(_attribute_tokens(root), 0, width), *_branch_lines(trunk, 0, width)]
    if len(lines) > most:
        lines = [*lines[:most], f"... {len(lines) - most:,} lines more (--json has all of it)"]
    return lines


def size_words(count: int) -> str:
    """Return a number of bytes in words.

    >>> size_words(999), size_words(1_290_240), size_words(3 * 10**10)
    ('999 bytes', '1.29 MB', '30 GB')
    """
    for power, unit in ((12, "TB"), (9, "GB"), (6, "MB"), (3, "kB")):
        if count >= 10**power:
            return f"{count / 10**power:.3g} {unit}"
    return f"{count} bytes"


def _grown(root: Facts, nodes: Sequence[Facts]) -> _Branch:
    trunk = _Branch("/", {"kind": "group"} | dict(root))
    known = {"": trunk}
    for node in nodes:
        parent, _, name = node["path"].rpartition("/")
        branch = _Branch(name, node)
        known.get(parent, trunk).children.append(branch)
        known.setdefault(node["path"], branch)
    return trunk


def _branch_lines(branch: _Branch, indent: int, width: int) -> Iterator[str]:
    """Yield the lines of what is in a branch: single values first, in flowing text, then the others."""
    single = [child for child in branch.children if _is_single(child.facts)]
    flowing = single if len(single) > _FEW_VALUES else []
    yield from _tokens([_value_token(child) for child in flowing], indent, width)
    others = _folded([child for child in branch.children if not any(child is one for one in flowing)])
    column = max((len(child.title) for child in others), default=0)
    for child in others:
        yield from _line(child, indent, min(column, width // 2 - indent), width)
        yield from _tokens(_attribute_tokens(child.facts), indent + 4, width)
        yield from _branch_lines(child, indent + 2, width)
    if left := branch.facts.get("left_out"):
        yield f"{' ' * indent}... {left}, not looked at"


def _is_single(facts: Facts) -> bool:
    """Say whether it is one value with nothing else to tell."""
    values = facts.get("values", [])
    return len(values) == 1 and len(str(values[0])) <= _LONGEST_VALUE and set(facts["attributes"]) <= _UNITS


_NOISE = {"FLAVOR", "VERSION", "TITLE", "PYTABLES_FORMAT_VERSION", "_NCProperties", "_FillValue"}
_UNITS = {"unit", "units", "Unit", "Units"}


def _folded(children: Sequence[_Branch]) -> list[_Branch]:
    """Return the branches, those of one kind and numbered names behind the first of them."""
    groups: dict[object, list[_Branch]] = {}
    for child in children:
        groups.setdefault((_DIGITS.sub("#", child.name), _signature(child)), []).append(child)
    found: list[_Branch] = []
    for alike in groups.values():
        found += [_joined(alike)] if len(alike) >= _ALIKE else alike
    return sorted(found, key=lambda branch: natural(branch.name))


def _signature(branch: _Branch) -> object:
    facts = branch.facts
    own = (facts["kind"], facts.get("dtype"), len(facts.get("shape") or ()), unit_of(facts), bool(facts.get("shape")))
    names = tuple(sorted(facts.get("attributes", ())))
    inner = frozenset((_DIGITS.sub("#", child.name), _signature(child)) for child in branch.children)
    return (own, names, tuple(facts.get("filters", ())), inner)


def _joined(alike: Sequence[_Branch]) -> _Branch:
    """Return the first of them, its shape that of all: ``100..200 x 3``."""
    first = alike[0]
    facts = dict(first.facts)
    if first.facts.get("shape"):
        shapes = [branch.facts["shape"] for branch in alike]
        facts["shape"] = [_span(sizes) for sizes in zip(*shapes, strict=True)]
        facts["bytes"] = sum(branch.facts.get("bytes", 0) for branch in alike)
        facts["all_bytes"] = sum(math.prod(shape) for shape in shapes) * first.facts["itemsize"]
        for name in ("values", "first", "last", "step"):
            facts.pop(name, None)
    return _Branch(first.name, facts, first.children, list(alike[1:]))


def _span(sizes: Sequence[int]) -> int | str:
    return sizes[0] if len(set(sizes)) == 1 else f"{min(sizes)}..{max(sizes)}"


def _line(branch: _Branch, indent: int, column: int, width: int) -> Iterator[str]:
    """Yield the line of a name: shape, type and unit in columns, the rest behind them or on lines of its own."""
    facts, title = branch.facts, branch.title
    row, notes = _row(facts)
    begin = f"{' ' * indent}{title.ljust(column)}"
    # A name wider than its column gets a line of its own.
    if len(title) > column and row.strip():
        yield begin.rstrip()
        begin = " " * (indent + column)
    line, said = f"{begin}  {row}", "; ".join(notes)
    if said and len(line) + 2 + len(said) <= width:
        yield f"{line}  {said}"
        return
    line = line.rstrip()
    if len(line) > width and row.strip():
        yield begin.rstrip()
        line = f"{' ' * (indent + 4)}{'  '.join(row.split())}"
    yield line
    margin = " " * (indent + 4)
    yield from textwrap.wrap(said, max(width, indent + 30), initial_indent=margin, subsequent_indent=margin)


def _row(facts: Facts) -> tuple[str, list[str]]:
    """Return shape, type and unit in columns, those at the end left out where empty, and what else is to be said."""
    cells = [(_shape_words(facts), _SHAPE), (facts.get("dtype", ""), _TYPE), (unit_of(facts), _UNIT)]
    wide = next((place for place, (text, most) in enumerate(cells) if len(text) > most), len(cells))
    shown, rest = [text for text, _ in cells[:wide]], [text for text, _ in cells[wide:] if text]
    while shown and not shown[-1]:
        shown.pop()
    return "  ".join(text.ljust(_COLUMN) for text in shown), [*rest, *_notes(facts)]


def _shape_words(facts: Facts) -> str:
    shape = facts.get("shape", ())
    if shape is None:
        return "empty"
    return " x ".join(map(str, shape)) or ("one value" if facts["kind"] == "dataset" else "")


def _notes(facts: Facts) -> list[str]:
    """Return what else there is to say: where a link leads, values, how it is stored, what is wrong."""
    kind = facts["kind"]
    if kind not in {"group", "dataset"}:
        target = f" -> {facts['leads_to']}" if facts.get("leads_to") else ""
        followed = ", not followed" if kind in {"external link", "external storage", "virtual dataset"} else ""
        again = "the same as" if kind == "again" else kind
        return [f"{again}{target.replace(' ->', '') if kind == 'again' else target}{followed}", *_trouble(facts)]
    return [*_value_notes(facts), *_storage_notes(facts), *_trouble(facts)]


def _trouble(facts: Facts) -> list[str]:
    return [f"damaged: {facts['trouble']}"] if facts.get("trouble") else []


def _value_notes(facts: Facts) -> list[str]:
    if values := facts.get("values"):
        return [", ".join(_clipped(value) for value in values[:6]) + (" ..." if len(values) > 6 else "")]
    if "first" not in facts:
        return []
    step = f", step {_number(facts['step'])}" if "step" in facts else ""
    step += f" up to {100 * facts['jitter']:.2g} %" if "jitter" in facts else ""
    if facts.get("rises"):
        return [f"{_number(facts['first'])} to {_number(facts['last'])}{step}"]
    return [f"between {_number(facts['min'])} and {_number(facts['max'])}"]


def _storage_notes(facts: Facts) -> list[str]:
    if facts["kind"] != "dataset" or not facts.get("shape"):
        return []
    if facts.get("bare"):
        return ["a dimension, without values"]
    whole = facts["all_bytes"] if "all_bytes" in facts else math.prod(facts["shape"]) * facts["itemsize"]
    stored = facts["bytes"]
    notes = [f"chunks {' x '.join(map(str, facts['chunks']))}"] if "chunks" in facts else []
    notes += [" + ".join(facts["filters"])] if "filters" in facts else []
    if whole and not stored:
        return [*notes, f"nothing written of {size_words(whole)}"]
    packed = "filters" in facts and stored < 0.95 * whole
    share = f" of {size_words(whole)}" if packed else ""
    in_all = " in all" if "all_bytes" in facts else ""
    return [*notes, f"{size_words(stored)}{share}{in_all}"] if max(stored, whole) >= _WORTH_SAYING else notes


def _attribute_tokens(facts: Facts) -> list[str]:
    """Return attributes as ``@name=value``; empty ones and the unit, which has its column, are left out."""
    shown = {
        name: value
        for name, value in facts.get("attributes", {}).items()
        if value not in ("", []) and name not in _NOISE and not (name in _UNITS and facts["kind"] == "dataset")
    }
    tokens = [f"@{name}={_clipped(value)}" for name, value in shown.items()]
    more = len(tokens) - _MOST_TOKENS + facts.get("more_attributes", 0)
    return [*tokens[:_MOST_TOKENS], *([f"... {more} more attributes (--json)"] if more > 0 else [])]


def _value_token(branch: _Branch) -> str:
    unit = unit_of(branch.facts)
    return f"{branch.name}={_clipped(branch.facts['values'][0])}{f' {unit}' if unit else ''}"


def _clipped(value: object) -> str:
    if isinstance(value, list):
        text = f"[{', '.join(_clipped(one) for one in value[:8])}{', ...' if len(value) > 8 else ''}]"
    else:
        text = _number(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 1]}…"


def _number(value: object) -> str:
    """Return a number as short as six digits allow; instants in seconds keep theirs."""
    if not isinstance(value, float):
        return str(value)
    return f"{value:.0f}" if value == round(value) and abs(value) < 1e15 else f"{value:.{10 if value > 1e8 else 6}g}"


def _tokens(tokens: Sequence[str], indent: int, width: int) -> Iterator[str]:
    """Yield lines of tokens; a token is not parted."""
    line = ""
    for token in tokens:
        if line and indent + len(line) + 2 + len(token) > width:
            yield f"{' ' * indent}{line}"
            line = ""
        line = f"{line}  {token}" if line else token
    if line:
        yield f"{' ' * indent}{line}"
