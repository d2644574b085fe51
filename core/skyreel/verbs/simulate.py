"""`skyreel simulate`: movies of every class to a folder of Arrow shards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from skyreel.errors import ConfigError
from skyreel.hydra_glue import write_provenance
from skyreel.simulate.run import simulate_to
from skyreel.verbs.terminal import console, progress


def run(config: Any, run_dir: Path) -> int:
    """Simulates ``n_objects`` per class into ``output``; returns the number of movies.

    Raises
    ------
    ConfigError
        Without ``output``.
    OutputError
        If the folder holds movies already or cannot be written to.
    """
    if not config.output:
        raise ConfigError("output", "no folder given", "name one, for example output=movies/")
    folder = Path(str(config.output))
    write_provenance(run_dir, config)
    total = int(config.n_objects) * len(config.source)
    with progress("simulating", total) as tick:
        count = simulate_to(config, "movies", int(config.n_objects), folder, options=config.executor, tick=tick)
    console.print(f"{count} movies of {', '.join(config.source)} in {folder}")
    return count
