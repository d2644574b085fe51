"""Training: the loss of the paper, batches that only (seed, step) decide, stopping and going on."""

import json
import os
import signal
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rcnn_toys import CLASSES, Store, movies, task, tiny, trainer
from rcnn_training_toys import TRAIN, VALID, Stopper, exchanged, fit, interrupt, norms, weights

from skyreel.errors import ConfigError, DataError, Interrupted, ModelError, OutputError
from skyreel.interfaces import TrainerOptions
from skyreel.seeding import Seeds
from skyreel_rcnn.inputs import Share, TrainingStream, labelled, oriented
from skyreel_rcnn.module import learning_rate, sequence_loss
from skyreel_rcnn.order import Sampler

# --------------------------------------------------------------------------------------------------- loss


def test_loss_is_summed_over_steps_and_averaged_over_objects():
    logits = torch.tensor([[[2.0, 0.0], [1.0, 1.0], [9.0, 9.0]], [[0.0, 3.0], [5.0, 5.0], [5.0, 5.0]]])
    mask = torch.tensor([[True, True, False], [True, False, False]])
    label = torch.tensor([0, 0])
    first = np.log1p(np.exp(-2.0)) + np.log(2.0)
    second = np.log1p(np.exp(3.0))
    assert float(sequence_loss(logits, label, mask)) == pytest.approx((first + second) / 2, rel=1e-6)
    assert float(sequence_loss(logits, label, mask, "mean")) == pytest.approx((first / 2 + second) / 2, rel=1e-6)


def test_objects_without_a_complete_stack_do_not_count():
    logits, label = torch.randn(3, 2, 4), torch.tensor([1, 2, 3])
    mask = torch.tensor([[True, True], [True, False], [False, False]])
    torch.testing.assert_close(sequence_loss(logits, label, mask), sequence_loss(logits[:2], label[:2], mask[:2]))


def test_learning_rate_schedules():
    constant = TrainerOptions(learning_rate=5e-4)
    assert {learning_rate(step, constant) for step in (0, 29_999)} == {5e-4}
    cosine = TrainerOptions(learning_rate=1.0, schedule="cosine", warmup_steps=10, max_steps=110)
    found = [learning_rate(step, cosine) for step in (0, 4, 9, 10, 60, 110)]
    assert found == pytest.approx([0.1, 0.5, 1.0, 1.0, 0.5, 0.0], abs=1e-12)


# ------------------------------------------------------------------------------------------------ batches


def test_orientations_are_the_eight_of_the_square():
    one = np.random.default_rng(0).integers(0, 60_000, (3, 1, 5, 5)).astype(np.uint16)
    out = oriented(np.stack([one] * 8), np.arange(8))
    wanted = [np.rot90(image, k, (-2, -1)) for image in (one, one[..., ::-1]) for k in range(4)]
    assert len({image.tobytes() for image in out}) == 8
    assert {image.tobytes() for image in out} == {np.ascontiguousarray(image).tobytes() for image in wanted}


def test_all_images_of_an_object_turn_together():
    plain, turned = (TrainingStream([Share(TRAIN, sampler(6))], task(), Seeds(1, "x"), augment) for augment in (False, True))
    a, b = plain.batch(3), turned.batch(3)
    assert torch.equal(a.mask, b.mask)
    start, seen = 0, set()
    for length in a.mask.sum(1).tolist():
        part = slice(start, start + length)
        fits = [k for k in range(8) if np.array_equal(oriented(a.stacks[part].numpy(), np.full(length, k)), b.stacks[part].numpy())]
        assert len(fits) == 1
        seen.add(fits[0])
        start += length
    assert len(seen) > 1
    assert torch.equal(a.dt, b.dt)


def sampler(size: int, label=None, balanced: bool = True, seed: int = 1) -> Sampler:
    label = np.arange(len(TRAIN)) % 2 if label is None else label
    return Sampler(label, size, Seeds(seed, "x"), balanced)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=4, max_size=40), st.integers(1, 9), st.integers(0, 30), st.booleans())
def test_batches_depend_on_seed_and_step_alone(label, size, step, balanced):
    label = np.array(label)
    walked = sampler(size, label, balanced)
    for earlier in range(step):
        walked.rows(earlier)
    assert np.array_equal(walked.rows(step), sampler(size, label, balanced).rows(step))


