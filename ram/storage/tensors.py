"""Named tensors and a description in one safetensors file, whose every bit is checked when it is read."""

from __future__ import annotations

__all__ = ["read_tensors", "write_tensors"]

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import xxhash
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ram.errors import DataError, explained
from ram.storage.atomic import write_bytes

_NEXT_STEP = "Restore it from a copy, or train again"


def write_tensors(path: Path, tensors: Mapping[str, Tensor], content: Mapping[str, Any], *, schema: str) -> None:
    """Write tensors of any device and layout, and what is said of them as JSON, whole or not at all.

    The same tensors and words give the same bytes.
    """
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    said = {**content, "schema": schema}
    said["digest"] = _digest(plain, said)
    # One key: safetensors orders several differently from process to process.
    write_bytes(path, save(plain, metadata={"ram": json.dumps(said, sort_keys=True)}))


def read_tensors(path: Path, *, schema: str, what: str = "a checkpoint") -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return tensors, contiguous and on the processor, and what is said of them.

    Raises
    ------
    DataError
        Where the file is missing, is no file of this schema, or any byte of it has changed.
    """
    try:
        with safe_open(path, framework="pt") as file:
            content = json.loads((file.metadata() or {}).get("ram", "{}"))
            tensors = {name: file.get_tensor(name) for name in sorted(file.keys())}
    except (SafetensorError, OSError, ValueError) as error:
        allowed = f"a readable {schema} file"
        raise DataError(
            explained(where=str(path), what=what, allowed=allowed, got=f"'{error}'", next_step=_NEXT_STEP)
        ) from None
    if content.get("schema") != schema:
        got = content.get("schema", "another file")
        raise DataError(explained(where=str(path), what=what, allowed=schema, got=got))
    if content.pop("digest", "") != _digest(tensors, content):
        raise DataError(
            explained(
                where=str(path),
                what="the weights",
                allowed="those that were written",
                got="other bytes",
                next_step="The file is damaged: restore it from a copy, or train again",
            )
        )
    return tensors, content


def _digest(tensors: Mapping[str, Tensor], content: Mapping[str, Any]) -> str:
    digest = xxhash.xxh3_128(json.dumps(content, sort_keys=True).encode())
    for name in sorted(tensors):
        value = tensors[name]
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        if value.numel():
            digest.update(value.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
