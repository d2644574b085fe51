"""Bias and pulls of light curves of simulated movies: python benchmarks/photometry_simulated.py

Prints a table in Markdown (results/photometry.md holds it): points without a flag and with a true S/N above 5, seed 0, no error
floor. `measure_true` knows PSF, host, sky and zero point; `measure` knows what is reported.
"""

import os
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from skyreel.hydra_glue import compose
from skyreel.light_curves import Flag, LightCurves, PhotometryOptions, flux_per_count, measure
from skyreel.movies import Movies
from skyreel.simulate.run import build, simulation_config
from skyreel.simulate.truth_images import TruthImages, measure_true, truth_images

GROUPS = {"non_variable": ("non_variable", False), "supernova, no host": ("supernova", False), "supernova on a host": ("supernova", True)}
BLOCKS = 4
FINE = 255 - int(Flag.NEGATIVE)
Method = Callable[[Movies, TruthImages], LightCurves]
METHODS: dict[str, tuple[bool, Method]] = {
    "measure_true": (True, measure_true),
    "measure, default": (False, lambda movies, _: measure(movies, PhotometryOptions(error_floor=0))),
    "measure, sky=reported": (False, lambda movies, _: measure(movies, PhotometryOptions(error_floor=0, sky="reported"))),
    "measure, centre=frame": (False, lambda movies, _: measure(movies, PhotometryOptions(error_floor=0, centre="frame"))),
    "measure, width=profile": (False, lambda movies, _: measure(movies, PhotometryOptions(error_floor=0, width="profile"))),
    "measure, host=subtract": (False, lambda movies, _: measure(movies, PhotometryOptions(error_floor=0, host="subtract"))),
}


def points(blocks: list[tuple[Movies, TruthImages]], method: Method, known: bool, host: bool) -> np.ndarray:
    """Flux, error and true flux (3, points)."""
    out = []
    for movies, images in blocks:
        curves = method(movies, images)
        mask = movies.frame_mask
        truth = np.zeros(mask.shape)
        truth[mask] = flux_per_count(movies.truth.exposures if known else movies.reported, mask, 25.0)
        truth *= movies.truth.flux
        chosen = curves.mask & (curves.flags & FINE == 0) & (truth > 5 * curves.error) & (movies.truth.host == host)[:, None]
        out.append([curves.flux[chosen], curves.error[chosen], truth[chosen]])
    return np.concatenate(out, axis=1)


def main() -> None:
    print("| conditions | objects | photometry | points | sum / true - 1 | median / true - 1 | pull: mean | pull: std | pull: 1.4826 MAD |")
    print("| " + " | ".join(["---"] * 9) + " |")
    for conditions in ("paper", "default"):
        simulation = build(simulation_config(compose("simulate", [f"simulation={conditions}"])))
        blocks = {
            label: [(simulation.block("test", label, k), truth_images(simulation, "test", label, k)) for k in range(BLOCKS)]
            for label in ("non_variable", "supernova")
        }
        for name, (label, host) in GROUPS.items():
            for method, (known, function) in METHODS.items():
                flux, error, truth = points(blocks[label], function, known, host)
                pull = (flux - truth) / error
                spread = 1.4826 * np.median(np.abs(pull - np.median(pull)))
                cells = [f"{flux.sum() / truth.sum() - 1:+.4f}", f"{np.median(flux / truth) - 1:+.4f}"]
                cells += [f"{pull.mean():+.3f}", f"{pull.std():.3f}", f"{spread:.3f}"]
                print(f"| {conditions} | {name} | {method} | {flux.size} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
