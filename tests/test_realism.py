"""Can a judge tell? Known answers: the same sample, a sample that differs in one known way; areas and intervals against theory."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from realism_parts import constant_stars
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from skyreel.errors import DataError
from skyreel.evaluate import realism_forest
from skyreel.evaluate.realism import balanced_folds, cross_validated, verdict, weighted_auc, whole_adu
from skyreel.evaluate.realism_comparison import of_twins
from skyreel.evaluate.realism_features import FRAME, GROUPS
from skyreel.evaluate.realism_forest import Sample, forest_judge, forest_verdicts, importances, separations
from skyreel.evaluate.realism_objects import OBJECT

TWO_KINDS = np.repeat([True, False], 240)
FOUR_FRAMES = np.tile(np.repeat(np.arange(60), 4), 2)
"""60 objects of four frames and their twins."""


@pytest.fixture(autouse=True)
def few_trees(monkeypatch):
    monkeypatch.setattr(realism_forest, "TREES", 40)


def judged(values, real, group):
    fold = balanced_folds(real, group)
    return verdict("frame", "forest", cross_validated(forest_judge(values, real, 0), fold), real, group, fold)


def test_equal_samples_cannot_be_told_and_different_ones_can():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(480, 3))
    same = judged(values, TWO_KINDS, FOUR_FRAMES)
    assert same.interval[0] < 0.5 < same.interval[1]
    values[TWO_KINDS, 1] += 2.0
    other = judged(values, TWO_KINDS, FOUR_FRAMES)
    assert other.auc == pytest.approx(norm.cdf(2 / np.sqrt(2)), abs=0.05)  # two normal samples two sigma apart
    assert next(iter(separations(values, TWO_KINDS, ("a", "b", "c")))) == "b"


def test_what_only_an_object_knows_does_not_help():
    """Frames of an object share a number: judges that had seen the object would know it."""
    rng = np.random.default_rng(1)
    values = np.where(TWO_KINDS, 1.0, -1.0)[:, None] * rng.normal(size=(60, 1))[FOUR_FRAMES] + 0.01 * rng.normal(size=(480, 1))
    assert judged(values, TWO_KINDS, FOUR_FRAMES).auc < 0.75  # judged by objects it has seen, it would be 1


def test_what_only_a_field_knows_helps_by_object_but_not_by_field():
    """Real exposures of a field leave their mark on all its stars: by field, no judge has seen the mark."""
    rng = np.random.default_rng(2)
    field = (FOUR_FRAMES % 6).astype(np.int32)
    mark = rng.normal(size=(6, len(FRAME)))
    values = rng.normal(size=(480, len(FRAME)))
    values[TWO_KINDS] = mark[field[TWO_KINDS]] + 0.05 * rng.normal(size=(240, len(FRAME)))
    sample = Sample(values, TWO_KINDS, FOUR_FRAMES, field)
    scores = {(item.level, item.folds): item.auc for item in forest_verdicts(sample, ("frame",))}
    assert scores["frame", "object"] > 0.98
    assert scores["frame", "field"] < scores["frame", "object"] - 0.05


def test_fields_of_a_star_or_two_are_no_folds_of_their_own(monkeypatch):
    """40 % + 30 % + 25 % and two small fields: three judges by field, each of which has not seen a whole field."""
    asked = []
    judge = realism_forest.forest_judge

    def noted(values, real, seed):
        answer = judge(values, real, seed)
        return lambda seen, held_out: asked.append(held_out) or answer(seen, held_out)

    monkeypatch.setattr(realism_forest, "forest_judge", noted)
    field = np.repeat([10, 11, 17, 22, 30], [24, 18, 16, 1, 1])[FOUR_FRAMES].astype(np.int32)
    values = np.random.default_rng(0).normal(size=(480, len(FRAME)))
    found = forest_verdicts(Sample(values, TWO_KINDS, FOUR_FRAMES, field), ("background",))
    assert [item.folds for item in found] == ["object", "field"]
    by_field = asked[5:]
    assert len(by_field) == 3
    for held_out in by_field:
        assert not set(field[held_out]) & set(np.delete(field, held_out))


def test_one_field_alone_is_not_held_out():
    values = np.random.default_rng(0).normal(size=(480, len(FRAME)))
    sample = Sample(values, TWO_KINDS, FOUR_FRAMES, np.full(480, 7, np.int32))
    assert {item.folds for item in forest_verdicts(sample, ("background",))} == {"object"}


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 6), st.booleans(), st.integers(0, 3)), min_size=2, max_size=60).filter(
        lambda rows: len({real for _, real, weight in rows if weight}) == 2
    )
)
def test_area_is_that_of_sklearn(rows):
    """Ties, weights of nought and all."""
    score, real, weight = (np.array(column) for column in zip(*rows, strict=True))
    area = weighted_auc(score / 6.0, real, np.zeros(len(rows), np.intp), weight[None].astype(float))[0]
    assert area == pytest.approx(roc_auc_score(real, score, sample_weight=weight))


def test_rows_of_different_judges_are_not_compared():
    """Two judges that are right, but call different numbers high."""
    real = np.array([True, False, True, False])
    area = weighted_auc(np.array([0.4, 0.1, 0.9, 0.6]), real, np.array([0, 0, 1, 1]), np.ones((1, 4)))[0]
    assert area == 1.0
    assert roc_auc_score(real, [0.4, 0.1, 0.9, 0.6]) == 0.75


@given(st.lists(st.tuples(st.integers(0, 30), st.booleans()), min_size=5, max_size=80))
def test_folds_hold_whole_groups_of_both_kinds(rows):
    group, real = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    fewest = min(len(np.unique(group[real])), len(np.unique(group[~real])))
    if fewest < 2:
        with pytest.raises(DataError, match=f"{fewest} objects.*at least 2"):
            balanced_folds(real, group, 2)
        return
    fold = balanced_folds(real, group, 2)
    for name in np.unique(group):
        assert len(set(fold[group == name])) == 1
    for kind in (real, ~real):
        alone = np.setdiff1d(group[kind], group[~kind])
        counts = [sum(fold[np.flatnonzero(group == name)[0]] == k for name in alone) for k in (0, 1)]
        if len(alone) > 1:
            assert min(counts) >= 1


def test_interval_covers_the_truth():
    """Frames of one object are alike: intervals over objects hold the true area about 95 times in 100."""
    rng = np.random.default_rng(3)
    real, group = np.repeat([True, False], 200), np.tile(np.repeat(np.arange(40), 5), 2)
    truth = norm.cdf(0.8 / np.sqrt(2 * (1.0 + 0.6**2)))
    fold = balanced_folds(real, group)
    held = []
    for trial in range(120):
        own = rng.normal(size=(2, 40))[np.where(real, 0, 1), group]
        score = 0.8 * real + own + 0.6 * rng.normal(size=400)
        low, high = verdict("frame", "forest", score, real, group, fold, seed=trial).interval
        held.append(low <= truth <= high)
    assert 0.86 <= np.mean(held) <= 1.0  # 95 % less three binomial sigma and what few objects cost a percentile interval


def test_real_stamps_are_rounded():
    stars = constant_stars(3)
    broken = replace(stars, pixels=np.asarray(stars.pixels, np.float32) + np.float32(0.3))
    pixels = whole_adu(broken).pixels
    np.testing.assert_array_equal(pixels, np.round(pixels))


def test_a_simulation_cannot_be_told_from_itself(monkeypatch):
    """No bias to either side: the mean of five comparisons lies within three standard errors of one half."""
    monkeypatch.setattr(realism_forest, "TREES", 15)
    levels = ("frame", "background", "object")
    pairs = [of_twins(constant_stars(30, seed=2 * k + 1), constant_stars(30, seed=2 * k + 2), 0.27) for k in range(5)]
    found = np.array([[item.auc for item in forest_verdicts(pair.sample, levels)] for pair in pairs])
    error = np.array([0.045, 0.034, 0.104]) / np.sqrt(len(pairs))  # scatter of 14 other comparisons of 30 stars
    assert (np.abs(found.mean(axis=0) - 0.5) < 3 * error).all(), found


@pytest.mark.parametrize(
    ("overrides", "columns", "groups", "feature"),
    [
        (["detector.read_noise=false"], {"sky": 10.0}, {"noise"}, "noise_ratio"),
        ([], {"psf_fwhm": 4.4}, {"width", "profile"}, "width_ratio"),  # rings are in px: they show the width as well
        (["simulation.sky_jitter=0.1"], {}, {"sky level"}, "sky_ratio"),
    ],
)
def test_what_is_wrong_is_named(overrides, columns, groups, feature):
    same = {name: value for name, value in columns.items() if name == "sky"}
    right, wrong = constant_stars(30, seed=1, **same), constant_stars(30, *overrides, seed=2, **columns)
    sample = of_twins(right, wrong, 0.27).sample
    lost = importances(sample)
    assert next(iter(lost)) in groups
    assert lost[next(iter(lost))] > 0.05 > max(loss for group, loss in lost.items() if group not in groups)
    alone = separations(sample.values, sample.real)
    assert alone[feature] > 0.85
    assert alone["centre_x"] < 0.6


def test_a_wider_scatter_is_a_giveaway():
    """Two centred normals, one twice as wide: their absolute values differ, with the area 1/2 + (atan 2 - atan 1/2) / pi."""
    values = np.random.default_rng(4).normal(size=(20_000, 1)) * np.repeat([1.0, 2.0], 10_000)[:, None]
    found = separations(values, np.repeat([True, False], 10_000), ("a",))["a"]
    assert found == pytest.approx(0.5 + (np.arctan(2) - np.arctan(0.5)) / np.pi, abs=0.01)


def test_wrong_centring_is_named_by_what_scatters():
    sample = of_twins(constant_stars(40, seed=1), constant_stars(40, "simulation.centring=per_object", seed=2), 0.27).sample
    whole = sample.objects()
    assert set(list(separations(whole.values, whole.real, OBJECT))[:2]) == {"scatter centre_x", "scatter centre_y"}


def test_groups_hold_every_feature_once():
    grouped = [name for features in GROUPS.values() for name in features]
    assert sorted(grouped) == sorted(FRAME)
