"""Time per simulated movie, from dates to detector, by class: pytest benchmarks/bench_simulation.py -s

Blocks of the default configuration and of the paper's with every exposure of a field (some 23 frames a movie: what an object
costs is shared by as many frames as the figure is for), one thread, CPU time, scaled to movies of 22 frames.
"""

import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
import torch

from skyreel.hydra_glue import compose
from skyreel.interfaces import CLASSES
from skyreel.simulate.setup import build, simulation_config

FRAMES, BLOCKS = 22, 4
SETTINGS = {"default": ["simulation.window=false"], "the paper's": ["simulation=paper", "psf=gaussian", "simulation.window=false"]}
torch.set_num_threads(1)


@pytest.mark.parametrize("setting", list(SETTINGS))
def test_microseconds_per_movie(setting: str) -> None:
    """Medians and ranges over blocks; the scene is all that comes before the first pixel."""
    simulation = build(simulation_config(compose("simulate", SETTINGS[setting])))
    print(f"\n| {setting} | us / movie of {FRAMES} frames | of which the scene | frames / movie |\n|---|---|---|---|")
    for label in CLASSES:
        simulation.block("train", label, 0)
        whole, scene, frames = [], [], []
        for number in range(1, BLOCKS + 1):
            begin = time.process_time()
            movies = simulation.block("train", label, number)
            middle = time.process_time()
            simulation.scene("train", label, number)
            end = time.process_time()
            count = movies.frame_mask.sum()
            frames.append(count / len(movies.label))
            whole.append(1e6 * FRAMES * (middle - begin) / count)
            scene.append(1e6 * FRAMES * (end - middle) / count)
        low, middle_, high = np.percentile(whole, [0, 50, 100])
        print(f"| {label} | {middle_:.0f} ({low:.0f} to {high:.0f}) | {np.median(scene):.0f} | {np.mean(frames):.1f} |")
