"""Bootstrap over fields: against exact counts, its coverage on clustered data, pairs and draws; strata, times, calibration."""

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from scored_toys import NAMES, outcomes, random_outcomes

from skyreel.errors import ConfigError, DataError
from skyreel.evaluate.calibration import calibration_error, equal_mass, reliability
from skyreel.evaluate.intervals import interval, paired_difference
from skyreel.evaluate.outcomes import Outcomes
from skyreel.evaluate.resampling import recalls, resample, wilson
from skyreel.evaluate.strata import strata
from skyreel.evaluate.timing import at_alert, settled, stable_answer


def clustered(rng: np.random.Generator, fields: int, each: int, spread: float) -> Outcomes:
    """Two classes in every field; the chance of a right answer differs from field to field around 0.7."""
    chance = np.repeat(np.clip(0.7 + spread * rng.uniform(-1, 1, fields), 0, 1), each)
    right = rng.random(fields * each) < chance
    label = np.tile([0, 1], fields * each // 2)
    guess = np.where(right, label, 2)
    return outcomes(guess[:, None].tolist(), [NAMES[k] for k in label], field=np.repeat(np.arange(fields, dtype=np.int32), each))


def test_resamples_hold_fields_as_a_whole():
    some = random_outcomes(0, 80, 3, fields=6)
    drawn = resample([some], seed=1, resamples=50)
    assert drawn.kind == "field"
    assert (drawn.weights.sum(axis=1) == 6).all()
    values = np.random.default_rng(0).random((80, 2))
    expected = [sum(w * values[some.field == f].sum(axis=0) for f, w in zip(drawn.names, row, strict=True)) for row in drawn.weights]
    np.testing.assert_allclose(drawn.sums(some, values), expected)


def test_a_mean_recall_of_a_resample_is_that_of_its_objects():
    some = random_outcomes(3, 60, 4, classes=NAMES, fields=7)
    drawn = resample([some], seed=5, resamples=30)
    found = recalls(some, 2, drawn)
    guess = np.array(NAMES)[some.after(2).argmax(axis=1)]
    for row, weights in enumerate(drawn.weights, start=1):
        members = np.concatenate([np.repeat(np.flatnonzero(some.field == f), int(w)) for f, w in zip(drawn.names, weights, strict=True)])
        own = [np.mean(guess[members][some.label[members] == name] == name) for name in NAMES]
        np.testing.assert_allclose(found.recall[row], own)
        assert found.mean_recall[row] == pytest.approx(np.mean(own))
        assert found.accuracy[row] == pytest.approx(np.mean(guess[members] == some.label[members]))


def test_resamples_without_a_class_are_drawn_again():
    # each class in a field of its own: of the 27 resamples of three fields only the 6 permutations hold all classes
    some = outcomes([[0], [0], [2]], list(NAMES))
    drawn = resample([some], resamples=500)
    assert (drawn.weights == 1).all()
    assert interval(some)["95"] == [pytest.approx(2 / 3)] * 2
    # two classes in two fields, one of both in a third: all resamples but those of one field alone
    some = outcomes([[0], [1], [0], [0]], ["supernova", "rr_lyrae", "supernova", "rr_lyrae"], field=np.array([0, 1, 2, 2], np.int32))
    drawn = resample([some], resamples=30_000)
    kinds, number = np.unique(drawn.weights, axis=0, return_counts=True)
    ways = [sorted(c) for c in itertools.product(range(3), repeat=3) if set(c) not in ({0}, {1})]
    expected = {tuple(float(way.count(f)) for f in range(3)): ways.count(way) for way in ways}
    assert {tuple(kind) for kind in kinds} == set(expected)
    for kind, n in zip(kinds, number, strict=True):
        assert binomtest(int(n), 30_000, expected[tuple(kind)] / 25).pvalue > 1e-4


def test_one_field_has_its_objects_resampled_with_their_duplicates():
    some = replace(random_outcomes(1, 40, 2, fields=1), group=np.array([f"g{k // 2}" for k in range(40)]))
    found = interval(some, resamples=200)
    assert (found["clusters"], found["n_clusters"]) == ("group", 20)
    low, high = found["95"]
    assert low < found["value"] < high


def test_the_interval_is_that_of_the_field_means():
    # many equal fields of one class: the bootstrap of the mean of field means, sd sqrt(var / F)
    rng = np.random.default_rng(2)
    some = clustered(rng, 60, 10, 0.3)
    some = some.take(some.label == "supernova")
    means = np.array([np.mean((some.last().argmax(axis=1) == 0)[some.field == f]) for f in range(60)])
    found = interval(some, metric="accuracy", resamples=20_000)
    half = 0.5 * (found["68"][1] - found["68"][0])
    assert half == pytest.approx(means.std() / np.sqrt(60), rel=0.05)
    assert found["value"] == pytest.approx(means.mean())


def test_coverage_on_clustered_data():
    rng = np.random.default_rng(7)
    runs, hits, naive = 250, np.zeros(2), 0
    for run in range(runs):
        some = clustered(rng, 33, 12, 0.3)
        found = interval(some, resamples=200, seed=run)
        hits += [found[level][0] <= 0.7 <= found[level][1] for level in ("68", "95")]
        alone = replace(some, field=np.zeros_like(some.field))
        low, high = interval(alone, resamples=200, seed=run)["95"]
        naive += low <= 0.7 <= high
    # 250 runs: standard errors of 0.03 and 0.014
    assert 0.60 <= hits[0] / runs <= 0.76
    assert 0.91 <= hits[1] / runs <= 0.98
    # objects taken as independent: intervals too narrow
    assert naive / runs < 0.87


@settings(max_examples=15)
@given(seed=st.integers(0, 10**6))
def test_intervals_depend_on_neither_order_nor_names_of_other_things(seed):
    some = random_outcomes(seed, 40, 3, fields=5)
    order = np.random.default_rng(seed).permutation(40)
    first, second = interval(some, 2, resamples=100, seed=seed), interval(some.take(order), 2, resamples=100, seed=seed)
    for name in ("value", "68", "95"):
        assert first[name] == pytest.approx(second[name], abs=1e-12)
    low, high = first["95"]
    assert low <= first["68"][0] <= first["68"][1] <= high


def test_a_model_does_not_differ_from_itself():
    some = random_outcomes(4, 50, 5)
    order = np.random.default_rng(0).permutation(50)
    found = paired_difference(some, some.take(order), resamples=100)
    assert (found["value"], found["68"], found["95"], found["share_not_above"]) == (0, [0, 0], [0, 0], 1)
    assert (found["n"], found["only_a"], found["only_b"], found["a"]) == ([50], [0], [0], found["b"])


def test_pairs_are_matched_by_object_and_share_their_resamples():
    rng = np.random.default_rng(1)
    a = clustered(rng, 30, 10, 0.3)
    wrong = np.flatnonzero(rng.random(len(a)) < 0.1)
    b = replace(a, probabilities=a.probabilities.copy())
    b.probabilities[wrong] = [[0.1, 0.1, 0.8]]
    found = paired_difference(a, b.take(np.arange(20, 300)[::-1]), resamples=2000)
    rest = slice(20, 300)
    x, y = interval(a.take(rest), resamples=2000), interval(b.take(rest), resamples=2000)
    assert found["value"] == pytest.approx(x["value"] - y["value"])
    assert (found["a"], found["b"]) == (pytest.approx(x["value"]), pytest.approx(y["value"]))
    assert (found["n"], found["only_a"], found["only_b"]) == ([280], [20], [0])
    # fields differ alike for both models: the difference is much better known than either score
    width = [item["95"][1] - item["95"][0] for item in (found, x)]
    assert width[0] < 0.6 * width[1]
    assert 0 < found["95"][0] < found["value"] < found["95"][1]
    assert found["share_not_above"] < 0.001
    assert paired_difference(b, a, resamples=2000)["share_not_above"] == 1


def test_draws_widen_the_interval_by_their_spread():
    rng = np.random.default_rng(3)
    draws = [clustered(rng, 200, 10, 0.0) for _ in range(5)]
    for k, draw in enumerate(draws):
        low = rng.random(len(draw)) < 0.04 * k
        draw.probabilities[low] = [[0.1, 0.1, 0.8]]
    each = [interval(draw, resamples=10)["value"] for draw in draws]
    found = interval(draws, resamples=4000)
    assert found["each"] == pytest.approx(each)
    assert found["value"] == pytest.approx(np.mean(each))
    assert found["spread"] == pytest.approx(np.std(each, ddof=1))
    one = interval(draws[0], resamples=4000)
    fields = 0.5 * (one["68"][1] - one["68"][0])
    # independent sets: fields give fields^2 / 5, draws their variance with 1 / n over 5
    expected = np.sqrt((fields**2 + np.var(each)) / 5)
    assert 0.5 * (found["68"][1] - found["68"][0]) == pytest.approx(expected, rel=0.15)
    assert one["spread"] is None
    difference = paired_difference(draws, draws[0], resamples=50)
    assert difference["each"] == pytest.approx([value - each[0] for value in each])
    assert difference["each"][0] == 0
    assert json.loads(json.dumps(difference)) == difference


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda a: interval(a, metric="recal"), ConfigError, "metric: 'recal'; use one of mean_recall, accuracy, supernova, rr_lyrae"),
        (lambda a: interval(a, metric="galaxy"), ConfigError, "metric: 'galaxy'"),
        (lambda a: interval(a, k=0), ConfigError, "number of images: 0; numbers of images start at 1"),
        (lambda a: interval(a, resamples=0), ConfigError, "resamples: 0; use 1 or more"),
        (lambda a: interval([]), DataError, "bootstrap: a set without objects"),
        (lambda a: interval(a.take([])), DataError, "bootstrap: a set without objects"),
        (lambda a: paired_difference([a] * 2, [a] * 3), DataError, "2 and 3 draws; hand in as many of each, or one"),
        (lambda a: paired_difference(a, a.take([0, 0])), DataError, "object_id 'o0' occurs twice"),
        (lambda a: paired_difference(a, replace(a, object_id=np.array(["x", "y"]))), DataError, "no object_id in common"),
        (lambda a: paired_difference(a, replace(a, label=a.label[::-1])), DataError, "'o0' is labelled 'supernova' and 'rr_lyrae'"),
    ],
)
def test_what_cannot_be_compared_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call(outcomes([[0], [0]], ["supernova", "rr_lyrae"]))


