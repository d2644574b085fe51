"""`skyreel gallery`: figures 1, 2 and 3 of the paper, movies of every class and the simulated sky, from a config alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from skyreel.datasets import load_dataset
from skyreel.errors import ConfigError
from skyreel.evaluate.exhibits_parts import Twins
from skyreel.evaluate.figures_objects import twin_figure
from skyreel.evaluate.figures_style import Drawing
from skyreel.evaluate.gallery_hosts import host_figure
from skyreel.evaluate.gallery_movie import Shown, frame_titles, movie_figure, shown
from skyreel.evaluate.gallery_options import GalleryOptions
from skyreel.evaluate.gallery_page import Plate, check_folder, write_index, write_plate
from skyreel.evaluate.gallery_paper import light_curve_figure, magnitude_figure, pipeline_figure
from skyreel.evaluate.gallery_real import Real, measured, star_twins
from skyreel.evaluate.gallery_sample import Sample, sample, shown_movies, survey_exposures
from skyreel.evaluate.gallery_sky import sky_figure
from skyreel.evaluate.gallery_stamps import animated
from skyreel.evaluate.names import long_name
from skyreel.hydra_glue import config_hash, provenance, resolved, write_provenance
from skyreel.registry import typed
from skyreel.seeding import BLOCK
from skyreel.simulate.chain import Simulation
from skyreel.simulate.run import build, simulation_config
from skyreel.verbs.terminal import console, progress

POSITIONS = 512
"""Of the survey, behind the distributions of its conditions."""
TWINS = 3
"""Real stars that are shown beside simulated ones."""


def run(config: Any, run_dir: Path) -> int:
    """Draws the gallery into ``output``, or the run's folder; returns the number of figures.

    With a ``dataset``, its objects stand beside the simulated ones. Left behind: index.html, figures/*.png and *.pdf,
    movies/*.gif.

    Raises
    ------
    ConfigError
        Without a class, and for options that are unknown or out of range.
    DatasetError
        For a data set that is not there.
    OutputError
        If the folder holds something else or cannot be written to.
    """
    if not isinstance(config.gallery, Mapping) and not OmegaConf.is_dict(config.gallery):
        raise ConfigError("gallery", repr(config.gallery), "give options by name, for example gallery.per_class=2")
    options = typed(GalleryOptions, config.gallery, "gallery")
    simulation = build(simulation_config(config))
    folder = Path(str(config.output)) if config.output else run_dir
    if config.output:
        check_folder(folder)
    named = config.dataset.name not in (None, "none")
    real = measured(load_dataset(**{str(key): value for key, value in config.dataset.items()})) if named else None
    write_provenance(run_dir, config)
    with one_thread():
        gallery = _gallery(simulation, options, real)
        parts = []
        with progress("drawing", len(gallery.makers()), "figures") as tick:
            for plate in gallery.plates():
                parts.append((plate, write_plate(folder, plate)))
                tick(1)
    index = write_index(
        folder,
        parts,
        title=f"skyreel gallery: survey {config.survey.name}",
        tiles=_tiles(config, gallery),
        notes=_notes(gallery),
        provenance=_provenance(config),
        config_yaml=OmegaConf.to_yaml(OmegaConf.create(_shown_config(config))),
    )
    console.print(f"{len(parts)} figures: {index}", markup=False, highlight=False)
    return len(parts)


@contextmanager
def one_thread() -> Iterator[None]:
    """Within the block torch uses one thread: sums split over threads may round differently."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass(frozen=True)
class Gallery:
    """Everything that the figures show.

    Attributes
    ----------
    simulation : Simulation
    options : GalleryOptions
    samples : mapping of str -> Sample
    items : mapping of str -> list of Shown
        Class -> the movies that are shown.
    real : Real or None
    """

    simulation: Simulation
    options: GalleryOptions
    samples: Mapping[str, Sample]
    items: Mapping[str, list[Shown]]
    real: Real | None

    def makers(self) -> list[Callable[[], Plate | None]]:
        """What draws each figure, in the order shown."""
        paper = [self._magnitudes, self._light_curves, self._pipeline]
        movies = [self._movie(item, k) for items in self.items.values() for k, item in enumerate(items)]
        twins = [] if self.real is None else [self._twin(k) for k in range(TWINS)]
        return [*paper, *movies, self._sky, self._hosts, *twins]

    def plates(self) -> Iterator[Plate]:
        """The figures, each drawn when it is asked for."""
        for make in self.makers():
            plate = make()
            if plate is not None:
                yield plate

    def _magnitudes(self) -> Plate | None:
        if not any(np.isfinite(found.mag).any() or found.host.any() for found in self.samples.values()):
            return None
        drawing = magnitude_figure(self.samples, self.real)
        return Plate("figure1_magnitudes", "paper", "Histograms of the magnitudes of each class.", drawing)

    def _light_curves(self) -> Plate | None:
        first = {label: items[0] for label, items in self.items.items()}
        if not any((item.truth > 0).any() for item in first.values()):
            return None
        drawing = light_curve_figure(first, self.simulation.sources, self.real)
        return Plate("figure2_light_curves", "paper", "One light curve of each class.", drawing)

    def _pipeline(self) -> Plate:
        drawing = pipeline_figure(self.simulation, self.samples)
        alt = "Five stamps: the source, its galaxy, both, both on the sky, and the noisy image."
        return Plate("figure3_simulation", "paper", alt, drawing)

    def _movie(self, item: Shown, number: int) -> Callable[[], Plate]:
        def make() -> Plate:
            drawing = movie_figure(item, self.simulation.sources[item.label])
            slug = f"movie_{item.label}" + (f"_{number + 1}" if number else "")
            alt = f"Stamps, light curve and conditions of {len(item.strip)} images of a simulated {long_name(item.label)}."
            return Plate(slug, "movies", alt, drawing, animated(item.strip, frame_titles(item), self.options))

        return make

    def _sky(self) -> Plate:
        exposures = survey_exposures(self.simulation, POSITIONS)
        alt = "Distributions of magnitudes, variation, redshifts and periods of the classes and of the observing conditions."
        return Plate("sky", "sky", alt, sky_figure(self.samples, exposures, self.real))

    def _hosts(self) -> Plate | None:
        drawing = host_figure(self.samples)
        return None if drawing is None else Plate("hosts", "sky", "Distributions of the galaxies' properties by class.", drawing)

    @cached_property
    def _twins(self) -> Twins | None:
        return None if self.real is None else star_twins(self.real, self.simulation, TWINS)

    def _twin(self, number: int) -> Callable[[], Plate | None]:
        def make() -> Plate | None:
            if self._twins is None:
                return None
            drawing: Drawing = twin_figure(self._twins, number)
            return Plate(f"twin_{number + 1}", "real", "A real star and a simulated star under the same conditions.", drawing)

        return make


def _gallery(simulation: Simulation, options: GalleryOptions, real: Real | None) -> Gallery:
    blocks = -(-options.population // BLOCK)
    with progress("drawing objects", blocks * len(simulation.sources), f"blocks of {BLOCK} objects") as tick:
        samples = {label: sample(simulation, label, options.population, tick) for label in simulation.sources}
    return Gallery(simulation, options, samples, _shown(simulation, samples, options), real)


def _shown(simulation: Simulation, samples: Mapping[str, Sample], options: GalleryOptions) -> dict[str, list[Shown]]:
    out = {}
    for label, (movies, rows) in shown_movies(simulation, samples, options.per_class, options.pick).items():
        params = samples[label].params
        out[label] = [shown(movies, k, {name: column[[row]] for name, column in params.items()}, options) for k, row in enumerate(rows)]
    return out


def _tiles(config: Any, gallery: Gallery) -> dict[str, str]:
    objects = max(map(len, gallery.samples.values()))
    return {
        "survey": str(config.survey.name),
        "classes": str(len(gallery.samples)),
        "objects per class behind the distributions": str(objects),
        "seed": str(config.seed),
    }


def _notes(gallery: Gallery) -> list[str]:
    rules = {
        "clear": "Movies are chosen by rule: among the first 64 objects of a class, those of typical contrast well above the noise.",
        "first": "Movies are the first ones of each class, whatever they look like.",
    }
    return ["Every figure follows from the config and the seed below; no trained model is used.", rules[gallery.options.pick]]


def _provenance(config: Any) -> dict[str, str]:
    rows = {"seed": str(config.seed), "config hash": config_hash(config)}
    for name, value in provenance().items():
        rows[name.replace("_", " ")] = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else str(value)
    return rows


def _shown_config(config: Any) -> dict[str, Any]:
    """The config without the folder: the same page wherever it is written."""
    return {key: value for key, value in resolved(config).items() if key != "output"}
