"""The forest's contracts: learning, predicting, one image at a time, fine-tuning."""

from dataclasses import replace

import numpy as np
import pytest
from forest_toys import CLASSES, TRAINER, Store, forest, movies, strong, task, train
from hypothesis import given, settings
from hypothesis import strategies as st

from skyreel.errors import BandError, ConfigError, DataError, Interrupted
from skyreel.exposures import Exposures
from skyreel.interfaces import PixelBits
from skyreel.registry import typed
from skyreel.testing import toy_movies
from skyreel_forest import classifier as module
from skyreel_forest.classifier import PREDICT_BATCH, Forest

BANDS = ("g", "r")


def accuracy(model: Forest, fresh) -> float:
    """Share of right answers after all images."""
    out = model.predict(fresh)
    last = fresh.frame_mask.shape[1] - 1 - np.argmax(fresh.frame_mask[:, ::-1], axis=1)
    guess = out.probabilities[np.arange(len(fresh)), last].argmax(axis=1)
    return float((np.array(CLASSES)[guess] == fresh.label).mean())


@pytest.mark.parametrize(
    "options", [{}, {"estimator": "gradient_boosting", "n_estimators": 30}, {"features": "extended", "image_features": True}]
)
def test_it_learns_to_tell_light_curves_apart(tmp_path, options):
    model = forest(**options)
    figures = train(tmp_path, model, n=120)
    assert accuracy(model, movies(60, seed=9)) > 0.9
    assert figures["valid_accuracy"] > 0.9
    assert figures["rows"] == 360
    assert figures["nodes"] == model._grown_trees().n_nodes
    assert set(figures) >= {"step", "seconds", "valid_loss", "valid_loss_all_lengths", "trees", "max_depth", "features"}
    assert next(iter(model.importance)).startswith("g.") or "image_features" in options
    assert sum(model.importance.values()) == pytest.approx(1)


def test_the_same_seed_gives_the_same_forest_for_any_threads_and_order(tmp_path):
    """Features are computed in threads, and rows are put in the order of the objects' names."""
    base = movies(300)
    shuffled = base.take(np.random.default_rng(5).permutation(300))
    fresh = movies(20, seed=4)
    outputs = []
    for store, jobs, seed in ((base, 1, 0), (shuffled, 3, 0), (base, 1, 1)):
        model = forest(n_jobs=jobs)
        train(tmp_path, model, store=Store(store), seed=seed)
        outputs.append(model.predict(fresh).probabilities.tobytes())
    assert outputs[0] == outputs[1]
    assert outputs[0] != outputs[2]


def test_seed_zero_and_the_batch_size_change_nothing(tmp_path, monkeypatch):
    first, second = forest(), forest()
    train(tmp_path, first, seed=0)
    monkeypatch.setattr("skyreel_forest.training.BATCH", 17)
    monkeypatch.setattr("skyreel_forest.track.FRAMES", 97)
    monkeypatch.setattr("skyreel_forest.rows.ROWS", 41)
    train(tmp_path, second, seed=0)
    fresh = movies(20, seed=4)
    assert first.predict(fresh).probabilities.tobytes() == second.predict(fresh).probabilities.tobytes()


def test_shorter_lengths_make_early_answers_better(tmp_path):
    fresh, scores = movies(90, seed=9), {}
    early = replace(fresh, frame_mask=fresh.frame_mask & (np.arange(9) < 4))
    for lengths in (0, 4):
        model = forest(lengths=lengths)
        train(tmp_path, model)
        out = model.predict(early)
        last = 3 - np.argmax(early.frame_mask[:, 3::-1], axis=1)
        truth = np.array([CLASSES.index(name) for name in early.label])
        right = out.probabilities[np.arange(90), last][np.arange(90), truth]
        scores[lengths] = -np.log(np.maximum(right, 1e-3)).mean()
    assert scores[4] < scores[0] - 0.2


def test_the_grid_keeps_the_lowest_validation_loss(tmp_path):
    import json

    model = forest(grid_n_estimators=[1, 30], grid_max_depth=[1, 6])
    figures = train(tmp_path, model)
    tried = json.loads((tmp_path / "grid.json").read_text())
    assert {(item["n_estimators"], item["max_depth"]) for item in tried} == {(1, 1), (30, 1), (1, 6), (30, 6)}
    best = min(tried, key=lambda item: item["valid_loss_all_lengths"])
    assert (model.n_estimators, model.max_depth) == (best["n_estimators"], best["max_depth"]) == (30, 6)
    assert figures["valid_loss_all_lengths"] == best["valid_loss_all_lengths"]
    alone = forest(n_estimators=30, max_depth=6)
    train(tmp_path, alone)
    fresh = movies(12, seed=3)
    assert alone.predict(fresh).probabilities.tobytes() == model.predict(fresh).probabilities.tobytes()


