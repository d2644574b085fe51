"""Magnitudes drawn by each law against the authors', and what one faint end for all fields changes.

Run as ``python benchmarks/sky/magnitudes.py --data DIR``. The authors' faint end is mean + 0.7 std of the 5 sigma limits in g
of each field; ours is one number. Development fields only.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from astropy.table import Table

from skyreel.interfaces import Array
from skyreel_sources.constant import NonVariable
from skyreel_sources.magnitudes import LIMITS

QUANTILES = (5, 25, 50, 75, 95)
CUTS = (22.8, 21.5)
DRAWS = 100_000
SEED = 0


def faint_ends(data: Path) -> Array:
    """Mean + 0.7 std of the 5 sigma limits in g of every development field, (fields,) [mag]."""
    table = Table.read(data / "hits2015a" / "conditions.ecsv")
    table = table[(table["filter"] == "g") & (table["split"] == "dev") & np.isfinite(table["limmag5"])]
    limits = [np.asarray(group["limmag5"], float) for group in table.group_by("field").groups]
    return np.array([limit.mean() + 0.7 * limit.std() for limit in limits])


def draw(law: str, cut: float, faint: float | None = None, n: int = DRAWS) -> Array:
    """Mean g magnitudes (n,) [mag]."""
    return NonVariable(magnitudes=law, mag_cut=cut, mag_max=faint).draw_mag(n, np.random.default_rng(SEED))


def main() -> None:
    """Prints two Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with hits2015a")
    ends = faint_ends(parser.parse_args().data)
    print(
        f"Faint ends of {len(ends)} fields: {ends.min():.2f} to {ends.max():.2f}, mean {ends.mean():.2f} mag; {DRAWS} draws, seed {SEED}.\n"
    )
    print("| law | cut | 5, 25, 50, 75, 95 % [mag] | the same with the fields' faint ends | fainter than its field's end |")
    print("|---|---|---|---|---|")
    for law in LIMITS:
        for cut in CUTS:
            one = draw(law, cut)
            each = np.concatenate([draw(law, cut, min(end, LIMITS[law][1]), DRAWS // len(ends)) for end in ends])
            ours, theirs = (" ".join(f"{value:.2f}" for value in np.percentile(mag, QUANTILES)) for mag in (one, each))
            print(f"| {law} | {cut} | {ours} | {theirs} | {np.mean(one[:, None] > ends):.2%} |")


if __name__ == "__main__":
    main()
