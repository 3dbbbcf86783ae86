"""What the page is answered: numbers that obey the laws of the map, in words with units, and edits of every kind."""

from __future__ import annotations

import csv
import io
import shutil
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ram.axes import Axis
from ram.data.edited import with_input
from ram.errors import ConfigError, DataError
from ram.inspector.answers import cohort, column, comparison, drawn, layers_of, map_answer, overview, samples, within
from ram.inspector.asking import is_slow
from ram.inspector.edits import edited
from ram.inspector.files import as_file, hearing, table
from ram.inspector.frames import frame, unframed
from ram.inspector.inspection import FILE_DESIGN, Inspection, open_inspection
from ram.inspector.questions import (
    Cohort,
    Column,
    Comparison,
    Download,
    Edit,
    Hearing,
    MapOf,
    Rows,
    Within,
    question_in,
)
from ram.maps.regression_map import RegressionMap
from ram.models.spectrogram import Spectrogram

Answer = tuple[dict[str, Any], dict[str, np.ndarray]]


@pytest.fixture(scope="module")
def discs(disc_run: Path) -> Inspection:
    return open_inspection(disc_run)


@pytest.fixture(scope="module")
def bursting(burst_run: Path) -> Inspection:
    return open_inspection(burst_run)


def asked(looked: Inspection, sample: int = 4, **words: Any) -> Answer:
    return unframed(map_answer(looked, MapOf(sample=sample, target=next(iter(looked.run.units)), **words)))


def signed(text: str) -> float:
    """``"+7.3 Hz"`` -> 7.3."""
    return float(text.split("\N{NO-BREAK SPACE}", maxsplit=1)[0].replace("\N{MINUS SIGN}", "-"))


def test_arrays_travel_bit_for_bit() -> None:
    arrays = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.array([1], np.uint8), "c": np.array([np.nan])}
    head, found = unframed(frame({"worst": float("nan"), "name": "</script>é"}, arrays))
    assert (head["worst"], head["name"]) == (None, "</script>é")
    for name, values in arrays.items():
        assert found[name].dtype == values.dtype
        assert np.array_equal(found[name], values, equal_nan=True)


def test_the_menus_hold_what_the_net_allows(discs: Inspection, bursting: Inspection) -> None:
    head, _ = unframed(overview(discs, simulator="a:b"))
    assert [one["name"] for one in head["targets"]] == ["umbrella", "mass"]
    assert head["channels"] == {"input": {"fill": "1", "thickness": "mm"}}
    assert FILE_DESIGN in head["references"]
    assert (head["own_method"], head["simulator"], head["spectrogram"]) == ("ram", "a:b", False)
    assert {"backbone", "backbone.stages.0"} <= set(layers_of(discs))
    head, _ = unframed(overview(bursting, simulator=None))
    assert set(head["channels"]) == {"spectrogram", "signal"}
    assert FILE_DESIGN not in head["references"]


def test_samples_stand_in_the_order_of_their_predictions(discs: Inspection) -> None:
    head, arrays = unframed(samples(discs))
    assert head["ids"] == discs.predictions.ids.tolist() == discs.data.ids.tolist()
    assert [head["parts"][code] for code in arrays["part"]] == discs.predictions.part_of.tolist()
    assert [head["groups"][code] for code in arrays["group"]] == discs.data.groups.tolist()
    _, values = unframed(column(discs, Column(target="mass")))
    assert values["measured"] == pytest.approx(discs.data.target_array(["mass"])[:, 0], rel=1e-6)


def test_a_map_adds_up_to_its_prediction(discs: Inspection) -> None:
    head, arrays = asked(discs)
    maps = discs.map_of(MapOf(sample=4, target="umbrella"))
    assert arrays["map"].sum() + maps.baseline[0] == pytest.approx(head["prediction"], rel=1e-6)
    assert sum(signed(one["carried"]) for one in head["regions"]) == pytest.approx(maps.total[0], abs=0.2)
    assert head["title"].startswith("umbrella ")
    assert "Hz per cell of" in head["label"]


