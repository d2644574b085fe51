"""A forest on disk and its state as bytes: nothing lost, nothing run, damage named."""

import json
import subprocess
import sys

import numpy as np
import pytest
from forest_toys import forest, movies, strong, train
from safetensors.numpy import load, save

from skyreel.errors import ModelError
from skyreel.models import load_model
from skyreel_forest.classifier import Forest

BANDS = ("g", "r")


@pytest.fixture
def folder(tmp_path):
    strong().save(tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize("estimator", ["random_forest", "gradient_boosting"])
def test_a_saved_forest_is_the_same_forest(tmp_path, estimator):
    model = forest(estimator=estimator, n_estimators=3)
    train(tmp_path, model)
    model.save(tmp_path / "model")
    again = load_model(tmp_path / "model")
    assert isinstance(again, Forest)
    assert again == model
    assert again.task == model.task
    assert again.importance == model.importance
    fresh = movies(12, seed=5)
    assert again.predict(fresh).probabilities.tobytes() == model.predict(fresh).probabilities.tobytes()
    assert {path.name for path in (tmp_path / "model").iterdir()} == {"model.json", "trees.safetensors"}
    description = json.loads((tmp_path / "model" / "model.json").read_text())
    assert description["component"] == "forest"
    assert set(description["versions"]) >= {"skyreel", "scikit-learn", "light-curve"}
    assert description["features"][0].startswith("g.")


def edit(folder, change):
    description = json.loads((folder / "model.json").read_text())
    change(description)
    (folder / "model.json").write_text(json.dumps(description))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.update(format_version=2), "format version 2, this skyreel reads version 1; install skyreel"),
        (lambda d: d.update(component="rcnn"), "'rcnn'"),
        (lambda d: d.pop("task"), "damaged"),
        (lambda d: d["task"]["sequence"].update(scaling="none"), "damaged"),
        (lambda d: d["options"].update(tanks=3), "tanks"),
        (lambda d: d["options"].update(features="all"), "options of another version"),
        (lambda d: d["options"].update(features="fats"), "features of another version"),
        (lambda d: d["features"].pop(), "trees.safetensors"),
        (lambda d: d["features"].reverse(), "features of another version"),
        (lambda d: d["task"]["classes"].pop(), "do not fit together"),
        (lambda d: d["trees"].update(link="pickle"), "link 'pickle'"),
        (lambda d: d.pop("format_version"), "cannot be read"),
    ],
)
def test_other_descriptions_are_refused(folder, change, words):
    edit(folder, change)
    with pytest.raises(ModelError, match=words):
        Forest.load(folder)


def test_damaged_and_missing_files_are_refused(folder, tmp_path):
    with pytest.raises(ModelError, match=r"no model\.json"):
        Forest.load(tmp_path / "nowhere")
    trees = folder / "trees.safetensors"
    data = bytearray(trees.read_bytes())
    data[-5] ^= 1
    trees.write_bytes(data)
    with pytest.raises(ModelError, match="SHA-256"):
        Forest.load(folder)
    trees.unlink()
    with pytest.raises(ModelError, match=r"no trees\.safetensors"):
        Forest.load(folder)
    (folder / "model.json").write_text("{")
    with pytest.raises(ModelError, match="cannot be read"):
        Forest.load(folder)


def test_an_endless_tree_is_refused_even_with_the_right_digest(folder):
    """A tree whose node is its own child would hang whoever classifies with it."""
    import hashlib

    path = folder / "trees.safetensors"
    arrays = load(path.read_bytes())
    inner = int(np.flatnonzero(arrays["feature"] >= 0)[0])
    arrays["left"][inner] = inner
    data = save(arrays)
    path.write_bytes(data)
    edit(folder, lambda d: d["trees"].update(sha256=hashlib.sha256(data).hexdigest()))
    with pytest.raises(ModelError, match="point outside"):
        Forest.load(folder)


def test_a_state_survives_bytes_and_damage_is_named():
    model, some = strong(), movies(3, bands=BANDS)
    state = model.initial_state(3)
    for epoch in range(3):
        exposure = some.reported.gather(np.full((3, 1), epoch), some.frame_mask[:, epoch : epoch + 1])
        _, state = model.step(state, some.pixels[:, epoch].astype(np.float32), exposure)
    data = model.state_to_bytes(state)
    again = model.state_from_bytes(data)
    for name, array in state.arrays().items():
        assert array.tobytes() == again.arrays()[name].tobytes()
    for damaged in (b"", data[:10], data[: len(data) // 2], bytes([data[0] ^ 1]) + data[1:]):
        with pytest.raises(ModelError, match="damaged or foreign bytes"):
            model.state_from_bytes(damaged)
    plain = forest()
    plain.task = model.task
    with pytest.raises(ModelError, match="use the model that wrote it"):
        plain.state_from_bytes(data)


def test_classifying_imports_neither_torch_nor_scikit_learn():
    code = "import sys, skyreel_forest.classifier; sys.exit('torch' in sys.modules or 'sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_plugin_is_light():
    code = "import sys, skyreel_forest; sys.exit('sklearn' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
