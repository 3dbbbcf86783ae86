"""Lines that physics expects, mean maps by range and what goes along with errors: in pictures, report and shell."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from ram.axes import Axis
from ram.data.dataset import open_dataset
from ram.data.layout import write_dataset
from ram.data.lines import line_in
from ram.errors import ConfigError
from ram.runs.config import load_experiment
from ram.runs.settings import as_toml
from ram.training.train import train
from ram.views.panels import draw_lines, panel
from ram.views.population_pictures import Mean, error_picture, range_picture
from ram.views.population_sections import _near, errors, ranges
from ram.views.story import tell


@pytest.fixture(scope="module")
def plates(bursts, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bursts at plates of known speed (m/s) and thickness (mm), whose resonance is not in the signal."""
    path = tmp_path_factory.mktemp("plates") / "bursts.h5"
    spec = bursts.spec(parameters={"speed": "m/s", "thickness": "mm"}, count=120)
    records = [
        replace(record, parameters={"speed": 4000.0, "thickness": 400.0 if row % 2 else 1000.0})
        for row, record in enumerate(bursts.records(120))
    ]
    write_dataset(path, spec, records)
    return path


@pytest.fixture(scope="module")
def run(bursts, plates: Path):
    words = {**bursts.experiment, "explain": {"samples": 3, "lines": ["frequency = speed / (2 * thickness)"]}}
    return train(words, data=plates, output=plates.parent / "run", progress=False)


def test_lines_have_the_units_of_their_axis(plates: Path) -> None:
    data = open_dataset(plates)
    hertz, kilohertz = (Axis.uniform("frequency", unit, size=4, step=1.0) for unit in ("Hz", "kHz"))
    time = Axis.uniform("time", "ms", size=4, step=1.0)
    line = line_in("frequency = speed / (2 * thickness)")
    np.testing.assert_allclose(line.places(data, [hertz])[:2], [2000.0, 5000.0])
    np.testing.assert_allclose(line.places(data, [time, kilohertz])[:2], [2.0, 5.0])
    np.testing.assert_allclose(line_in("time=2*thickness/speed").places(data, [time])[:2], [0.5, 0.2])
    np.testing.assert_allclose(
        line_in("frequency = -(-0.5) * frequency").places(data, [hertz]), 0.5 * data.target_array()[:, 0]
    )
    np.testing.assert_allclose(
        line_in("frequency = (speed**2 / thickness**2) ** 0.5").places(data, [hertz])[:2], [4000.0, 10000.0]
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "frequency = speed",
            r"line 'frequency = speed': the formula must be one that gives Hz. Got '.*meter / second",
        ),
        ("frequency = speed + thickness", r"the formula must be one that gives Hz. Got '.*Look at the units"),
        (
            "frequency = 1 / (thickness / spead)",
            r"a name must be one of speed, thickness, frequency. Got 'spead'. Did you",
        ),
        (
            "frequncy = speed / thickness",
            r"the axis must be one of frequency. Got 'frequncy'. Did you mean 'frequency'",
        ),
        (
            "speed / thickness",
            r"lines: a line must be AXIS = FORMULA of numbers and names .* Got 'speed / thickness'. Such",
        ),
        ("frequency = __import__('os').getcwd()", r"a line must be AXIS = FORMULA"),
        ("frequency = speed[0]", r"a line must be AXIS = FORMULA"),
        ("frequency = ", r"a line must be AXIS = FORMULA"),
        ("frequency == speed", r"a line must be AXIS = FORMULA"),
        ("frequency = True * speed", r"a line must be AXIS = FORMULA"),
    ],
)
def test_lines_that_are_none(plates: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        line_in(text).places(open_dataset(plates), [Axis.uniform("frequency", "Hz", size=4, step=1.0)])


def test_lines_stand_in_the_config_and_change_no_result(bursts, plates: Path, run) -> None:
    plain = load_experiment(bursts.experiment)
    assert "lines" not in as_toml(plain)
    assert "lines" not in plain.decisive()["explain"]
    assert run.config.explain.lines == ("frequency = speed / (2 * thickness)",)
    assert run.config.decisive() == plain.decisive()
    with pytest.raises(
        ConfigError, match=r"'explain.lines.0' must be such as 'frequency = 0.96 \* speed / \(2 \* depth\)'"
    ):
        load_experiment({**bursts.experiment, "explain": {"lines": ["speed"]}})
    words = {**bursts.experiment, "explain": {"lines": ["frequency = sped"]}}
    with pytest.raises(ConfigError, match=r"a name must be one of speed, thickness, frequency. Got 'sped'"):
        train(words, data=plates, output=plates.parent / "none", progress=False)
    assert not (plates.parent / "none").exists()


def test_lines_are_drawn_where_they_lie(run) -> None:
    story = tell(run, lines=["time = 5 * 2 * thickness / speed"])
    places = {(400.0): 5.0, (1000.0): 2.0}
    thickness = dict(zip(story.data.ids, story.data.parameter_array(["thickness"])[:, 0], strict=True))
    for scene in story.scenes:
        own = thickness[scene.name]
        assert scene.lines[0] == ("frequency", pytest.approx(places[own]))  # kHz
        assert scene.lines[1] == ("time", pytest.approx(own / 400.0))  # ms
        for part in ("input", "net", "over"):
            drawn = [
                line for line in panel(scene, part, scale=story.scale).axes[0].lines if line.get_linestyle() == "--"
            ]
            assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in drawn] == [
                (0, pytest.approx(places[own])), (pytest.approx(own / 400.0), 0)
            ]  # fmt: skip