def test_every_object_is_met_once_a_pass_and_classes_are_balanced():
    label = np.array([0] * 30 + [1] * 10)
    rows = np.concatenate([sampler(4, label, balanced=False).rows(step) for step in range(10)])
    assert sorted(rows) == list(range(40))
    rows = np.concatenate([sampler(4, label).rows(step) for step in range(15)])
    counts = np.bincount(rows, minlength=40)
    assert (counts[:30] == 1).all()
    assert (counts[30:] == 3).all()


def test_batches_hold_the_alert_window_of_at_most_max_images():
    batch = labelled(movies(20, epochs=14, seed=9), task())
    assert batch.mask.shape[1] <= 8 - 3 + 1
    assert len(batch.stacks) == int(batch.mask.sum())
    assert batch.label.tolist() == [k % 2 for k in range(20)]


# ----------------------------------------------------------------------------------------------- learning


def test_it_learns_what_is_easy(tmp_path):
    model = tiny()
    options = trainer(max_steps=60, batch_size=16, valid_every=20)
    figures = model.fit(Store(movies(200)), VALID, tmp_path, task=task(), trainer=options, seed=0)
    unseen = movies(200, seed=8)
    out = model.predict(unseen)
    last = out.mask.shape[1] - 1 - out.mask[:, ::-1].argmax(1)
    predicted = np.array(CLASSES)[out.probabilities[np.arange(200), last].argmax(1)]
    assert (predicted == unseen.label).mean() > 0.9
    assert figures["valid_accuracy"] > 0.9
    assert figures["step"] == 60
    assert figures["parameters"] == sum(w.numel() for w in model.build(task()).parameters())


def test_the_state_with_the_lowest_validation_loss_is_kept(tmp_path):
    """Validated on exchanged names, every step that learns makes the loss worse."""
    model, valid = tiny(), exchanged(VALID.movies)
    figures = model.fit(TRAIN, Store(valid), tmp_path, task=task(), trainer=trainer(max_steps=9, valid_every=1, learning_rate=0.02), seed=7)
    rows = json.loads((tmp_path / "history.json").read_text())
    best = min(rows["valid"], key=lambda row: row["loss"])
    assert [row["step"] for row in rows["valid"]] == list(range(1, 10))
    assert (figures["best_step"], figures["valid_loss"], figures["valid_accuracy"]) == (best["step"], best["loss"], best["accuracy"])
    best_weights = weights(tmp_path, "best")
    assert best["step"] < 9
    for name, tensor in model._network().state_dict().items():
        assert torch.equal(tensor, best_weights[f"network.{name}"])
    batch = labelled(valid, task())
    with torch.no_grad():
        logits = model._network()(*batch[:4])
    assert float(sequence_loss(logits, batch.label, batch.mask)) == pytest.approx(best["loss"], rel=1e-5)


def test_nothing_on_disk_is_a_pickle(tmp_path):
    fit(tmp_path)
    found = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    names = {f"checkpoints/{name}.{ending}" for name in ("last", "best") for ending in ("safetensors", "json")}
    assert found == names | {"history.json"}
    description = json.loads((tmp_path / "checkpoints/last.json").read_text())
    assert description["progress"]["step"] == 6
    assert description["task"]["classes"] == list(CLASSES)
    assert "torch" in description["versions"]


def test_same_seed_same_weights_and_torchs_generator_is_left_alone(tmp_path):
    torch.manual_seed(5)
    fit(tmp_path / "a")
    after = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(torch.rand(1), after)
    fit(tmp_path / "b")
    first, second = weights(tmp_path / "a"), weights(tmp_path / "b")
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())


# --------------------------------------------------------------------------------------------- stopping


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_a_resumed_run_ends_where_an_unbroken_one_does(tmp_path, schedule):
    fit(tmp_path / "whole", schedule=schedule, gradient_clip=1.0)
    with pytest.raises(Interrupted, match=r"step 3 of 6.*resume"):
        fit(tmp_path / "broken", schedule=schedule, gradient_clip=1.0, store=Stopper(TRAIN.movies, 4, interrupt))
    assert json.loads((tmp_path / "broken/checkpoints/last.json").read_text())["progress"]["step"] == 3
    _, figures = fit(tmp_path / "broken", schedule=schedule, gradient_clip=1.0, resume=True)
    whole, broken = weights(tmp_path / "whole"), weights(tmp_path / "broken")
    assert figures["step"] == 6
    assert set(whole) == set(broken)
    for name, tensor in whole.items():
        torch.testing.assert_close(broken[name], tensor, rtol=0, atol=1e-6)
    rows = [json.loads((tmp_path / part / "history.json").read_text()) for part in ("whole", "broken")]
    assert rows[0] == rows[1]