def test_a_volume_is_drawn_as_sums_over_its_first_axis() -> None:
    axes = tuple(Axis.uniform(name, "mm", size=size, step=2.0) for name, size in (("z", 3), ("y", 4), ("x", 5)))
    values = np.random.default_rng(1).normal(size=(1, 3, 4, 5))
    whole = {"baseline": np.array([2.0]), "prediction": 2.0 + values.sum(axis=(1, 2, 3))}
    head, arrays = drawn(RegressionMap(values, **whole, target="a", unit="N", axes=axes, input_axes=axes))
    assert arrays["map"] == pytest.approx(values[0].sum(axis=0), rel=1e-6, abs=1e-6)
    assert [axis["name"] for axis in head["grid"]] == ["z", "y", "x"]
    assert head["label"] == "contribution in N per cell of 2 x 2 mm"


def test_physics_stands_beside_the_net_where_the_file_holds_it(discs: Inspection) -> None:
    rows = np.flatnonzero(discs.predictions.part_of == "test")
    head, arrays = asked(discs, int(rows[0]))
    truth = discs.data[[rows[0]]].truth_array("umbrella", "contribution")
    assert arrays["physics"].sum() == pytest.approx(truth.sum(), rel=1e-5)
    assert head["physics"].endswith("against the mean design")
    assert {one["physics"] for one in head["regions"]} != {"–"}
    assert "physics" not in asked(discs, int(np.flatnonzero(discs.predictions.part_of == "train")[0]))[1]


def test_a_region_carries_what_the_map_says(discs: Inspection) -> None:
    bounds = {"x": (-40.0, 33.0), "y": (0.0, 80.0)}
    head, _ = unframed(within(discs, Within(sample=4, target="umbrella", bounds=bounds)))
    maps = discs.run.explain(discs.data[[4]], target="umbrella")
    assert head["carried"] == maps.within(**bounds)[0]
    assert head["where"] == "x −40 to 33 mm, y 0–80 mm"
    assert " of " in head["said"]
    with pytest.raises(ConfigError, match="named after an axis: y"):
        within(discs, Within(sample=4, target="umbrella", bounds={"time": (0.0, 1.0)}))


def test_a_comparison_adds_up_to_the_difference(discs: Inspection) -> None:
    head, arrays = unframed(comparison(discs, Comparison(sample=4, other=7, target="umbrella")))
    one, other = (float(discs.predictions.values[row, 0]) for row in (4, 7))
    assert arrays["map"].sum() == pytest.approx(one - other, abs=1e-3)
    assert arrays["map"] == pytest.approx(arrays["map_b"] - arrays["map_a"], abs=1e-5)
    assert head["title"].endswith(f"{'higher' if one > other else 'lower'} than {discs.data.ids[7]}")
    for row in head["regions"]:
        assert signed(row["difference"]) == pytest.approx(signed(row["b"]) - signed(row["a"]), abs=0.21)
    with pytest.raises(ConfigError, match=r"one whose maps can be subtracted\. Got grad-cam"):
        comparison(discs, Comparison(sample=4, other=7, target="umbrella", method="grad-cam"))


def test_a_cohort_is_the_mean_of_its_maps(discs: Inspection) -> None:
    rows = (1, 5, 9, 11)
    head, arrays = unframed(cohort(discs, Cohort(rows=rows, target="umbrella")))
    maps = discs.run.explain(discs.data[list(rows)], target="umbrella")
    assert arrays["map_b"] == pytest.approx(maps.contributions.mean(axis=0), rel=1e-5, abs=1e-6)
    assert (head["cohort"]["count"], head["rest"]["count"]) == (4, len(discs.data) - 4)
    assert arrays["map"] == pytest.approx(arrays["map_b"] - arrays["map_a"], abs=1e-5)
    assert {one["name"] for one in head["regions"]} == {"void", "hub", "rim"}
    with pytest.raises(ConfigError, match=r"and others to hold them against\. Got all samples"):
        cohort(discs, Cohort(rows=tuple(range(len(discs.data))), target="umbrella"))


