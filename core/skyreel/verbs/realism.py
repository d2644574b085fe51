"""`skyreel realism`: can a judge tell simulated twins from real objects, and by what?"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from skyreel.datasets import Dataset, load_dataset
from skyreel.errors import ConfigError, DataError
from skyreel.evaluate.page import png_bytes
from skyreel.evaluate.realism import Verdict, cross_validated, forest_verdicts, verdict, whole_adu
from skyreel.evaluate.realism_features import frame_features
from skyreel.evaluate.realism_figures import realism_figure
from skyreel.files import write_bytes, write_text
from skyreel.hydra_glue import config_hash, write_provenance
from skyreel.movies import Movies
from skyreel.registry import typed
from skyreel.simulate.chain import Simulation
from skyreel.simulate.run import build, simulation_config
from skyreel.simulate.twins import twin
from skyreel.verbs.terminal import console, progress

LABEL = "non_variable"
"""Twins of constant stars alone have a known flux in every exposure."""
JUDGES = ("forest", "cnn")
SHOWN = 8
"""Features named on the terminal."""


@dataclass(frozen=True)
class RealismOptions:
    """Config group `realism`.

    Attributes
    ----------
    objects : int
        Real objects compared; 0: all.
    judges : list of str
        'forest' (features) and 'cnn' (stamps).
    device : str
        Where the network learns, for example 'cpu' or 'cuda'.
    """

    objects: int = 0
    judges: list[str] = field(default_factory=lambda: list(JUDGES))
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.objects < 0:
            raise ConfigError("realism.objects", str(self.objects), "use a number of objects, or 0 for all")
        if not self.judges or not set(self.judges) <= set(JUDGES):
            raise ConfigError("realism.judges", str(self.judges), f"name one or more of {', '.join(JUDGES)}")


def run(config: Any, run_dir: Path) -> float:
    """Compares the constant stars of ``dataset`` with twins simulated under their conditions; returns the forest's AUC per frame.

    Real stamps are rounded to whole ADU, exposures beyond the survey's ``max_seeing`` left out; judges are cross-validated by
    object. Left in `run_dir`: realism.json, realism.png.

    Raises
    ------
    ConfigError
        Without ``dataset`` or the class non_variable, and for options out of range.
    DataError
        If the data set holds no constant star with a usable frame.
    """
    options = typed(RealismOptions, config.realism, "realism")
    if config.dataset.name in (None, "none"):
        raise ConfigError("dataset", "none", "name real movies, for example dataset=hits2015a")
    simulation = build(simulation_config(config))
    if LABEL not in simulation.sources:
        raise ConfigError("source", f"no {LABEL}", f"add it: +source={LABEL}")
    found = load_dataset(**{str(key): value for key, value in config.dataset.items()})
    write_provenance(run_dir, config)
    real, mag = stars(found, simulation, options.objects)
    with progress("simulating twins", len(real), "objects") as tick:
        simulated = twins(simulation, real, mag, tick)
    seed = int(config.seed)
    scale = simulation.survey.camera.pixel_scale
    features = [frame_features(movies, scale) for movies in (real, simulated)]
    verdicts, separation = forest_verdicts(features[0], features[1], seed)
    judged = list(verdicts.values()) if "forest" in options.judges else []
    if "cnn" in options.judges:
        judged.append(_network_verdict(real, simulated, features[0][1], features[1][1], options.device, seed))
    _show(judged, separation)
    metrics = {
        "data": found.name,
        "label": LABEL,
        "objects": len(real),
        "verdicts": [_plain(item) for item in judged],
        "separation": separation,
        "config_hash": config_hash(config),
    }
    write_text(run_dir / "realism.json", json.dumps(metrics, indent=2, allow_nan=False))
    write_bytes(run_dir / "realism.png", png_bytes(realism_figure(judged, separation, features[0][0], features[1][0], LABEL).figure))
    console.print(f"figure: {run_dir / 'realism.png'}")
    return float(verdicts["frame"].auc)


def stars(found: Dataset, simulation: Simulation, objects: int) -> tuple[Movies, np.ndarray[Any, np.dtype[np.float64]]]:
    """Constant stars with a known magnitude, in whole ADU, without the exposures that the survey's seeing cut drops.

    Raises
    ------
    DataError
        If there is none.
    """
    mag = np.asarray(found.columns.get("mean_mag", np.full(len(found), np.nan)), np.float64)
    rows = np.flatnonzero((found.movies.label == LABEL) & np.isfinite(mag))
    movies = found.movies.take(rows)
    usable = movies.frame_mask & movies.reported.mask
    if simulation.survey.max_seeing is not None:
        usable &= movies.reported.seeing < simulation.survey.max_seeing
    movies = replace(movies, frame_mask=usable, reported=movies.reported.replace(mask=usable), truth=None)
    kept = np.flatnonzero(usable.sum(axis=1) >= 3)
    kept = kept[: objects or None]
    if not len(kept):
        raise DataError(f"realism of {found.name}", f"no {LABEL} with a magnitude and three usable frames", "name another data set")
    return whole_adu(movies.take(kept)), mag[rows[kept]]


def twins(simulation: Simulation, real: Movies, mag: Any, tick: Any) -> Movies:
    """One simulated star under the conditions of every real one, as bright as it."""
    made = []
    for k, name in enumerate(real.object_id):
        made.append(twin(simulation, real.reported.take([k]), LABEL, float(mag[k]), name=str(name)))
        tick(1)
    return Movies.concatenate(made)


def _network_verdict(real: Movies, simulated: Movies, first: Any, second: Any, device: str, seed: int) -> Verdict:
    from skyreel.evaluate.realism_network import judged_stamps, network_judge

    stamps = np.concatenate([judged_stamps(real), judged_stamps(simulated)])
    truth, group = np.repeat([True, False], [len(first), len(second)]), np.concatenate([first, second])
    with console.status("a network looks at the stamps"):
        probability = cross_validated(network_judge(stamps, truth, seed, device), truth, group)
    return verdict("frame", "cnn", probability, truth, group, seed)


def _show(verdicts: list[Verdict], separation: Mapping[str, float]) -> None:
    table = Table(title="Can a judge tell? (0.5: no; 1: always)", title_justify="left")
    for name in ("level", "judge", "AUC", "95 %", "real", "simulated"):
        table.add_column(name, justify="left" if name in ("level", "judge") else "right")
    for item in verdicts:
        low, high = item.interval
        table.add_row(item.level, item.judge, f"{item.auc:.3f}", f"{low:.3f} to {high:.3f}", str(item.n_real), str(item.n_simulated))
    console.print(table)
    telling = ", ".join(f"{name} {auc:.2f}" for name, auc in list(separation.items())[:SHOWN])
    console.print(f"most telling features alone: {telling}")


def _plain(item: Verdict) -> dict[str, Any]:
    names = ("level", "judge", "auc", "interval", "n_real", "n_simulated")
    return {name: list(value) if isinstance(value := getattr(item, name), tuple) else value for name in names}


__all__ = ["RealismOptions", "run", "stars", "twins"]
