"""`skyreel simulate`: movies of every class into a folder of Arrow shards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from skyreel.errors import ConfigError
from skyreel.hydra_glue import write_provenance
from skyreel.simulate.run import build, simulate_to, simulation_config, whole_number
from skyreel.simulate.to_disk import SHARD_OBJECTS
from skyreel.verbs.terminal import console, progress


def run(config: Any, run_dir: Path) -> int:
    """Simulates ``n_objects`` per class into ``output``, ``shard_objects`` (1024) in a file; returns the number of movies.

    The same command completes a folder that it left unfinished.

    Raises
    ------
    ConfigError
        Without ``output``, and for options out of range.
    OutputError
        If the folder holds other movies or cannot be written to.
    Interrupted
        After Ctrl-C, where shards are finished.
    """
    if not config.output:
        raise ConfigError("output", "no folder given", "name one, for example output=movies/")
    folder = Path(str(config.output))
    n_objects = whole_number(config, "n_objects", 1)
    shard_objects = whole_number(config, "shard_objects", 1) if "shard_objects" in config else SHARD_OBJECTS
    classes = build(simulation_config(config)).sources
    write_provenance(run_dir, config)
    with progress("simulating", n_objects * len(classes)) as tick:
        count = simulate_to(config, "movies", n_objects, folder, shard_objects=shard_objects, options=config.executor, tick=tick)
    console.print(f"{count} movies of {', '.join(classes)} in {folder}")
    return count