def test_what_takes_many_passes_is_slow(discs: Inspection) -> None:
    def slow(**words: Any) -> bool:
        return is_slow(discs, MapOf(sample=0, target="umbrella", **words))

    assert not slow()
    assert not slow(method="grad-cam")
    assert slow(method="integrated-gradients")
    assert slow(method="score-cam")
    assert slow(resolution=2)
    assert is_slow(discs, Cohort(rows=(1,), target="umbrella"))


def test_references_are_those_of_the_menu(discs: Inspection) -> None:
    def baseline(**words: Any) -> float:
        return float(discs.map_of(MapOf(sample=4, target="umbrella", **words)).baseline[0])

    assert baseline(reference_sample=7) == pytest.approx(discs.predictions.values[7, 0], rel=1e-6)
    design = discs.data.reference_design()
    assert design is not None
    direct = discs.run.explain(discs.data[[4]], target="umbrella", reference=design)
    assert baseline(reference=FILE_DESIGN) == direct.baseline[0]
    assert " = mean design " in asked(discs, reference=FILE_DESIGN)[0]["title"]
    assert discs.usual_reference == FILE_DESIGN  # net and physics are against the same design
    with pytest.raises(ConfigError, match=r"below 30\. Got 99"):
        baseline(reference_sample=99)


def test_maps_that_are_kept_are_few(discs: Inspection, monkeypatch: pytest.MonkeyPatch) -> None:
    count = 0
    explain = type(discs.run).explain

    def counting(*words: Any, **named: Any) -> RegressionMap | dict[str, RegressionMap]:
        nonlocal count
        count += 1
        return explain(*words, **named)

    monkeypatch.setattr(type(discs.run), "explain", counting)
    monkeypatch.setattr("ram.inspector.inspection._KEPT_MAPS", 3)
    for sample in (10, 11, 12, 10, 13, 10, 13, 11):
        discs.map_of(MapOf(sample=sample, target="mass"))
    assert count == 5  # 11, the one that nobody had asked for again, was dropped for 13
    assert len(discs._maps) == 3


# --- what if


def changed(looked: Inspection, *edits: Edit, sample: int = 4) -> tuple[np.ndarray, np.ndarray]:
    before = looked.data[sample].x.astype(np.float64)
    return before, edited(looked.run, looked.data, sample, edits).x()[0].astype(np.float64)


def test_a_stroke_changes_what_its_brush_passes_over(discs: Inspection) -> None:
    stroke = Edit(do="add", channel="thickness", value=3.0, path=((-30.0, -30.0), (-30.0, 40.0)), radius=12.0)
    before, after = changed(discs, stroke)
    y, x = np.meshgrid(*(axis.centres for axis in discs.data.axes), indexing="ij")
    away = np.hypot(y + 30.0, x - np.clip(x, -30.0, 40.0))
    inside = away <= 12.0
    assert 10 < inside.sum() < 60
    assert np.allclose(after[1] - before[1], 3.0 * inside, atol=1e-5)
    assert np.array_equal(after[0], before[0])


def test_paint_stays_on_the_material(discs: Inspection) -> None:
    paint = Edit(do="set", channel="thickness", value=50.0, bounds={"x": (-80.0, 80.0)}, solid=True)
    before, after = changed(discs, paint)
    assert ((after[1] == 50.0) == (before[0] > 0)).all()
    assert 0 < (before[0] > 0).mean() < 1


def test_what_is_taken_away_is_as_the_voids_are(discs: Inspection) -> None:
    before, after = changed(discs, Edit(do="erase", path=((0.0, 0.0),), radius=25.0))
    gone = after[0] < before[0]
    assert gone.sum() > 10
    assert (after[0][gone] == 0).all()
    assert (after[1][gone] == np.median(before[1][before[0] == 0])).all()


