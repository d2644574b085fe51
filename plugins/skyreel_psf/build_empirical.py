"""Makes the library of real stars that the empirical PSF draws from:

    python -m skyreel_psf.build_empirical --data DIR --output plugins/skyreel_psf/decam_stars.npz [--leave-out FIELD ...]

DIR is a folder that `dataset=hits2015a dataset.path=DIR` reads: the constant stars of HiTS 2015A in exposures with seeing below 2".
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from skyreel.datasets import load_dataset
from skyreel.errors import DataError
from skyreel.evaluate.realism_samples import constant_stars, fields
from skyreel.movies import Movies
from skyreel_psf.measure import measure

MAX_SEEING = 2.0
"""Of the exposures used [arcsec]: the survey's own limit."""


def constant(data: Path, leave_out: Sequence[int] = ()) -> Movies:
    """Constant stars of HiTS 2015A.

    Parameters
    ----------
    data : Path
        Folder of the data set.
    leave_out : sequence of int
        Fields whose stars are not used.

    Raises
    ------
    DataError
        For a field that holds no star.
    """
    stars = constant_stars(load_dataset("hits2015a", path=str(data)), MAX_SEEING)
    known = fields(stars)
    foreign = sorted(set(leave_out) - set(known.tolist()))
    if foreign:
        held = ", ".join(map(str, np.unique(known)))
        raise DataError("--leave-out", f"no star in {', '.join(map(str, foreign))}", f"name fields among {held}")
    return stars.take(np.flatnonzero(~np.isin(known, np.array(leave_out, np.int64))))


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m skyreel_psf.build_empirical", description="build the library of the empirical PSF")
    parser.add_argument("--data", type=Path, required=True, help="folder of the data set hits2015a")
    parser.add_argument("--output", type=Path, required=True, help="file to write (.npz)")
    parser.add_argument("--leave-out", type=int, nargs="*", default=[], metavar="FIELD", help="fields whose stars are not used")
    options = parser.parse_args(arguments)
    stars = constant(options.data, options.leave_out)
    library = measure(stars)
    library.write(options.output)
    exposures, ccds, _ = library.departures.pattern.shape
    size = options.output.stat().st_size / 1000
    print(f"{options.output}: {len(stars)} stars, {exposures} exposures, {ccds} CCDs, {size:.0f} kB")


if __name__ == "__main__":
    main()
