"""HiTS conditions against the development fields: ``python benchmarks/sky/conditions.py --data DIR`` prints Markdown tables.

DIR holds ``hits2015a/conditions.ecsv`` and ``hits2015a/dev/non_variable.npz``.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import ks_2samp, rankdata

from skyreel.evaluate.distances import distance
from skyreel.exposures import Exposures
from skyreel_hits.fit_conditions import fit_width, read_conditions
from skyreel_hits.fit_season import fit_season
from skyreel_hits.season import coefficients, generate

QUANTITIES = ("seeing", "sky", "zero_point", "airmass", "limiting_mag", "gap", "mjd")
CORRELATED = ("seeing", "sky", "zero_point", "airmass", "limiting_mag")
SEEDS = range(8)
FIELDS = (200, 1000)
SPLITS = 10
RESAMPLES = 400

Columns = Mapping[str, tuple[np.ndarray, np.ndarray]]


def with_gaps(mjd: np.ndarray, field: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Time between successive exposures of a field [d], and the field."""
    same = np.diff(field) == 0
    return np.diff(mjd)[same], field[1:][same]


def real_columns(rows: Mapping[str, np.ndarray], band: str, fields: np.ndarray | None = None) -> Columns:
    """Known values of each quantity in one band, and their fields."""
    chosen = rows["band"] == band
    if fields is not None:
        chosen = chosen & np.isin(rows["field"], fields)
    field = rows["field"][chosen]
    out = {}
    for name in QUANTITIES:
        if name == "gap":
            out[name] = with_gaps(rows["mjd"][chosen], field)
        else:
            known = np.isfinite(rows[name][chosen])
            out[name] = (rows[name][chosen][known], field[known])
    return out


def simulated_columns(season: Exposures) -> Columns:
    """The same of virtual fields in one band."""
    mask = season.mask
    flat = {name: np.asarray(getattr(season, name)[mask], np.float64) for name in QUANTITIES if name != "gap"}
    field = season.field[mask]
    return {name: with_gaps(flat["mjd"], field) if name == "gap" else (flat[name], field) for name in QUANTITIES}


def correlations(table: np.ndarray) -> np.ndarray:
    """Pearson and Spearman (2, pairs) of `CORRELATED` (rows; the sky as logarithm)."""
    table = np.where(np.array(CORRELATED)[:, None] == "sky", np.log10(table), table)
    pairs = np.triu_indices(len(CORRELATED), 1)
    return np.stack([np.corrcoef(table)[pairs], np.corrcoef(rankdata(table, axis=1))[pairs]])


def real_table(rows: Mapping[str, np.ndarray], band: str) -> tuple[np.ndarray, np.ndarray]:
    """`CORRELATED` of the exposures where all are known, and their fields."""
    table = np.stack([rows[name][rows["band"] == band] for name in CORRELATED])
    known = np.isfinite(table).all(axis=0)
    return table[:, known], rows["field"][rows["band"] == band][known]


def spread_over_fields(table: np.ndarray, field: np.ndarray) -> np.ndarray:
    """95 % interval (2 ends, 2 kinds, pairs) of the correlations when fields are drawn with replacement."""
    rng = np.random.default_rng(0)
    names = np.unique(field)
    members = [np.nonzero(field == name)[0] for name in names]
    drawn = [
        correlations(table[:, np.concatenate([members[k] for k in rng.integers(0, len(names), len(names))])]) for _ in range(RESAMPLES)
    ]
    return np.asarray(np.percentile(drawn, [2.5, 97.5], axis=0))


