"""The leaderboard: what every method and every map without a net is worth on the same samples."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from ram.axes import Axis
from ram.errors import ConfigError, DataError
from ram.evaluation.effort import Effort
from ram.evaluation.leaderboard import Leaderboard, load_leaderboard
from ram.evaluation.net_scores import Asked
from ram.evaluation.scoring import score_maps
from ram.evaluation.subject import Subject
from ram.maps.methods import METHODS
from ram.models.backbones import build_backbone
from ram.models.regressor import Regressor, TargetScaling

COUNT, SIZE = 10, 8
QUICK = Effort(
    passes=400,
    least=3,
    least_again=2,
    curves=4,
    infills=2,
    imputed=2,
    claimed=4,
    patches=4,
    changed=2,
    forgotten=2,
    draws=1,
    options={
        "integrated-gradients": {"steps": 4}, "gradient-shap": {"samples": 2}, "smoothgrad": {"samples": 2},
    },
)  # fmt: skip


def subject(ndim: int, *, log: bool = False) -> Subject:
    """A net whose exact map is the truth: physics is what it says, so that the best map is known."""
    torch.manual_seed(ndim)
    size = SIZE if ndim < 3 else 4
    backbone = build_backbone("plain", ndim=ndim, channels=2, widths=[6], depth=2)
    net = Regressor(
        backbone,
        targets=[TargetScaling("mass", "kg"), TargetScaling("f", "Hz", mean=6.0, scale=0.2 if log else 30.0, log=log)],
        input_mean=[0.0, 5.0],
        input_scale=[1.0, 2.0],
    ).eval()
    draw = np.random.default_rng(ndim)
    fill = (draw.random((COUNT, *(size,) * ndim)) < 0.8).astype(np.float32)
    x = np.stack([fill, draw.normal(5.0, 2.0, size=fill.shape)], axis=1).astype(np.float32)
    axes = tuple(Axis.uniform(name, "mm", size=size, step=1.0) for name in "zyx"[3 - ndim :])
    codes = np.broadcast_to((np.arange(size) * 3 // size).astype(np.uint8), fill.shape)
    bare = Subject(
        net, "f", x, x.mean(axis=0), axes, {"fill": "1", "thickness": "mm"}, groups=np.array(list("aabbccddee")),
        regions=codes, region_names=("left", "middle", "right"), measured=np.linspace(0.0, 9.0, COUNT),
    )  # fmt: skip
    truth = bare.explain("ram").on_input_grid().contributions
    slopes = bare.explain("gradient").part("thickness").contributions
    return replace(
        bare, contribution=truth, sensitivity={"thickness": slopes}, mean_sensitivity={"thickness": slopes.mean(axis=0)}
    )


@pytest.fixture(scope="module", params=[1, 2, 3])
def board(request: pytest.FixtureRequest) -> Leaderboard:
    return score_maps(subject(request.param), effort=QUICK)


def test_every_method_and_every_trivial_map_has_a_row(board: Leaderboard) -> None:
    assert [row.name for row in board.rows if row.kind == "method"] == list(METHODS)
    trivial = [row.name for row in board.rows if row.kind == "trivial"]
    expected = ["image (fill)", "image (thickness)", "image - reference (fill)", "image - reference (thickness)"]
    expected += ["mean sensitivity", "mean sensitivity x (x - reference)", "edges", "random", "random net"]
    assert trivial == expected
    for row in board.rows:
        assert row.refused or "spearman" in row.figures, row.name
        assert np.isfinite(row.seconds) == (row.kind == "method" and not row.refused)


def test_a_net_that_is_the_physics_has_the_best_map_and_every_score_says_so(board: Leaderboard) -> None:
    best = {name: figure.value for name, figure in board.row("ram").figures.items()}
    for name in ("spearman", "pearson", "top", "sign", "auc", "pointing"):  # mass asks for sparse maps
        others = [row.figures[name].value for row in board.rows if name in row.figures]
        assert best[name] == pytest.approx(max(others)), name
    for name in ("spearman", "pearson", "top", "sign", "auc", "pointing"):
        assert best[name] == pytest.approx(1.0), name
    assert best["regions"] == pytest.approx(0.0, abs=1e-6)
    assert best["regions_share"] == pytest.approx(0.0, abs=1e-5)
    assert board.row("gradient").figures["sensitivity"].value == pytest.approx(1.0)
    assert board.best() is not None
    assert board.row("random").figures["spearman"].value < 0.5


def test_methods_that_are_one_map_are_asked_about_once(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[float] = []
    count, perturbed = [], Asked.perturbed
    monkeypatch.setattr(Asked, "perturbed", lambda self, claims: count.append(1) or perturbed(self, claims))
    found = score_maps(subject(1), methods=["ram", "grad-ram", "hirescam"], effort=QUICK, progress=told.append)
    assert len(count) == 1 + 9  # the maps without a net
    assert found.row("hirescam").figures["ordering"] == found.row("ram").figures["ordering"]
    assert sum(told) == pytest.approx(1.0)


@pytest.mark.slow
def test_figures_do_not_depend_on_the_number_of_processes() -> None:
    one, two = (score_maps(subject(1), effort=QUICK, jobs=jobs) for jobs in (1, 2))
    texts = [[repr((row.name, row.figures, row.cascade)) for row in board.rows] for board in (one, two)]
    assert texts[0] == texts[1]  # repr: nan is not equal to itself


def test_a_border_finer_than_a_cell_is_nobody_s_error() -> None:
    whole = subject(1)  # cells of two points; the regions' borders lie within some of them
    texture = np.tile([100.0, -100.0], SIZE // 2)  # what no cell can say: each holds as much of it as of its opposite
    found = score_maps(replace(whole, contribution=whole.contribution + texture), methods=["ram"], effort=QUICK)
    assert found.row("ram").figures["regions"].value == pytest.approx(0.0, abs=1e-4)
    assert found.row("ram").figures["spearman"].value == pytest.approx(1.0)


def test_gradients_are_held_against_contributions_as_their_product_with_the_difference(board: Leaderboard) -> None:
    slope, product = board.row("gradient").figures, board.row("gradient-x-input").figures
    for name in ("spearman", "pearson", "regions"):
        assert slope[name].value == pytest.approx(product[name].value, rel=1e-6)


def test_scores_that_need_a_unit_are_of_maps_that_have_one(board: Leaderboard) -> None:
    without = [name for name, method in METHODS.items() if method.grade == "relative"] + [
        "occlusion",
        "edges",
        "image (fill)",
    ]
    for name in without:
        assert not {"regions", "regions_share"} & set(board.row(name).figures), name
    for name in ("ram", "integrated-gradients", "region-ablation", "random net", "mean sensitivity x (x - reference)"):
        assert {"regions", "regions_share"} <= set(board.row(name).figures), name
    assert board.column("regions").unit == "Hz"


def test_slow_methods_are_scored_on_fewer_samples_and_say_so() -> None:
    few = score_maps(subject(2), methods=["ram", "occlusion"], effort=QUICK)
    assert few.row("ram").figures["spearman"].samples == COUNT
    assert few.row("occlusion").figures["spearman"].samples == 6  # 400 passes for 8 x 8 windows
    assert "6 of 10 samples" in few.row("occlusion").notes
    assert few.groups == 5


def test_a_method_that_refuses_says_why_and_a_subject_without_truth_has_no_such_column() -> None:
    blind = replace(subject(2), contribution=None, sensitivity={}, mean_sensitivity={}, regions=None, region_names=())
    found = score_maps(blind, methods=["ram", "shapley-regions"], effort=QUICK)
    assert "regions must be given" in found.row("shapley-regions").refused
    assert found.row("mean sensitivity").refused == "the training part holds no sensitivities"
    assert not {"spearman", "mass", "regions", "sensitivity"} & {column.name for column in found.columns}
    assert not found.against_truth


def test_a_region_that_the_data_name_is_the_true_one() -> None:
    whole = subject(2)
    region = np.zeros((COUNT, SIZE, SIZE), dtype=bool)
    region[:, :4] = True
    found = score_maps(replace(whole, region=region), methods=["ram"], effort=QUICK)
    cells = whole.explain("ram").contributions
    share = np.abs(cells[:, :2]).sum(axis=(1, 2)) / np.abs(cells).sum(axis=(1, 2))
    assert found.row("ram").figures["mass"].value == pytest.approx(share.mean())
    assert found.column("mass").chance == pytest.approx(0.5)


def test_a_board_is_written_and_read_as_it_is(board: Leaderboard) -> None:
    text = board.to_json()
    again = Leaderboard.from_json(text)
    assert again.to_json() == text
    assert repr(again.row("ram")) == repr(board.row("ram"))  # nan is not equal to itself
    assert again.columns == board.columns


def test_another_text_is_no_board(tmp_path, board: Leaderboard) -> None:
    for text in ("{", "[]", "{}", board.to_json().replace("ram-leaderboard/1", "x"), '{"schema": "ram-leaderboard/1"}'):
        with pytest.raises(DataError, match=r"leaderboard: its text must be of schema ram-leaderboard/1. Got"):
            Leaderboard.from_json(text)
    (tmp_path / "leaderboard.json").write_text("{")
    with pytest.raises(DataError, match=r"leaderboard\.json: a leaderboard must be readable"):
        load_leaderboard(tmp_path / "leaderboard.json")


def test_what_is_not_there_is_named(board: Leaderboard) -> None:
    with pytest.raises(DataError, match=r"a column must be one of spearman.*Got spaerman. Did you mean 'spearman'"):
        board.column("spaerman")
    with pytest.raises(DataError, match=r"a row must be one of ram, .*Got rom"):
        board.row("rom")
    with pytest.raises(ConfigError, match="method must be one of"):
        score_maps(subject(1), methods=["magic"])
    with pytest.raises(DataError, match=r"Subject: the target must be one of mass, f. Got g"):
        replace(subject(1), target="g")
    with pytest.raises(DataError, match=r"Subject: contribution must be of shape \(10, 8\). Got \(10, 7\)"):
        replace(subject(1), contribution=np.zeros((COUNT, 7)))
