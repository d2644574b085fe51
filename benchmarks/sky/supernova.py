"""Simulated supernovae against the real ones of HiTS, both as noisy differences against the first night, and the speed of the source.

Run as ``python benchmarks/sky/supernova.py --data DIR`` (DIR holds hits2015a); prints Markdown tables. Half of the fields choose
three numbers (`skyreel_sources.tables.fit_supernova`), the other half is compared; both ways, pooled.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from skyreel.evaluate.distances import distance
from skyreel_sources.supernova import Supernova
from skyreel_sources.tables import fit_supernova as fit

LABELS = ("peak magnitude", "detected fraction", "detected span", "days from first detection to peak")


def simulated(source: Supernova, real: fit.Differences, twins: int, seed: int) -> np.ndarray:
    """Features (m, 4) of simulated supernovae that enter the catalogue and have enough detections."""
    curves, params, mag = fit.observe(source, real, twins, seed)
    kept = source.select(params, mag, np.random.default_rng((seed, 1)))
    values, count = fit.features(curves)
    return values[kept & (count >= fit.LEAST)]


def table(real: np.ndarray, field: np.ndarray, model: np.ndarray, seed: int) -> list[str]:
    return [str(distance(real[:, k], model[:, k], field, seed=seed)) for k in range(len(LABELS))]


def held_out(real: fit.Differences, kinds: list[fit.Pool], twins: int, seed: int) -> tuple[np.ndarray, list[str]]:
    """Simulated features of both halves, each with what the other half chose and in proportion to its real objects."""
    first = fit.halves(real.field)
    seen = fit.features(real)[1] >= fit.LEAST
    parts, told = [], []
    for here, there in ((first, ~first), (~first, first)):
        setting, _ = fit.choose(real.take(there), kinds)
        parts.append(simulated(Supernova(**setting), real.take(here), twins, seed))
        told.append(f"fields compared {len(np.unique(real.field[here]))}, objects {int((here & seen).sum())}, chosen elsewhere {setting}")
    share = min(len(part) / (half & seen).sum() for part, half in zip(parts, (first, ~first), strict=True))
    sizes = [int(share * (half & seen).sum()) for half in (first, ~first)]
    return np.concatenate([part[:size] for part, size in zip(parts, sizes, strict=True)]), told


def speed(objects: int = 10_000, epochs: int = 28, rounds: int = 5) -> str:
    """Accepted g light curves per second of CPU time of one core: `sample`, `light_curve` and `select`; median of the rounds."""
    source, rng = Supernova(), np.random.default_rng(0)
    window = np.tile([57070.0, 57095.0], (objects, 1))
    mjd = np.sort(rng.uniform(57070.0, 57095.0, (objects, epochs)), axis=1)
    band = np.ones(mjd.shape, np.int8)
    rates = []
    for _ in range(rounds + 1):
        start = time.process_time()
        params = source.sample(objects, rng, window=window)
        kept = source.select(params, source.light_curve(params, mjd, band).mag, rng)
        rates.append(kept.sum() / (time.process_time() - start))
    return f"{np.median(rates[1:]):,.0f} accepted light curves per second and core ({kept.mean():.0%} of the proposals are accepted)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--twins", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    real = fit.read(options.data)
    values, count = fit.features(real)
    seen = count >= fit.LEAST
    values, field = values[seen], real.field[seen]
    first = fit.halves(real.field)[seen]
    order = np.concatenate([np.flatnonzero(first), np.flatnonzero(~first)])
    print(f"\nReal: {seen.sum()} of {len(seen)} supernovae with {fit.LEAST} g detections, {len(np.unique(field))} fields.\n")
    print("| seed | sample | " + " | ".join(LABELS) + " |\n|" + "---|" * (2 + len(LABELS)))
    notes: list[str] = []
    for seed in range(options.seeds):
        kinds = fit.pool(real, options.twins, 10 * seed)
        model, told = held_out(real, kinds, options.twins, 1000 + seed)
        notes += [f"- seed {seed}: {line}" for line in told]
        print(f"| {seed} | held out, pooled | " + " | ".join(table(values[order], field[order], model, seed)) + " |")
        everything = simulated(Supernova(), real, options.twins, 2000 + seed)
        print(f"| {seed} | defaults, all fields (in sample) | " + " | ".join(table(values, field, everything, seed)) + " |")
    print("\n" + "\n".join(notes) + f"\n\n{speed()}")


if __name__ == "__main__":
    main()
