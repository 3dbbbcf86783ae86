"""What is in an HDF5 file of unknown origin, as a page: its tree, what could be used of it, and a mapping to paste."""

from __future__ import annotations

__all__ = ["TreeInfo"]

import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ram.data.info_finds import Finds
from ram.data.info_tree import size_words, tree_lines

_MOST_LINES = 150
_LEAST_WIDTH = 40


@dataclass(frozen=True)
class TreeInfo:
    """The tree of any HDF5 file: names, shapes, types, units, storage; links are named and not followed.

    Parameters
    ----------
    path
        The file.
    facts
        What `ram.storage.survey` found in it.
    finds
        What could be used of it.
    """

    path: Path
    facts: Mapping[str, Any]
    finds: Finds

    def as_json(self) -> dict[str, Any]:
        """Return everything as JSON can hold it."""
        return {"file": str(self.path), **self.facts, "finds": self.finds.as_json()}

    def as_text(self, *, width: int = 100) -> str:
        """Return it as a page for a terminal of `width` letters: the tree first, what to do with it last."""
        width = max(width, _LEAST_WIDTH)
        parts = [
            [str(self.path), *textwrap.wrap(self._head(), width)],
            tree_lines(self.facts, self.facts["tree"], width=width, most=_MOST_LINES),
            list(self._usable(width)),
            self._paste(width),
        ]
        return "\n\n".join("\n".join(lines) for lines in parts if lines)

    def _head(self) -> str:
        facts = self.facts
        kinds = [node["kind"] for node in facts["tree"]]
        counts = [(kinds.count("dataset"), "array"), (kinds.count("group"), "group")]
        words = [f"{count:,} {word}{'' if count == 1 else 's'}" for count, word in counts if count]
        links = [f"{kinds.count(kind)} {kind}" for kind in sorted(set(kinds) - {"dataset", "group", "type"})]
        said = ["HDF5, none of ram's own", size_words(facts["bytes"]), *words, *links]
        said += [f"a block of {facts['userblock']:,} bytes before it"] if facts.get("userblock") else []
        said += [f"looked at {facts['stopped']} only, there is more"] if facts.get("stopped") else []
        return ", ".join(said)

    def _usable(self, width: int) -> Iterator[str]:
        """Yield what could be used and why."""
        finds = self.finds
        if finds.why_not:
            yield from textwrap.wrap(f"Nothing could be inputs: {finds.why_not}.", width)
            return
        yield "What could be used (guesses by names, shapes and values)"
        rows = [("inputs" if place == 0 else "or", one.path, one.reason) for place, one in enumerate(finds.inputs)]
        rows += [
            (f"axis {place}", axis.name, f"{axis.size:,} cells: {axis.reason}") for place, axis in enumerate(finds.axes)
        ]
        rows += [("rate", f"{rate:.7g} Hz", reason) for rate, reason in finds.rates]
        rows += [(one.role, one.path, one.reason) for one in (*finds.targets, *finds.columns)]
        rows += [] if finds.targets else [("target", "none", "no array holds one value a sample or a moment")]
        column = min(max(len(what) for _, what, _ in rows), width // 3)
        for role, what, why in rows:
            begin = f"  {role:<7} {what:<{column}}"
            if len(begin) + 2 + len(why) <= width:
                yield f"{begin}  {why}"
            else:
                yield begin.rstrip()
                yield from textwrap.wrap(why, width, initial_indent=" " * 12, subsequent_indent=" " * 12)

    def _paste(self, width: int) -> list[str]:
        if not self.finds.mapping:
            return []
        words = "To read it in place, paste this into an experiment's TOML; correct what was guessed wrong:"
        return [*textwrap.wrap(words, width), "", *self.finds.mapping.splitlines()]
