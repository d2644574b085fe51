"""The frames of section 3.1 of the paper: five images before the first alert."""

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from sequence_toys import movies, usable_frames

from skyreel.preprocessing import SequenceOptions
from skyreel.sequences import alert_window, build_sequences


def reference_window(usable, first, options):
    """Section 3.1 for one object in plain Python: the kept frames and the alert's place among them."""
    frames = [i for i, good in enumerate(usable) if good]
    later = [k for k, i in enumerate(frames) if i >= first >= 0]
    start = max(later[0] - options.before_alert, 0) if later else 0
    return frames[start : start + options.max_images], (later[0] - start if later else -1)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_alert_window_equals_the_plain_rule(data):
    epochs = data.draw(st.integers(1, 9))
    usable = usable_frames(data.draw, 3, epochs, least=0)
    first = [data.draw(st.integers(-1, epochs - 1)) for _ in range(3)]
    longest = data.draw(st.integers(1, 8))
    options = SequenceOptions(n_stacked=1, max_images=longest, before_alert=data.draw(st.integers(0, longest - 1)))
    stars = movies(n=3, epochs=epochs, frame_mask=usable, first=first)
    out = alert_window(stars, options)
    assert out.frame_mask.shape[1] <= longest
    for row in range(3):
        frames, alert = reference_window(usable[row], first[row], options)
        assert out.frame_mask[row].tolist() == [k < len(frames) for k in range(out.frame_mask.shape[1])]
        np.testing.assert_array_equal(out.reported.mask[row], out.frame_mask[row])
        np.testing.assert_array_equal(out.pixels[row, : len(frames)], stars.pixels[row, frames])
        np.testing.assert_array_equal(out.reported.mjd[row, : len(frames)], stars.reported.mjd[row, frames])
        np.testing.assert_array_equal(out.truth.flux[row, : len(frames)], stars.truth.flux[row, frames])
        np.testing.assert_array_equal(out.truth.centre[row, : len(frames)], stars.truth.centre[row, frames])
        np.testing.assert_array_equal(out.truth.exposures.mask[row], out.frame_mask[row])
        assert out.first_detection[row] == alert
    assert not out.pixels[~out.frame_mask].any()
    assert not out.truth.flux[~out.frame_mask].any()
    np.testing.assert_array_equal(out.truth.params["period"], stars.truth.params["period"])


def test_five_images_before_the_alert():
    out = alert_window(movies(n=1, epochs=30, first=[12]), SequenceOptions())
    assert out.first_detection.tolist() == [5]
    assert out.pixels.shape[1] == 22
    steps = build_sequences(out, SequenceOptions())
    assert steps.mask.sum() == 20
    assert steps.dt[0, 0, 0] == 0


def test_window_of_a_window_is_the_window():
    options = SequenceOptions(max_images=6, before_alert=2)
    usable = np.random.default_rng(0).random((4, 12)) < 0.8
    once = alert_window(movies(n=4, epochs=12, frame_mask=usable, first=[-1, 3, 7, 11]), options)
    twice = alert_window(once, options)
    np.testing.assert_array_equal(once.pixels, twice.pixels)
    np.testing.assert_array_equal(once.first_detection, twice.first_detection)


def test_movies_without_truth():
    assert alert_window(replace(movies(), truth=None), SequenceOptions()).truth is None