def test_material_is_copied_from_where_the_stroke_begins(discs: Inspection) -> None:
    before, after = changed(discs, Edit(do="copy", path=((0.0, 0.0), (0.0, 75.0), (70.0, 75.0)), radius=3.0))
    new = (after[0] > 0) & (before[0] == 0)
    assert new.any()
    middle = tuple(int(np.abs(axis.centres).argmin()) for axis in discs.data.axes)
    assert (after[:, new] == before[(slice(None), *middle)][:, None]).all()


def test_an_edit_moves_prediction_and_map_alike(discs: Inspection) -> None:
    paint = Edit(do="add", channel="thickness", value=4.0, bounds={"x": (-40.0, 40.0), "y": (-40.0, 40.0)})
    head, arrays = asked(discs, edits=(paint,))
    maps = discs.map_of(MapOf(sample=4, target="umbrella", edits=(paint,)))
    assert head["edited"]
    assert head["prediction"] != pytest.approx(discs.predictions.values[4, 0], rel=1e-4)
    assert arrays["map"].sum() + maps.baseline[0] == pytest.approx(head["prediction"], rel=1e-6)
    _, values = unframed(comparison(discs, Comparison(sample=4, other=4, target="umbrella", edits=(paint,))))
    assert values["map"].sum() == pytest.approx(head["prediction"] - discs.predictions.values[4, 0], abs=1e-3)
    assert discs.predictions.values[4, 0] == pytest.approx(asked(discs)[0]["prediction"], rel=1e-6)  # still there


def test_no_edit_gives_the_sample_itself(discs: Inspection, bursting: Inspection) -> None:
    before, after = changed(discs, Edit(do="times", value=1.0, bounds={}))
    assert np.array_equal(before, after)
    whole = Edit(do="times", value=1.0, bounds={"frequency": (0.0, 8000.0), "time": (0.0, 1.0)})
    before, after = changed(bursting, whole)
    assert after == pytest.approx(before, abs=1e-6)


def test_a_muted_band_is_silent_and_the_rest_as_it_was(bursting: Inspection) -> None:
    front = bursting.run._front
    assert isinstance(front, Spectrogram)
    tone = float(bursting.data[4].targets["frequency"])
    band = {"frequency": (tone - 700.0, tone + 700.0)}
    before, muted = changed(bursting, Edit(do="times", value=0.0, bounds=band, channel="acc_1"))
    _, kept = changed(bursting, Edit(do="times", value=0.0, bounds=band, channel="acc_1", outside=True))
    still = before.mean(axis=-1, keepdims=True)
    assert np.square(muted[0] - still[0]).sum() < 0.05 * np.square(before[0] - still[0]).sum()
    assert (muted + kept - still)[0] == pytest.approx(before[0], abs=1e-5)  # what is muted and what is kept: all
    assert np.array_equal(muted[1], before[1])


