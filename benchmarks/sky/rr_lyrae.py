"""Simulated RR Lyrae against the real ones of the HiTS development fields: python benchmarks/sky/rr_lyrae.py --data DIR.

Nothing of the generator was fitted to HiTS, and no setting was tried on these stars.
"""

from __future__ import annotations

import argparse
from functools import cache, partial
from pathlib import Path
from unittest.mock import patch

import curves

from skyreel.evaluate.distances import Distance, distance
from skyreel_sources.rr_lyrae import TEMPLATES, RRLyrae
from skyreel_sources.rr_lyrae_stars import read

TWINS = 40
SEED = 0
MOST = 0.20
"""Largest distance that the sky may show."""

stars = cache(read)


def distances(data: Path, templates: str, seed: int = SEED) -> dict[str, Distance]:
    """Distance of every statistic, with intervals over fields, of `TWINS` stars at the epochs of every real one."""
    real = curves.read(data, "rr_lyrae")
    with patch("skyreel_sources.rr_lyrae_stars.downloaded", partial(stars, data / "templates")):
        simulated, _ = curves.simulate(RRLyrae(templates=templates), real, TWINS, seed)
    one, two = curves.statistics(real), curves.statistics(simulated)
    return {name: distance(one[name], two[name], real.field) for name in curves.STATISTICS}


def main() -> None:
    """Prints one Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with hits2015a/dev and templates")
    table = {templates: distances(parser.parse_args().data, templates) for templates in TEMPLATES}
    first = next(iter(table["embedded"].values()))
    print(f"KS distance of {first.n_real} real RR Lyrae and {TWINS} simulated ones at the epochs of each, seed {SEED}; target {MOST:.2f}.")
    print("In brackets the 95 % interval over fields; noise: the distance that a perfect simulation would show.\n")
    print(f"| statistic | {' | '.join(table)} | noise |\n|---|{'---|' * (len(table) + 1)}")
    for name in curves.STATISTICS:
        cells = [f"{column[name].d:.3f} ({column[name].interval[0]:.2f}-{column[name].interval[1]:.2f})" for column in table.values()]
        print(f"| {name} | {' | '.join(cells)} | {table['embedded'][name].noise:.2f} |")


if __name__ == "__main__":
    main()