def test_a_line_that_is_not_on_the_axis_is_not_drawn() -> None:
    axes = Figure().subplots()
    grid = [Axis.uniform("frequency", "kHz", size=8, step=1.0), Axis.uniform("time", "ms", size=8, step=1.0)]
    draw_lines(axes, [("frequency", 9.0), ("frequency", float("nan")), ("time", -3.0), ("depth", 2.0)], grid)
    assert not axes.lines


def test_mean_maps_and_errors_of_a_run(run) -> None:
    story = tell(run)
    section = ranges(story)
    assert section is not None
    assert "frequency = speed / (2 * thickness)" in section["words"][1]
    (card,) = section["cards"]
    assert card["table"]["head"] == ["measured", "samples", "mean of the maps", "line at", "near it", "chance"]
    assert sum(int(row[1]) for row in card["table"]["rows"]) == len(story.test)
    maps = story.targets["frequency"].maps
    means = [
        float(row[2].replace("\N{MINUS SIGN}", "-").split("\N{NO-BREAK SPACE}")[0]) for row in card["table"]["rows"]
    ]
    counts = [int(row[1]) for row in card["table"]["rows"]]
    assert np.average(means, weights=counts) == pytest.approx(maps.total.mean(), abs=1.0)
    faults = errors(story)
    assert faults is not None
    (card,) = faults["cards"]
    _, measured = story.test.column("frequency")
    error = maps.prediction - measured
    rest = error - np.polynomial.Polynomial.fit(measured, error, 1)(measured)
    assert card["table"]["foot"][1] == story.writers["frequency"].value(rest.std())
    assert card["table"]["rows"][0] == ["all cells", story.writers["frequency"].signed(rest.std())]


def test_the_share_near_a_line_is_that_of_the_cells_there(run) -> None:
    story = tell(run)
    maps = story.targets["frequency"].maps
    # All of the map lies in the row of cells that the line runs through.
    (frequency, _), place = maps.axes, 2000.0
    values = np.zeros_like(maps.contributions)
    values[:, np.searchsorted(frequency.edges, place) - 1] = 1.0
    row = slice(*frequency.edges[np.searchsorted(frequency.edges, place) - 1 :][:2])
    near, chance = _near(
        replace(maps, contributions=values), line_in("frequency = frequency"), np.full(len(maps), place)
    )
    covered = min(1.1 * place, row.stop) - max(0.9 * place, row.start)
    assert near == pytest.approx(covered / (row.stop - row.start))
    assert chance == pytest.approx(0.2 * place / (frequency.edges[-1] - frequency.edges[0]))


def test_the_shell_draws_lines(shell, run, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in ("ram.views.style.png", "ram.views.report.png"):  # what is drawn is looked at elsewhere
        monkeypatch.setattr(place, lambda _: b"a picture")
    code, _, err = shell(
        "report", run.path, "--line", "frequency = 0.5 * speed / thickness", "--line", "time = 1 / frequncy"
    )
    assert code == 2
    assert "a name must be one of speed, thickness, frequency. Got 'frequncy'. Did you mean 'frequency'?" in err
    code, _, _ = shell("report", run.path, "--line", "time = 20 / frequency")
    assert code == 0
    page = (run.path / "report.html").read_text(encoding="utf-8")
    assert "frequency = speed / (2 * thickness), time = 20 / frequency" in page
    assert "line 2 at" in page
    assert "How do maps change with the target?" in page
    assert "Where do errors come from?" in page
    assert "Most of the map: " in page


@pytest.mark.parametrize("shape", [(12,), (5, 6), (3, 4, 5)])
def test_pictures_of_any_number_of_axes(shape: tuple[int, ...]) -> None:
    axes = [
        Axis.uniform(name, "mm", size=size, step=1.0) for name, size in zip("zyx"[-len(shape) :], shape, strict=True)
    ]
    values = np.random.default_rng(1).normal(size=shape)
    means = [Mean("1 to 2 cm\n+3 cm (4)", values), Mean("2 to 3 cm\n+1 cm (4)", -values)]
    figure = range_picture(means, axes, label="cm per cell", title="means")
    shown = figure.axes[0]
    if len(shape) == 1:
        assert [text.get_text() for text in shown.get_legend().get_texts()] == [
            "1 to 2 cm, +3 cm (4)",
            "2 to 3 cm, +1 cm (4)",
        ]
    else:
        drawn = [axes.collections[0].get_array() for axes in figure.axes[:2]]
        plane = values.sum(axis=0) if len(shape) == 3 else values
        np.testing.assert_allclose(np.asarray(drawn[0]).reshape(plane.shape), plane)
        assert figure.axes[0].collections[0].get_clim() == figure.axes[1].collections[0].get_clim()
    assert error_picture(means[0], axes, label="cm per cell").axes[0].get_title().startswith("1 to 2 cm")
