"""``python -m ram``: the same as ``ram``, for launchers that start modules, such as torchrun."""

from ram.cli import main

if __name__ == "__main__":
    main()