def test_ctrl_c_stops_after_the_step_and_keeps_it(tmp_path):
    before = signal.getsignal(signal.SIGINT)
    stop = Stopper(TRAIN.movies, 3, lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(Interrupted, match="resume"):
        fit(tmp_path, store=stop, max_steps=50)
    kept = json.loads((tmp_path / "checkpoints/last.json").read_text())["progress"]["step"]
    assert 1 <= kept <= 4
    assert signal.getsignal(signal.SIGINT) is before


def test_it_trains_outside_the_main_thread(tmp_path):
    worker = threading.Thread(target=fit, args=(tmp_path,))
    worker.start()
    worker.join()
    assert json.loads((tmp_path / "checkpoints/last.json").read_text())["progress"]["step"] == 6


def test_an_error_leaves_the_last_checkpoint(tmp_path):
    def fail():
        raise DataError("reading movies", "a broken file")

    with pytest.raises(DataError, match="broken file"):
        fit(tmp_path, store=Stopper(TRAIN.movies, 6, fail))
    assert json.loads((tmp_path / "checkpoints/last.json").read_text())["progress"]["step"] == 3


def test_resuming_asks_for_the_same_run(tmp_path):
    with pytest.raises(ModelError, match="no checkpoint"):
        fit(tmp_path, resume=True)
    fit(tmp_path)
    with pytest.raises(OutputError, match="resume it"):
        fit(tmp_path)
    with pytest.raises(ConfigError, match="options"):
        fit(tmp_path, model=tiny(dropout=0.3), resume=True)
    _, figures = fit(tmp_path, resume=True)
    assert figures["step"] == 6


def test_a_damaged_checkpoint_is_named(tmp_path):
    fit(tmp_path)
    path = tmp_path / "checkpoints/last.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ModelError, match=r"last\.safetensors.*damaged"):
        fit(tmp_path, resume=True)


def test_a_folder_that_cannot_be_written_shows_at_once(tmp_path):
    (tmp_path / "checkpoints").write_text("a file where the folder should be")
    with pytest.raises(OutputError, match="writing"):
        fit(tmp_path)


def test_a_full_disk_is_named(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("skyreel.files.os.replace", full)
    with pytest.raises(OutputError, match="No space left"):
        fit(tmp_path)
    assert not list(tmp_path.rglob("*.part"))


def test_a_diverging_loss_says_what_to_lower(tmp_path):
    with pytest.raises(ConfigError, match=r"loss became .* lower trainer\.learning_rate"):
        fit(tmp_path, model=tiny(norm_order="relu_first"), learning_rate=1e30, max_steps=40)


@pytest.mark.parametrize(
    ("options", "word"),
    [({"devices": 2}, "devices"), ({"schedule": "linear"}, "cosine"), ({"precision": "64"}, "bf16-mixed"), ({"max_steps": 0}, "max_steps")],
)
def test_wrong_trainer_options_are_named(tmp_path, options, word):
    with pytest.raises(ConfigError, match=word):
        fit(tmp_path, **options)


def test_labels_are_checked(tmp_path):
    only = TRAIN.movies.take(TRAIN.label == "asteroid")
    with pytest.raises(DataError, match="no movie of non_variable"):
        fit(tmp_path, store=Store(only))
    strange = replace(TRAIN.movies, label=np.where(np.arange(48) == 0, "quasar", TRAIN.label))
    with pytest.raises(DataError, match="quasar"):
        fit(tmp_path, store=Store(strange))


def test_low_precision_trains_with_float32_statistics(tmp_path):
    model, figures = fit(tmp_path, precision="bf16-mixed", gradient_clip=1.0)
    assert np.isfinite(figures["valid_loss"])
    assert {layer.running_std.dtype for layer in norms(model)} == {torch.float32}
