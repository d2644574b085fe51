"""Hydra sweeps over trainings: a folder and a model for every point, the same whoever launches them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from verb_runs import TINY, skyreel

SMALL = [*TINY, "source=[supernova,non_variable]", "trainer.max_steps=6", "trainer.valid_every=3"]


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The four runs of `sequence.n_stacked=1,3 seed=0,1`, one after the other."""
    folder = tmp_path_factory.mktemp("sweep")
    done = skyreel("train", "-m", *SMALL, "sequence.n_stacked=1,3", "seed=0,1", "hydra.sweep.dir=grid", cwd=folder)
    assert done.code == 0, done.err
    return folder / "grid"


def weights(run: Path) -> bytes:
    return (run / "model" / "weights.safetensors").read_bytes()


def test_every_point_has_its_own_run(grid: Path) -> None:
    assert {path.name for path in grid.iterdir() if path.is_dir()} == {"0", "1", "2", "3"}
    points, hashes = [], set()
    for k in range(4):
        config = OmegaConf.load(grid / str(k) / "config.yaml")
        points.append((config.sequence.n_stacked, config.seed))
        metrics = json.loads((grid / str(k) / "metrics.json").read_text())
        hashes.add(metrics["config_hash"])
        assert 0 <= metrics["mean_recall"] <= 1
        assert (grid / str(k) / "report.html").is_file()
    assert points == [(1, 0), (1, 1), (3, 0), (3, 1)]
    assert len(hashes) == 4
    assert len({weights(grid / str(k)) for k in range(4)}) == 4


def test_the_number_of_stacked_images_shapes_the_network(grid: Path) -> None:
    parameters = []
    for k, n_stacked in ((0, 1), (2, 3)):
        run = grid / str(k)
        assert json.loads((run / "model" / "model.json").read_text())["task"]["sequence"]["n_stacked"] == n_stacked
        parameters.append(json.loads((run / "metrics.json").read_text())["training"]["parameters"])
    # Each image more in a stack: 9 weights to each of the first convolution's 4 channels, 2 normalisation parameters of
    # the input, and a time gap with two conditions to each of the LSTM's 4 * 16 gates.
    assert parameters[1] - parameters[0] == 2 * (9 * 4 + 2 + 3 * 64)


def test_joblib_gives_the_same_weights(grid: Path, tmp_path: Path) -> None:
    launcher = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hydra.sweep.dir=jobs"]
    command = [sys.executable, "-m", "skyreel.cli", "train", "-m", *SMALL, "seed=0,1", *launcher]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    assert [weights(tmp_path / "jobs" / str(k)) for k in range(2)] == [weights(grid / str(k)) for k in (2, 3)]