def test_training_asks_for_every_class(tmp_path):
    some = movies(30)
    with pytest.raises(DataError, match="no movie of rr_lyrae"):
        train(tmp_path, forest(), store=Store(some.take(some.label != "rr_lyrae")))
    strange = replace(some, label=np.where(some.label == "rr_lyrae", "kilonova", some.label))
    with pytest.raises(DataError, match="no movie of rr_lyrae"):
        train(tmp_path, forest(), store=Store(strange))
    both = Store(type(some).concatenate([some, strange]))
    with pytest.raises(DataError, match="kilonova"):
        train(tmp_path, forest(), store=both)


def test_ctrl_c_is_a_typed_error(tmp_path, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "best_of_grid", stop)
    with pytest.raises(Interrupted, match="start it again"):
        train(tmp_path, forest())


# ------------------------------------------------------------------------------------------- predicting


def frame(all_movies, rows, epochs):
    """One image per object; epoch -1 means none."""
    place = rows, np.maximum(epochs, 0)
    exposure = all_movies.reported.gather(np.maximum(epochs, 0)[:, None], np.ones((len(rows), 1), np.bool_))
    return all_movies.pixels[place].astype(np.float32), exposure.replace(
        mask=exposure.mask & all_movies.frame_mask[place][:, None] & (epochs >= 0)[:, None]
    )


@settings(max_examples=6)
@given(seed=st.integers(0, 10_000), data=st.data())
def test_one_image_at_a_time_equals_whole_movies(seed, data):
    """Objects get their images at different times: some wait while others go on."""
    model, n, epochs = strong(), 5, 8
    all_movies = movies(n, epochs, seed, BANDS)
    whole = model.predict(all_movies)
    turns = data.draw(st.lists(st.lists(st.booleans(), min_size=n, max_size=n), max_size=8))
    state, following, out = model.initial_state(n), np.zeros(n, int), np.full(whole.probabilities.shape, np.nan, np.float32)
    for turn in [*turns, *[[True] * n] * epochs]:
        epoch = np.where(np.array(turn) & (following < epochs), following, -1)
        pixels, exposure = frame(all_movies, np.arange(n), epoch)
        probabilities, state = model.step(state, pixels, exposure)
        assert np.array_equal(np.isnan(probabilities).any(1), ~exposure.mask[:, 0])
        moved = epoch >= 0
        out[np.flatnonzero(moved), epoch[moved]] = probabilities[moved]
        following += moved
    np.testing.assert_array_equal(out, whole.probabilities)


def test_images_out_of_order_are_refused():
    model, all_movies = strong(), movies(2, bands=BANDS)
    _, state = model.step(model.initial_state(2), *frame(all_movies, np.arange(2), np.full(2, 1)))
    with pytest.raises(DataError, match="object 1: MJD .* does not follow"):
        model.step(state, *frame(all_movies, np.arange(2), np.array([-1, 0])))
    with pytest.raises(DataError, match="the state holds 2 objects"):
        model.step(state, *frame(all_movies.take([0]), np.arange(1), np.array([2])))


def test_nan_in_a_single_frame_is_a_pixel_without_data():
    model, good = strong(), movies(2, bands=BANDS)
    bits = good.pixel_mask.copy()
    bits[:, 0, 0, 9, 8:13] = PixelBits.NO_DATA
    whole = model.predict(replace(good, pixel_mask=bits))
    pixels, exposure = frame(good, np.arange(2), np.zeros(2, int))
    out, state = model.step(model.initial_state(2), np.where(bits[:, 0] > 0, np.nan, pixels), exposure)
    np.testing.assert_array_equal(out, whole.probabilities[:, 0])
    _, unmasked = model.step(model.initial_state(2), pixels, exposure)
    np.testing.assert_allclose(state.flux, unmasked.flux, rtol=0.2)
    assert (state.flux != unmasked.flux).all()


