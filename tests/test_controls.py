"""Controls see one thing and nothing else: their inputs, their training, their verdict."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skyreel import features
from skyreel.errors import DataError
from skyreel.evaluate.controls import CONTROLS, Seen, control_outcomes, seen_of, train_controls, verdict
from skyreel.evaluate.controls_first import FAINT
from skyreel.evaluate.controls_inputs import SHUFFLED, control_inputs, shuffled
from skyreel.evaluate.controls_noise import NOISE, UNKNOWN, frame_noise
from skyreel.evaluate.outcomes import Outcomes
from skyreel.exposures import DTYPES, Exposures
from skyreel.interfaces import PixelBits
from skyreel.light_curves import measure
from skyreel.movies import Movies
from skyreel.photometry import psf_image
from skyreel.preprocessing import SequenceOptions

SIZE, GAIN, READ, SKY, FWHM = 21, 4.0, 6.0, 130.0, 4.4
CLASSES = ("supernova", "rr_lyrae", "non_variable")


def stars(n: int, epochs: int, flux: np.ndarray, *, seed: int = 0, jitter: float = 0.5) -> Movies:
    """Poisson images of point sources with `flux` (n, epochs) ADU."""
    rng = np.random.default_rng(seed)
    centre = rng.uniform(-jitter, jitter, (n, epochs, 2))
    expected = SKY + flux[..., None, None] * psf_image((SIZE, SIZE), np.full((n, epochs), FWHM), centre)
    pixels = np.rint(rng.poisson(expected * GAIN) / GAIN + rng.normal(0, READ / GAIN, expected.shape)).astype(np.float32)
    constants = {"exptime": 86.0, "seeing": 1.4, "psf_fwhm": FWHM, "airmass": 1.2, "sky": SKY, "zero_point": 25.0}
    constants |= {"limiting_mag": 24.0, "gain": GAIN, "read_noise": READ, "saturation": 4e4, "mask": True, "exposure_id": 1}
    columns = {name: np.full((n, epochs), constants.get(name, 0)) for name in DTYPES}
    columns["mjd"] = 57070.0 + np.sort(rng.uniform(0, 20, (n, epochs)), axis=1)
    names = np.array([f"object {seed} {k}" for k in range(n)])
    mask, first = np.ones((n, epochs), bool), np.full(n, -1, np.int32)
    bits = np.zeros((n, epochs, 1, SIZE, SIZE), np.uint8)
    label = np.array([CLASSES[k % 3] for k in range(n)])
    return Movies(pixels[:, :, None], bits, mask, Exposures(("g",), **columns), label, names, first)


@pytest.fixture(scope="module")
def movies() -> Movies:
    rng = np.random.default_rng(1)
    made = stars(24, 9, rng.uniform(500, 20_000, (24, 1)) * rng.uniform(0.5, 1.5, (24, 9)))
    mask = np.arange(9) < rng.integers(3, 10, 24)[:, None]
    return replace(made, frame_mask=mask, reported=made.reported.replace(mask=mask))


@pytest.fixture(scope="module")
def inputs(movies: Movies) -> dict[str, np.ndarray]:
    return control_inputs(movies)


def changed(movies: Movies, **columns: np.ndarray) -> dict[str, np.ndarray]:
    return control_inputs(replace(movies, **columns))


# ------------------------------------------------------------------------------------------------------- inputs


def test_every_control_has_finite_numbers(inputs: dict[str, np.ndarray]) -> None:
    assert {name: column.shape for name, column in inputs.items()} == {
        "magnitude_only": (24, 1),
        "first_frame_only": (24, 22),
        "length_only": (24, 1),
        "noise_only": (24, 2 * len(NOISE) + 2),
        "shuffled_time": (24, len(SHUFFLED)),
    }
    assert list(inputs) == list(CONTROLS)
    assert all(np.isfinite(column).all() for column in inputs.values())


def test_magnitude_and_length_are_what_they_say(movies: Movies, inputs: dict[str, np.ndarray]) -> None:
    curves = measure(movies)
    for k in range(24):
        flux = curves.flux[k, curves.mask[k]]
        assert inputs["magnitude_only"][k, 0] == pytest.approx(25 - 2.5 * np.log10(np.median(flux)), abs=1e-5)
    np.testing.assert_array_equal(inputs["length_only"][:, 0], movies.frame_mask.sum(axis=1))


def test_the_magnitude_of_a_known_flux_and_of_none() -> None:
    # counts / s at zero point 25, up to the difference between the profile rendered here and the one that is assumed
    for flux, mag in ((8600.0, 20.0), (86_000.0, 17.5)):
        found = control_inputs(stars(30, 8, np.full((30, 8), flux), jitter=0.0))["magnitude_only"]
        assert np.median(found) == pytest.approx(mag, abs=0.1)
    faint = stars(3, 4, np.zeros((3, 4)))
    dark = replace(faint, pixels=faint.pixels - 60 * psf_image((SIZE, SIZE), np.array(FWHM)))
    assert control_inputs(dark)["magnitude_only"].tolist() == [[FAINT]] * 3


def test_the_first_frame_control_sees_the_first_frame_only(movies: Movies, inputs: dict[str, np.ndarray]) -> None:
    pixels = movies.pixels.copy()
    pixels[:, 1:] = np.random.default_rng(3).uniform(100, 900, pixels[:, 1:].shape)
    single = replace(movies, frame_mask=movies.frame_mask & (np.arange(9) == 0))
    alone = control_inputs(single)["first_frame_only"]
    np.testing.assert_array_equal(control_inputs(replace(single, pixels=pixels))["first_frame_only"], alone)
    # what is shared with the whole movie is at most the object's centre; the image's own numbers stay
    own = [0, *range(11, 22)]
    np.testing.assert_allclose(inputs["first_frame_only"][:, own[1:]], alone[:, own[1:]], rtol=1e-5, atol=1e-5)


def test_the_length_control_does_not_see_pixels(movies: Movies, inputs: dict[str, np.ndarray]) -> None:
    noise = np.random.default_rng(4).uniform(100, 900, movies.pixels.shape).astype(np.float32)
    np.testing.assert_array_equal(changed(movies, pixels=noise)["length_only"], inputs["length_only"])


def test_the_order_of_the_images_does_not_reach_the_shuffled_control(movies: Movies) -> None:
    """Exchanging images of a movie leaves every number of the flux distribution where it was."""
    full = stars(12, 10, np.random.default_rng(5).uniform(1000, 9000, (12, 10)), seed=5)
    back = replace(full, pixels=full.pixels[:, ::-1])
    places = [SHUFFLED.index(name) for name in ("Mean", "Std", "Skew", "MedianAbsDev", "Q31", "relative_amplitude", "peak_significance")]
    np.testing.assert_allclose(
        control_inputs(back)["shuffled_time"][:, places], control_inputs(full)["shuffled_time"][:, places], rtol=2e-4, atol=1e-5
    )


def test_shuffling_breaks_the_order_and_keeps_points_together() -> None:
    rising = stars(40, 12, np.tile(np.linspace(1000, 12_000, 12), (40, 1)), seed=6)
    curves = measure(rising)
    mask = curves.mask & (np.arange(12) != 5)
    curves = replace(curves, mask=mask)
    mjd, flux, error, kept = shuffled(curves, seed=0)
    np.testing.assert_array_equal(kept, mask)
    np.testing.assert_array_equal(mjd, curves.mjd)
    for k in range(40):
        pairs, before = ({*zip(a[k, mask[k]], b[k, mask[k]], strict=True)} for a, b in ((flux, error), (curves.flux, curves.error)))
        assert pairs == before
    trend = features.compute(mjd, flux, error, mask, names=("kendall",))[:, 0]
    straight = features.compute(curves.mjd, curves.flux, curves.error, mask, names=("kendall",))[:, 0]
    assert straight.min() > 0.9
    assert abs(trend.mean()) < 4 * trend.std() / np.sqrt(40)
    assert not np.array_equal(flux, shuffled(curves, seed=1)[1])


@settings(max_examples=8)
@given(seed=st.integers(0, 10**6), data=st.data())
def test_inputs_depend_on_the_object_alone(movies: Movies, seed: int, data: st.DataObject) -> None:
    whole = control_inputs(movies, seed=seed)
    rows = np.array(data.draw(st.lists(st.integers(0, 23), min_size=1, max_size=6, unique=True)))
    part = control_inputs(movies.take(rows).pad(12), seed=seed)
    for name in CONTROLS:
        np.testing.assert_array_equal(part[name], whole[name][rows])


def test_a_movie_without_images_is_named(movies: Movies) -> None:
    mask = movies.frame_mask.copy()
    mask[4] = False
    with pytest.raises(DataError, match="controls: object 'object 0 4': no usable image; leave such objects out"):
        changed(movies, frame_mask=mask)


# -------------------------------------------------------------------------------------------------------- noise


def white(m: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 3, (m, SIZE, SIZE)).astype(np.float32)


def test_white_noise_has_unit_variance_and_no_correlation() -> None:
    found = frame_noise(white(600), np.ones((600, SIZE, SIZE), bool), np.full(600, 9.0, np.float32))
    error = found.std(axis=0) / np.sqrt(600)
    # the mean of each ring, taken out of about 50 of its pixels, correlates neighbours by -1/50 at most
    np.testing.assert_array_less(np.abs(found.mean(axis=0) - [1, 0, 0, 0, 1]), [0.005, 0.025, 0.025, 0.025, 0.025] + 4 * error)


def test_smoothed_noise_is_recognised() -> None:
    """Noise averaged over pairs of neighbours in x: half the variance, correlation 1/2 at lag (0, 1) and none at (1, 0)."""
    values = white(400, 1)
    smooth = ((values + np.roll(values, 1, axis=2)) / 2).astype(np.float32)
    found = frame_noise(smooth, np.ones(smooth.shape, bool), np.full(400, 9.0, np.float32)).mean(axis=0)
    assert found[0] == pytest.approx(0.5, rel=0.03)
    assert 0.44 < found[1] < 0.5  # the rings' means take a little of it
    assert found[2] == pytest.approx(0.0, abs=0.03)
    assert found[3] == pytest.approx(0.0, abs=0.03)
    # variance of x less the mean of four: 1 + 4/16 - 2 (c01 + c01)/4, in units of that of x
    assert found[4] == pytest.approx((1 + 4 / 16 - 2 * (0.5 + 0.5) / 4) / 1.25, abs=0.04)


def test_the_noise_control_does_not_see_a_source_or_a_neighbour() -> None:
    faint = stars(30, 10, np.full((30, 10), 10.0), seed=2)
    host = 3000 * psf_image((SIZE, SIZE), np.array(6.0), np.array([7.0, 3.0]))  # static light, without its own noise
    found = [control_inputs(movies)["noise_only"][:, :5] for movies in (faint, replace(faint, pixels=faint.pixels + host))]
    np.testing.assert_allclose(found[1], found[0], atol=2e-3)
    bright = control_inputs(stars(30, 10, np.full((30, 10), 20_000.0), seed=2))["noise_only"][:, :5]
    # the wings' own photons add variance; they correlate nothing
    np.testing.assert_allclose(np.median(bright[:, 1:], axis=0), np.median(found[0][:, 1:], axis=0), atol=0.05)


def test_poisson_images_meet_the_expected_variance() -> None:
    found = control_inputs(stars(20, 12, np.full((20, 12), 500.0), seed=7))["noise_only"]
    assert np.median(found[:, 0]) == pytest.approx(1.0, abs=0.03)
    np.testing.assert_allclose(np.median(found[:, 1:4], axis=0), 0, atol=0.03)


@pytest.mark.parametrize("jitter", [0.0, 0.5])
def test_the_scatter_of_the_centroid_is_that_of_the_cut(jitter: float) -> None:
    found = control_inputs(stars(30, 25, np.full((30, 25), 30_000.0), seed=8, jitter=jitter))["noise_only"][:, -2:]
    assert np.median(found) == pytest.approx(jitter / np.sqrt(3), rel=0.08, abs=0.02)


def test_without_a_bright_image_there_is_no_centroid() -> None:
    found = control_inputs(stars(4, 6, np.zeros((4, 6)), seed=9))["noise_only"]
    np.testing.assert_array_equal(found[:, -2:], UNKNOWN)
    assert (found[:, :5] != UNKNOWN).all()


def test_pixels_without_data_are_left_out_everywhere(movies: Movies, inputs: dict[str, np.ndarray]) -> None:
    bits, pixels = movies.pixel_mask.copy(), movies.pixels.copy()
    bits[:, :, 0, 2, 3] = PixelBits.BAD
    expected = changed(movies, pixel_mask=bits)
    pixels[:, :, 0, 2, 3] = 1e7
    found = changed(movies, pixel_mask=bits, pixels=pixels)
    for name in CONTROLS:
        np.testing.assert_array_equal(found[name], expected[name])
    assert (expected["noise_only"] != inputs["noise_only"]).any()


# ----------------------------------------------------------------------------------------- training and verdict


def toy(n: int, seed: int = 0) -> Seen:
    """Objects whose label is written in the magnitude and nowhere else."""
    rng = np.random.default_rng(seed)
    label = rng.choice(CLASSES, n)
    inputs = {name: rng.normal(0, 1, (n, 3)).astype(np.float32) for name in CONTROLS}
    index = np.array([CLASSES.index(name) for name in label], np.float32)
    inputs["magnitude_only"] = (18 + 2 * index + rng.normal(0, 0.1, n))[:, None].astype(np.float32)
    return Seen(inputs, label, np.array([f"toy {seed} {k}" for k in range(n)]))


def outcomes(seen: Seen, right: float, classes: tuple[str, ...] = CLASSES, seed: int = 0) -> Outcomes:
    """A model that is right on a share `right` of the objects."""
    rng, n = np.random.default_rng(seed), len(seen)
    truth = np.array([classes.index(name) for name in seen.label])
    answer = np.where(rng.random(n) < right, truth, (truth + 1) % len(classes))
    length = rng.integers(1, 5, n)
    exists = np.arange(4) < length[:, None]
    one_hot = np.where(exists[..., None], np.eye(len(classes), dtype=np.float32)[answer][:, None], np.nan).astype(np.float32)
    mjd = np.where(exists, 57070.0 + np.arange(4), np.nan)
    flat = {"mag": np.full(n, 20.0), "snr": np.full(n, 9.0), "saturated": np.zeros(n, bool), "bright": np.ones(n, bool)}
    names = {"object_id": seen.object_id, "group": seen.object_id, "label": seen.label}
    field = rng.integers(0, 12, n).astype(np.int32)
    return Outcomes(classes, one_hot, mjd, length, **names, field=field, alert=np.zeros(n, np.int32), **flat)


@pytest.fixture(scope="module")
def trained():
    return train_controls(toy(300), CLASSES, seed=0)


def test_a_control_learns_what_it_sees_and_nothing_else(trained) -> None:
    test = toy(300, 1)
    answers = {name: np.array(CLASSES)[control.probabilities(test).argmax(axis=1)] for name, control in trained.items()}
    share = {name: float((answer == test.label).mean()) for name, answer in answers.items()}
    assert share.pop("magnitude_only") > 0.98
    assert all(0.2 < value < 0.47 for value in share.values()), share  # a third, +- 5 standard deviations


def test_the_same_seed_gives_the_same_controls_whatever_the_batch(trained) -> None:
    test = toy(80, 2)
    again, other = train_controls(toy(300), CLASSES, seed=0), train_controls(toy(300), CLASSES, seed=1)
    for name, control in trained.items():
        whole = control.probabilities(test)
        np.testing.assert_allclose(whole.sum(axis=1), 1, atol=1e-5)
        np.testing.assert_array_equal(again[name].probabilities(test), whole)
        parts = [control.probabilities(test.take(slice(k, k + 7))) for k in range(0, 80, 7)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert not np.array_equal(other["noise_only"].probabilities(test), trained["noise_only"].probabilities(test))


def test_classes_without_training_movies_have_probability_zero() -> None:
    seen, classes = toy(120), ("galaxy", *CLASSES)
    answer = train_controls(seen, classes)["magnitude_only"].probabilities(seen)
    assert answer.shape == (120, 4)
    np.testing.assert_array_equal(answer[:, 0], 0)
    np.testing.assert_array_equal(np.array(classes)[answer.argmax(axis=1)], seen.label)


def test_real_examples_count_a_hundredfold() -> None:
    """Real objects with a label of their own at a magnitude where the simulation says otherwise."""
    simulated, real = toy(300), toy(30, 3)
    contrary = Seen(real.inputs, np.roll(np.array(CLASSES), 1)[[CLASSES.index(name) for name in real.label]], real.object_id)
    shown = contrary.take(slice(0, 15))
    with_labels = train_controls(simulated, CLASSES, real=shown)["magnitude_only"]
    once = train_controls(simulated, CLASSES, real=shown, copies=1)["magnitude_only"]
    agrees = [
        float((np.array(CLASSES)[control.probabilities(shown).argmax(axis=1)] == shown.label).mean()) for control in (with_labels, once)
    ]
    assert agrees[0] > 0.9
    assert agrees[1] < 0.2


@pytest.mark.parametrize(
    ("label", "message"),
    [("quasar", "training controls: labels 'quasar'; hand in movies of two or more of"), ("rr_lyrae", "training controls: 1 class;")],
)
def test_controls_refuse_what_they_cannot_learn(label: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        train_controls(replace(toy(20), label=np.full(20, label)), CLASSES)


def test_answers_stand_after_every_image_and_follow_the_model_s_order(trained) -> None:
    seen = toy(40, 4)
    like = outcomes(seen, 0.5).take(np.random.default_rng(0).permutation(40)[:30])
    found = control_outcomes(trained, seen, like)
    assert list(found) == list(CONTROLS)
    for name, part in found.items():
        np.testing.assert_array_equal(part.object_id, like.object_id)
        np.testing.assert_array_equal(part.after(1), part.last())
        np.testing.assert_array_equal(part.last(), trained[name].probabilities(seen.named(like.object_id)))
        np.testing.assert_array_equal(np.isnan(part.probabilities[..., 0]), np.arange(4) >= like.n_images[:, None])


def test_objects_are_found_by_name_or_named(trained) -> None:
    seen = toy(20, 5)
    with pytest.raises(DataError, match="object 'toy 5 3' is there 0 times"):
        control_outcomes(trained, seen.take(np.arange(20) != 3), outcomes(seen, 1.0))
    twice = seen.take(np.array([*range(20), 3]))
    with pytest.raises(DataError, match="object 'toy 5 3' is there 2 times; give every movie a name of its own"):
        control_outcomes(trained, twice, outcomes(seen, 1.0))


def test_a_model_clears_the_controls_it_beats_and_no_other(trained) -> None:
    seen = toy(240, 6)
    model = outcomes(seen, 0.7)
    found = verdict(model, control_outcomes(trained, seen, model))
    assert found["not_cleared"] == ["magnitude_only"]  # that control knows the answer
    assert not found["clears"]
    for name, row in found["controls"].items():
        assert row["cleared"] == (row["difference"]["95"][0] > 0) == (name != "magnitude_only")
        assert row["mean_recall"]["value"] == pytest.approx(np.mean(list(row["recall"].values())))
        assert row["difference"]["value"] == pytest.approx(row["difference"]["a"] - row["mean_recall"]["value"])
    without = {name: part for name, part in control_outcomes(trained, seen, model).items() if name != "magnitude_only"}
    assert verdict(model, without)["clears"]
    # a model that is as good as a control does not clear it
    twin = control_outcomes(trained, seen, model)["magnitude_only"]
    assert verdict(twin, {"magnitude_only": twin})["not_cleared"] == ["magnitude_only"]


def test_the_verdict_over_draws_is_that_of_their_mean(trained) -> None:
    seen = toy(120, 7)
    models = [outcomes(seen, 0.8, seed=k) for k in range(3)]
    controls = {"length_only": [control_outcomes(trained, seen, model)["length_only"] for model in models]}
    row = verdict(models, controls)["controls"]["length_only"]
    assert row["difference"]["value"] == pytest.approx(np.mean(row["difference"]["each"]))
    assert len(row["difference"]["each"]) == 3


def test_seen_does_not_depend_on_the_batch_and_leaves_out_what_has_no_image(movies: Movies) -> None:
    mask = movies.frame_mask.copy()
    mask[4] = False
    store, options = replace(movies, frame_mask=mask), SequenceOptions()
    whole = seen_of(store, "label_blind", options, seed=3)
    parts = seen_of(store, "label_blind", options, seed=3, batch=5)
    np.testing.assert_array_equal(whole.object_id, np.delete(movies.object_id, 4))
    for name in CONTROLS:
        np.testing.assert_array_equal(parts.inputs[name], whole.inputs[name])
    with pytest.raises(DataError, match="controls: no object with a usable image"):
        seen_of(store.take([4]), "paper", options)


@pytest.mark.real_data
def test_real_supernova_stamps_are_seen_to_be_resampled(data_dir) -> None:
    """Real supernova stamps are Lanczos-resampled: correlated by 0.15, variance 0.73 of the expected one (others: 0 and 1)."""
    from skyreel.datasets import load_dataset

    found = load_dataset("hits2015a", data_dir / "hits2015a").movies
    rows = np.concatenate([np.flatnonzero(found.label == name)[:40] for name in ("supernova", "non_variable")])
    noise = control_inputs(found.take(rows))["noise_only"]
    supernova, star = noise[:40], noise[40:]
    assert np.median(supernova[:, 0]) == pytest.approx(0.73, abs=0.12)
    assert np.median(star[:, 0]) == pytest.approx(1.03, abs=0.12)
    for lag in (1, 2):
        assert np.median(supernova[:, lag]) - np.median(star[:, lag]) > 0.08
