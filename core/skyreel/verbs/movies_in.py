"""Where a verb's movies come from: a folder of shards (`input`), a named data set (`dataset`) or the simulation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from skyreel.datasets import Dataset, load_dataset
from skyreel.errors import ConfigError
from skyreel.movie_files import MovieFolder


def movies_in(config: Any) -> Dataset | MovieFolder:
    """The movies that `input` or `dataset` names.

    Raises
    ------
    ConfigError
        If neither or both are given.
    """
    name = config.dataset.name if config.get("dataset") else None
    named = name not in (None, "none")
    if named == bool(config.input):
        found = "both input and dataset" if named else "neither input nor dataset"
        raise ConfigError("movies to read", found, "give input=FOLDER or dataset=hits2015a")
    if config.input:
        return MovieFolder(Path(str(config.input)))
    return load_dataset(**{str(key): value for key, value in config.dataset.items()})
