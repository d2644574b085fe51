"""`skyreel realism`: can a judge tell simulated movies from real ones, and by what?"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from skyreel.datasets import Dataset, load_dataset
from skyreel.errors import ConfigError
from skyreel.evaluate.page import png_bytes
from skyreel.evaluate.realism import Verdict, balanced_folds, cross_validated, verdict
from skyreel.evaluate.realism_comparison import Comparison, of_matched, of_twins
from skyreel.evaluate.realism_features import FRAME
from skyreel.evaluate.realism_figures import realism_figure
from skyreel.evaluate.realism_forest import forest_verdicts, importances, separations
from skyreel.evaluate.realism_objects import OBJECT
from skyreel.evaluate.realism_samples import CONSTANT, RealObjects, constant_stars, real_objects
from skyreel.evaluate.realism_tables import as_csv, feature_table, plain
from skyreel.evaluate.realism_twins import UNMEASURED, Fitted, as_composed, cross_fitted, twins
from skyreel.files import write_bytes, write_text
from skyreel.hydra_glue import config_hash, write_provenance
from skyreel.registry import typed
from skyreel.simulate.chain import Simulation
from skyreel.simulate.run import build, simulation_config
from skyreel.verbs.terminal import console, progress

JUDGES = ("forest", "cnn")
REGISTERED = ("supernova",)
"""Classes whose real stamps are resampled to one grid for all frames (HiTS 2015A: the supernovae alone)."""
SHOWN = 8
"""Features named on the terminal."""


@dataclass(frozen=True)
class RealismOptions:
    """Config group `realism`.

    Attributes
    ----------
    label : str
        Class compared. Classes that raise alerts (their brightness in each frame is not known) are held against movies drawn from
        the simulation at the same positions, frame by frame matched in seeing, sky and brightness; the others against twins.
    objects : int
        Real objects compared; 0: all.
    crossfit : bool
        Measure the PSF anew on the constant stars of the other fields, for the objects of every field, where the PSF can be
        measured.
    judges : list of str
        'forest' (features) and 'cnn' (stamps).
    device : str
        Where the network learns: 'cpu', 'cuda', 'cuda:1', 'mps' or 'auto'.
    """

    label: str = CONSTANT
    objects: int = 0
    crossfit: bool = True
    judges: list[str] = field(default_factory=lambda: list(JUDGES))
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.objects < 0:
            raise ConfigError("realism.objects", str(self.objects), "use a number of objects, or 0 for all")
        if not self.judges or not set(self.judges) <= set(JUDGES):
            raise ConfigError("realism.judges", str(self.judges), f"name one or more of {', '.join(JUDGES)}")


def run(config: Any, run_dir: Path) -> float:
    """Compares real movies of ``dataset`` with simulated ones under their conditions; returns the first judge's AUC per frame.

    Real stamps are rounded to whole ADU, exposures beyond the survey's ``max_seeing`` left out; judges are cross-validated by
    object, and the forest by field as well. Left in `run_dir`: realism.json, realism.csv, realism.png.

    Raises
    ------
    ConfigError
        Without ``dataset`` or the class, for options out of range, and for a device that this machine lacks.
    DataError
        If the data set holds no such object with usable frames, or no star to measure a PSF on.
    """
    options = typed(RealismOptions, config.realism, "realism")
    if config.dataset.name in (None, "none"):
        raise ConfigError("dataset", "none", "name real movies, for example dataset=hits2015a")
    simulation = build(simulation_config(config))
    if options.label not in simulation.sources:
        raise ConfigError(
            "source", f"no {options.label}, only {', '.join(simulation.sources)}", f"add it (+source={options.label}) or set realism.label"
        )
    if "cnn" in options.judges:
        _check_device(options.device)
    found = load_dataset(**{str(key): value for key, value in config.dataset.items()})
    write_provenance(run_dir, config)
    alerts = simulation.sources[options.label].triggers
    real = real_objects(
        found,
        options.label,
        simulation.survey.max_seeing,
        objects=options.objects,
        with_mag=not alerts,
        before_alert=simulation.rule.before_alert if alerts else None,
    )
    fitted = _fitted(simulation, real, found, options.crossfit)
    seen = _compared(fitted, real, options.label, alerts, simulation.survey.camera.pixel_scale)
    seed = int(config.seed)
    verdicts, importance = [], {}
    if "forest" in options.judges:
        with console.status("a forest looks at the features"):
            verdicts += forest_verdicts(seen.sample, seen.levels, seed)
            importance = importances(seen.sample, seed=seed)
    if "cnn" in options.judges:
        with console.status("a network looks at the stamps"):
            verdicts.append(_network_verdict(seen, options.device, seed))
    separation = separations(seen.sample.values, seen.sample.real)
    rows = feature_table("frame", separation, seen.sample.values, seen.sample.real, FRAME)
    if "object" in seen.levels:
        whole = seen.sample.objects()
        rows += feature_table("object", separations(whole.values, whole.real, OBJECT), whole.values, whole.real, OBJECT)
    _show(verdicts, separation, importance)
    metrics = {
        "data": found.name,
        "label": options.label,
        "objects": len(real),
        "compared_with": "matched frames" if alerts else "twins",
        "psf": _psf(fitted, options.crossfit),
        "verdicts": [plain(item) for item in verdicts],
        "separation": separation,
        "importance": importance,
        "balance": seen.balance,
        "config_hash": config_hash(config),
    }
    write_text(run_dir / "realism.json", json.dumps(metrics, indent=2, allow_nan=False))
    write_text(run_dir / "realism.csv", as_csv(rows))
    drawing = realism_figure(verdicts, separation, importance, seen.sample, options.label)
    write_bytes(run_dir / "realism.png", png_bytes(drawing.figure))
    console.print(f"figure: {run_dir / 'realism.png'}; every feature: {run_dir / 'realism.csv'}")
    return verdicts[0].auc


def _fitted(simulation: Simulation, real: RealObjects, found: Dataset, crossfit: bool) -> list[Fitted]:
    if not crossfit:
        return [as_composed(simulation, real)]
    stars = constant_stars(found, simulation.survey.max_seeing)
    with console.status("measuring the PSF on stars of other fields"):
        fitted = cross_fitted(simulation, real, stars)
    if not len(fitted[0].stars):
        console.print(f"psf {type(simulation.psf).__name__}: {UNMEASURED}")
    return fitted


def _psf(fitted: list[Fitted], crossfit: bool) -> dict[str, Any]:
    """How the PSF was come by, as JSON holds it."""
    measured = bool(len(fitted[0].stars))
    return {
        "name": type(fitted[0].simulation.psf).__name__,
        "crossfit": measured,
        "note": "" if measured else UNMEASURED if crossfit else "as composed",
        "folds": [{"scored": part.name, "objects": len(part.scored), "stars": len(part.stars)} for part in fitted],
    }


def _compared(fitted: list[Fitted], real: RealObjects, label: str, alerts: bool, pixel_scale: float) -> Comparison:
    registered = label in REGISTERED
    if alerts:
        with progress("simulating movies at the same positions", len(real), "objects") as tick:
            return of_matched(fitted, real, label, registered, pixel_scale, tick)
    with progress("simulating twins", len(real), "objects") as tick:
        simulated = twins(fitted, real, label, registered, tick)
    return of_twins(real.movies, simulated, pixel_scale)


def _check_device(device: str) -> None:
    from skyreel.evaluate.realism_network import judge_device

    judge_device(device)


def _network_verdict(seen: Comparison, device: str, seed: int) -> Verdict:
    from skyreel.evaluate.realism_network import judge_device, judged_stamps, network_judge

    sample = seen.sample
    stamps = np.concatenate([judged_stamps(movies) for movies in seen.movies])
    fold = balanced_folds(sample.real, sample.group)
    probability = cross_validated(network_judge(stamps, sample.real, seed, judge_device(device)), fold)
    return verdict("frame", "cnn", probability, sample.real, sample.group, fold, seed=seed)


def _show(verdicts: list[Verdict], separation: Mapping[str, float], importance: Mapping[str, float]) -> None:
    table = Table(title="Can a judge tell? (0.5: no; 1: always)", title_justify="left")
    for name in ("level", "judge", "held out", "AUC", "95 %", "real", "simulated"):
        table.add_column(name, justify="left" if name in ("level", "judge", "held out") else "right")
    for item in verdicts:
        low, high = item.interval
        interval = f"{low:.3f} to {high:.3f}"
        table.add_row(item.level, item.judge, item.folds, f"{item.auc:.3f}", interval, str(item.n_real), str(item.n_simulated))
    console.print(table)
    telling = ", ".join(f"{name} {auc:.2f}" for name, auc in list(separation.items())[:SHOWN])
    console.print(f"most telling features alone: {telling}")
    if importance:
        lost = ", ".join(f"{name} {loss:.3f}" for name, loss in list(importance.items())[:SHOWN])
        console.print(f"the forest loses most without: {lost}")


__all__ = ["RealismOptions", "run"]