@pytest.mark.parametrize(("right", "n"), [(0, 5), (3, 7), (40, 40), (296, 300)])
def test_wilson_bounds_equal_scipy(right, n):
    expected = binomtest(right, n).proportion_ci(method="wilson")
    found = wilson(right / n, n)
    assert (float(found[0]), float(found[1])) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_strata_worked_out_by_hand():
    mag = np.array([15.0, 16.0, 16.5, 23.5, np.nan])
    snr = np.array([-2.0, 3.0, 4.0, 500.0, np.nan])
    label = ["supernova", "supernova", "rr_lyrae", "galaxy", "supernova"]
    some = outcomes([[0], [1], [1], [0], [0]], label, mag=mag, snr=snr, saturated=np.array([0, 0, 1, 1, 0], bool))
    found = strata(some)
    rows = found["magnitude"]
    assert [(row["low"], row["high"], row["n"], row["accuracy"]) for row in rows] == [
        (None, 16, 1, 1.0),
        (16, 17, 2, 0.5),
        (23, None, 1, 0.0),
        (None, None, 1, 1.0),
    ]
    assert rows[1]["recall"]["supernova"] == {"n": 1, "recall": 0.0, "interval": [0.0, pytest.approx(0.793, abs=1e-3)]}
    assert rows[1]["interval"] == [pytest.approx(0.0945, abs=1e-3), pytest.approx(0.9055, abs=1e-3)]
    assert [(row["low"], row["high"], row["n"]) for row in found["snr"]] == [(None, 3, 1), (3, 5, 2), (100, None, 1), (None, None, 1)]
    assert [(row["value"], row["n"], row["accuracy"]) for row in found["saturated"]] == [(False, 3, pytest.approx(2 / 3)), (True, 2, 0.5)]
    assert [row["value"] for row in strata(some.take([0, 1]))["saturated"]] == [False]
    with pytest.raises(ConfigError, match="strata: bounds of snr: .*; give increasing numbers"):
        strata(some, snr=(5.0, 5.0))


