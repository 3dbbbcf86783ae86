"""Write constraints.txt: every version that is installed now, torch without its local suffix."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HEADER = """\
# Every version that is tested together; written by `make lock`. torch stands without its local suffix, so that pip
# takes the CPU build wherever it is shown one (see README).
"""


def main() -> None:
    """Freeze the environment of this interpreter, the package itself left out."""
    command = [sys.executable, "-m", "pip", "freeze", "--all", "--exclude-editable", "--exclude", "pip"]
    frozen = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    pinned = [line.split("+")[0].split("==") for line in frozen if "==" in line]
    lines = [f"{name}=={version}" for name, version in sorted(pinned, key=lambda pin: pin[0].lower())]
    Path("constraints.txt").write_text(HEADER + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
