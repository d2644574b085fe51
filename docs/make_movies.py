"""Draws docs/movies.png: one simulated HiTS movie per class, as rows of stamps.

Run it from the checkout: ``python docs/make_movies.py``. Config: ``experiment=quickstart seed=4``.
"""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from skyreel.hydra_glue import compose
from skyreel.movies import Movies
from skyreel.simulate.run import build, simulation_config

IMAGES = 12


def example(movies: Movies) -> int:
    """A long movie whose source changes much and peaks near 8,000 ADU; of classes without one, the brightest stamps."""
    assert movies.truth is not None
    long = movies.frame_mask.sum(axis=1) >= IMAGES
    flux = np.where(movies.frame_mask, movies.truth.flux, np.nan)
    peak = np.nanmax(flux, axis=1)
    if not peak.any():
        return int(np.argmax(np.where(long, movies.pixels[:, 0, 0].sum(axis=(1, 2)), 0)))
    steady = np.nanmin(flux, axis=1) / peak
    return int(np.argmin(np.where(long, np.abs(np.log(np.maximum(peak, 1) / 8_000.0)) + 2 * steady, np.inf)))


def main() -> None:
    """Simulates one block per class and draws one movie of each."""
    simulation = build(simulation_config(compose("simulate", ["experiment=quickstart", "seed=4"])))
    figure = Figure(figsize=(11, 7.2), facecolor="white")
    axes = figure.subplots(len(simulation.sources), IMAGES, gridspec_kw={"wspace": 0.06, "hspace": 0.3})
    for row, label in zip(axes, simulation.sources, strict=True):
        movies = simulation.block("picture", label, 0)
        chosen = example(movies)
        frames = np.linspace(0, movies.frame_mask[chosen].sum() - 1, IMAGES).round().astype(int)
        light = movies.pixels[chosen, frames, 0] - movies.reported.sky[chosen, frames, None, None]
        days = movies.reported.mjd[chosen, frames] - movies.reported.mjd[chosen, 0]
        top = np.arcsinh(np.percentile(light, 99.8) / 30.0)
        for panel, image, day in zip(row, light, days, strict=True):
            panel.imshow(np.arcsinh(image / 30.0), cmap="gray_r", vmin=-0.8, vmax=top, origin="lower")
            panel.set(xticks=[], yticks=[])
            panel.set_title(f"{day:.2f} d", fontsize=6.5, pad=2)
        row[0].set_ylabel(label.replace("_", "\n"), fontsize=8.5, rotation=0, ha="right", va="center")
    figure.savefig(Path(__file__).with_name("movies.png"), dpi=110, bbox_inches="tight")


if __name__ == "__main__":
    main()
