"""What helps on a plate that was not trained on: nets of one plate tested on the two others, the table of card.md.

    python datasets/impact_echo/pairs.py --source raw.tar.xz

So clocks, coordinates and variation are compared without the tests of `ram cross-validate`, which train on two plates.
Mean absolute errors in cm, over the six pairs of plates; over voids, over solid plate.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ram.data.dataset import open_dataset
from ram.data.making import load_recipe
from ram.physics.impact_echo import THICKNESS_CM
from ram.training.train import train

HERE = Path(__file__).parent
CONFIG = HERE.parents[1] / "experiments" / "impact_echo_raw.toml"
CLOCKS = ("time", "depth")
PLAIN = ["model.coordinates=[]", "training.variation.colour=0.0"]
PLACE = ['model.coordinates=["depth"]', "training.variation.colour=0.0"]
TRIED: dict[str, tuple[str, list[str]]] = {
    "seconds as they are": ("time", PLAIN),
    "depths of echoes, v t / 2": ("depth", PLAIN),
    "and the place as a coordinate": ("depth", PLACE),
    "and colour of 0.3": ("depth", [*PLACE[:1], "training.variation.colour=0.3"]),
    "or colour of 0.6": ("depth", [*PLACE[:1], "training.variation.colour=0.6"]),
    "or the logarithm of the depth": (
        "depth",
        [*PLACE[:1], "training.variation.colour=0.3", 'data.log_targets=["depth"]'],
    ),
}


def errors(file: Path, changes: list[str], *, folder: Path) -> Iterator[tuple[float, float, float]]:
    """Yield the mean absolute errors on one plate of a net of another: of all points, over voids, over solid plate."""
    groups = sorted(set(open_dataset(file).groups.tolist()))
    for number, trained in enumerate(groups):
        others = [group for group in groups if group != trained]
        left_out = f"data.leave_out={{groups = {others}}}".replace("'", '"')
        run = train(CONFIG, data=file, output=folder / str(number), overrides=[left_out, *changes], progress=False)
        test = run.data().subset("test")
        measured, tested = test.target_array(["depth"])[:, 0], test.groups
        error = np.abs(run.predict(test).values[:, 0] - measured)
        solid = measured == THICKNESS_CM
        for group in others:
            here = tested == group
            yield error[here].mean(), error[here & ~solid].mean(), error[here & solid].mean()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, help="folder or archive of the published files; fetched if not said")
    options = parser.parse_args()
    recipe = load_recipe(HERE)
    print("| tried | error | over voids | over solid plate |\n|---|---|---|---|")  # noqa: T201
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for clock in CLOCKS:
            file = folder / f"{clock}.h5"
            recipe.make(file, source=options.source, clock=clock, begin_ms=-0.05, samples=272, progress=False)
        for number, (words, (clock, changes)) in enumerate(TRIED.items()):
            found = np.mean(list(errors(folder / f"{clock}.h5", changes, folder=folder / str(number))), axis=0)
            print(f"| {words} | {found[0]:.2f} | {found[1]:.2f} | {found[2]:.2f} |", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
