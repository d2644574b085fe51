"""`skyreel export`: movies to Parquet, HDF5 or FITS, which other programs read and `skyreel import` reads back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from skyreel.errors import ConfigError
from skyreel.exchange.exporting import export
from skyreel.hydra_glue import write_provenance
from skyreel.movie_files import MovieFolder
from skyreel.verbs.movies_in import movies_in
from skyreel.verbs.terminal import console, progress


def run(config: Any, run_dir: Path) -> int:
    """Writes the movies of ``input`` or ``dataset`` to ``output``; returns the number of frames.

    Raises
    ------
    ConfigError
        Without ``output``, with both or neither of ``input`` and ``dataset``, and for an unknown ``format``.
    OutputError
        If the output cannot be written.
    """
    if not config.output:
        raise ConfigError("output", "not given", "name a file or folder, for example output=movies.parquet")
    found = movies_in(config)
    store = found if isinstance(found, MovieFolder) else found.movies
    write_provenance(run_dir, config)
    target = Path(str(config.output))
    with progress("exporting", len(store)) as tick:
        frames = export(store, target, None if config.format is None else str(config.format), tick)
    console.print(f"{frames} frames of {len(store)} movies in {target}", markup=False, highlight=False)
    return frames
