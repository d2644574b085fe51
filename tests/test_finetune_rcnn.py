"""Fine-tuning the network: what is mixed, what moves, what stays, which windows real movies are cut to."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rcnn_toys import CLASSES, Store, movies, task, tiny, trainer
from rcnn_training_toys import TRAIN, VALID, Stopper, exchanged, fit, interrupt, norms, weights

from skyreel.errors import ConfigError, Interrupted
from skyreel.sequences import alert_window
from skyreel_rcnn.inputs import random_window


def test_fine_tuning_mixes_and_keeps_the_statistics(tmp_path):
    model, _ = fit(tmp_path / "fit", max_steps=30)
    before = {name: tensor.clone() for name, tensor in model._network().state_dict().items()}
    real, replay = Stopper(movies(4, seed=20), 0, interrupt), Stopper(TRAIN.movies, 0, interrupt)
    figures = model.finetune(real, replay, tmp_path / "tune", trainer=trainer(max_steps=5, batch_size=10))
    assert (real.asked, replay.asked, figures["step"]) == (5, 5, 5)
    after = model._network().state_dict()
    assert not torch.equal(before["head.weight"], after["head.weight"])
    averages = [name for name in before if name.endswith(("running_mean", "running_std", "_extra_state"))]
    assert len(averages) == 3 * len(norms(model))
    assert all(torch.equal(before[name], after[name]) for name in averages)
    assert figures["statistics_moved"] is False
    model.finetune(real, None, tmp_path / "free", trainer=trainer(max_steps=2), seed=1)
    assert (real.asked, replay.asked) == (7, 5)


def test_statistics_move_where_that_is_asked_for(tmp_path):
    model, _ = fit(tmp_path / "fit")
    model.freeze_statistics = False
    before = [layer.running_mean.clone() for layer in norms(model)]
    figures = model.finetune(Store(movies(8)), None, tmp_path / "tune", trainer=trainer(max_steps=1))
    assert figures["statistics_moved"] is True
    assert not any(torch.equal(old, layer.running_mean) for old, layer in zip(before, norms(model), strict=True))


def test_fine_tuning_keeps_the_last_state_and_validates_nothing(tmp_path):
    model, _ = fit(tmp_path / "fit")
    model.finetune(Store(movies(8)), TRAIN, tmp_path / "tune", trainer=trainer(max_steps=4, valid_every=1, learning_rate=0.3))
    assert sorted(path.name for path in (tmp_path / "tune/checkpoints").iterdir()) == ["last.json", "last.safetensors"]
    assert json.loads((tmp_path / "tune/history.json").read_text())["valid"] == []
    last = {name.removeprefix("network."): tensor for name, tensor in weights(tmp_path / "tune").items() if name.startswith("network.")}
    assert all(torch.equal(tensor, last[name]) for name, tensor in model._network().state_dict().items())


def test_the_recurrent_layers_can_be_tuned_alone(tmp_path):
    model, _ = fit(tmp_path / "fit")
    model.tuned_layers = "recurrent"
    before = {name: tensor.clone() for name, tensor in model._network().state_dict().items()}
    figures = model.finetune(Store(movies(8)), TRAIN, tmp_path / "tune", trainer=trainer(max_steps=2))
    moved = {name for name, tensor in model._network().state_dict().items() if not torch.equal(before[name], tensor)}
    assert {name.split(".")[0] for name in moved} == {"lstm", "head"}
    assert figures["tuned_parameters"] == sum(before[name].numel() for name in moved)
    model.tuned_layers = "all"
    model.finetune(Store(movies(8)), TRAIN, tmp_path / "again", trainer=trainer(max_steps=2))
    assert not torch.equal(before["dense.weight"], model._network().state_dict()["dense.weight"])


def test_fine_tuning_is_a_function_of_movies_and_seed(tmp_path):
    first, second, third = (fit(tmp_path / str(k))[0] for k in range(3))
    for k, (model, seed) in enumerate(((first, 4), (second, 4), (third, 5))):
        model.finetune(Store(movies(8)), TRAIN, tmp_path / f"tune{k}", trainer=trainer(max_steps=3), seed=seed)
    out = [model.predict(VALID.movies).probabilities for model in (first, second, third)]
    np.testing.assert_array_equal(out[0], out[1])
    assert not np.array_equal(out[0], out[2])


@settings(max_examples=25)
@given(st.integers(0, 1000), st.sampled_from([0.0, 0.5, 1.0]))
def test_random_windows(seed, share):
    options = task().sequence
    whole = movies(24, epochs=14, seed=seed)
    found = random_window(whole, options, np.random.default_rng(seed), share)
    usable = whole.frame_mask & whole.reported.mask
    count, left = usable.sum(axis=1), found.frame_mask.sum(axis=1)
    assert not (found.frame_mask & ~usable).any()
    rank = np.where(usable, np.cumsum(usable, axis=1) - 1, -1)
    inside = np.where(found.frame_mask, rank, 99)
    np.testing.assert_array_equal(np.where(found.frame_mask, rank, -1).max(axis=1) - inside.min(axis=1) + 1, left)  # no gap
    assert (left >= np.minimum(count, 3)).all()
    assert (left <= options.max_images).all()
    flash = whole.label == "asteroid"
    assert found.frame_mask[flash, 2].all()  # the alert's image
    assert (found.first_detection == -1).all()
    own = alert_window(whole, options)
    same = np.all(alert_window(found, options).reported.mjd[:, :3] == own.reported.mjd[:, :3], axis=1) & (
        left == own.frame_mask.sum(axis=1)
    )
    assert same.all() if share == 0 else True
    if share == 1:
        assert not same.all()


def test_every_start_of_a_random_window_is_equally_likely():
    options = replace(task().sequence, max_images=5, before_alert=4)
    star = movies(2, epochs=12, seed=1).take([0])
    star = replace(star, frame_mask=np.ones((1, 12), bool), reported=star.reported.replace(mask=np.ones((1, 12), bool)))
    rng = np.random.default_rng(0)
    drawn = [random_window(star, options, rng, 1.0).frame_mask[0] for _ in range(4000)]
    lengths, starts = np.array([mask.sum() for mask in drawn]), np.array([mask.argmax() for mask in drawn])
    assert set(lengths.tolist()) == {4, 5}
    for length in (4, 5):
        number = np.bincount(starts[lengths == length], minlength=13 - length)
        expected = number.sum() / (13 - length)
        assert len(number) == 13 - length
        assert (((number - expected) ** 2) / expected).sum() < 27.9  # chi-square of 8 degrees of freedom: 0.05 % are larger


def test_fine_tuning_options_out_of_range(tmp_path):
    with pytest.raises(ConfigError, match=r"random_windows: 1\.5; it must lie in \[0, 1\]"):
        tiny(random_windows=1.5)
    with pytest.raises(ConfigError, match=r"tuned_layers: 'dense'; use one of all, recurrent"):
        tiny(tuned_layers="dense")
    model, _ = fit(tmp_path / "fit")
    model.replay_share = 0.95
    with pytest.raises(ConfigError, match=r"8 of 8 movies a step are simulated; raise trainer\.batch_size"):
        model.finetune(Store(movies(4)), TRAIN, tmp_path / "tune", trainer=trainer())


def test_a_stopped_fine_tuning_leaves_the_model(tmp_path):
    model, _ = fit(tmp_path / "fit")
    before = model.predict(VALID.movies).probabilities
    with pytest.raises(Interrupted, match=r"fine-tuning: stopped after step \d of 6; start it again: the model is as it was"):
        model.finetune(Stopper(movies(8), 3, interrupt), None, tmp_path / "tune", trainer=trainer())
    np.testing.assert_array_equal(model.predict(VALID.movies).probabilities, before)


def test_fine_tuning_adapts_to_new_labels(tmp_path):
    """The same movies under exchanged names: a trained model must follow them."""
    model, _ = fit(tmp_path / "fit", max_steps=60, batch_size=16, valid_every=30)
    model.finetune(Store(exchanged(TRAIN.movies)), None, tmp_path / "tune", trainer=trainer(max_steps=150, batch_size=16))
    out = model.predict(VALID.movies)
    final = np.array([p[m][-1] for p, m in zip(out.probabilities, out.mask, strict=True)]).argmax(1)
    assert (np.array(CLASSES)[final] != VALID.label).mean() > 0.9
