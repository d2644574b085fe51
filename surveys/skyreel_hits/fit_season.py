"""The fit behind `skyreel_hits.season`: visits of real fields, smooth weather along each, and what scatters about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyreel_hits.season import LOCAL_NOON, QUANTITIES, SEEING_AIRMASS, hats
from skyreel_hits.season_sky import noise_depth, sec_z, sun_altitude, twilight

Array = NDArray[np.float64]
Rows = Mapping[str, NDArray[Any]]

FIRST_MJD = 57070.0
ROUND = 1.6
"""Hours that a round over all fields takes."""
ROUND_GAP = 0.6
"""Exposures of one round follow the order of the fields within this many hours."""
MIN_SHARE = 0.15
"""A round over fewer of the fields is no round: its exposures are irregular, a visit each."""
CLOUD = 0.1
"""Loss of zero point [mag] below the clear level that counts as cloud."""
DARK = -16.0
"""Altitude of the Sun [deg] below which the level of the sky is taken without twilight."""
BANDS = ("g", "r", "i")
KNOTS = {"seeing": 7, "sky": 7, "zero_point": 7, "limiting_mag": 2}
"""Knots of each quantity's course along a visit; with 7 the seeing left over is uncorrelated between successive fields."""
STIFFNESS = 0.3
"""Weight of the difference of neighbouring knots against one exposure: holds knots without exposures to their neighbours."""


def number_visits(rows: Rows) -> NDArray[np.int64]:
    """Number of the visit (night, band, round) that each exposure belongs to; irregular exposures have a number each."""
    night = np.floor(rows["mjd"] - LOCAL_NOON)
    hour = (rows["mjd"] - night - 1) * 24 - ROUND * rows["order"]
    least = max(3, round(MIN_SHARE * len(np.unique(rows["field"]))))
    visit = np.full(len(night), -1)
    found = 0
    for key in np.unique(night):
        for band in BANDS:
            chosen = np.nonzero((night == key) & (rows["band"] == band))[0]
            chosen = chosen[np.argsort(hour[chosen])]
            for part in np.split(chosen, np.nonzero(np.diff(hour[chosen]) > ROUND_GAP)[0] + 1):
                first = part[np.unique(rows["field"][part], return_index=True)[1]]
                if len(first) >= least:
                    visit[first] = found
                    found += 1
    alone = np.nonzero(visit < 0)[0]
    visit[alone] = found + np.arange(len(alone))
    return visit


def positions(rows: Rows) -> Array:
    """RA and Dec [deg] (fields, 2) that reproduce each field's airmasses."""
    from scipy.optimize import least_squares

    out = []
    for field in np.unique(rows["field"]):
        chosen = rows["field"] == field
        mjd, airmass = rows["mjd"][chosen], rows["airmass"][chosen]
        out.append(least_squares(lambda p, t=mjd, x=airmass: sec_z(t, p[0], p[1]) - x, [148.0, 0.0], loss="soft_l1", f_scale=0.01).x)
    return np.array(out)


def hours(rows: Rows, visit: NDArray[np.int64], order: Array) -> Array:
    """UT hour at which each visit reaches the fields at `order`: (visits, fields).

    Fields that the visit left out are reached between their neighbours, or at the pace of a whole round beyond the first and the
    last. An irregular exposure keeps its delay after the nearest round of the same night.
    """
    night = np.floor(rows["mjd"] - LOCAL_NOON)
    hour = (rows["mjd"] - night - 1) * 24
    count = np.bincount(visit)
    out = np.empty((len(count), len(order)))
    pace = ROUND * order
    for v in range(len(count)):
        chosen = np.nonzero(visit == v)[0]
        at, time = rows["order"][chosen], hour[chosen] - ROUND * rows["order"][chosen]
        if count[v] == 1:
            rounds = [w for w in range(v) if count[w] > 1 and night[visit == w][0] == night[chosen[0]]]
            delay = [hour[chosen[0]] - np.interp(at[0], order, out[w]) for w in rounds]
            if delay:
                nearest = int(np.argmin(np.abs(delay)))
                out[v] = out[rounds[nearest]] + delay[nearest]
                continue
        out[v] = np.interp(order, at, time) + pace
    return out


def smooth(order: Array, value: Array, knots: int, floor: float = -np.inf) -> tuple[Array, Array]:
    """Knots of the course of `value` along a visit and the residuals; residuals below `floor` do not enter the fit."""
    weight = hats(order, knots)
    hold = STIFFNESS * np.diff(np.eye(knots), axis=0)
    keep = np.isfinite(value)
    keep &= value > np.nanmedian(value) + 2 * floor if np.isfinite(floor) else True
    for _ in range(4):
        level = np.linalg.lstsq(np.vstack([weight[keep], hold]), np.r_[value[keep], np.zeros(knots - 1)], rcond=None)[0]
        rest = value - weight @ level
        keep = np.isfinite(value) & (rest > floor)
    return np.asarray(level, np.float64), np.asarray(rest, np.float64)


