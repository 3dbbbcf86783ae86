"""What the built wheel must do where the source tree is out of sight."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

import ram
from ram.axes import Axis
from ram.data.layout import write_dataset
from ram.data.spec import DatasetSpec, Record


def shell(*words: str) -> str:
    """Run the installed `ram` and return what it prints."""
    script = Path(sys.executable).with_name("ram")
    return subprocess.run([str(script), *words], check=True, capture_output=True, text=True).stdout


def main() -> None:
    """Import, version, help, and a look into a small data file."""
    assert Path(ram.__file__).is_relative_to(sys.prefix), f"the source tree was imported: {ram.__file__}"
    assert (Path(ram.__file__).parent / "py.typed").exists()
    assert (Path(ram.__file__).parent / "inspector" / "static" / "index.html").exists()
    assert ram.__version__ in shell("--version")
    assert "explain" in shell("--help")
    for name in ram.__all__:
        getattr(ram, name)
    axis = Axis.uniform("x", "mm", size=8, step=10.0)
    spec = DatasetSpec(name="smoke", axes=(axis,), channels={"t": "mm"}, targets={"frequency": "Hz"}, count=3)
    records = [
        Record(
            id=f"s{i}",
            x=np.full((1, 8), i, np.float32),
            targets={"frequency": 40.0 + i},
            split={"default": "train"},
        )
        for i in range(3)
    ]
    write_dataset("smoke.h5", spec, records)
    assert json.loads(shell("data", "info", "smoke.h5", "--json"))
    sys.stdout.write(f"ram {ram.__version__}: the wheel works on its own\n")


if __name__ == "__main__":
    main()
