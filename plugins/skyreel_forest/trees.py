"""Grown trees as plain arrays: evaluated here, kept on disk without anything that could run.

scikit-learn grows them (`growing`); the arrays give its probabilities without it, for any number of threads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyreel.errors import DataError

LINKS = ("mean", "softmax")
PAIRS = 200_000
"""Pairs of rows and trees evaluated at once: bounds memory."""
_DTYPES = {
    "root": np.int32,
    "left": np.int32,
    "right": np.int32,
    "feature": np.int16,
    "threshold": np.float64,
    "value": np.float32,
    "base": np.float64,
}


@dataclass(frozen=True)
class Trees:
    """B trees with M nodes and L leaves in all. A row goes left where its feature is at or below the threshold.

    Attributes
    ----------
    root : int32 (B,)
        First node of each tree.
    left, right : int32 (M,)
        Children, always behind their parent; in a leaf `left` is its row in `value`.
    feature : int16 (M,)
        -1 in a leaf.
    threshold : float64 (M,)
    value : float32 (L, C)
        What a leaf adds to each class.
    base : float64 (C,)
        What the sum starts from.
    link : 'mean' or 'softmax'
        'mean': probabilities are the mean over the trees (random forest). 'softmax': of the sum (boosted trees).
    """

    root: NDArray[np.int32]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    feature: NDArray[np.int16]
    threshold: NDArray[np.float64]
    value: NDArray[np.float32]
    base: NDArray[np.float64]
    link: str

    def probabilities(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities (m, C) of feature rows (m, F)."""
        out = np.empty((len(rows), self.value.shape[1]), np.float64)
        step = max(PAIRS // max(len(self.root), 1), 1)
        for start in range(0, len(rows), step):
            part = rows[start : start + step]
            out[start : start + step] = self.value[self._leaves(part)].sum(axis=1, dtype=np.float64)
        if self.link == "mean":
            out /= out.sum(axis=1, keepdims=True)
        else:
            out += self.base
            out = np.exp(out - out.max(axis=1, keepdims=True))
            out /= out.sum(axis=1, keepdims=True)
        return out.astype(np.float32)

    def _leaves(self, rows: NDArray[np.float32]) -> NDArray[np.intp]:
        """Row in `value` (m, B) of the leaf in which each row ends in each tree."""
        node = np.tile(self.root.astype(np.intp), len(rows))
        owner = np.repeat(np.arange(len(rows)), len(self.root))
        active = np.flatnonzero(self.feature[node] >= 0)
        while len(active):
            here = node[active]
            goes_left = rows[owner[active], self.feature[here]] <= self.threshold[here]
            here = np.where(goes_left, self.left[here], self.right[here])
            node[active] = here
            active = active[self.feature[here] >= 0]
        return self.left[node].astype(np.intp).reshape(len(rows), -1)

    @property
    def n_nodes(self) -> int:
        """Number of nodes of all trees."""
        return len(self.feature)

    def first(self, number: int) -> Trees:
        """The first `number` trees."""
        if number >= len(self.root):
            return self
        nodes = int(self.root[number])
        leaves = int((self.feature[:nodes] < 0).sum())
        arrays = {name: getattr(self, name)[:nodes] for name in ("left", "right", "feature", "threshold")}
        return Trees(self.root[:number], **arrays, value=self.value[:leaves], base=self.base, link=self.link)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays by name."""
        return {name: getattr(self, name) for name in _DTYPES}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], link: str, n_features: int, n_classes: int) -> Trees:
        """The inverse of `arrays`.

        Raises
        ------
        DataError
            For missing or foreign names, other types or shapes, children that do not follow their parents (a row would
            go round for ever), features and leaves out of range, and values that are not finite.
        """
        found = {name: array.dtype.type for name, array in arrays.items()}
        if found != _DTYPES or link not in LINKS:
            raise DataError("trees", f"arrays {sorted(found)} and link {link!r}", f"they consist of {sorted(_DTYPES)}")
        trees = cls(**arrays, link=link)
        nodes, leaf = trees.n_nodes, trees.feature < 0
        same = trees.left.shape == trees.right.shape == trees.feature.shape == trees.threshold.shape == (nodes,)
        if not same or not len(trees.root) or trees.value.shape != (int(leaf.sum()), n_classes) or trees.base.shape != (n_classes,):
            raise DataError("trees", f"shapes { {name: array.shape for name, array in arrays.items()} }", "they do not fit together")
        behind = np.arange(nodes)[~leaf]
        children = [child[~leaf] for child in (trees.left, trees.right)]
        sound = all(((child > behind) & (child < nodes)).all() for child in children)
        sound &= bool((trees.feature < n_features).all() and ((trees.left[leaf] >= 0) & (trees.left[leaf] < leaf.sum())).all())
        sound &= bool(((trees.root >= 0) & (trees.root < nodes)).all())
        finite = all(np.isfinite(array).all() for array in (trees.threshold, trees.value, trees.base))
        if not sound or not finite:
            raise DataError("trees", "nodes that point outside their trees or values that are not finite", "copy the model again")
        return trees
