"""Real HiTS light curves of the development fields, simulated ones at the same epochs with the same errors, and their statistics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.table import Table

from skyreel.features import compute
from skyreel.interfaces import Params, Source

GLITCH = 2.5
"""Points further than this from their curve's median [mag] are glitches of the real photometry (some reach 6 mag)."""

STATISTICS = ("peak_to_peak", "std", "mad", "skew", "period")


@dataclass(frozen=True)
class Curves:
    """n light curves of up to T points: mjd [d], mag, error [mag] and mask (n, T); field (n,)."""

    mjd: np.ndarray
    mag: np.ndarray
    error: np.ndarray
    mask: np.ndarray
    field: np.ndarray

    def take(self, rows: np.ndarray) -> Curves:
        """Some of the curves."""
        return Curves(self.mjd[rows], self.mag[rows], self.error[rows], self.mask[rows], self.field[rows])


def read(data: Path, label: str) -> Curves:
    """Kron magnitudes of 'rr_lyrae', 'eclipsing_binary' or 'non_variable' in hits2015a/dev, without glitches."""
    table = Table.read(data / "hits2015a" / "dev" / f"photometry_{label}.ecsv")
    table = table[np.isfinite(table["mag_kron"]) & np.isfinite(table["magerr_kron"])]
    groups = [np.stack([np.asarray(g[c]) for c in ("mjd", "mag_kron", "magerr_kron", "field")]) for g in table.group_by("object_id").groups]
    groups = [g[:, np.abs(g[1] - np.median(g[1])) < GLITCH] for g in groups]
    count = np.array([g.shape[1] for g in groups])
    mask = np.arange(count.max()) < count[:, None]
    columns = np.zeros((3, *mask.shape))
    columns[:, mask] = np.concatenate([g[:3] for g in groups], axis=1)
    columns[0] = np.where(mask, columns[0], columns[0].max(axis=1, keepdims=True))
    return Curves(*columns, mask, np.array([int(g[3, 0]) for g in groups]))


def simulate(source: Source, real: Curves, twins: int, seed: int, band: str = "g") -> tuple[Curves, Params]:
    """`twins` simulated objects at the epochs of every real one, with Gaussian noise of its errors; without magnitudes to match."""
    rng = np.random.default_rng(seed)
    rows = np.repeat(np.arange(len(real.mjd)), twins)
    at = real.take(rows)
    window = np.stack([at.mjd.min(axis=1), at.mjd.max(axis=1)], axis=1)
    params = source.sample(len(rows), rng, window=window)
    index = np.full(at.mjd.shape, source.bands.index(band), np.int8)
    mag = source.light_curve(params, at.mjd, index).mag + rng.standard_normal(at.mjd.shape) * at.error
    return Curves(at.mjd, mag, at.error, at.mask, at.field), params


def statistics(curves: Curves) -> Mapping[str, np.ndarray]:
    """`STATISTICS` of every curve: p95 - p5, standard deviation, median absolute deviation [mag], skewness of the magnitudes
    and the Lomb-Scargle period [d].
    """
    mag = np.where(curves.mask, curves.mag, np.nan)
    low, middle, high = np.nanpercentile(mag, [5, 50, 95], axis=1)
    deviation = mag - np.nanmean(mag, axis=1, keepdims=True)
    std = np.nanstd(mag, axis=1)
    period = compute(curves.mjd, np.where(curves.mask, curves.mag, 0.0), curves.error, curves.mask, ("PeriodLS",))[:, 0]
    return {
        "peak_to_peak": high - low,
        "std": std,
        "mad": np.nanmedian(np.abs(mag - middle[:, None]), axis=1),
        "skew": np.nanmean(deviation**3, axis=1) / std**3,
        "period": period,
    }
