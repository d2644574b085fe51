"""Simulated eclipsing binaries against the real ones of the HiTS development fields: python benchmarks/sky/eclipsing_binary.py --data DIR.

'two-fold': the fields of even rank are simulated with the constants fitted to those of odd rank and the other way round, and the halves are
pooled. 'all': the defaults, which were fitted to the very fields that they are compared with.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path

import curves
import numpy as np
from fit_eclipsing_binary import halves

from skyreel.evaluate.distances import Distance, distance
from skyreel_sources.eclipsing_binary import EclipsingBinary
from skyreel_sources.eclipsing_binary_bank import POPULATION, populations

TWINS = 40
SEED = 0
MOST = 0.20
"""Largest distance that the sky may show."""
OTHER = {"even": "odd", "odd": "even"}


def simulated(real: curves.Curves, name: str, seed: int) -> Mapping[str, np.ndarray]:
    """Statistics of `TWINS` binaries of the population `name` at the epochs of every real one."""
    source = EclipsingBinary(**asdict(populations()[name]))
    result: Mapping[str, np.ndarray] = curves.statistics(curves.simulate(source, real, TWINS, seed)[0])
    return result


def distances(data: Path, seed: int = SEED) -> dict[str, dict[str, Distance]]:
    """Distance of every statistic, with intervals over fields: two-fold and pooled, each half alone, and in-sample."""
    real = curves.read(data, "eclipsing_binary")
    half = halves(real.field)
    parts = {name: real.take(np.flatnonzero(half == index)) for index, name in enumerate(OTHER)}
    one = {name: curves.statistics(part) for name, part in parts.items()}
    two = {name: simulated(part, OTHER[name], seed + index) for index, (name, part) in enumerate(parts.items())}
    field = {name: part.field for name, part in parts.items()}
    table = {f"{name} fields": {k: distance(one[name][k], two[name][k], field[name]) for k in curves.STATISTICS} for name in OTHER}
    pooled = {k: [np.concatenate([side[name][k] for name in OTHER]) for side in (one, two)] for k in curves.STATISTICS}
    fields = np.concatenate([field[name] for name in OTHER])
    whole, defaults = curves.statistics(real), simulated(real, "all", seed)
    return {
        "two-fold": {k: distance(pooled[k][0], pooled[k][1], fields) for k in curves.STATISTICS},
        **table,
        "all (in-sample)": {k: distance(whole[k], defaults[k], real.field) for k in curves.STATISTICS},
    }


def main() -> None:
    """Prints two Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with hits2015a/dev")
    table = distances(parser.parse_args().data)
    settings = json.loads((files("skyreel_sources.tables") / POPULATION).read_text(encoding="utf-8"))["settings"]
    first = next(iter(table["two-fold"].values()))
    print(f"KS distance of {first.n_real} real eclipsing binaries and {TWINS} simulated ones at the epochs of each, seed {SEED};")
    print(f"target {MOST:.2f}. {settings} populations were tried in the three fits together. In brackets the 95 % interval over fields;")
    print("noise: the distance that a perfect simulation would show.\n")
    print(f"| statistic | {' | '.join(table)} | noise |\n|---|{'---|' * (len(table) + 1)}")
    for name in curves.STATISTICS:
        cells = [f"{column[name].d:.3f} ({column[name].interval[0]:.2f}-{column[name].interval[1]:.2f})" for column in table.values()]
        print(f"| {name} | {' | '.join(cells)} | {table['two-fold'][name].noise:.2f} |")
    fitted = populations()
    print(f"\n| constant | {' | '.join(fitted)} |\n|---|{'---|' * len(fitted)}")
    for name in asdict(fitted["all"]):
        print(f"| {name} | {' | '.join(f'{getattr(each, name):g}' for each in fitted.values())} |")


if __name__ == "__main__":
    main()