def test_strata_count_every_object_once():
    rng = np.random.default_rng(0)
    some = replace(random_outcomes(5, 200, 3), mag=rng.uniform(14, 25, 200), snr=10 ** rng.uniform(-1, 3, 200))
    right = (some.last().argmax(axis=1) == some.truth).sum()
    for rows in strata(some).values():
        assert sum(row["n"] for row in rows) == 200
        assert sum(row["n"] * row["accuracy"] for row in rows) == pytest.approx(right)
        assert all(sum(cell["n"] for cell in row["recall"].values()) == row["n"] for row in rows)


def test_the_answer_is_stable_from_the_image_after_the_last_wrong_one():
    guesses = [
        [0, 0, 0, 0],  # right from the first image on
        [1, 0, 1, 0],  # right again at the last one
        [0, 0, 0, 1],  # wrong at the end: never
        [1, 0, 0, -1],  # from the second image on
        [1, -1, -1, -1],  # one image, wrong
    ]
    some = outcomes(guesses, ["supernova"] * 4 + ["rr_lyrae"])
    some.mjd[1, 3] = 57010.5
    images, days = settled(some)
    assert images.tolist() == [1, 4, np.inf, 2, 1]
    assert days.tolist() == [0, 10.5, np.inf, 1, 0]
    found = stable_answer(some.take(np.arange(4)))
    assert list(found) == ["all", "supernova"]
    assert (found["all"]["n"], found["all"]["never"]) == (4, 0.25)
    assert found["all"]["images"] == {"q25": 1.0, "median": 2.0, "q75": 4.0}
    assert found["all"]["days"] == {"q25": 0.0, "median": 1.0, "q75": 10.5}
    never = stable_answer(some.take([2, 3]))["all"]
    assert never["images"] == {"q25": 2.0, "median": 2.0, "q75": None}


