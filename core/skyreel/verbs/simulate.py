"""`skyreel simulate`: movies of every class to a folder of Arrow shards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from skyreel.errors import ConfigError
from skyreel.hydra_glue import write_provenance
from skyreel.simulate.run import build, simulate_to, simulation_config, whole_number
from skyreel.verbs.terminal import console, progress


def run(config: Any, run_dir: Path) -> int:
    """Simulates ``n_objects`` per class into ``output``; returns the number of movies.

    Raises
    ------
    ConfigError
        Without ``output``, and for options out of range.
    OutputError
        If the folder holds movies already or cannot be written to.
    """
    if not config.output:
        raise ConfigError("output", "no folder given", "name one, for example output=movies/")
    folder = Path(str(config.output))
    n_objects = whole_number(config, "n_objects", 1)
    classes = build(simulation_config(config)).sources
    write_provenance(run_dir, config)
    with progress("simulating", n_objects * len(classes)) as tick:
        count = simulate_to(config, "movies", n_objects, folder, options=config.executor, tick=tick)
    console.print(f"{count} movies of {', '.join(classes)} in {folder}")
    return count
