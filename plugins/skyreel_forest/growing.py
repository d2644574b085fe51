"""Grows trees with scikit-learn and turns them into plain arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyreel_forest.trees import Trees

ESTIMATORS = ("random_forest", "gradient_boosting")


@dataclass(frozen=True)
class Growth:
    """How trees grow.

    Attributes
    ----------
    estimator : 'random_forest' or 'gradient_boosting'
        Breiman 2001, or scikit-learn's HistGradientBoostingClassifier.
    n_estimators : int
        Trees; with boosting, rounds of one tree per class.
    max_depth : int
    min_samples_leaf : int
    max_features : float
        Share of the features tried at every split; 0: their square root (random forest), all of them (boosting).
    learning_rate : float
        Of boosting.
    max_leaf_nodes : int
        Of a boosted tree.
    balanced : bool
        Weigh classes so that all count the same.
    n_jobs : int
        Threads that grow a random forest. Boosting uses one: its sums would depend on their number.
    """

    estimator: str
    n_estimators: int
    max_depth: int
    min_samples_leaf: int
    max_features: float
    learning_rate: float
    max_leaf_nodes: int
    balanced: bool
    n_jobs: int


def grow(
    rows: NDArray[np.float32], label: NDArray[np.int64], n_classes: int, growth: Growth, seed: int
) -> tuple[Trees, NDArray[np.float64]]:
    """Trees that tell classes apart, and how much each feature contributed.

    Parameters
    ----------
    rows : float32 (m, F)
    label : int64 (m,)
        0..n_classes - 1, each of which occurs.
    n_classes : int
    growth : Growth
    seed : int
        Below 2^32.

    Returns
    -------
    trees : Trees
    importance : float64 (F,)
        Share of the impurity (random forest) or loss (boosting) that splits on each feature removed; sums to 1 unless
        nothing was split.
    """
    weight = _class_weights(label, n_classes) if growth.balanced else None
    make = _forest if growth.estimator == "random_forest" else _boosting
    trees, importance = make(rows, label, weight, n_classes, growth, seed)
    total = importance.sum()
    return trees, importance / total if total > 0 else importance


def _class_weights(label: NDArray[np.int64], n_classes: int) -> NDArray[np.float64]:
    """Weights (m,) that sum to m and give every class the same total."""
    number = np.bincount(label, minlength=n_classes)
    return np.asarray((len(label) / (n_classes * number))[label])


def _forest(
    rows: NDArray[np.float32], label: NDArray[np.int64], weight: NDArray[np.float64] | None, n_classes: int, growth: Growth, seed: int
) -> tuple[Trees, NDArray[np.float64]]:
    from sklearn.ensemble import RandomForestClassifier

    model = RandomForestClassifier(
        n_estimators=growth.n_estimators,
        max_depth=growth.max_depth,
        min_samples_leaf=growth.min_samples_leaf,
        max_features=growth.max_features or "sqrt",
        n_jobs=growth.n_jobs,
        random_state=seed,
    )
    model.fit(rows, label, sample_weight=weight)
    parts = []
    for grown in model.estimators_:
        tree = grown.tree_
        value = tree.value[:, 0, :]
        share = value / value.sum(axis=1, keepdims=True)  # counts before scikit-learn 1.3, shares since
        parts.append(_Nodes(tree.children_left, tree.children_right, tree.feature, tree.threshold, tree.children_left < 0, share))
    return _joined(parts, np.zeros(n_classes), "mean"), model.feature_importances_


def _boosting(
    rows: NDArray[np.float32], label: NDArray[np.int64], weight: NDArray[np.float64] | None, n_classes: int, growth: Growth, seed: int
) -> tuple[Trees, NDArray[np.float64]]:
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits

    model = HistGradientBoostingClassifier(
        max_iter=growth.n_estimators,
        max_depth=growth.max_depth,
        min_samples_leaf=growth.min_samples_leaf,
        max_features=growth.max_features or 1.0,
        learning_rate=growth.learning_rate,
        max_leaf_nodes=growth.max_leaf_nodes,
        early_stopping=False,
        random_state=seed,
    )
    with threadpool_limits(1):
        model.fit(rows, label, sample_weight=weight)
    parts, importance = [], np.zeros(rows.shape[1])
    for predictors in model._predictors:
        for k, predictor in enumerate(predictors):
            nodes = predictor.nodes
            leaf = nodes["is_leaf"].astype(bool)
            value = np.zeros((len(nodes), n_classes))
            value[:, k if len(predictors) > 1 else 1] = nodes["value"]  # two classes share one tree: the second one's logit
            left, right = (nodes[name].astype(np.int64) for name in ("left", "right"))
            parts.append(_Nodes(left, right, nodes["feature_idx"], nodes["num_threshold"], leaf, value))
            np.add.at(importance, nodes["feature_idx"][~leaf], nodes["gain"][~leaf])
    base = np.zeros(n_classes)
    base[-model._baseline_prediction.size :] = model._baseline_prediction.ravel()
    return _joined(parts, base, "softmax"), importance


@dataclass(frozen=True)
class _Nodes:
    """One tree's arrays over its nodes."""

    left: NDArray[Any]
    right: NDArray[Any]
    feature: NDArray[Any]
    threshold: NDArray[Any]
    leaf: NDArray[np.bool_]
    value: NDArray[Any]


def _joined(parts: list[_Nodes], base: NDArray[np.float64], link: str) -> Trees:
    sizes = np.array([len(part.leaf) for part in parts])
    start = np.repeat(np.cumsum(sizes) - sizes, sizes)

    def join(name: str) -> NDArray[Any]:
        return np.concatenate([np.asarray(getattr(part, name)) for part in parts])

    leaf = join("leaf")
    return Trees(
        root=(np.cumsum(sizes) - sizes).astype(np.int32),
        left=np.where(leaf, np.cumsum(leaf) - 1, join("left").astype(np.int64) + start).astype(np.int32),
        right=np.where(leaf, 0, join("right").astype(np.int64) + start).astype(np.int32),
        feature=np.where(leaf, -1, join("feature")).astype(np.int16),
        threshold=np.where(leaf, 0.0, join("threshold")).astype(np.float64),
        value=join("value")[leaf].astype(np.float32),
        base=base,
        link=link,
    )
