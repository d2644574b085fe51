"""The forest on the real sky: a small one, trained on simulated movies alone, knows most real objects (development fields)."""

import numpy as np
import pytest
from forest_toys import Store

from skyreel.datasets import load_dataset
from skyreel.hydra_glue import compose
from skyreel.interfaces import Task, TrainerOptions
from skyreel.plugin import plugins
from skyreel.preprocessing import SequenceOptions
from skyreel.registry import typed
from skyreel.sequences import alert_window
from skyreel.simulate.run import simulate_movies, simulation_config

REAL = ("supernova", "rr_lyrae", "eclipsing_binary", "non_variable")


def config(experiment: str):
    return compose("train", [f"experiment={experiment}", "executor=inprocess"])


@pytest.mark.parametrize("experiment", ["forest", "forest_strong"])
def test_network_and_forest_see_the_same_movies(experiment):
    ours, networks = config(experiment), config("quickstart")
    assert simulation_config(ours) == simulation_config(networks)
    assert (ours.n_objects, ours.n_valid, ours.n_test) == (networks.n_objects, networks.n_valid, networks.n_test)
    assert ours.classifier.name == "forest"


def test_the_papers_forest_is_the_default():
    """Section 3.4: 25 estimators and a depth of 15 on FATS features; 100 copies of every real movie beside 98,000 simulated ones."""
    wanted = {"estimator": "random_forest", "n_estimators": 25, "max_depth": 15, "features": "fats", "image_features": False, "copies": 100}
    letter = compose("train", ["experiment=paper", "classifier=forest"]).classifier
    assert {key: letter[key] for key in wanted} == wanted
    small = config("forest").classifier
    assert {key: small[key] for key in wanted} == {**wanted, "copies": 10}


@pytest.mark.real_data
def test_a_small_forest_knows_most_real_objects(data_dir, tmp_path):
    """50 simulated movies per class and every sixth real object; a guess reaches 0.25, 10,500 movies 0.9."""
    chosen = config("forest_strong")
    train, valid = (simulate_movies(chosen, split, n) for split, n in (("train", 50), ("valid", 6)))
    model = plugins().registry.create("classifier", chosen.classifier)
    sequence = typed(SequenceOptions, chosen.sequence, "sequence")
    task = Task(tuple(dict.fromkeys(train.label.tolist())), ("g",), 21, ("science",), 0.27, sequence)
    model.fit(Store(train), Store(valid), tmp_path, task=task, trainer=TrainerOptions(progress=False), seed=0)
    real = alert_window(load_dataset("hits2015a", data_dir / "hits2015a").movies.take(slice(None, None, 6)), sequence)
    last = real.frame_mask.shape[1] - 1 - np.argmax(real.frame_mask[:, ::-1], axis=1)
    guess = np.array(task.classes)[model.predict(real).probabilities[np.arange(len(real)), last].argmax(axis=1)]
    recall = {name: float((guess[real.label == name] == name).mean()) for name in REAL}
    assert np.mean(list(recall.values())) > 0.75, recall
    assert recall["non_variable"] > 0.9
