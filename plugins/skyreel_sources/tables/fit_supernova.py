"""Fits the three numbers of `Supernova` that no publication gives, on real light curves of HiTS (development fields).

Run as ``python -m skyreel_sources.tables.fit_supernova --data DIR`` with DIR the folder that holds hits2015a/dev.

The measured light curves are differences against an exposure of the first night (`photometry_supernova.ecsv`). Simulated supernovae
are put at the real epochs, their difference against the same exposure is taken, Gaussian noise of the real errors is added, and
both are summarised by `FEATURES`; the peak magnitudes of all objects with any detection say where the catalogue ends. One pool of
simulated objects, drawn down to a faint limit, is weighted for every setting of `GRID`; the best one has the smallest sum of squared
Kolmogorov-Smirnov distances. Fields are split into two halves (every other field
in the order of their numbers): each half is compared with the settings that the other one chose, the values that are printed at
the end come from all fields.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray

from skyreel.interfaces import Array, Params
from skyreel_sources.sn_draw import Acceptance
from skyreel_sources.supernova import PEAK_SLACK, Supernova

FEATURES = ("peak_mag", "detected_fraction", "detected_span", "days_to_peak")
"""Brightest detected difference [mag], share of the g epochs that are detections, days from the first to the last and from the
first to the brightest detection."""
SIGMA = 5.0
LEAST = 3
"""Detections that an object needs."""
GRID = {
    "acceptance_mag": (22.5, 22.8, 23.1, 23.4),
    "fraction_ia": (0.3, 0.4, 0.5, 0.6, 0.7),
    "slow_rise_fraction": (0.5, 0.75, 1.0),
}
"""60 settings."""
POOL_LIMIT = 24.5
"""`acceptance_mag` of the pool [mag]: beyond all that are tried."""
BANDS = "ugrizy"


@dataclass(frozen=True)
class Differences:
    """n difference light curves of up to T epochs in one band, (n, T): mjd [d], flux and error [ADU], mask; (n,): mjd of the
    reference [d], magnitude of 1 ADU, field.
    """

    mjd: Array
    flux: Array
    error: Array
    mask: NDArray[np.bool_]
    reference: Array
    unit: Array
    field: NDArray[np.int64]

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> Differences:
        """Some of the light curves."""
        return Differences(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


def read(data: Path) -> Differences:
    """The g light curves of the real supernovae of the development fields; without those that carry the dates of another field and
    without second entries of the same object.
    """
    folder = data / "hits2015a" / "dev"
    with np.load(folder / "supernova.npz", allow_pickle=False) as archive:
        usable = archive["obj_lc_usable"] & (archive["obj_duplicate_of"] == "")
        names = archive["obj_id"][usable]
    table = Table.read(folder / "photometry_supernova.ecsv")
    table = table[(table["band"] == "g") & np.isin(table["object_id"], names)]
    groups = list(table.group_by("object_id").groups)
    width = max(len(group) for group in groups)
    columns = np.zeros((3, len(groups), width))
    mask = np.zeros((len(groups), width), np.bool_)
    for row, group in enumerate(groups):
        columns[:, row, : len(group)] = [np.asarray(group[name], np.float64) for name in ("mjd", "adu", "e_adu")]
        columns[0, row, len(group) :] = group["mjd"][-1]
        mask[row, : len(group)] = True
    lit = [group[group["adu"] > 0] for group in groups]
    return Differences(
        mjd=columns[0],
        flux=columns[1],
        error=columns[2],
        mask=mask,
        reference=np.array([group["mjd_ref"][0] for group in groups]),
        unit=np.array([np.median(group["mag"] + 2.5 * np.log10(group["adu"])) for group in lit]),
        field=np.array([group["field"][0] for group in groups]),
    )


def observe(source: Supernova, real: Differences, twins: int, seed: int) -> tuple[Differences, Params, Array]:
    """`twins` simulated supernovae at the epochs of every real one, as differences with noise; their params and noiseless magnitudes."""
    rng = np.random.default_rng(seed)
    at = real.take(np.repeat(np.arange(len(real.mjd)), twins))
    window = np.stack([at.reference, at.mjd.max(axis=1)], axis=1)
    params = source.sample(len(at.mjd), rng, window=window)
    mjd = np.concatenate([at.reference[:, None], at.mjd], axis=1)
    mag = source.light_curve(params, mjd, np.full(mjd.shape, BANDS.index("g"), np.int8)).mag
    counts = 10 ** (-0.4 * (mag - at.unit[:, None]))
    flux = counts[:, 1:] - counts[:, :1] + at.error * rng.standard_normal(at.mjd.shape)
    seen = Differences(at.mjd, flux, at.error, at.mask, at.reference, at.unit, at.field)
    return seen, params, np.where(at.mask, mag[:, 1:], np.inf)


def features(curves: Differences) -> tuple[Array, NDArray[np.intp]]:
    """`FEATURES` (n, 4) of every light curve, and its number of detections of `SIGMA`."""
    found = curves.mask & (curves.flux > SIGMA * curves.error)
    flux = np.where(found, curves.flux, 0.0)
    brightest = flux.argmax(axis=1)
    first = found.argmax(axis=1)
    last = found.shape[1] - 1 - found[:, ::-1].argmax(axis=1)
    when = [np.take_along_axis(curves.mjd, index[:, None], axis=1)[:, 0] for index in (first, last, brightest)]
    peak = curves.unit - 2.5 * np.log10(np.maximum(flux.max(axis=1), 1e-30))
    values = np.stack([peak, found.sum(axis=1) / curves.mask.sum(axis=1), when[1] - when[0], when[2] - when[0]], axis=1)
    return values, found.sum(axis=1)


@dataclass(frozen=True)
class Pool:
    """Simulated objects of one kind (Ia, II without and with a second rise) with at least one detection.

    `values` (m, 4); `count` (m,) detections; `peak_mag` (m,) and `brightest` (m,): magnitudes [mag] at maximum and at the brightest
    epoch; `maxima` (k,): `peak_mag` of all objects of that kind, detected or not.
    """

    values: Array
    count: NDArray[np.intp]
    peak_mag: Array
    brightest: Array
    maxima: Array

    def weights(self, acceptance: Acceptance) -> Array:
        """How often each object would be drawn and selected, per drawn object of its kind."""
        drawn = Acceptance(POOL_LIMIT, acceptance.slope)
        total = (acceptance(self.maxima - PEAK_SLACK) / drawn(self.maxima - PEAK_SLACK)).sum()
        maximum = self.peak_mag - PEAK_SLACK
        return np.asarray(acceptance(np.maximum(self.brightest, maximum)) / drawn(maximum) / total, np.float64)


def pool(real: Differences, twins: int, seed: int) -> list[Pool]:
    """The three kinds of supernova at the real epochs, down to `POOL_LIMIT`."""
    kinds = []
    for row, (fraction, slow) in enumerate(((1.0, 0.0), (0.0, 0.0), (0.0, 1.0))):
        source = Supernova(fraction_ia=fraction, slow_rise_fraction=slow, acceptance_mag=POOL_LIMIT)
        curves, params, mag = observe(source, real, twins, seed + row)
        values, count = features(curves)
        seen = count > 0
        kinds.append(Pool(values[seen], count[seen], params["peak_mag"][seen], mag[seen].min(axis=1), params["peak_mag"]))
    return kinds


def distances(real: tuple[Array, NDArray[np.intp]], kinds: list[Pool], setting: dict[str, float], slope: float) -> Array:
    """Kolmogorov-Smirnov distances of the weighted pool from real objects, as `features` gave them: (5,), `FEATURES` of those with
    `LEAST` detections, then the peak magnitude of all detected.
    """
    acceptance = Acceptance(setting["acceptance_mag"], slope)
    ia, slow = setting["fraction_ia"], setting["slow_rise_fraction"]
    share = (ia, (1.0 - ia) * (1.0 - slow), (1.0 - ia) * slow)
    weight = np.concatenate([part * kind.weights(acceptance) for part, kind in zip(share, kinds, strict=True)])
    values, count = np.concatenate([kind.values for kind in kinds]), np.concatenate([kind.count for kind in kinds])
    enough = [real[1] >= LEAST, count >= LEAST]
    columns = [weighted_distance(real[0][enough[0], k], values[enough[1], k], weight[enough[1]]) for k in range(len(FEATURES))]
    return np.array([*columns, weighted_distance(real[0][real[1] > 0, 0], values[:, 0], weight)])


def weighted_distance(real: Array, simulated: Array, weight: Array) -> float:
    """Kolmogorov-Smirnov distance of a sample (n,) and a weighted one (m,)."""
    order = np.argsort(simulated, kind="stable")
    cumulative = np.concatenate([[0.0], np.cumsum(weight[order])]) / weight.sum()
    ordered, points = simulated[order], np.sort(real)
    sides = (
        np.searchsorted(points, points, side=side) / len(points) - cumulative[np.searchsorted(ordered, points, side=side)]
        for side in ("left", "right")
    )
    return max(float(np.abs(side).max()) for side in sides)


def choose(real: Differences, kinds: list[Pool]) -> tuple[dict[str, float], float]:
    """The setting of `GRID` whose objects look most like the real ones, and its sum of squared distances."""
    measured = features(real)
    slope = Supernova().acceptance_slope
    settings = [dict(zip(GRID, combination, strict=True)) for combination in product(*GRID.values())]
    scores = [float((distances(measured, kinds, setting, slope) ** 2).sum()) for setting in settings]
    best = int(np.argmin(scores))
    return settings[best], scores[best]


def halves(field: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which objects (n,) lie in the first half of the fields: every other one in the order of their numbers."""
    return np.isin(field, np.unique(field)[::2])


def main() -> None:
    """Prints what each half and all fields choose."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds hits2015a")
    parser.add_argument("--twins", type=int, default=300, help="simulated objects of each kind per real one")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    real = read(options.data)
    kinds = pool(real, options.twins, options.seed)
    first = halves(real.field)
    count = features(real)[1]
    settings = int(np.prod([len(values) for values in GRID.values()]))
    print(f"{len(count)} real light curves, {(count > 0).sum()} detected, {(count >= LEAST).sum()} {LEAST} times; {settings} settings")
    for name, rows in (("first half", first), ("second half", ~first), ("all fields", np.ones(len(first), np.bool_))):
        setting, score = choose(real.take(rows), kinds)
        print(f"{name}: {setting}, sum of D^2 {score:.3f}")


if __name__ == "__main__":
    main()
