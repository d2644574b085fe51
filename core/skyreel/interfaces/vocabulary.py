"""Words that all interfaces share: array and table types, the names and the order of the classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Params = dict[str, NDArray[Any]]
"""A table of n objects: one array with first axis n per column."""

CLASSES = ("supernova", "rr_lyrae", "cepheid", "eclipsing_binary", "non_variable", "galaxy", "asteroid")
"""The seven classes of the paper (Table 2), in the order used everywhere; other classes follow alphabetically."""


def class_order(names: Sequence[str]) -> tuple[str, ...]:
    """Class names in the project's order: the paper's seven first, all others alphabetically."""
    known = [name for name in CLASSES if name in names]
    return tuple(known + sorted(set(names) - set(known)))
