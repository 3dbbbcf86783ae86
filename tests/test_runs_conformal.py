"""Intervals and p-values: the exact law of their coverage, another library's ranks, groups."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ram.data.parting import draw_share, independent_groups
from ram.errors import DataError
from ram.evaluation.coverage import coverage
from ram.models.regressor import TargetScaling
from ram.runs.calibration import Calibration
from ram.runs.config import TrustConfig
from ram.runs.conformal import Scores, coverage_by_chance

HERTZ = (TargetScaling("umbrella", "Hz"),)


def alone(count: int) -> np.ndarray:
    return np.array([f"s{number}" for number in range(count)])


def calibrated(values, measured, *, groups=None, targets=HERTZ, distances=None, spread=None, **settings) -> Calibration:
    count = len(values)
    return Calibration.of(
        values[:, None],
        measured[:, None],
        np.ones(count) if distances is None else distances,
        alone(count) if groups is None else groups,
        targets=targets,
        settings=TrustConfig(**settings),
        spread=spread,
    )


def heteroscedastic(count: int, *, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Predictions, measured values and how hard each sample is: errors of heavy tails, five times wider at one end."""
    draw = np.random.default_rng(seed)
    hardness = draw.uniform(0.2, 1.0, count)
    values = draw.normal(500.0, 40.0, count)
    return values, values + hardness * draw.standard_t(3, count), hardness


def mean_coverage(
    values, measured, *, distances=None, calibrating: int, level: float = 0.9, repeats: int = 200, **words
):
    """Mean over random re-splits of the share of the other samples that their intervals hold."""
    shares = []
    for seed in range(repeats):
        order = np.random.default_rng(seed).permutation(len(values))
        first, rest = order[:calibrating], order[calibrating:]
        pick = (lambda rows: None) if distances is None else (lambda rows: distances[rows])
        known = calibrated(values[first], measured[first], distances=pick(first), level=level, **words)
        away = np.ones(len(rest)) if distances is None else distances[rest]
        judged = known.judged(values[rest][:, None], away, targets=HERTZ)
        shares.append(coverage(judged.lower[:, 0], judged.upper[:, 0], measured[rest], level=level).coverage)
    return float(np.mean(shares))


