"""Trees as arrays: the same probabilities as scikit-learn, whatever the threads; nothing unsound is read."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier

from skyreel.errors import DataError
from skyreel_forest.growing import Growth, grow
from skyreel_forest.trees import Trees

N_FEATURES = 5


def growth(**options) -> Growth:
    plain = {"estimator": "random_forest", "n_estimators": 7, "max_depth": 6, "min_samples_leaf": 1, "max_features": 0.0}
    return Growth(**{**plain, "learning_rate": 0.1, "max_leaf_nodes": 15, "balanced": False, "n_jobs": 1, **options})


def sample(n: int = 300, n_classes: int = 3, seed: int = 0):
    rng = np.random.default_rng(seed)
    label = np.arange(n) % n_classes
    rows = rng.normal(0, 1, (n, N_FEATURES)) + label[:, None] * np.array([1.0, 0.3, 0, 0, 0])
    return rows.astype(np.float32), label


@pytest.mark.parametrize("balanced", [False, True])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_random_forest_gives_scikit_learns_probabilities(n_classes, balanced):
    rows, label = sample(n_classes=n_classes)
    kept = (label > 0) | (np.arange(len(label)) % 4 == 0)  # class 0 is rare
    rows, label = rows[kept], label[kept]
    trees, importance = grow(rows, label, n_classes, growth(balanced=balanced), seed=11)
    weight = (len(label) / n_classes / np.bincount(label))[label] if balanced else None
    reference = RandomForestClassifier(7, max_depth=6, random_state=11).fit(rows, label, weight)
    fresh = sample(500, n_classes, seed=1)[0]
    np.testing.assert_allclose(trees.probabilities(fresh), reference.predict_proba(fresh), rtol=0, atol=2e-7)
    np.testing.assert_allclose(importance, reference.feature_importances_, atol=1e-12)
    assert importance.argmax() == 0


@pytest.mark.parametrize("n_classes", [2, 3])
def test_boosted_trees_give_scikit_learns_probabilities(n_classes):
    rows, label = sample(n_classes=n_classes)
    chosen = growth(estimator="gradient_boosting", min_samples_leaf=5, max_leaf_nodes=8)
    trees, importance = grow(rows, label, n_classes, chosen, seed=11)
    reference = HistGradientBoostingClassifier(
        max_iter=7, max_depth=6, min_samples_leaf=5, max_leaf_nodes=8, early_stopping=False, random_state=11
    ).fit(rows, label)
    fresh = sample(500, n_classes, seed=1)[0]
    np.testing.assert_allclose(trees.probabilities(fresh), reference.predict_proba(fresh), rtol=0, atol=2e-7)
    assert importance.argmax() == 0
    assert importance.sum() == pytest.approx(1)


@pytest.mark.parametrize("estimator", ["random_forest", "gradient_boosting"])
def test_threads_change_nothing(estimator):
    rows, label = sample()
    one, two = (grow(rows, label, 3, growth(estimator=estimator, n_jobs=jobs), seed=3)[0] for jobs in (1, 2))
    for name, array in one.arrays().items():
        assert array.tobytes() == two.arrays()[name].tobytes()


@pytest.mark.parametrize("estimator", ["random_forest", "gradient_boosting"])
def test_the_first_trees_are_those_of_a_smaller_forest(estimator):
    rows, label = sample()
    large, small = (grow(rows, label, 3, growth(estimator=estimator, n_estimators=n), seed=3)[0] for n in (7, 3))
    per_round = len(large.root) // 7
    cut = large.first(3 * per_round)
    for name, array in cut.arrays().items():
        np.testing.assert_array_equal(array, small.arrays()[name])
    np.testing.assert_array_equal(cut.probabilities(rows), small.probabilities(rows))


def test_balanced_classes_count_the_same():
    """With features that say nothing, a leaf's probabilities are the prior: the sample's, or equal ones."""
    label = np.repeat([0, 1], [90, 10])
    rows = np.zeros((100, 2), np.float32)
    for balanced, expected in ((False, 0.9), (True, 0.5)):
        trees, _ = grow(rows, label, 2, growth(balanced=balanced, n_estimators=200), seed=0)
        assert trees.probabilities(rows[:1])[0, 0] == pytest.approx(expected, abs=0.03)


@settings(max_examples=25)
@given(value=st.floats(-5, 5, width=32), threshold=st.floats(-5, 5, width=32))
def test_a_row_goes_left_up_to_and_including_the_threshold(value, threshold):
    stump = one_stump(threshold)
    left = stump.probabilities(np.array([[value]], np.float32))[0, 0]
    assert left == (1.0 if value <= threshold else 0.0)


def one_stump(split: float = 0.0, **changes) -> Trees:
    arrays = {
        "root": np.array([0], np.int32),
        "left": np.array([1, 0, 1], np.int32),
        "right": np.array([2, 0, 0], np.int32),
        "feature": np.array([0, -1, -1], np.int16),
        "threshold": np.array([split, 0, 0], np.float64),
        "value": np.eye(2, dtype=np.float32),
        "base": np.zeros(2),
    }
    return Trees.from_arrays({**arrays, **changes}, "mean", n_features=1, n_classes=2)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"left": np.array([0, 0, 1], np.int32)}, "point outside"),  # a node that is its own child: endless
        ({"right": np.array([3, 0, 0], np.int32)}, "point outside"),
        ({"left": np.array([1, 5, 1], np.int32)}, "point outside"),
        ({"feature": np.array([1, -1, -1], np.int16)}, "point outside"),
        ({"root": np.array([3], np.int32)}, "point outside"),
        ({"threshold": np.array([np.nan, 0, 0])}, "not finite"),
        ({"value": np.array([[np.inf, 0], [0, 1]], np.float32)}, "not finite"),
        ({"value": np.ones((3, 2), np.float32)}, "do not fit together"),
        ({"base": np.zeros(3)}, "do not fit together"),
        ({"root": np.array([], np.int32)}, "do not fit together"),
        ({"value": np.eye(2)}, "they consist of"),
        ({"more": np.zeros(2)}, "they consist of"),
    ],
)
def test_unsound_trees_are_refused(changes, words):
    with pytest.raises(DataError, match=words):
        one_stump(**changes)


def test_an_unknown_link_is_refused():
    with pytest.raises(DataError, match="link 'vote'"):
        Trees.from_arrays(one_stump().arrays(), "vote", 1, 2)
