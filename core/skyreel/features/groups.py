"""Which function computes which group of features."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

from skyreel.features.car import car
from skyreel.features.correlation import autocorrelation, slotted, structure
from skyreel.features.curves import Curves
from skyreel.features.level import level, noise
from skyreel.features.moments import moments
from skyreel.features.nights import nights
from skyreel.features.order import order
from skyreel.features.periodic import harmonics, period, spectrum
from skyreel.features.shape import fits, transient, trend

Group = Callable[[Curves], dict[str, NDArray[Any]]]

GROUPS: dict[str, Group] = {
    "autocorrelation": autocorrelation,
    "car": car,
    "fits": fits,
    "harmonics": harmonics,
    "level": level,
    "moments": moments,
    "nights": nights,
    "noise": noise,
    "order": order,
    "period": period,
    "slotted": slotted,
    "spectrum": spectrum,
    "structure": structure,
    "transient": transient,
    "trend": trend,
}
"""Each takes curves of one length and returns its features by name, NaN or infinite where they have no value."""