@pytest.mark.parametrize(("count", "level"), [(9, 0.9), (10, 0.9), (19, 0.9), (57, 0.8), (99, 0.9), (199, 0.95)])
def test_the_radius_is_the_exact_order_statistic(count, level):
    """The (n + 1) level-th smallest error, counted in whole numbers so that no rounding is involved."""
    scores = np.random.default_rng(count).exponential(size=count)
    rank = -(-(count + 1) * round(100 * level) // 100)
    assert Scores.of(scores, alone(count)).radius(level) == np.sort(scores)[rank - 1]


@pytest.mark.filterwarnings("ignore:WARNING. at least one point:UserWarning")
@pytest.mark.parametrize("count", [11, 19, 29, 60, 99])
def test_intervals_are_those_of_mapie(count):
    from mapie.regression import SplitConformalRegressor
    from sklearn.base import BaseEstimator, RegressorMixin

    class Given(RegressorMixin, BaseEstimator):
        """A model whose input is its prediction."""

        fitted_, n_features_in_ = True, 1

        def fit(self, x, y=None):
            return self

        def predict(self, x):
            return np.asarray(x)[:, 0]

    values, measured, _ = heteroscedastic(count + 5, seed=count)
    theirs = SplitConformalRegressor(Given(), confidence_level=0.9, prefit=True)
    theirs.conformalize(values[:count, None], measured[:count])
    ends = theirs.predict_interval(values[count:, None])[1][..., 0]
    own = calibrated(values[:count], measured[:count]).judged(values[count:, None], np.ones(5), targets=HERTZ)
    np.testing.assert_allclose(np.hstack([own.lower, own.upper]), ends, rtol=1e-12)


@pytest.mark.parametrize("count", [20, 57, 100])
def test_mean_coverage_is_the_exact_expectation(count):
    """ceil((n + 1) level) / (n + 1) of new samples, whatever the errors: 200 re-splits of 4,000 heavy-tailed ones."""
    values, measured, _ = heteroscedastic(4000, seed=7)
    exact = np.ceil((count + 1) * 0.9) / (count + 1)
    # The standard error of one calibration is sqrt(0.9 * 0.1 / (n + 2)); four of the mean of 200.
    tolerance = 4 * np.sqrt(0.09 / (count + 2) / 200)
    assert mean_coverage(values, measured, calibrating=count) == pytest.approx(exact, abs=tolerance)


@pytest.mark.parametrize("kind", ["none", "distance"])
def test_coverage_of_90_per_cent_within_half_a_per_cent(kind):
    values, measured, hardness = heteroscedastic(3000, seed=1)
    share = mean_coverage(values, measured, distances=hardness, calibrating=1000, difficulty=kind)
    assert share == pytest.approx(0.9, abs=0.005)


def test_difficulty_makes_hard_samples_wide_and_the_mean_width_small():
    values, measured, hardness = heteroscedastic(4000, seed=2)
    widths = {}
    for kind in ("none", "distance"):
        known = calibrated(values[:2000], measured[:2000], distances=hardness[:2000], difficulty=kind)
        judged = known.judged(values[2000:, None], hardness[2000:], targets=HERTZ)
        widths[kind] = (judged.upper - judged.lower)[:, 0]
    assert np.ptp(widths["none"]) < 1e-9
    assert np.corrcoef(widths["distance"], hardness[2000:])[0, 1] > 0.999
    assert widths["distance"].mean() < 0.95 * widths["none"].mean()


def test_members_spread_can_be_the_difficulty():
    values, measured, hardness = heteroscedastic(400, seed=3)
    known = calibrated(values, measured, spread=hardness[:, None], difficulty="spread")
    judged = known.judged(values[:, None], np.ones(400), targets=HERTZ, spread=hardness[:, None])
    width = (judged.upper - judged.lower)[:, 0]
    np.testing.assert_allclose(width / width[0], (hardness + 0.1) / (hardness[0] + 0.1), rtol=1e-9)


def test_samples_of_one_specimen_promise_a_new_specimen():
    """15 specimens of 25 recordings that share an error: counted as 375 samples the promise would be broken."""
    draw = np.random.default_rng(11)
    honest, naive = [], []
    for _ in range(300):
        errors = np.abs(np.repeat(draw.normal(size=15), 25) + 0.1 * draw.normal(size=375))
        new = np.abs(draw.normal(size=200) + 0.1 * draw.normal(size=200))
        groups = np.repeat(alone(15), 25)
        honest.append((new <= Scores.of(errors, groups).radius(0.9)).mean())
        naive.append((new <= Scores.of(errors, alone(375)).radius(0.9)).mean())
    assert np.mean(honest) >= 0.895
    assert np.mean(naive) < 0.885


def test_too_few_samples_promise_nothing():
    eight = calibrated(np.zeros(8), np.arange(8.0))
    judged = eight.judged(np.zeros((1, 1)), np.ones(1), targets=HERTZ)
    assert (judged.lower[0, 0], judged.upper[0, 0]) == (-np.inf, np.inf)
    assert np.isfinite(eight.judged(np.zeros((1, 1)), np.ones(1), targets=HERTZ, level=0.8).upper).all()
    none = calibrated(np.zeros(0), np.zeros(0)).judged(np.zeros((2, 1)), np.ones(2), targets=HERTZ)
    assert np.isinf(none.upper).all()
    assert (none.outside > none.alarm).all()


def test_intervals_of_a_log_target_are_factors():
    log = (TargetScaling("life", "h", log=True),)
    draw = np.random.default_rng(5)
    values = np.exp(draw.normal(5.0, 1.0, 99))
    measured = values * np.exp(0.2 * draw.normal(size=99))
    judged = calibrated(values, measured, targets=log).judged(values[:, None], np.ones(99), targets=log)
    factor = np.exp(np.sort(np.abs(np.log(measured / values)))[89])
    np.testing.assert_allclose(judged.upper[:, 0], values * factor, rtol=1e-12)
    np.testing.assert_allclose(judged.lower[:, 0], values / factor, rtol=1e-12)


def test_what_was_not_measured_does_not_calibrate():
    values = np.zeros(30)
    measured = np.where(np.arange(30) % 2, np.nan, np.arange(30.0))
    assert calibrated(values, measured).errors["umbrella"].groups == 15


@given(st.lists(st.floats(0, 10), min_size=1, max_size=40), st.floats(0, 10))
def test_p_values_count_those_as_far_away(scores, new):
    expected = (1 + sum(value >= new for value in scores)) / (1 + len(scores))
    assert Scores.of(np.array(scores), alone(len(scores))).p_values(np.array([new]))[0] == pytest.approx(expected)


def test_false_alarms_come_at_the_rate_that_was_asked_for():
    draw = np.random.default_rng(3)
    rates = []
    for _ in range(300):
        scores = Scores.of(draw.exponential(size=199), alone(199))
        rates.append((scores.p_values(draw.exponential(size=300)) <= scores.alarm(0.02)).mean())
    assert np.mean(rates) == pytest.approx(0.02, abs=0.003)
    assert Scores.of(np.ones(49), alone(49)).alarm(0.01) == pytest.approx(0.02)  # the smallest that can be reached
    assert Scores.of(np.ones(18), alone(18)).alarm(0.01) == 0


def test_chance_explains_what_a_test_part_measures():
    draw = np.random.default_rng(1)
    low, high = coverage_by_chance(0.9, calibrated=60, tested=120)
    shares = []
    for _ in range(1000):
        radius = Scores.of(draw.exponential(size=60), alone(60)).radius(0.9)
        shares.append((draw.exponential(size=120) <= radius).mean())
    assert np.mean((np.array(shares) >= low) & (np.array(shares) <= high)) == pytest.approx(0.955, abs=0.025)
    assert coverage_by_chance(0.9, calibrated=5, tested=10) == (1.0, 1.0)


def test_coverage_refuses_what_it_cannot_count():
    with pytest.raises(DataError, match=r"coverage: ends and measured values must be \(sample,\). Got \(2,\), \(3,\)."):
        coverage(np.zeros(3), np.ones(3), np.zeros(2), level=0.9)
    with pytest.raises(DataError, match=r"coverage: measured values must be finite for a sample. Got none."):
        coverage(np.zeros(2), np.ones(2), np.full(2, np.nan), level=0.9)


@given(st.floats(0.01, 1), st.floats(0.01, 1), st.integers(0, 3))
def test_shares_of_groups_are_nested(one, other, seed):
    groups = [f"g{number // 3}" for number in range(40)]
    small, large = (draw_share(groups, share, seed=seed, purpose="p") for share in sorted((one, other)))
    assert not (small & ~large).any()
    assert len({(group, bool(drawn)) for group, drawn in zip(groups, small, strict=True)}) == len(set(groups))
    assert abs(small.sum() - min(one, other) * 40) <= 1.5


def test_an_id_is_no_group():
    groups = independent_groups(np.array(["a", "", ""]), np.array(["x", "a", "b"]))
    assert len(set(groups)) == 3
