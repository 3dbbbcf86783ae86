"""Run the notebooks beside this file from top to bottom, and keep them with their outputs.

    python docs/notebooks/execute.py [wheel taps any_net]

Each runs in a folder of its own in build/notebooks, where it makes its data. What is kept says which code it came from:
a test compares, so that outputs of other code are not committed.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
DIGEST = "code_digest"
_SECONDS = 600


def notebooks() -> list[Path]:
    """Return all notebooks of this folder."""
    return sorted(HERE.glob("*.ipynb"))


def digest_of(notebook: Any) -> str:
    """Return a digest of the code cells in their order."""
    code = "\0".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    return hashlib.sha256(code.encode()).hexdigest()


def execute(path: Path, folder: Path) -> Any:
    """Return a notebook with the outputs that it has when it is run in an empty folder.

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        Where a cell raises; says which one.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    notebook = nbformat.read(path, as_version=4)
    # A thread, as every test here has; the kernel finds this checkout whatever folder it works in.
    surroundings = os.environ | {
        "PYTHONPATH": str(ROOT), "RAM_ROOT": str(ROOT), "OMP_NUM_THREADS": "1",
        "PYTHONWARNINGS": "ignore:IProgress not found",  # of tqdm, with a path of this machine
    }  # fmt: skip
    client = NotebookClient(
        notebook, timeout=_SECONDS, kernel_name="python3", resources={"metadata": {"path": str(folder)}},
        record_timing=False,
    )  # fmt: skip
    client.execute(env=surroundings)
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
        "ram": {DIGEST: digest_of(notebook)},
    }
    return notebook


def main(words: list[str] | None = None) -> None:
    """Execute the notebooks named, or all, and write them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", default=[path.stem for path in notebooks()], help="without .ipynb")
    for name in parser.parse_args(words).names:
        path = HERE / f"{name}.ipynb"
        nbformat.write(execute(path, ROOT / "build" / "notebooks" / name), path)
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main(sys.argv[1:])