def test_a_signal_is_muted_around_its_mean(measured: Callable[..., Any], bursting: Inspection) -> None:
    edit = Edit(do="times", value=0.0, bounds={"time": (0.0, 0.01)})
    before, after = changed(bursting, edit)
    time = bursting.data.axes[0].centres
    assert np.allclose(after[:, time <= 0.01], before.mean(axis=-1, keepdims=True), atol=1e-6)
    assert np.array_equal(after[:, time > 0.01], before[:, time > 0.01].astype(np.float32))


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        ({"do": "set", "channel": "fil", "bounds": {}}, "one of fill, thickness. Got fil. Did you mean 'fill'"),
        ({"do": "set", "bounds": {"z": (0.0, 1.0)}}, "one of y, x. Got 'z'"),
        ({"do": "set", "bounds": {"x": (1.0, 0.0)}}, r"given as \(low, high\). Got \(1, 0\)"),
        ({"do": "copy", "bounds": {}}, "where a stroke begins. Got a box"),
        ({"do": "add"}, "points of 2 numbers, or bounds. Got 0 points"),
        ({"do": "add", "path": ((1.0,),)}, "points of 2 numbers, or bounds. Got 1 points"),
    ],
)
def test_edits_that_cannot_be_done_are_refused(discs: Inspection, edit: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        changed(discs, Edit(**edit))


def test_a_band_can_be_made_louder_and_nothing_else(bursting: Inspection) -> None:
    with pytest.raises(ConfigError, match=r"'times' or 'erase'\. Got 'set'"):
        changed(bursting, Edit(do="set", bounds={"frequency": (0.0, 1.0)}))


def test_another_input_must_fit(discs: Inspection) -> None:
    with pytest.raises(DataError, match=r"of shape \(2, 16, 16\). Got \(2, 16\)"):
        with_input(discs.data, 0, np.zeros((2, 16), np.float32))
    with pytest.raises(DataError, match=r"finite\. Got NaN"):
        with_input(discs.data, 0, np.full((2, 16, 16), np.nan, np.float32))
    both = with_input(discs.data, 3, np.ones((2, 16, 16), np.float32))
    assert (len(both), both.ids[0]) == (1, discs.data.ids[3])
    assert (both.x() == 1).all()


# --- files


def test_files_hold_the_map(discs: Inspection, tmp_path: Path) -> None:
    def taken(kind: Any) -> Any:
        return as_file(discs, Download(sample=4, target="umbrella", kind=kind))

    maps = discs.map_of(MapOf(sample=4, target="umbrella"))
    rows = list(csv.DictReader(io.StringIO(taken("csv").content.decode())))
    assert [float(row["contribution_Hz"]) for row in rows] == maps.contributions[0].ravel().tolist()
    assert float(rows[1]["x_mm_low"]) == maps.axes[1].edges[1]
    (tmp_path / "maps.h5").write_bytes(taken("hdf5").content)
    assert np.array_equal(RegressionMap.load(tmp_path / "maps.h5").contributions, maps.contributions)
    png = taken("png")
    assert png.content.startswith(b"\x89PNG")
    assert png.name == f"umbrella_{discs.data.ids[4]}.png"
    with pytest.raises(ConfigError, match="a channel must be one of fill, thickness"):
        as_file(discs, Download(sample=4, target="umbrella", kind="png", shown="x"))


def test_a_table_holds_the_samples_asked_for(discs: Inspection) -> None:
    rows = list(csv.DictReader(io.StringIO(table(discs, Rows(rows=(3, 1))).content.decode())))
    assert [row["id"] for row in rows] == discs.data.ids[[3, 1]].tolist()
    assert float(rows[0]["umbrella_Hz"]) == discs.predictions.values[3, 0]
    assert float(rows[0]["measured_mass_kg"]) == discs.predictions.measured[3, 1]


def test_what_is_heard_is_parted_without_rest(bursting: Inspection) -> None:
    question = Hearing(sample=4, target="frequency", heard="acc_2", slower=4.0)
    head, arrays = unframed(hearing(bursting, question))

    def played(name: str) -> np.ndarray:
        with wave.open(io.BytesIO(arrays[name].tobytes())) as file:
            assert (file.getframerate(), file.getnchannels()) == (4000, 1)
            content = np.frombuffer(file.readframes(file.getnframes()), np.uint8).reshape(-1, 3).astype(np.int32)
        return (content[:, 0] | content[:, 1] << 8 | content[:, 2].astype(np.int8).astype(np.int32) << 16) / 2**23

    assert played("kept") + played("rest") == pytest.approx(played("signal"), abs=1e-6)
    assert " of " in head["said"]
    with pytest.raises(ConfigError, match=r"3,000 to 384,000, which browsers play\. Got 160"):
        hearing(bursting, Hearing(sample=4, target="frequency", heard="acc_2", slower=100.0))


def test_a_net_without_spectrogram_cannot_be_heard(discs: Inspection) -> None:
    with pytest.raises(ConfigError, match="one that begins with a spectrogram"):
        hearing(discs, Hearing(sample=0, target="umbrella", heard="fill"))


# --- opening


def test_an_ensemble_says_where_its_members_disagree(many_ensemble: Path) -> None:
    looked = open_inspection(many_ensemble)
    head, arrays = asked(looked)
    assert head["members"] == 2
    assert 0 <= head["agreed"] <= 1
    assert arrays["disputed"].shape == arrays["map"].shape
    region, _ = unframed(within(looked, Within(sample=4, target="umbrella", bounds={"x": (-40.0, 40.0)})))
    assert region["spread"].endswith("Hz")
    assert all(one["interval"] and one["spread"] != "–" for one in head["targets"])


def test_nothing_is_usual_where_no_physics_is_known(bursting: Inspection, many_ensemble: Path) -> None:
    assert bursting.usual_reference == ""
    maps = open_inspection(many_ensemble).map_of(MapOf(sample=0, target="umbrella", reference=FILE_DESIGN))
    assert {one.reference for one in (maps, *maps.members)} == {"mean design"}  # type: ignore[attr-defined]


def test_another_file_is_predicted(disc_run: Path, bare_discs: Path) -> None:
    looked = open_inspection(disc_run, bare_discs)
    head, _ = asked(looked)
    assert len(looked.data) == 30
    assert head["targets"][0]["measured"] == "–"
    assert head["regions"] == []


def test_a_broken_sample_breaks_nothing_else(disc_run: Path, disc_folder: Path, tmp_path: Path) -> None:
    import h5py

    shutil.copy(disc_folder / "discs.h5", tmp_path / "discs.h5")
    with h5py.File(tmp_path / "discs.h5") as file:
        begin = file["inputs"].id.get_offset() + 2 * file["inputs"][0].nbytes
    content = bytearray((tmp_path / "discs.h5").read_bytes())
    content[begin + 5] ^= 64
    (tmp_path / "discs.h5").write_bytes(content)
    whole = open_inspection(disc_run)
    looked = Inspection(whole.run, whole.run.open(tmp_path / "discs.h5"), whole.predictions)
    broken = int(np.flatnonzero(looked.data.ids == "d002")[0])
    with pytest.raises(DataError, match="row 2: the values must be those that were written"):
        asked(looked, broken)
    assert asked(looked, 4)[0]["id"] == "d004"


def test_a_link_out_of_the_run_is_refused(disc_run: Path, tmp_path: Path) -> None:
    shutil.copytree(disc_run, tmp_path / "run")
    (tmp_path / "secret.h5").write_bytes(b"secret")
    (tmp_path / "run" / "maps.h5").unlink()
    (tmp_path / "run" / "maps.h5").symlink_to(tmp_path / "secret.h5")
    with pytest.raises(DataError, match=r"in the run's folder\. Got a link that leads out of it"):
        open_inspection(tmp_path / "run")


def test_predictions_of_other_data_are_refused(disc_run: Path, tmp_path: Path, disc_folder: Path) -> None:
    whole = open_inspection(disc_run)
    foreign = whole.predictions.at(np.array([0, 1]))
    foreign.ids[:] = ["x0", "x1"]
    with pytest.raises(DataError, match="the ids must be those of"):
        open_inspection(disc_run, predictions=foreign)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"[]", "an object in JSON. Got list"),
        (b'{"sample": 1', "an object in JSON"),
        (b'{"sample": NaN, "target": "a"}', "NaN is no number"),
        (b'{"sample": -1, "target": "a"}', "sample"),
        (b'{"sample": "1", "target": "a"}', "sample"),
        (b'{"sample": 1, "target": "a", "path": "/etc/passwd"}', "path"),
        (b'{"sample": 1, "target": "a", "edits": [{"do": "exec"}]}', "do"),
        (b'{"sample": 1, "target": "a", "resolution": 1000}', "resolution"),
        (b"[" * 100_000, "an object in JSON"),
    ],
)
def test_questions_are_checked_key_by_key(body: bytes, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        question_in(MapOf, body)
