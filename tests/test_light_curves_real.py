"""Light curves of the real HiTS development objects against the survey's own."""

from pathlib import Path

import numpy as np
import pytest

from skyreel.datasets import load_dataset
from skyreel.light_curves import PhotometryOptions, measure

pytestmark = pytest.mark.real_data


@pytest.fixture(scope="module")
def hits(data_dir: Path):
    """Movies and the survey's own number for every frame: magnitudes, difference counts of supernovae."""
    movies = load_dataset("hits2015a", data_dir / "hits2015a").movies
    reference = np.full(movies.frame_mask.shape, np.nan)
    row = {str(name): k for k, name in enumerate(movies.object_id)}
    for label in np.unique(movies.label):
        table = np.load(data_dir / "hits2015a" / "dev" / f"{label}.npz")
        mjd = np.where(np.isfinite(table["cond_mjd"]), table["cond_mjd"], table["frame_mjd"])
        column = table["frame_diff_adu"] if label == "supernova" else table["frame_mag"]
        if label == "non_variable":
            column = table["obj_mean_mag"][table["frame_obj"]]
        for k, name in enumerate(table["obj_id"]):
            if str(name) in row:
                frames = slice(table["obj_start"][k], table["obj_start"][k] + table["obj_n"][k])
                order = np.argsort(mjd[frames], kind="stable")
                reference[row[str(name)], : len(order)] = column[frames][order]
    return movies, reference


def offsets(movies, reference, options, label):
    """Measured minus catalogue magnitude (n, T) of one class."""
    rows = movies.label == label
    return measure(movies.take(rows), options).magnitudes()[0] - reference[rows]


@pytest.mark.parametrize("centre", ["middle", "frame"])
@pytest.mark.parametrize(
    ("label", "limit", "objects"), [("non_variable", 0.025, 296), ("rr_lyrae", 0.035, 67), ("eclipsing_binary", 0.035, 46)]
)
def test_scatter_and_bias_against_the_survey(hits, label, limit, objects, centre):
    difference = offsets(*hits, PhotometryOptions(centre=centre), label)
    assert len(difference) == objects
    around = np.abs(difference - np.nanmedian(difference, axis=1, keepdims=True))
    # scaled to the standard deviation of normal deviates
    assert 1.4826 * np.nanmedian(np.nanmedian(around, axis=1)) < limit
    assert abs(np.nanmedian(difference)) < 0.03
    assert np.nanmean(around > 0.15) < 0.02


def test_weights_and_profile_matter(hits):
    scatter = {}
    for name, change in {"plain": {}, "flat": {"iterations": 0}, "gaussian": {"profile": "gaussian"}}.items():
        difference = offsets(*hits, PhotometryOptions(**change), "non_variable")
        scatter[name] = np.nanmedian(np.nanmedian(np.abs(difference - np.nanmedian(difference, axis=1, keepdims=True)), axis=1))
    assert scatter["flat"] > 1.5 * scatter["plain"]
    assert scatter["gaussian"] > 1.5 * scatter["plain"]


def test_supernovae_follow_their_difference_images(hits):
    movies, reference = hits
    rows = np.flatnonzero(movies.label == "supernova")
    found = {}
    for host in ("none", "subtract"):
        curves = measure(movies.take(rows), PhotometryOptions(host=host))
        usable = curves.mask & np.isfinite(reference[rows])
        pairs = [(curves.flux[k][usable[k]], reference[row][usable[k]]) for k, row in enumerate(rows)]
        found[host] = np.median([np.corrcoef(*pair)[0, 1] for pair in pairs])
    assert len(rows) == 49
    assert found["none"] > 0.85
    assert found["subtract"] > 0.95


def test_errors_of_constant_stars_with_the_floor_are_their_scatter(hits):
    movies, _ = hits
    curves = measure(movies.take(movies.label == "non_variable"))
    flux = np.where(curves.mask & (curves.flags == 0), curves.flux, np.nan)
    pull = (flux - np.nanmedian(flux, axis=1, keepdims=True)) / curves.error
    # errors of the zero points, 0.02 to 0.03 mag and shared by all stars of an exposure, are not in the floor
    assert 0.8 < 1.4826 * np.nanmedian(np.abs(pull)) < 1.5