def show(head: Iterable[str], lines: Iterable[Iterable[Any]]) -> None:
    """Prints a Markdown table."""
    head = list(head)
    print("| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    for cells in lines:
        print("| " + " | ".join(map(str, cells)) + " |")
    print()


def marginals(rows: Mapping[str, np.ndarray]) -> None:
    """Distances band by band: mean and scatter over seeds, and the interval over fields of the pooled seeds."""
    model, lines = coefficients(), []
    for band in ("g", "r", "i"):
        real = real_columns(rows, band)
        seasons = {n: [simulated_columns(generate(model, seed, n, (band,))) for seed in SEEDS] for n in FIELDS}
        for name in QUANTITIES:
            cells = []
            for n in FIELDS:
                d = [ks_2samp(real[name][0], season[name][0]).statistic for season in seasons[n]]
                cells.append(f"{np.mean(d):.3f} ± {np.std(d):.3f}")
            pooled = np.concatenate([season[name][0] for season in seasons[FIELDS[0]]])
            lines.append([band, name, *cells, distance(real[name][0], pooled, real[name][1])])
    show(
        ["band", "quantity", *(f"D, {n} fields, mean ± sd of {len(SEEDS)} seeds" for n in FIELDS), "D of the pooled seeds (95 % interval)"],
        lines,
    )


def correlation_table(rows: Mapping[str, np.ndarray]) -> None:
    """Correlations of every pair in g, and the largest difference in each band."""
    model = coefficients()
    names = [f"{CORRELATED[a]}, {CORRELATED[b]}" for a, b in zip(*np.triu_indices(len(CORRELATED), 1), strict=True)]
    largest = []
    for band in ("g", "r", "i"):
        table, field = real_table(rows, band)
        real, interval = correlations(table), spread_over_fields(table, field)
        drawn = []
        for seed in SEEDS:
            columns = simulated_columns(generate(model, seed, FIELDS[1], (band,)))
            drawn.append(correlations(np.stack([columns[name][0] for name in CORRELATED])))
        simulated = np.mean(drawn, axis=0)
        inside = ((simulated >= interval[0]) & (simulated <= interval[1])).sum(axis=1)
        off = np.abs(simulated - real).max(axis=1)
        largest.append([band, f"{off[0]:.3f}", f"{off[1]:.3f}", *(f"{count} of {len(names)}" for count in inside)])
        if band == "g":
            show(
                ["pair (sky as log)", "Pearson real (95 % over fields)", "simulated", "Spearman real (95 % over fields)", "simulated"],
                [
                    [name, *(f"{x}" for kind in (0, 1) for x in (cell(real, interval, kind, p), f"{simulated[kind, p]:+.2f}"))]
                    for p, name in enumerate(names)
                ],
            )
    show(["band", "largest difference, Pearson", "Spearman", "simulated inside the interval, Pearson", "Spearman"], largest)


def cell(real: np.ndarray, interval: np.ndarray, kind: int, pair: int) -> str:
    """One real correlation with its interval."""
    return f"{real[kind, pair]:+.2f} ({interval[0, kind, pair]:+.2f} to {interval[1, kind, pair]:+.2f})"


def two_fold(rows: Mapping[str, np.ndarray], folder: Path) -> None:
    """Fitted on half of the fields, compared with the other half; beside it the two real halves against each other."""
    width = fit_width(folder)
    fields = np.unique(rows["field"])
    rng = np.random.default_rng(0)
    halves = [fields[::2], fields[1::2]]
    for _ in range(SPLITS):
        half = np.sort(rng.permutation(fields)[: len(fields) // 2])
        halves += [half, np.setdiff1d(fields, half)]
    found, noise = [], []
    for half in halves:
        part = np.isin(rows["field"], half)
        season = simulated_columns(generate(fit_season({k: v[part] for k, v in rows.items()}, width), 0, FIELDS[1], ("g",)))
        one, other = real_columns(rows, "g", half), real_columns(rows, "g", np.setdiff1d(fields, half))
        found.append([ks_2samp(other[name][0], season[name][0]).statistic for name in QUANTITIES])
        noise.append([ks_2samp(other[name][0], one[name][0]).statistic for name in QUANTITIES])
    d, null = np.array(found), np.array(noise)
    show(
        ["g", "D, every other field", "the real halves", f"D, {SPLITS} random halvings, both ways: mean ± sd", "the real halves"],
        [
            [name, f"{d[:2, q].mean():.3f}", f"{null[:2, q].mean():.3f}"]
            + [f"{x[2:, q].mean():.3f} ± {x[2:, q].std():.3f}" for x in (d, null)]
            for q, name in enumerate(QUANTITIES)
        ],
    )


def speed() -> None:
    """Processor time of a season."""
    lines = []
    for n in (200, 2000):
        start = time.process_time()
        generate(coefficients(), 1, n, ("g",))
        lines.append([n, f"{time.process_time() - start:.3f}"])
    show(["virtual fields", "CPU s"], lines)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder that holds hits2015a")
    folder = parser.parse_args().data / "hits2015a"
    rows = read_conditions(folder)
    marginals(rows)
    correlation_table(rows)
    two_fold(rows, folder)
    speed()


if __name__ == "__main__":
    main()