def test_an_image_without_a_usable_pixel_adds_no_point_but_is_answered():
    model, good = strong(), movies(2, bands=BANDS)
    bits = good.pixel_mask.copy()
    bits[:, 1] = PixelBits.BAD
    out = model.predict(replace(good, pixel_mask=bits))
    np.testing.assert_array_equal(out.probabilities[:, 1], out.probabilities[:, 0])
    bits[:] = PixelBits.BAD
    none = model.predict(replace(good, pixel_mask=bits)).probabilities
    assert np.isfinite(none[good.frame_mask]).all()


def test_batches_larger_than_one_pass_agree_with_single_objects():
    model, n = strong(), PREDICT_BATCH + 3
    few = movies(5, bands=BANDS)
    many = few.take(np.arange(n) % 5)
    np.testing.assert_array_equal(model.predict(many).probabilities[-1], model.predict(few).probabilities[(n - 1) % 5])


def test_brightness_of_later_images_does_not_change_earlier_answers():
    """A photometry that fits the object's centre or host on all images would look into the future."""
    model, good = strong(), movies(6, bands=BANDS)
    pixels = good.pixels.copy()
    pixels[:, 5:] = 400
    changed = model.predict(replace(good, pixels=pixels)).probabilities
    np.testing.assert_array_equal(changed[:, :5], model.predict(good).probabilities[:, :5])


def test_order_of_bands_in_the_movies_does_not_matter():
    model, all_movies = strong(), movies(6, bands=BANDS)
    columns = {name: value for name, value in vars(all_movies.reported).items() if name not in ("bands", "band")}
    exchanged = Exposures(("i", "r", "g"), band=2 - all_movies.reported.band, **columns)
    np.testing.assert_array_equal(
        model.predict(replace(all_movies, reported=exchanged)).probabilities, model.predict(all_movies).probabilities
    )


def test_wrong_movies_are_refused():
    model, good = strong(), movies(3, bands=BANDS)
    with pytest.raises(BandError, match=r"images in z.*g, r"):
        model.predict(movies(4, bands=("g", "z")))
    with pytest.raises(DataError, match="21 px"):
        model.predict(toy_movies(2, 5, CLASSES, size=15, bands=BANDS))
    with pytest.raises(DataError, match="channels"):
        model.predict(toy_movies(2, 5, CLASSES, channels=2, bands=BANDS))
    nan = good.pixels.astype(np.float32)
    nan[1, 0, 0, 3, 3] = np.nan
    with pytest.raises(DataError, match="NaN"):
        model.predict(replace(good, pixels=nan))
    with pytest.raises(DataError, match="empty"):
        model.predict(replace(good, frame_mask=np.zeros_like(good.frame_mask)))


def test_an_untrained_classifier_says_so(tmp_path):
    for use in (lambda m: m.predict(movies(2)), lambda m: m.initial_state(2), lambda m: m.save(tmp_path), lambda m: m.importance):
        with pytest.raises(DataError, match="neither trained nor loaded"):
            use(forest())


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"estimator": "svm"}, "classifier.estimator: 'svm'; use one of random_forest, gradient_boosting"),
        ({"features": "all"}, "use one of fats, extended"),
        ({"centre": "object"}, "use one of middle, frame"),
        ({"n_estimators": 0}, "classifier.n_estimators: 0; it must be at least 1"),
        ({"copies": 0}, "at least 1"),
        ({"grid_max_depth": [3, 0]}, "whole numbers from 1 on"),
        ({"max_features": 1.5}, r"it must lie in \[0, 1\]"),
        ({"lengths": -1}, "it must be 0 or more"),
        ({"learning_rate": 0.0}, "it must be positive"),
        ({"max_leaf_nodes": 1}, "at least 2"),
        ({"sky": "mean"}, "photometry.sky: 'mean'"),
        ({"n_trees": 3}, "no option 'n_trees'"),
    ],
)
def test_wrong_options_are_refused(option, words):
    with pytest.raises(ConfigError, match=words):
        typed(Forest, option, "classifier 'forest'")


# ------------------------------------------------------------------------------------------- fine-tuning


