"""The report of a real run: its numbers, its safety as a file, and what it says where the data say less."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest

import ram
from ram.axes import Axis
from ram.data.dataset import open_dataset
from ram.data.layout import write_dataset
from ram.data.spec import DatasetSpec, Record
from ram.errors import DataError
from ram.evaluation.bootstrap import bootstrap
from ram.evaluation.localisation import rank_agreement, summed_on_cells
from ram.evaluation.regions import region_table
from ram.runs.run import Run, open_run
from ram.storage import atomic
from ram.training.train import train
from ram.views import report, story
from ram.views.findings import explained_targets
from ram.views.panels import panel
from ram.views.pictures import region_bars, scatter
from ram.views.report import PICTURES, render, write_report
from ram.views.story import Story, tell
from ram.views.style import png, styled

HOSTILE = "<img src=x onerror=alert(1)>\"'&{{7*7}}${1}"
NO_CONTENT = {"img", "meta", "br", "hr", "input", "link"}


class Page(HTMLParser):
    """The words, tags and attributes of a page; fails where tags do not close in order."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.words: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in NO_CONTENT:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open[-1:] != ["style"]:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).replace("\N{NO-BREAK SPACE}", " ").split())

    def attributes(self, name: str) -> list[str]:
        return [value or "" for _, found in self.tags for key, value in found.items() if key == name]


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the drawing out, which is nearly all the time of a report; what is drawn is looked at elsewhere."""
    undraw(monkeypatch)


def undraw(patch: pytest.MonkeyPatch) -> None:
    for place in ("ram.views.style.png", "ram.views.report.png"):
        patch.setattr(place, lambda _: b"a picture")


@pytest.fixture(scope="module")
def trained(disc_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run on discs whose thickness and truth tilt along x: sums are kept, cells are unlike."""
    folder = tmp_path_factory.mktemp("tilted")
    data = open_dataset(disc_folder / "discs.h5")
    kind, tilt = ("umbrella", "contribution"), 1 + np.linspace(-0.3, 0.3, data.axes[1].size)
    spec = DatasetSpec(
        name=data.name, source="made for the tests", axes=data.axes, channels=data.channels, targets=data.targets,
        truth=data.truth_kinds, regions=data.region_names, count=len(data), reference=data.reference_design(),
    )  # fmt: skip
    records = (
        Record(
            id=disc.id, x=np.stack([disc.x[0], tilt.astype(np.float32) * disc.x[1]]), targets=disc.targets,
            split={"default": str(part)}, regions=disc.regions,
            truth={kind: tilt * disc.truth[kind]} if kind in disc.truth else {},
        )
        for disc, part in zip(data, data.split_array(), strict=True)
    )  # fmt: skip
    write_dataset(folder / "discs.h5", spec, records)
    words = (disc_folder / "discs.toml").read_text(encoding="utf-8").replace("samples = 3", "samples = 2")
    (folder / "discs.toml").write_text(words, encoding="utf-8")
    train(folder / "discs.toml", output=folder / "run", progress=False)
    return folder


def copied(trained: Path, folder: Path) -> Run:
    """A copy of the run that may be written to, beside its data."""
    shutil.copy(trained / "discs.h5", folder)
    return open_run(shutil.copytree(trained / "run", folder / "run"))


