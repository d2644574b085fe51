"""Draws docs/movies.png: one simulated HiTS movie per class, as rows of stamps.

Run it from the checkout: ``python docs/make_movies.py``. Config: ``experiment=quickstart seed=4``.
"""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from skyreel.hydra_glue import compose
from skyreel.simulate.run import build, simulation_config

IMAGES = 12


def main() -> None:
    """Simulates one block per class and draws the movie with the largest change of flux (of the bright half)."""
    simulation = build(simulation_config(compose("simulate", ["experiment=quickstart", "seed=4"])))
    figure = Figure(figsize=(11, 6.6), facecolor="white")
    axes = figure.subplots(len(simulation.sources), IMAGES, gridspec_kw={"wspace": 0.06, "hspace": 0.06})
    for row, label in zip(axes, simulation.sources, strict=True):
        movies = simulation.block("picture", label, 0)
        assert movies.truth is not None
        long = movies.frame_mask.sum(axis=1) >= IMAGES
        sky = movies.reported.sky[:, :IMAGES, None, None]
        light = np.clip((movies.pixels[:, :IMAGES, 0] - sky), -50, None)
        peak = movies.truth.flux[:, :IMAGES].max(axis=1)
        wanted = np.abs(np.log(np.maximum(peak, 1) / 8_000.0)) if peak.max() > 0 else -light.sum(axis=(1, 2, 3))
        chosen = int(np.argmin(np.where(long, wanted, np.inf)))
        days = movies.reported.mjd[chosen] - movies.reported.mjd[chosen, 0]
        top = float(np.percentile(light[chosen], 99.7))
        for k, panel in enumerate(row):
            panel.imshow(np.arcsinh(light[chosen, k] / 30.0), cmap="gray_r", vmin=-0.8, vmax=np.arcsinh(top / 30.0), origin="lower")
            panel.set(xticks=[], yticks=[])
            panel.set_title(f"{days[k]:.2f} d", fontsize=6.5, pad=1.5)
        row[0].set_ylabel(label.replace("_", "\n"), fontsize=8.5, rotation=0, ha="right", va="center")
    figure.savefig(Path(__file__).with_name("movies.png"), dpi=110, bbox_inches="tight")


if __name__ == "__main__":
    main()