def within_visits(visit: NDArray[np.int64], order: Array, value: Array, covariates: Array, knots: int, floor: float = -np.inf) -> Array:
    """Slopes of `value` (n,) with `covariates` (n, C) when each round has its own smooth course over the fields."""
    rest = np.full(len(value), np.nan)
    change = np.full(covariates.shape, np.nan)
    for v in np.nonzero(np.bincount(visit) > knots)[0]:
        chosen = visit == v
        rest[chosen] = smooth(order[chosen], value[chosen], knots, floor)[1]
        for c in range(covariates.shape[1]):
            change[chosen, c] = smooth(order[chosen], covariates[chosen, c], knots)[1]
    keep = np.isfinite(rest) & (rest > floor)
    return np.asarray(np.linalg.lstsq(change[keep], rest[keep], rcond=None)[0], np.float64)


def fit_twilight(rows: Rows, visit: NDArray[np.int64], altitude: Array) -> tuple[dict[str, float], float]:
    """Amplitude [ADU / px] for each band and slope [dex / deg] of `season_sky.twilight`, above each round's dark level.

    A band without exposures at dusk takes the largest amplitude of the others; its times decide that it is never used.
    """
    from scipy.optimize import least_squares

    dark = np.full(len(visit), np.nan)
    for v in np.nonzero(np.bincount(visit) > KNOTS["sky"])[0]:
        chosen = visit == v
        level = np.where(altitude[chosen] < DARK, np.log10(rows["sky"][chosen]), np.nan)
        if np.isfinite(level).sum() > KNOTS["sky"]:
            knots = smooth(rows["order"][chosen], level, KNOTS["sky"])[0]
            dark[chosen] = 10 ** (hats(rows["order"][chosen], KNOTS["sky"]) @ knots)
    dusk = np.isfinite(dark) & (altitude > DARK - 2)
    bright = [band for band in BANDS if (dusk & (rows["band"] == band) & (altitude > DARK)).any()]
    if not bright:
        return dict.fromkeys(BANDS, 0.0), 0.45
    which = np.array([bright.index(band) if band in bright else -1 for band in rows["band"]])
    dusk &= which >= 0

    def misfit(p: Array) -> Array:
        model = dark[dusk] + twilight(altitude[dusk], 10 ** p[:-1][which[dusk]], p[-1])
        return np.asarray(np.log10(rows["sky"][dusk] / model), np.float64)

    found = least_squares(misfit, [3.3] * len(bright) + [0.45], loss="soft_l1", f_scale=0.03).x
    amplitude = dict(zip(bright, (10 ** found[:-1]).tolist(), strict=True))
    return {band: amplitude.get(band, max(amplitude.values())) for band in BANDS}, float(found[-1])


def field_share(residual: Array, field: NDArray[np.int64]) -> float:
    """Share of the variance of standardised residuals that all visits of a field have in common."""
    means, counts = [], []
    for key in np.unique(field):
        values = residual[(field == key) & np.isfinite(residual)]
        means.append(values.mean())
        counts.append(len(values))
    white = 1 / np.mean(counts)
    return float(np.clip((np.var(means) - white) / (1 - white), 0, 0.95))


def normal_scores(value: Array) -> Array:
    """Standard normal scores of the ranks; NaN stays NaN."""
    from scipy.special import ndtri
    from scipy.stats import rankdata

    out = np.full(len(value), np.nan)
    known = np.isfinite(value)
    out[known] = ndtri(rankdata(value[known]) / (known.sum() + 1))
    return out


def clouds(order: Array, rest: Array) -> tuple[list[float], list[float]]:
    """Share of cloudy exposures and their mean depth [mag] of one visit, at orders 0 and 1."""
    cloudy = rest < -CLOUD
    if not cloudy.any():
        return [0.0, 0.0], [0.0, 0.0]
    at = hats(order, 2)
    share = np.linalg.lstsq(at, cloudy.astype(np.float64), rcond=None)[0]
    if cloudy.sum() < 5:
        return np.clip(share, 0, 1).tolist(), [float(-rest[cloudy].mean())] * 2
    return np.clip(share, 0, 1).tolist(), np.maximum(np.linalg.lstsq(at[cloudy], -rest[cloudy], rcond=None)[0], 0).tolist()