@pytest.fixture(scope="module")
def run(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return copied(trained, tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def told(run: Run) -> Story:
    return tell(run)


@pytest.fixture(scope="module")
def written(run: Run) -> str:
    with pytest.MonkeyPatch.context() as patch:
        undraw(patch)
        return write_report(run).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(written: str) -> Page:
    return Page(written)


def test_every_figure_of_the_metrics_is_in_the_table(run: Run, page: Page) -> None:
    for name, figures in run.metrics["test"].items():
        decimals = 1 if 10 <= figures["mae"] < 100 else 1 - int(np.floor(np.log10(figures["mae"])))
        row = page.text[page.text.index(f"{name} {figures['samples']} ") :]
        for key in ("mae", "rmse"):
            assert f" {figures[key]:.{decimals}f} {figures['unit']} " in row
        assert f" {figures['mape']:.3g} % " in row
        assert f" {figures['r2']:.4f} ".replace("-", "−") in row
        assert (
            f" {figures['worst_error']:+.{decimals}f} {figures['unit']} {figures['worst_id']} ".replace("-", "−") in row
        )


def test_summary_says_samples_error_and_agreement(run: Run, told: Story, page: Page) -> None:
    figures, agreement = run.metrics["test"]["umbrella"], told.targets["umbrella"].agreement
    assert agreement is not None
    assert "The net learned from 18 samples; 3 more decided when it was best, 3 calibrated its intervals." in page.text
    assert f"On {figures['samples']} samples that it had never seen, umbrella is off by" in page.text
    assert f"with a correlation of {agreement.mean:.2f} ".replace("-", "−") in page.text


def test_nothing_in_the_page_runs_or_is_fetched(written: str, page: Page) -> None:
    assert "script" not in {tag for tag, _ in page.tags}
    assert not re.search(r"<script|javascript:|https?:|@import|url\(", written, re.IGNORECASE)
    assert not [name for _, found in page.tags for name in found if name.startswith("on") or name == "style"]
    assert all(address.startswith("data:image/png;base64,") for address in page.attributes("src"))
    assert all(address.startswith("#") for address in page.attributes("href"))
    assert {tag for tag, found in page.tags if "src" in found} == {"img"}


def test_policy_allows_its_one_style_sheet_by_digest(written: str) -> None:
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', written)
    style = re.search(r"<style>(.*?)</style>", written, re.DOTALL)
    assert policy
    assert style
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert policy[1] == (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )


def test_every_picture_has_words_and_every_anchor_exists(told: Story, page: Page) -> None:
    cards = 3 * len(told.scale.parts)  # hero and samples: input, net, truth, and a close look where the net is pale
    assert len(page.attributes("src")) == 2 * 2 + cards + 2  # targets, cards, bars and curves
    assert all(found.get("alt") for tag, found in page.tags if tag == "img")
    assert {address[1:] for address in page.attributes("href")} <= set(page.attributes("id"))


def test_the_heading_of_printed_pages_is_words_whatever_the_title_says() -> None:
    rule = report._running_head('"; } body { display: none } /* </style><script>alert(1)</script>')
    (points,) = re.findall(r'content: "((?:\\[0-9a-f]{6})+)"; font', rule)
    assert "".join(chr(int(point, 16)) for point in points.split("\\")[1:]).startswith('"; } body { display')
    assert not re.search(r"[<>]|display|script", rule)


def test_citation_names_software_run_data_and_method(run: Run, page: Page, told: Story) -> None:
    cited = page.text[page.text.index("How to cite this") : page.text.index("Config, with every default")]
    for words in (f"version {ram.__version__}", run.config.name, told.data.digest, "Wang & Yang 2017", "made for the"):
        assert words in cited
    entry = cited[cited.index("@misc{discs,") :]
    assert r"Wang \& Yang" in entry
    assert entry.count("{") == entry.count("}")


def test_the_gallery_spans_the_predictions(many_run: Path) -> None:
    """30 samples of truth: three are shown, the lowest, one in the middle, the highest."""
    found = tell(open_run(many_run))
    test = open_run(many_run).predictions("test")
    predicted = test.column("umbrella")[0]
    shown = found.shown.maps.prediction
    assert (shown[0], shown[-1]) == pytest.approx((predicted.min(), predicted.max()))
    middle = 0.5 * (predicted.min() + predicted.max())
    assert abs(shown[1] - middle) == pytest.approx(np.abs(predicted - middle).min())


def test_an_error_has_the_interval_of_other_samples(run: Run, told: Story, page: Page) -> None:
    predicted, measured = told.test.column("mass")
    of = dict(zip(told.data.ids.tolist(), told.data.groups.tolist(), strict=True))
    found = bootstrap(np.abs(predicted - measured), groups=[of[name] for name in told.test.ids.tolist()])
    assert found is not None
    writer = told.writers["mass"]
    low, high = ("–", "–") if np.isnan(found.low) else (writer.bare(found.low), writer.bare(found.high))
    expected = "–" if np.isnan(found.low) else f"{low} … {high}"
    assert (
        f"{writer.value(run.metrics['test']['mass']['mae'])} {expected} ".replace("\N{NO-BREAK SPACE}", " ")
        in page.text
    )


def test_very_large_pages_are_drawn_coarser(told: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []

    def rendered(_: object) -> str:
        with styled():
            drawn.append(len(png(scatter(told.clouds["mass"]))))
        return "x" * drawn[-1]

    monkeypatch.setattr(report, "page", lambda _: {})
    monkeypatch.setattr(report, "render", rendered)
    assert report._mailable(told) == "x" * drawn[0]
    monkeypatch.setattr(report, "LARGEST", 0.8 * drawn[0])
    del drawn[:]
    assert len(report._mailable(told)) == drawn[-1] <= 0.8 * drawn[0]
    assert len(drawn) > 1


def test_the_line_of_each_sample_adds_up(told: Story, page: Page) -> None:
    line = r"(d\d+): (−?[\d.]+) Hz = (−?[\d.]+) Hz \(mean design\) ([+−]) ([\d.]+) Hz"
    found = re.findall(line, page.text)
    assert len({name for name, *_ in found}) == 2
    assert {name for name, *_ in found} == {scene.name for scene in told.scenes}
    for _, prediction, base, sign, rest in found:
        numbers = [float(word.replace("−", "-")) for word in (prediction, base, rest)]
        assert numbers[0] == pytest.approx(numbers[1] + (numbers[2] if sign == "+" else -numbers[2]), abs=1e-9)


def test_gallery_holds_net_and_physics_against_the_same_design(run: Run, told: Story) -> None:
    """Oracle: the map against the file's mean design and the truth, both summed by hand."""
    test = run.data().subset("test")
    design = test.reference_design()
    assert design is not None
    chosen = test[[test.ids.tolist().index(scene.name) for scene in told.scenes]]
    maps = run.explain(chosen, target="umbrella", reference=design)
    truth = chosen.truth_array("umbrella", "contribution").astype(np.float64)
    cells = summed_on_cells(truth, source=maps.input_axes, cells=maps.axes)
    for number, scene in enumerate(told.scenes):
        np.testing.assert_allclose(scene.net, maps.contributions[number], atol=1e-12)
        np.testing.assert_allclose(scene.truth, cells[number], atol=1e-12)
        assert scene.solid is not None
        np.testing.assert_array_equal(np.isnan(scene.input), ~scene.solid)
    assert told.scale.limit == pytest.approx(
        max(np.percentile(np.abs(values), 99.5) for scene in told.scenes for values in (scene.net, scene.truth))
    )


def test_agreement_is_over_material_and_says_what_each_says_of_the_mean_design(
    run: Run, told: Story, page: Page
) -> None:
    test = run.data().subset("test")
    design = test.reference_design()
    assert design is not None
    maps = run.explain(test, target="umbrella", reference=design)
    truth = test.truth_array("umbrella", "contribution").astype(np.float64)
    cells = summed_on_cells(truth, source=maps.input_axes, cells=maps.axes)
    agreement = told.targets["umbrella"].agreement
    assert agreement is not None
    np.testing.assert_array_equal(agreement.ranks, rank_agreement(maps.contributions, cells))  # a solid design
    assert agreement.solver_reference == pytest.approx(500.0, abs=1e-3)  # by the recipe of the discs
    assert agreement.net_reference == pytest.approx(maps.baseline[0])
    naive = summed_on_cells(
        np.moveaxis(test.x() - design, 1, 0).reshape(-1, 16, 16), source=maps.input_axes, cells=maps.axes
    )
    without = [rank_agreement(one, cells).mean() for one in naive.reshape(2, *cells.shape)]
    assert agreement.trivial == pytest.approx(np.nanmax(without))
    assert agreement.trivial_name == ("fill", "thickness")[int(np.nanargmax(without))]
    assert "umbrella 6 " in page.text[page.text.index("Do the maps agree") :]
    assert "A good number does not mean that the map is right" in page.text
    assert "contributions by physics that maps of mass could be held against" in page.text


def test_region_tables_hold_the_numbers_of_the_region_table(run: Run, told: Story, page: Page) -> None:
    table, writer = told.targets["umbrella"].regions, told.writers["umbrella"]
    assert table is not None
    test = run.data().subset("test")
    expected = region_table(
        told.targets["umbrella"].maps, test.regions_array(), test.region_names,
        truth=test.truth_array("umbrella", "contribution").astype(np.float64),
    )  # fmt: skip
    np.testing.assert_allclose(table.net, expected.net)
    np.testing.assert_allclose(table.physics, expected.physics)
    for row in expected.rows:
        signed = " ".join(writer.bare(number, sign=True) for number in (row.net, row.physics))
        absolute = " ".join(writer.bare(number) for number in (row.net_absolute, row.physics_absolute))
        assert f"{row.name} {signed} {absolute} {100 * row.net_share:.0f} %" in page.text
    assert "mass (kg): mean over 6 samples of the test part, against the training mean" in page.text


def test_config_provenance_and_data_card_are_there(run: Run, page: Page) -> None:
    for words in ("training.epochs 2", "model.backbone plain", "seed 3", run.data().digest, "made for the tests"):
        assert words in page.text
    assert "18 train, 6 validation, 6 test" in page.text
    assert "axis x (mm) 16 points, −80 to 80" in page.text


def test_drawn_it_holds_pictures_and_the_manifest_knows_all_files(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = copied(trained, tmp_path)
    monkeypatch.setattr(story, "_SHOWN", 1)  # drawing is nearly all the time of a report
    before = dict(mpl.rcParams)
    page = Page(write_report(run).read_text(encoding="utf-8"))
    assert dict(mpl.rcParams) == before
    for address in page.attributes("src"):
        assert base64.b64decode(address.partition(",")[2], validate=True).startswith(b"\x89PNG\r\n")
    manifest = (run.path / "manifest.json").read_text(encoding="utf-8")
    for name in ("report.html", *PICTURES):
        content = (run.path / name).read_bytes()
        assert content.startswith(b"\x89PNG\r\n" if name.endswith(".png") else b"<!doctype html>")
        assert f'"{name}": "{hashlib.sha256(content).hexdigest()}"' in manifest


@pytest.mark.usefixtures("undrawn")
def test_written_twice_it_has_the_same_bytes(run: Run, written: str) -> None:
    assert write_report(run).read_text(encoding="utf-8") == written


def test_a_picture_has_the_same_bytes_whatever_the_users_own_taste(told: Story) -> None:
    def drawn() -> list[bytes]:
        with styled():
            table, cloud = told.targets["umbrella"].regions, told.clouds["mass"]
            assert table is not None
            bars = region_bars(table.rows, unit="Hz", title="$x_1$ is no formula")
            return [png(figure) for figure in (panel(told.scenes[0], "net", scale=told.scale), scatter(cloud), bars)]

    first = drawn()
    assert len(set(first)) == 3
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "pink", "savefig.dpi": 33, "savefig.transparent": True}):
        assert drawn() == first


@pytest.fixture
def old_report(tmp_path: Path, told: Story, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A folder with an old report; what would be written over it is known and needs no time."""
    (tmp_path / "pictures").mkdir()
    for name in ("report.html", *PICTURES):
        (tmp_path / name).write_bytes(b"old")
    monkeypatch.setattr(report, "tell", lambda _, **__: told)
    monkeypatch.setattr(report, "page", lambda _: {})
    monkeypatch.setattr(report, "render", lambda _: "new")
    monkeypatch.setattr(report, "_pictures", lambda _: dict.fromkeys(PICTURES, b"new"))
    return Run(tmp_path)


@pytest.mark.parametrize("failing", [1, 2, 3, 4])
def test_the_old_report_survives_a_failing_write(
    old_report: Run, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    """The disk is full at each of the four files in turn: every file is the old one or the new one, whole."""
    flush, calls = atomic._flush, iter(range(1, 99))

    def fail(path: Path) -> None:
        if path.suffix == ".part" and next(calls) == failing:
            raise OSError(28, "No space left on device")
        flush(path)

    monkeypatch.setattr(atomic, "_flush", fail)
    with pytest.raises(DataError, match=r"must be writable as a whole\. Got 'No space left on device'"):
        write_report(old_report)
    found = [(old_report.path / name).read_bytes() for name in (*PICTURES, "report.html")]
    assert found == [b"new"] * (failing - 1) + [b"old"] * (5 - failing)
    assert not list(old_report.path.rglob("*.part"))


def test_a_failure_on_the_way_writes_nothing(old_report: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "_pictures", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_report(old_report)
    files = [path for path in old_report.path.rglob("*") if path.is_file()]
    assert [path.read_bytes() for path in files] == [b"old"] * 4


def test_without_its_data_a_run_has_no_report(trained: Path, tmp_path: Path) -> None:
    run = copied(trained, tmp_path)
    (tmp_path / "discs.h5").unlink()
    with pytest.raises(DataError, match=r"discs\.h5"):
        write_report(run)
    assert not (run.path / "report.html").exists()


def test_hostile_words_arrive_as_words() -> None:
    """Every word that a file or a folder can hold, in every place that the template knows."""
    picture = {"source": "data:image/png;base64,AAAA", "words": HOSTILE}
    table = {"caption": HOSTILE, "head": [HOSTILE], "rows": [[HOSTILE, HOSTILE]], "foot": [HOSTILE]}
    card = {
        "title": HOSTILE, "words": HOSTILE, "equation": HOSTILE, "pictures": [picture], "without_truth": True,
        "tables": [table],
    }  # fmt: skip
    found = Page(
        render(
            {
                "title": HOSTILE, "subtitle": HOSTILE, "summary": HOSTILE, "sections": [("maps", HOSTILE)],
                "tiles": [{"name": HOSTILE, "value": HOSTILE, "note": HOSTILE}], "hero": card,
                "accuracy": {"words": HOSTILE, "table": table, "cards": [card]},
                **{name: {"words": [HOSTILE], "cards": [{"table": table, "picture": picture, "words": [HOSTILE]}]}
                   for name in ("groups", "ranges", "errors", "leaderboards")},
                "adapted": {"words": HOSTILE, "tables": [table]}, "trust": {"words": [HOSTILE], "tables": [table]},
                "gallery": {"title": HOSTILE, "words": [HOSTILE], "cards": [card]},
                "regions": {"words": [HOSTILE], "picture": picture, "tables": [table]},
                "parts": {"title": HOSTILE, "words": [HOSTILE], "tables": [table]},
                "physics": {"words": [HOSTILE], "table": table, "influences": [table]}, "warnings": [HOSTILE],
                "data": [(HOSTILE, HOSTILE)],
                "cite": dict.fromkeys(("words", "text", "bibtex", "sources"), HOSTILE),
                "training": {"picture": picture}, "config": [(HOSTILE, HOSTILE)], "provenance": [(HOSTILE, HOSTILE)],
            }
        )
    )  # fmt: skip
    assert "onerror" not in found.text.replace(HOSTILE, "")
    assert found.text.count(HOSTILE) > 30
    assert not [name for _, names in found.tags for name in names if name.startswith("on")]
    assert {tag for tag, names in found.tags if names.get("src") == "x"} == set()
    assert "49" not in found.text.replace(HOSTILE, "")


def signals(folder: Path, *, count: int = 20) -> Path:
    """Signals without regions and truth; a third is not measured; a parameter beside the input; odd names."""
    spec = DatasetSpec(
        name="taps", axes=(Axis.uniform("time", "ms", size=48, step=0.5),), channels={"acceleration": "m/s^2"},
        targets={"depth": "cm"}, parameters={"load": "N"}, count=count, source=HOSTILE,
    )  # fmt: skip

    def record(number: int) -> Record:
        depth, load = 5.0 + number, 1.0 + (number * 7) % 5
        wave = np.sin(np.arange(48) * (0.2 + 1 / depth))[None].astype(np.float32)
        known = np.nan if number % 3 == 2 else depth + load
        part = ("train", "train", "validation", "test")[number % 4]
        return Record(
            id=f"<b>{number}</b>&", x=wave, targets={"depth": known}, parameters={"load": load}, split={"default": part}
        )

    return write_dataset(folder / "taps.h5", spec, map(record, range(count)))


def signal_run(folder: Path, **data: Any) -> Run:
    content = {
        "name": "taps",
        "data": {"file": str(signals(folder)), "targets": ["depth"], "parameters": ["load"], **data},
        "model": {"backbone": "plain", "widths": [4]},
        "training": {"epochs": 1, "threads": 1, "batch_size": 4},
        "explain": {"samples": 5},
    }
    return train(content, output=folder / "run", progress=False)


@pytest.mark.usefixtures("undrawn")
def test_signals_without_truth_or_regions_have_a_report_that_says_so(tmp_path: Path) -> None:
    run = signal_run(tmp_path)
    page = Page(write_report(run).read_text(encoding="utf-8"))
    assert HOSTILE in page.text
    assert "<b>3</b>&: " in page.text
    assert "Not measured." in page.text
    assert "The file holds no contributions by physics that maps of depth could be held against" in page.text
    assert re.search(r"Beside the map, load carries [+−][\d.]+ cm\.", page.text)
    assert "regions" not in page.attributes("id")
    assert not (run.path / "pictures/regions.png").exists()
    assert {tag for tag, _ in page.tags} & {"b", "script"} == {"b"}  # the tiles' own, none of an id
    assert len([tag for tag, _ in page.tags if tag == "b"]) == 1


@pytest.mark.usefixtures("undrawn")
def test_a_log_target_is_told_in_factors(tmp_path: Path) -> None:
    run = signal_run(tmp_path, log_targets=["depth"])
    page = Page(write_report(run).read_text(encoding="utf-8"))
    shown = tell(run).shown.maps
    factor = float(np.exp(shown.contributions[0].sum()))
    assert re.search(r"<b>3</b>&: [\d.]+ cm = [\d.]+ cm \(training mean\) × [\d.]+", page.text)
    assert tell(run).scenes[0].net_title == f"Net: × {factor:.4f}"
    assert "% per cell of 1 ms" in tell(run).scale.label
    assert f"load carries × {np.exp(shown.parameter_contributions[0, 0]):.4f}" in page.text


@pytest.mark.usefixtures("undrawn")
def test_samples_shown_without_truth_say_so_beside_those_with(
    changed_discs: Callable[..., Path], tmp_path: Path
) -> None:
    """Truth for one disc alone: it is shown first, the averages are over it alone."""
    config = changed_discs(lambda record: record if record.id == "d009" else replace(record, truth={}))
    run = train(config, output=tmp_path / "run", progress=False)
    page = Page(write_report(run).read_text(encoding="utf-8"))
    told = tell(run)
    assert [scene.truth is not None for scene in told.scenes] == [scene.name == "d009" for scene in told.scenes]
    assert page.text.count("The file holds no contributions by physics for this sample.") == 2
    assert "umbrella (Hz): mean over 1 samples" in page.text


def test_averages_are_over_a_limited_number_of_samples(run: Run) -> None:
    part = run.data().subset("test")
    assert len(explained_targets(run, part)["umbrella"].maps) == 6
    assert explained_targets(run, part, largest=4)["mass"].maps.ids == tuple(part.ids[:4])
