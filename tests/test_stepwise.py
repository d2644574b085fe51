"""One image at a time gives what the whole sequence gives."""

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sequence_toys import RUNNING, conditions, movies, stepwise, usable_frames

from skyreel.errors import DataError
from skyreel.preprocessing import SequenceOptions
from skyreel.sequences import build_sequences
from skyreel.stepwise import SequenceState, advance, initial_sequence_state


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_stepwise_equals_batch(data):
    epochs, stacked = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 4))
    usable = usable_frames(data.draw, 3, epochs)
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    channels = data.draw(st.integers(1, 2))
    bits = rng.choice([0, 0, 0, 0, 0, 1, 2, 4, 8], (3, epochs, channels, 9, 9)).astype(np.uint8)
    stars = movies(n=3, epochs=epochs, frame_mask=usable, channels=channels, bits=bits, seed=int(rng.integers(1000)))
    options = replace(RUNNING, n_stacked=stacked, scaling=data.draw(st.sampled_from(["zero_point", "running_max"])))
    batch = build_sequences(stars, options, incomplete=True)
    steps, state = stepwise(stars, options)
    seen = np.zeros(3, int)
    for epoch, step in enumerate(steps):
        np.testing.assert_array_equal(step.mask[:, 0], usable[:, epoch])
        for row in np.nonzero(usable[:, epoch])[0]:
            place = (row, seen[row])
            biggest = np.abs(batch.stacks[place]).max()
            np.testing.assert_allclose(step.stacks[row, 0], batch.stacks[place], rtol=1e-6, atol=1e-6 * biggest)
            np.testing.assert_array_equal(step.dt[row, 0], batch.dt[place])
            np.testing.assert_array_equal(step.conditions[row, 0], batch.conditions[place])
            assert step.complete[row, 0] == batch.complete[place]
            assert step.frame[row, 0] == seen[row]
            assert batch.frame[place] == epoch
            seen[row] += 1
        absent = ~usable[:, epoch]
        assert not step.stacks[absent].any()
        assert (step.frame[absent] == -1).all()
    np.testing.assert_array_equal(state.count, usable.sum(axis=1))


def test_absent_objects_keep_their_state_and_input_is_untouched():
    stars = movies(n=2, epochs=4)
    _, state = stepwise(stars, RUNNING)
    before = {name: array.copy() for name, array in state.to_arrays().items()}
    exposure = conditions(2, 1, seed=1).replace(mjd=np.full((2, 1), 60000.0), mask=np.array([[True], [False]]))
    frame = np.full((2, 1, 9, 9), 500.0)
    frame[1] = np.nan
    _, new = advance(state, frame, exposure, RUNNING)
    for name, array in state.to_arrays().items():
        np.testing.assert_array_equal(array, before[name])
        np.testing.assert_array_equal(getattr(new, name)[1], before[name][1])
    assert new.count.tolist() == [5, 4]


def test_state_survives_arrays():
    stars = movies(n=2, epochs=4)
    _, state = stepwise(stars, RUNNING)
    again = SequenceState.from_arrays(state.to_arrays())
    for item in fields(SequenceState):
        np.testing.assert_array_equal(getattr(again, item.name), getattr(state, item.name))
    with pytest.raises(DataError, match="zp_ref"):
        SequenceState.from_arrays({name: array for name, array in state.to_arrays().items() if name != "zp_ref"})
    for name in ("frames", "mjd", "running_max"):
        with pytest.raises(DataError, match="shapes"):
            SequenceState.from_arrays(state.to_arrays() | {name: state.to_arrays()[name][:1]})


def test_stepwise_errors():
    options = SequenceOptions()
    state = initial_sequence_state(2, options, 1, 9, 0)
    exposure, frame = conditions(2, 1), np.full((2, 1, 9, 9), 500.0)
    _, later = advance(state, frame, exposure, options)
    with pytest.raises(DataError, match="does not follow"):
        advance(later, frame, exposure, options)
    with pytest.raises(DataError, match="frame"):
        advance(state, frame[..., :8], exposure, options)
    with pytest.raises(DataError, match="frame"):
        advance(state, frame[:, 0], exposure, options)
    with pytest.raises(DataError, match="exposure"):
        advance(state, frame, conditions(2, 2), options)
    with pytest.raises(DataError, match="conditions"):
        advance(state, frame, exposure, replace(options, conditions=("sky",)))
    with pytest.raises(DataError, match="n_stacked"):
        advance(state, frame, exposure, replace(options, n_stacked=2))
    with pytest.raises(DataError, match="zero_point"):
        advance(state, frame, exposure.replace(zero_point=np.full((2, 1), np.nan)), options)
    with pytest.raises(DataError, match="NaN"):
        advance(state, np.where(np.arange(9) == 4, np.nan, frame), exposure, options)