def stretch(rows: Rows, visit: NDArray[np.int64], declination: Array) -> tuple[dict[str, Any], dict[str, Array]]:
    """Coefficients that all visits share, and the values of each quantity that they leave to the visits."""
    altitude = sun_altitude(rows["mjd"])
    dusk, slope = fit_twilight(rows, visit, altitude)
    glow = twilight(altitude, np.array([dusk[band] for band in rows["band"]]), slope)
    dark = np.log10(np.maximum(rows["sky"] - glow, rows["sky"] / 2))
    log_airmass = np.log10(rows["airmass"])
    towards = within_visits(visit, rows["order"], dark, np.stack([declination, log_airmass], axis=1), KNOTS["sky"])
    of_band = [rows["band"] == band for band in BANDS]
    covariates = np.stack([declination, *(rows["airmass"] * chosen for chosen in of_band)], axis=1)
    loss = within_visits(visit, rows["order"], rows["zero_point"], covariates, KNOTS["zero_point"], -CLOUD)
    loss[1:] = np.minimum(loss[1:], 0)
    values = {
        "seeing": np.log10(rows["seeing"]) - SEEING_AIRMASS * log_airmass,
        "sky": dark - towards[0] * declination - towards[1] * log_airmass,
        "zero_point": rows["zero_point"] - covariates @ loss,
    }
    shared = {
        "extinction": dict(zip(BANDS, (-loss[1:]).tolist(), strict=True)),
        "zero_point_declination": float(loss[0]),
        "sky_declination": float(towards[0]),
        "sky_airmass": float(towards[1]),
        "dark_sky": {band: float(rows["sky"][chosen].min()) if chosen.any() else 0.0 for band, chosen in zip(BANDS, of_band, strict=True)},
        "twilight": dusk,
        "twilight_slope": slope,
    }
    return shared, values


def courses(rows: Rows, visit: NDArray[np.int64], values: Mapping[str, Array]) -> tuple[dict[str, list[Any]], dict[str, Array]]:
    """Knots of every visit for each of `QUANTITIES`, and what scatters about them; nothing known: the season's median."""
    count = np.bincount(visit)
    knots: dict[str, list[Any]] = {name: [] for name in QUANTITIES}
    rest = {name: np.full(len(visit), np.nan) for name in QUANTITIES}
    for name in QUANTITIES:
        floor = -CLOUD if name == "zero_point" else -np.inf
        for v in range(len(count)):
            chosen = visit == v
            value = values[name][chosen]
            if not np.isfinite(value).any():
                value = np.full(count[v], np.nanmedian(values[name]))
            level, rest[name][chosen] = smooth(rows["order"][chosen], value, KNOTS[name], floor)
            knots[name].append(level.tolist())
    return knots, rest


def scatter(rows: Rows, visit: NDArray[np.int64], rest: Mapping[str, Array]) -> tuple[dict[str, list[float]], dict[str, Any]]:
    """Width of the scatter in every visit, and its shape, share of the fields and correlation in all of them."""
    count = np.bincount(visit)
    widths, shape, share, score = {}, {}, {}, []
    for name in QUANTITIES:
        width = np.array([np.nanstd(rest[name][visit == v]) for v in range(len(count))])
        width[count == 1] = np.median(width[count > 1])
        widths[f"{name}_scatter"] = width.tolist()
        standard = np.where(count[visit] > 1, rest[name] / width[visit], np.nan)
        shape[name] = np.nanquantile(standard, (np.arange(41) + 0.5) / 41).tolist()
        share[name] = field_share(standard, rows["field"])
        score.append(normal_scores(standard))
    together = np.stack(score)
    together = together[:, np.isfinite(together).all(axis=0)]
    return widths, {"shape": shape, "field_share": share, "correlation": np.corrcoef(together).tolist()}


def fit_season(rows: Rows, psf_width: list[float]) -> dict[str, Any]:
    """Coefficients of the season (see `skyreel_hits.season`); `psf_width` as `fit_conditions.fit_width` returns it."""
    visit = number_visits(rows)
    numbers = range(visit.max() + 1)
    night = np.floor(rows["mjd"] - LOCAL_NOON)
    fields, first, member = np.unique(rows["field"], return_index=True, return_inverse=True)
    order, place = rows["order"], positions(rows)
    shared, values = stretch(rows, visit, place[member, 1])
    depth = noise_depth(psf_width[0] * rows["seeing"] + psf_width[1], rows["sky"], rows["zero_point"], rows["exptime"])
    knots, rest = courses(rows, visit, values | {"limiting_mag": rows["limiting_mag"] - depth})
    cloud = [clouds(order[visit == v], rest["zero_point"][visit == v]) for v in numbers]
    rest["zero_point"] = np.where(rest["zero_point"] < -CLOUD, np.nan, rest["zero_point"])
    widths, law = scatter(rows, visit, rest)
    start = [int(np.argmax(visit == v)) for v in numbers]
    made = np.array([[((rows["field"] == f) & (visit == v)).any() for v in numbers] for f in fields])
    return {
        "psf_width": psf_width,
        "first_mjd": FIRST_MJD,
        **shared,
        "fields": {
            "order": order[first].tolist(),
            "right_ascension": place[:, 0].tolist(),
            "declination": place[:, 1].tolist(),
            "visits": ["".join("1" if m else "0" for m in row) for row in made],
        },
        "visits": {
            "night": [int(night[i] + 1 - FIRST_MJD) for i in start],
            "band": [str(rows["band"][i]) for i in start],
            "exptime": [float(np.median(rows["exptime"][visit == v])) for v in numbers],
            "hour": hours(rows, visit, order[first]).tolist(),
            **knots,
            "cloud_fraction": [share for share, _ in cloud],
            "cloud_depth": [mean for _, mean in cloud],
            **widths,
        },
        **law,
    }
