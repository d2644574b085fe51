"""Eclipsing binaries, drawn from a bank of computed light curves."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from skyreel.interfaces import Array, LightCurve, Params
from skyreel_sources.colours import colour_of_temperature, stellar_locus
from skyreel_sources.epochs import by_band, check_epochs, check_fraction, chunks, fold
from skyreel_sources.magnitudes import StarLike
from skyreel_sources.tables import load

TABLE = "eclipsing_binary.npz"


@dataclass
class EclipsingBinary(StarLike):
    """Contact and detached eclipsing binaries on circular orbits.

    A draw takes one of 1100 Roche-model g curves with its own period (see `tables.build_eclipsing_binary` for the
    population). All bands share the shape of g and differ by the colour of a dwarf of the hotter star's temperature, good
    to some 0.05 mag for contact binaries, whose stars have nearly equal temperatures.
    Params columns: ``type`` (0 contact, 1 detached), ``curve`` (row of the bank), ``period`` [d], ``epoch`` of the deeper
    eclipse [MJD], ``mean_mag`` (over phase, g) [mag], ``amplitude`` [mag], ``g_i`` [mag].

    Parameters
    ----------
    detached_fraction : float
        Share of detached systems; real HiTS binaries ask for 0.10-0.15.

    Raises
    ------
    ConfigError
        For a fraction outside 0..1; see also `StarLike`.
    """

    detached_fraction: float = 0.12

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fraction("EclipsingBinary", "detached_fraction", self.detached_fraction)

    def sample(self, n: int, rng: np.random.Generator, *, window: Array | None = None) -> Params:
        """System, epoch and magnitude of n binaries; `window` is ignored."""
        table = load(TABLE)
        kind = (rng.random(n) < self.detached_fraction).astype(np.int8)
        first = np.searchsorted(table["type"], [0, 1, 2])  # the bank is sorted by type
        curve = first[kind] + (rng.random(n) * np.diff(first)[kind]).astype(np.int64)
        period, _, t1, t2, _ = table["system"][curve].T
        return {
            "type": kind,
            "curve": curve,
            "period": period,
            "epoch": period * rng.random(n),
            "mean_mag": self.draw_mag(n, rng),
            "amplitude": np.ptp(_bank()[curve], axis=1),
            "g_i": colour_of_temperature(np.maximum(t1, t2)),
        }

    def light_curve(self, params: Params, mjd: Array, band: NDArray[np.int8]) -> LightCurve:
        """Magnitude (n, T): mean in the band plus the curve at the phase, linear between 128 points a cycle.

        Raises
        ------
        DataError
            See `check_epochs`.
        """
        check_epochs("EclipsingBinary", params, mjd, band, self.bands)
        bank = _bank()
        half = bank.shape[1] - 1
        values = bank.ravel()
        start = params["curve"].astype(np.intp) * bank.shape[1]
        mag = by_band(params["mean_mag"][:, None] + stellar_locus(params["g_i"]), band)
        for rows in chunks(len(mjd)):
            phase = fold(mjd[rows], params["epoch"][rows], params["period"][rows])
            position = (0.5 - np.abs(phase - 0.5)) * (2 * half)
            column = np.minimum(position.astype(np.intp), half - 1)
            here = start[rows, None] + column
            weight = position - column
            mag[rows] += values[here] * (1.0 - weight) + values[here + 1] * weight
        return LightCurve(mag)


@lru_cache(maxsize=1)
def _bank() -> Array:
    """Half-cycle curves (N, 65) [mag] with zero mean over phase."""
    curve = 1e-3 * load(TABLE)["curve"]
    weight = np.ones(curve.shape[1])
    weight[[0, -1]] = 0.5
    return np.asarray(curve - np.average(curve, axis=1, weights=weight)[:, None], np.float64)