def test_recall_at_the_alert_and_after_it():
    guesses = [[1, 0, 0, 0], [1, 1, 0, -1], [0, 0, 0, 0], [1, 1, 1, 1]]
    some = outcomes(guesses, ["supernova"] * 3 + ["rr_lyrae"], alert=np.array([2, 2, 0, 0], np.int32))
    found = at_alert(some)
    assert list(found) == ["supernova"]
    assert (found["supernova"]["n"], found["supernova"]["without"]) == (2, 1)
    after = found["supernova"]["after"]
    assert [after[k]["recall"] for k in ("0", "1", "2", "10")] == [0.5, 1.0, 1.0, 1.0]
    assert [after[k]["reached"] for k in ("0", "1", "2", "3")] == [2, 2, 1, 0]
    assert at_alert(some.take([3])) == {}


def test_reliability_worked_out_by_hand():
    # 50 objects at 0.9 of which 40 are right, 50 at 0.6 of which 35 are: two bins
    label = ["supernova"] * 100
    guess = np.array([[0]] * 40 + [[1]] * 10 + [[0]] * 35 + [[1]] * 15)
    some = outcomes(guess.tolist(), label)
    top = np.repeat([0.9, 0.6], 50)
    some.probabilities[:, 0] = np.where(guess == np.arange(3), top[:, None], (1 - top[:, None]) / 2)
    curve = reliability(some, bins=2)
    assert curve.count.tolist() == [50, 50]
    assert curve.confidence == pytest.approx([0.6, 0.9])
    assert curve.accuracy == pytest.approx([0.7, 0.8])
    assert curve.edges[[0, 2]] == pytest.approx([0.6, 0.9])
    assert curve.lower[0] < 0.7 < curve.upper[0]
    found = calibration_error(some, None, resample([some], resamples=20), bins=2)
    assert found["ece"] == pytest.approx(0.1)
    assert found["ece_chance"] == pytest.approx((np.sqrt(2 / np.pi * 50 * 0.24) + np.sqrt(2 / np.pi * 50 * 0.09)) / 100)


@settings(max_examples=50)
@given(n=st.integers(1, 500), steps=st.integers(1, 300), seed=st.integers(0, 1000))
def test_bins_have_equal_mass_and_keep_ties_together(n, steps, seed):
    confidence = np.random.default_rng(seed).integers(0, steps, n) / steps
    edges, place = equal_mass(confidence)
    count = np.bincount(place)
    assert (count > 0).all()
    assert len(edges) == len(count) + 1 <= min(15, max(n // 25, 1)) + 1
    assert (np.diff(edges) >= 0).all()
    assert ((edges[place] <= confidence) & (confidence <= edges[place + 1])).all()
    assert all(len(set(place[confidence == value])) == 1 for value in set(confidence))
    if len(set(confidence)) == n:
        assert count.max() - count.min() <= 1


def test_a_calibrated_classifier_has_the_error_of_chance():
    rng = np.random.default_rng(0)
    errors, chances, covered, centred = [], [], 0, 0
    for seed in range(200):
        top = rng.uniform(0.4, 1.0, 300)
        right = rng.random(300) < top
        some = outcomes(np.where(right, 0, 1)[:, None].tolist(), ["supernova"] * 300)
        some.probabilities[:, 0] = np.where(np.where(right, 0, 1)[:, None] == np.arange(3), top[:, None], (1 - top[:, None]) / 2)
        found = calibration_error(some, None, resample([some], seed, 100))
        errors.append(found["ece"])
        chances.append(found["ece_chance"])
        covered += found["ece_interval"]["95"][0] <= found["ece_chance"] <= found["ece_interval"]["95"][1]
        centred += found["ece_interval"]["68"][0] <= found["ece"] <= found["ece_interval"]["68"][1]
    assert np.mean(errors) == pytest.approx(np.mean(chances), rel=0.05)
    # the interval is one of the estimate, whose mean is the error of chance
    assert centred == 200
    assert covered >= 0.85 * 200
