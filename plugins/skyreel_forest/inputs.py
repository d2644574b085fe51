"""Single frames as movies of their own."""

from __future__ import annotations

import numpy as np

from skyreel.exposures import DTYPES, Exposures
from skyreel.movies import Movies


def single_frames(movies: Movies) -> Movies:
    """Every usable frame as a movie of its own (m, 1), object after object in time order.

    What is measured on it is then a function of that frame alone, so that one image at a time gives what whole movies give.
    """
    rows, epochs = np.nonzero(movies.frame_mask)
    columns = {name: getattr(movies.reported, name)[rows, epochs][:, None] for name in DTYPES}
    return Movies(
        movies.pixels[rows, epochs][:, None],
        movies.pixel_mask[rows, epochs][:, None],
        np.ones((len(rows), 1), np.bool_),
        Exposures(movies.reported.bands, **columns),
        movies.label[rows],
        movies.object_id[rows],
        np.full(len(rows), -1, np.int32),
    )
