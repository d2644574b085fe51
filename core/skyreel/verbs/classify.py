"""`skyreel classify`: a probability per class after every image, to a Parquet file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from skyreel.errors import ConfigError, OutputError
from skyreel.hydra_glue import write_provenance
from skyreel.interfaces import Classifier
from skyreel.models import load_model
from skyreel.movie_files import MovieFolder
from skyreel.movies import Movies
from skyreel.verbs.movies_in import movies_in
from skyreel.verbs.terminal import console, progress

BATCH = 1024


def run(config: Any, run_dir: Path) -> int:
    """Classifies the movies of ``input`` or ``dataset`` with ``model`` and writes ``output``; returns the number of rows.

    Columns: object_id, image (0-based among all frames), mjd [d], band, complete (False before n_w images), label
    (class name if known), predicted, and p_<class> for every class the model knows. Frames that cannot be used have
    no row.

    Raises
    ------
    ConfigError
        Without ``model`` or ``output``.
    """
    if not config.model or not config.output:
        missing = "model" if not config.model else "output"
        raise ConfigError(missing, "not given", "for example model=runs/train/... output=probabilities.parquet")
    target = Path(str(config.output))
    classifier = load_model(str(config.model))
    found = movies_in(config)
    store = found if isinstance(found, MovieFolder) else found.movies
    write_provenance(run_dir, config)
    temporary = target.with_name(f".{target.name}.part")
    rows = 0
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        writer = None
        with progress("classifying", len(store)) as tick:
            for start in range(0, len(store), BATCH):
                movies = store.take(np.arange(start, min(start + BATCH, len(store))))
                table = probabilities(classifier, movies)
                writer = writer or pq.ParquetWriter(temporary, table.schema)
                writer.write_table(table)
                rows += table.num_rows
                tick(len(movies))
        if writer:
            writer.close()
            os.replace(temporary, target)
    except OSError as err:
        raise OutputError(f"output={target}", str(err), "choose a file in a folder that can be written to") from err
    finally:
        if temporary.parent.is_dir():
            temporary.unlink(missing_ok=True)
    console.print(f"{rows} rows for {len(store)} movies in {target}")
    return rows


def probabilities(classifier: Classifier, movies: Movies) -> pa.Table:
    """One row per usable image of every movie (see `run`)."""
    out = classifier.predict(movies)
    row, image = np.nonzero(out.mask)
    values = out.probabilities[row, image]
    bands = np.array(movies.reported.bands)
    columns: dict[str, Any] = {
        "object_id": movies.object_id[row],
        "image": image.astype(np.int32),
        "mjd": movies.reported.mjd[row, image],
        "band": bands[movies.reported.band[row, image]],
        "complete": out.complete[row, image],
        "label": movies.label[row],
        "predicted": np.array(out.classes)[values.argmax(axis=1)],
    }
    columns |= {f"p_{name}": values[:, k] for k, name in enumerate(out.classes)}
    return pa.table({name: pa.array(column.astype(object) if column.dtype.kind == "U" else column) for name, column in columns.items()})
