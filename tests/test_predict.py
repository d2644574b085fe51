"""Outcomes of a classifier on a store: which image they belong to, and what is said about the objects."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sequence_toys import movies

from skyreel.errors import ConfigError, DataError
from skyreel.evaluate.outcomes import Outcomes, join_outcomes
from skyreel.evaluate.predict import outcomes_from, outcomes_of, unscored
from skyreel.evaluate.protocols import PROTOCOLS, cut
from skyreel.interfaces import PixelBits, Predictions, Task
from skyreel.movies import Movies
from skyreel.photometry import MOFFAT_BETA, psf_image
from skyreel.photometry.widths import profile_width
from skyreel.preprocessing import SequenceOptions

CLASSES = ("supernova", "rr_lyrae", "asteroid")
OPTIONS = SequenceOptions(n_stacked=2, max_images=9, before_alert=3)


class Brightness:
    """Says what the brightest pixel of an image is, in a way that tells images apart."""

    task = Task(CLASSES, ("g", "r", "i"), 9, ("science",), 0.27, OPTIONS)
    classes = CLASSES

    def predict(self, window: Movies) -> Predictions:
        assert window.frame_mask.any(axis=1).all()
        share = np.where(window.frame_mask, window.pixels.max(axis=(2, 3, 4)), 0) / 1e5
        probabilities = np.stack([share, share / 2, 1 - 1.5 * share], axis=2).astype(np.float32)
        probabilities[~window.frame_mask] = np.nan
        return Predictions(CLASSES, probabilities, window.frame_mask, window.frame_mask)


def store(seed: int = 0, n: int = 12, epochs: int = 13) -> Movies:
    rng = np.random.default_rng(seed)
    usable = rng.random((n, epochs)) < 0.8
    usable[np.arange(n), rng.integers(0, epochs, n)] = True
    label = np.array(CLASSES)[np.arange(n) % 3]
    first = np.where(label == "rr_lyrae", -1, rng.integers(0, epochs, n))
    some = movies(n, epochs, seed, frame_mask=usable, first=first)
    field = np.broadcast_to(np.arange(n)[:, None] % 5, (n, epochs))
    return replace(some, label=label, reported=some.reported.replace(field=field))


def same(a: Outcomes, b: Outcomes) -> None:
    width = a.mjd.shape[1]
    assert b.mjd.shape[1] == width
    for name in ("probabilities", "mjd", "n_images", "object_id", "group", "label", "field", "alert", "mag", "snr", "saturated", "bright"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)


def test_images_follow_each_other_as_in_the_window():
    some = store()
    window = cut(some, "paper", OPTIONS)
    found = outcomes_of(Brightness(), some, "paper")
    assert found.classes == CLASSES
    for row in range(len(some)):
        frames = np.flatnonzero(window.frame_mask[row])
        assert found.n_images[row] == len(frames)
        expected = window.pixels[row, frames].max(axis=(1, 2, 3)) / 1e5
        np.testing.assert_allclose(found.probabilities[row, : len(frames), 0], expected, rtol=1e-6)
        np.testing.assert_array_equal(found.mjd[row, : len(frames)], window.reported.mjd[row, frames])
        assert np.isnan(found.probabilities[row, len(frames) :]).all()
        assert np.isnan(found.mjd[row, len(frames) :]).all()
        # images up to and including the alert
        assert found.alert[row] == window.first_detection[row] + 1
    assert (found.alert[found.label == "rr_lyrae"] == 0).all()
    assert (found.alert > 0).any()
    np.testing.assert_array_equal(found.field, np.arange(12) % 5)
    np.testing.assert_array_equal(found.object_id, some.object_id)
    np.testing.assert_array_equal(found.group, some.object_id)
    assert found.bright.all()


def test_gaps_in_the_answers_shift_images_and_alerts():
    some = cut(store(), "paper", OPTIONS)
    answers = Brightness().predict(some)
    row = int(np.flatnonzero((some.first_detection >= 2) & (some.frame_mask.sum(axis=1) >= 4))[0])
    mask = answers.mask.copy()
    mask[row, 1] = False
    bare = {"group": some.object_id, "bright": np.ones(len(some), bool)}
    before, after = outcomes_from(answers, some, **bare), outcomes_from(replace(answers, mask=mask), some, **bare)
    assert after.n_images[row] == before.n_images[row] - 1
    assert after.alert[row] == before.alert[row] - 1
    np.testing.assert_array_equal(after.probabilities[row, 1], before.probabilities[row, 2])
    np.testing.assert_array_equal(after.mjd[row, 1:3], before.mjd[row, 2:4])


@settings(max_examples=12)
@given(seed=st.integers(0, 1000), batch=st.integers(1, 13), protocol=st.sampled_from(PROTOCOLS))
def test_the_batch_does_not_matter(seed, batch, protocol):
    some = store(seed)
    usable = some.frame_mask.copy()
    usable[4] = False
    some = replace(some, frame_mask=usable)
    same(outcomes_of(Brightness(), some, protocol, seed=seed), outcomes_of(Brightness(), some, protocol, seed=seed, batch=batch))


def test_groups_and_subsets_stay_with_their_objects():
    some = store()
    usable = some.frame_mask.copy()
    usable[[0, 7]] = False
    some = replace(some, frame_mask=usable)
    group, bright = np.array([f"g{k}" for k in range(12)]), np.arange(12) % 2 == 0
    told = []
    found = outcomes_of(Brightness(), some, "label_blind", group=group, bright=bright, tick=told.append, batch=5)
    rows = [row for row in range(12) if row not in (0, 7)]
    np.testing.assert_array_equal(found.object_id, some.object_id[rows])
    np.testing.assert_array_equal(found.group, group[rows])
    np.testing.assert_array_equal(found.bright, bright[rows])
    assert told == [5, 5, 2]
    assert unscored(some, found) == {"supernova": 1, "rr_lyrae": 1}
    assert unscored(some.take(rows), found) == {}


def test_lengths_are_those_of_the_whole_store_or_given():
    some = store(3, n=30)
    whole = outcomes_of(Brightness(), some, "length_matched_first", batch=4)
    stars = whole.label == "rr_lyrae"
    supernovae = whole.n_images[whole.label == "supernova"]
    assert set(whole.n_images[stars]) <= set(supernovae) | set(some.frame_mask.sum(axis=1)[stars])
    given = outcomes_of(Brightness(), some, "length_matched_first", lengths=[2])
    assert (given.n_images[stars] <= 2).all()


def test_brightness_and_saturation_of_the_window():
    n, epochs, size = 6, 8, 21
    some = movies(n, epochs, 1, size=size)
    reported = some.reported.replace(psf_fwhm=np.full((n, epochs), 3.5), gain=np.full((n, epochs), 4.0), sky=np.full((n, epochs), 100.0))
    mag = np.linspace(17, 20, n)
    flux = reported.exptime * 10 ** (0.4 * (reported.zero_point - mag[:, None]))
    # the reported width is that of a Gaussian fitted to a star, from which that of the profile follows
    star = psf_image((size, size), profile_width(reported.psf_fwhm, "moffat", MOFFAT_BETA)) * flux[..., None, None] + 100.0
    noise = np.random.default_rng(0).normal(0, 5, star.shape)
    bits = np.zeros((n, epochs, 1, size, size), np.uint8)
    bits[1, 3, 0, 0, 0] = PixelBits.SATURATED
    bits[2, 3, 0, 0, 0] = PixelBits.BAD
    bits[3, 2, 0, 0, 0] = PixelBits.SATURATED
    usable = np.ones((n, epochs), bool)
    usable[3, 2] = False
    pixels = (star + noise)[:, :, None].astype(np.float32)
    pixels[5] = 100.0
    pixels[5, :, 0, 10, 10] -= 30.0
    some = replace(some, pixels=pixels, pixel_mask=bits, frame_mask=usable, reported=reported)
    found = outcomes_of(Brightness(), some, "paper")
    assert found.mag[:5] == pytest.approx(mag[:5], abs=0.01)
    assert (np.diff(found.snr[:5]) < 0).all()
    # photon noise alone: far beyond what the floor of the calibration would allow
    assert found.snr[0] > 100
    assert np.isnan(found.mag[5])
    assert found.snr[5] < 0
    assert found.saturated.tolist() == [False, True, False, False, False, False]


def test_what_cannot_be_scored_is_named():
    some = store()
    with pytest.raises(ConfigError, match="protocol: 'papers'; did you mean 'paper'"):
        outcomes_of(Brightness(), some, "papers")
    dark = replace(some, frame_mask=np.zeros_like(some.frame_mask))
    with pytest.raises(DataError, match="no object with a usable image; check the movies' frame_mask"):
        outcomes_of(Brightness(), dark, "paper")
    window = cut(some, "paper", OPTIONS)
    answers = Brightness().predict(window)
    bare = {"group": some.object_id, "bright": np.ones(len(some), bool)}
    answers.probabilities[3, 0, 1] = np.nan
    with pytest.raises(DataError, match="NaN probability for object 'o3', frame 0; mask that frame or look into the classifier"):
        outcomes_from(answers, window, **bare)
    mask = answers.mask.copy()
    mask[2] = False
    with pytest.raises(DataError, match="no probability for object 'o2'"):
        outcomes_from(replace(answers, mask=mask), window, **bare)
    with pytest.raises(DataError, match=r"predictions of shape \(12, 8\)"):
        outcomes_from(replace(answers, probabilities=answers.probabilities[:, :8], mask=answers.mask[:, :8]), window, **bare)


def test_parts_of_a_store_join_to_the_whole():
    some = store(2)
    whole = outcomes_of(Brightness(), some, "label_blind")
    parts = [outcomes_of(Brightness(), some.take(rows), "label_blind") for rows in (np.arange(7), np.arange(7, 12))]
    same(join_outcomes(parts), whole)