@pytest.mark.parametrize(("copies", "winner"), [(1, "simulated"), (100, "real")])
def test_copies_of_real_movies_outweigh_the_simulation(tmp_path, copies, winner):
    """The same movies come four times with the simulation's label and once with another, real one."""
    model, some = forest(copies=copies, lengths=0, n_estimators=30), movies(30)
    train(tmp_path, model, n=30)
    real = replace(some, label=np.array(CLASSES)[(np.arange(30) + 1) % 3])
    figures = model.finetune(Store(real), Store(some.take(np.arange(120) % 30)), tmp_path, trainer=TRAINER, seed=1)
    assert figures["rows"] == 120 + copies * 30
    assert accuracy(model, real) > 0.9 if winner == "real" else accuracy(model, real) < 0.1


def test_classes_without_real_examples_are_kept(tmp_path):
    model = forest()
    train(tmp_path, model)
    some = movies(60, seed=21)
    model.finetune(Store(some.take(some.label == "rr_lyrae")), Store(movies(60)), tmp_path, trainer=TRAINER, seed=1)
    assert model.classes == CLASSES
    assert accuracy(model, movies(60, seed=9)) > 0.9


def test_fine_tuning_keeps_the_options_and_the_seed_decides(tmp_path):
    outputs = []
    for seed in (3, 3, 4):
        model = forest(grid_max_depth=[2, 5])
        train(tmp_path, model)
        depth = model.max_depth
        model.finetune(Store(movies(12, seed=21)), Store(movies(60)), tmp_path, trainer=TRAINER, seed=seed)
        assert model.max_depth == depth
        outputs.append(model.predict(movies(12, seed=9)).probabilities.tobytes())
    assert outputs[0] == outputs[1] != outputs[2]


def test_the_replayed_movies_are_measured_once_for_all_draws(tmp_path):
    """A second draw on the same store reads nothing anew and gives what a first one would."""
    taken = []

    class Counting(Store):
        def take(self, objects):
            taken.append(len(objects))
            return super().take(objects)

    model, replay = forest(), Counting(movies(60))
    train(tmp_path, model)
    train_again = forest()
    train(tmp_path, train_again)
    model.finetune(Store(movies(12, seed=21)), replay, tmp_path, trainer=TRAINER, seed=1)
    assert sum(taken) == 60
    model.finetune(Store(movies(12, seed=22)), replay, tmp_path, trainer=TRAINER, seed=2)
    assert sum(taken) == 60
    train_again.finetune(Store(movies(12, seed=22)), Counting(movies(60)), tmp_path, trainer=TRAINER, seed=2)
    assert sum(taken) == 120
    outputs = [each.predict(movies(12, seed=9)).probabilities.tobytes() for each in (model, train_again)]
    assert outputs[0] == outputs[1]
    model.lengths = 1
    model.finetune(Store(movies(12, seed=22)), replay, tmp_path, trainer=TRAINER, seed=2)
    assert sum(taken) == 180


def test_fine_tuning_says_what_it_needs(tmp_path):
    model = forest()
    train(tmp_path, model)
    real = Store(movies(12, seed=21))
    with pytest.raises(DataError, match="no simulated movies; hand in the training set as replay"):
        model.finetune(real, None, tmp_path, trainer=TRAINER)
    part = movies(30)
    with pytest.raises(DataError, match="no movie of supernova"):
        model.finetune(real, Store(part.take(part.label != "supernova")), tmp_path, trainer=TRAINER)
    strange = replace(movies(6, seed=21), label=np.full(6, "quasar"))
    with pytest.raises(DataError, match="quasar"):
        model.finetune(Store(strange), Store(movies(30)), tmp_path, trainer=TRAINER)
    with pytest.raises(DataError, match="neither trained nor loaded"):
        forest().finetune(real, Store(part), tmp_path, trainer=TRAINER)


def test_the_training_window_is_the_networks(tmp_path):
    """Longer movies are cut to their alert window, shorter ones used whole."""
    from skyreel.task_inputs import training_window

    long = replace(movies(4, 20), first_detection=np.array([-1, 12, -1, 15], np.int32), frame_mask=np.ones((4, 20), np.bool_))
    cut = training_window(long, task(max_images=9))
    assert cut.frame_mask.shape[1] == 9
    np.testing.assert_array_equal(cut.reported.mjd[1, 0], long.reported.mjd[1, 10])
    np.testing.assert_array_equal(cut.reported.mjd[0, 0], long.reported.mjd[0, 0])
    short = replace(movies(2, 9), first_detection=np.array([6, -1], np.int32), frame_mask=np.ones((2, 9), np.bool_))
    assert training_window(short, task(max_images=9)).frame_mask.sum() == 18
