"""The classifier's contracts: predicting, one image at a time, and its files."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rcnn_toys import CLASSES, Store, movies, task, tiny, trainer

from skyreel.errors import BandError, DataError, ModelError
from skyreel.exposures import Exposures
from skyreel.interfaces import PixelBits
from skyreel.models import load_model
from skyreel_rcnn.classifier import PREDICT_BATCH, RCNN

CONDITIONS = ("psf_fwhm", "sky", "band")


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> RCNN:
    out = tiny()
    options = {"task": task(CONDITIONS, bands=("g", "r")), "trainer": trainer(max_steps=20)}
    out.fit(Store(movies(32, bands=("g", "r"))), Store(movies(8, seed=1, bands=("g", "r"))), tmp_path_factory.mktemp("run"), **options)
    return out


@pytest.fixture
def folder(model, tmp_path):
    model.save(tmp_path / "model")
    return tmp_path / "model"


def frame(all_movies, rows, epochs):
    """One image per object; epoch -1 means none."""
    place = rows, np.maximum(epochs, 0)
    exposure = all_movies.reported._apply(lambda column: column[place][:, None])
    pixels = all_movies.pixels[place].astype(np.float32)
    return pixels, exposure.replace(mask=exposure.mask & all_movies.frame_mask[place][:, None] & (epochs >= 0)[:, None])


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10_000), data=st.data())
def test_one_image_at_a_time_equals_whole_movies(model, seed, data):
    """Objects get their images at different times: some wait while others go on."""
    n, epochs = 6, 9
    all_movies = movies(n, epochs, seed, ("g", "r"))
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
    np.testing.assert_allclose(out, whole.probabilities, rtol=0, atol=1e-5)


def test_a_step_leaves_its_state_alone_and_bytes_carry_it(model):
    all_movies = movies(4, bands=("g", "r"))
    state = model.initial_state(4)
    for epoch in range(4):
        _, state = model.step(state, *frame(all_movies, np.arange(4), np.full(4, epoch)))
    data = model.state_to_bytes(state)
    again = model.state_from_bytes(data)
    following = frame(all_movies, np.arange(4), np.full(4, 4))
    first, _ = model.step(state, *following)
    second, _ = model.step(again, *following)
    np.testing.assert_array_equal(first, second)
    assert model.state_to_bytes(state) == data


def test_objects_without_a_new_image_keep_their_state(model):
    all_movies = movies(3, bands=("g", "r"))
    _, state = model.step(model.initial_state(3), *frame(all_movies, np.arange(3), np.zeros(3, int)))
    _, after = model.step(state, *frame(all_movies, np.arange(3), np.array([1, -1, -1])))
    assert after.sequence.count.tolist() == [2, 1, 1]
    np.testing.assert_array_equal(after.hidden[1:], state.hidden[1:])


def test_lstm_starts_with_the_first_complete_stack(model):
    all_movies = movies(5, bands=("g", "r"))
    state = model.initial_state(5)
    for epoch in range(3):
        assert not state.hidden.any()
        assert not state.cell.any()
        _, state = model.step(state, *frame(all_movies, np.arange(5), np.full(5, epoch)))
    assert state.hidden.any(axis=1).all()


@pytest.mark.parametrize("change", [lambda d: d[:-1], lambda d: d[:-9] + b"x" + d[-8:], lambda d: b"", lambda d: b"x" * 100])
def test_damaged_states_are_refused(model, change):
    with pytest.raises(ModelError, match="state"):
        model.state_from_bytes(change(model.state_to_bytes(model.initial_state(2))))


def test_a_state_of_another_network_is_refused(model):
    other = tiny(lstm=8)
    other.task = model.task
    with pytest.raises(ModelError, match="LSTM"):
        model.state_from_bytes(other.state_to_bytes(other.initial_state(2)))


def test_predictions_are_probabilities_where_frames_are_usable(model):
    all_movies = movies(PREDICT_BATCH + 5, bands=("g", "r"))
    out = model.predict(all_movies)
    assert out.classes == CLASSES
    assert out.probabilities.dtype == np.float32
    usable = all_movies.frame_mask & all_movies.reported.mask
    np.testing.assert_array_equal(out.mask, usable)
    np.testing.assert_array_equal(np.isnan(out.probabilities).any(2), ~usable)
    np.testing.assert_allclose(out.probabilities[usable].sum(1), 1, rtol=1e-5)
    np.testing.assert_array_equal(out.complete, usable & (usable.cumsum(1) >= 3))


def test_objects_are_classified_independently(model):
    all_movies = movies(10, bands=("g", "r"))
    whole = model.predict(all_movies)
    alone = model.predict(all_movies.take([7]))
    np.testing.assert_allclose(alone.probabilities[0], whole.probabilities[7], rtol=0, atol=1e-6)


def test_later_images_do_not_change_earlier_answers(model):
    all_movies = movies(10, bands=("g", "r"))
    cut = replace(all_movies, frame_mask=all_movies.frame_mask & (np.arange(8) < 5))
    whole, early = model.predict(all_movies), model.predict(cut)
    np.testing.assert_allclose(early.probabilities[:, :5], whole.probabilities[:, :5], rtol=0, atol=1e-6)
    assert not early.mask[:, 5:].any()


def test_order_of_bands_in_the_movies_does_not_matter(model):
    all_movies = movies(6, bands=("g", "r"))
    columns = {name: value for name, value in vars(all_movies.reported).items() if name not in ("bands", "band")}
    exchanged = Exposures(("i", "r", "g"), band=2 - all_movies.reported.band, **columns)
    np.testing.assert_array_equal(
        model.predict(replace(all_movies, reported=exchanged)).probabilities, model.predict(all_movies).probabilities
    )


def test_an_unknown_band_is_refused_unless_masked(model):
    strange = movies(4, bands=("g", "z"))
    with pytest.raises(BandError, match="images in z.*g, r"):
        model.predict(strange)
    exposure = frame(strange, np.arange(4), np.zeros(4, int))[1].replace(band=np.ones((4, 1)))
    with pytest.raises(BandError, match="z"):
        model.step(model.initial_state(4), strange.pixels[:, 0], exposure)
    masked = replace(strange, frame_mask=strange.reported.mask & (strange.reported.band == 0))
    masked = masked.take(masked.frame_mask.any(1))
    assert np.isfinite(model.predict(masked).probabilities[masked.frame_mask]).all()


def test_wrong_movies_are_refused(model):
    good = movies(3, bands=("g", "r"))
    with pytest.raises(DataError, match="9 px"):
        model.predict(replace(good, pixels=good.pixels[..., 1:, 1:], pixel_mask=good.pixel_mask[..., 1:, 1:]))
    with pytest.raises(DataError, match="channels"):
        model.predict(replace(good, pixels=np.repeat(good.pixels, 2, 2), pixel_mask=np.repeat(good.pixel_mask, 2, 2)))
    nan = good.pixels.copy()
    nan[1, 0, 0, 3, 3] = np.nan
    with pytest.raises(DataError, match="NaN"):
        model.predict(replace(good, pixels=nan))
    with pytest.raises(DataError, match="empty"):
        model.predict(replace(good, frame_mask=np.zeros_like(good.frame_mask)))


def test_nan_in_a_single_frame_is_a_pixel_without_data(model):
    """Stepping has no mask of its own: NaN does what a masked pixel does in a movie."""
    good = movies(2, bands=("g", "r"))
    bits = good.pixel_mask.copy()
    bits[:, 0, 0, 4, 2:6] = PixelBits.NO_DATA
    whole = model.predict(replace(good, pixel_mask=bits))
    pixels, exposure = frame(good, np.arange(2), np.zeros(2, int))
    out, _ = model.step(model.initial_state(2), np.where(bits[:, 0] > 0, np.nan, pixels), exposure)
    np.testing.assert_allclose(out, whole.probabilities[:, 0], rtol=0, atol=1e-6)


def test_an_untrained_classifier_says_so(tmp_path):
    for use in (lambda m: m.predict(movies(2)), lambda m: m.initial_state(2), lambda m: m.save(tmp_path), lambda m: m.classes):
        with pytest.raises(DataError, match="neither trained nor loaded"):
            use(tiny())


# -------------------------------------------------------------------------------------------------- files


def test_a_saved_model_is_the_same_model(model, folder):
    again = RCNN.load(folder)
    assert again == model
    assert again.task == model.task
    all_movies = movies(12, seed=5, bands=("g", "r"))
    np.testing.assert_array_equal(again.predict(all_movies).probabilities, model.predict(all_movies).probabilities)
    for name, tensor in model._network().state_dict().items():
        assert torch.equal(tensor, again._network().state_dict()[name])
    description = json.loads((folder / "model.json").read_text())
    assert description["component"] == "rcnn"
    assert description["format_version"] == 1
    assert set(description["versions"]) >= {"skyreel", "torch"}
    assert {path.name for path in folder.iterdir()} == {"model.json", "weights.safetensors"}


def test_models_are_found_by_path(model, folder):
    assert isinstance(load_model(folder), RCNN)


def test_loading_draws_nothing(folder):
    torch.manual_seed(3)
    RCNN.load(folder)
    after = torch.rand(1)
    torch.manual_seed(3)
    assert torch.equal(torch.rand(1), after)


def edit(folder, change):
    description = json.loads((folder / "model.json").read_text())
    change(description)
    (folder / "model.json").write_text(json.dumps(description))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.update(format_version=2), "format version 2, this skyreel reads version 1; install skyreel"),
        (lambda d: d.update(component="forest"), "'forest'"),
        (lambda d: d.pop("task"), "damaged"),
        (lambda d: d["task"].pop("sequence"), "damaged"),
        (lambda d: d["task"]["sequence"].update(scaling="none"), "damaged"),
        (lambda d: d["options"].update(tanks=3), "tanks"),
        (lambda d: d["options"].update(dense=33), "weights of another network"),
        (lambda d: d.pop("format_version"), "cannot be read"),
    ],
)
def test_other_descriptions_are_refused(folder, change, words):
    edit(folder, change)
    with pytest.raises(ModelError, match=words):
        RCNN.load(folder)


def test_damaged_and_missing_files_are_refused(folder, tmp_path):
    with pytest.raises(ModelError, match=r"no model\.json"):
        RCNN.load(tmp_path / "nowhere")
    weights = folder / "weights.safetensors"
    data = bytearray(weights.read_bytes())
    data[-5] ^= 1
    weights.write_bytes(data)
    with pytest.raises(ModelError, match="SHA-256"):
        RCNN.load(folder)
    weights.unlink()
    with pytest.raises(ModelError, match="no such file"):
        RCNN.load(folder)
    (folder / "model.json").write_text("{")
    with pytest.raises(ModelError, match="cannot be read"):
        RCNN.load(folder)


def test_classifying_does_not_import_lightning():
    code = "import sys, skyreel_rcnn.classifier; sys.exit('pytorch_lightning' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_plugin_is_light():
    code = "import sys, skyreel_rcnn; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
