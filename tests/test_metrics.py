import io
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from sklearn.metrics import accuracy_score, balanced_accuracy_score, log_loss, recall_score

from skyreel.errors import DataError
from skyreel.evaluate.metrics import score
from skyreel.evaluate.table import print_scores
from skyreel.interfaces import CLASSES, Predictions

NAMES = ("supernova", "rr_lyrae", "galaxy")


def predictions(guesses: list[list[int]], classes: tuple[str, ...] = NAMES, sure: float = 0.8) -> Predictions:
    """Predicted class index per object and frame; -1 is a masked frame. The winner has probability `sure`."""
    guess = np.array(guesses)
    rest = (1 - sure) / (len(classes) - 1)
    probabilities = np.where(guess[..., None] == np.arange(len(classes)), sure, rest).astype(np.float32)
    probabilities[guess < 0] = np.nan
    return Predictions(classes, probabilities, guess >= 0, guess >= 0)


def random_predictions(seed: int, n: int, epochs: int, classes: tuple[str, ...] = CLASSES) -> tuple[Predictions, np.ndarray]:
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.ones(len(classes)), (n, epochs)).astype(np.float32)
    mask = rng.random((n, epochs)) < 0.7
    mask[np.arange(n), rng.integers(0, epochs, n)] = True
    probabilities[~mask] = np.nan
    return Predictions(classes, probabilities, mask, mask), rng.choice(classes, n)


def test_scores_worked_out_by_hand():
    out = predictions([[0, 0, 1], [1, 1, 1], [2, 0, 0], [1, 2, 1]])
    label = np.array(["supernova", "supernova", "supernova", "rr_lyrae"])
    found = score(out, label, n_images=(1, 3))
    # last image: supernovae are called rr_lyrae, rr_lyrae, supernova; the RR Lyrae is right
    assert found["recall"] == {"supernova": pytest.approx(1 / 3), "rr_lyrae": 1.0}
    assert found["mean_recall"] == pytest.approx(2 / 3)
    assert found["accuracy"] == 0.5
    assert found["confusion"] == {
        "supernova": {"supernova": 1, "rr_lyrae": 2, "galaxy": 0},
        "rr_lyrae": {"supernova": 0, "rr_lyrae": 1, "galaxy": 0},
    }
    assert found["log_loss"] == pytest.approx(-(2 * np.log(0.8) + 2 * np.log(0.1)) / 4, rel=1e-6)
    error = np.sqrt(1 / 3 * 2 / 3 / 3)
    assert found["recall_error"] == {"supernova": pytest.approx(error), "rr_lyrae": 0.0}
    assert found["mean_recall_error"] == pytest.approx(error / 2)
    assert found["accuracy_error"] == pytest.approx(0.25)
    assert found["counts"] == {"supernova": 3, "rr_lyrae": 1}
    assert (found["n_objects"], found["unscored"], found["classes"], found["n_images"]) == (4, {}, list(NAMES), [1, 3])
    assert found["by_n_images"]["1"]["recall"] == {"supernova": pytest.approx(1 / 3), "rr_lyrae": 1.0}
    assert found["by_n_images"]["2"]["recall"] == {"supernova": pytest.approx(2 / 3), "rr_lyrae": 0.0}


def test_images_are_counted_among_usable_frames_only():
    out = predictions([[-1, 0, -1, 1, 2], [1, -1, -1, -1, -1]])
    found = score(out, np.array(["supernova", "rr_lyrae"]))["by_n_images"]
    assert [found[str(k)]["recall"]["supernova"] for k in (1, 2, 3)] == [1.0, 0.0, 0.0]
    assert found["2"]["confusion"]["supernova"] == {"supernova": 0, "rr_lyrae": 1, "galaxy": 0}
    assert found["3"]["confusion"]["supernova"] == {"supernova": 0, "rr_lyrae": 0, "galaxy": 1}
    # a shorter sequence keeps its last answer, and `reached` says how many have as many images
    assert [found[str(k)]["recall"]["rr_lyrae"] for k in (1, 2, 22)] == [1.0, 1.0, 1.0]
    assert [found[str(k)]["reached"] for k in (1, 2, 3, 4)] == [2, 1, 1, 0]


def test_every_number_of_images_and_the_chosen_ones():
    out, label = random_predictions(0, 30, 30)
    found = score(out, label, n_images=(3, 25))
    assert list(found["by_n_images"]) == [str(k) for k in (*range(1, 23), 25)]


def test_the_top_level_is_the_last_image():
    out, label = random_predictions(1, 50, 30)
    found = score(out, label, n_images=(30,))
    last = {key: value for key, value in found["by_n_images"]["30"].items() if key != "reached"}
    assert last == {key: found[key] for key in last}


def test_argmax_runs_over_classes_that_do_not_occur():
    found = score(predictions([[2], [2], [0]]), np.array(["supernova"] * 3))
    assert found["recall"] == {"supernova": pytest.approx(1 / 3)}
    assert found["confusion"] == {"supernova": {"supernova": 1, "rr_lyrae": 0, "galaxy": 2}}


def test_objects_without_images_are_counted_apart():
    found = score(predictions([[0, 0], [-1, -1], [1, -1]]), np.array(["supernova", "supernova", "rr_lyrae"]))
    assert found["unscored"] == {"supernova": 1}
    assert found["counts"] == {"supernova": 1, "rr_lyrae": 1}
    assert found["n_objects"] == 2
    assert found["recall"] == {"supernova": 1.0, "rr_lyrae": 1.0}


def test_a_certain_wrong_answer_has_a_finite_log_loss():
    found = score(predictions([[0]], sure=1.0), np.array(["galaxy"]))
    assert found["log_loss"] == pytest.approx(-np.log(np.finfo(np.float32).eps))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 60), epochs=st.integers(1, 30), k=st.integers(1, 22))
def test_scores_equal_scikit_learn(seed, n, epochs, k):
    out, label = random_predictions(seed, n, epochs)
    found = score(out, label)["by_n_images"][str(k)]
    rows = []
    for probabilities, mask in zip(out.probabilities, out.mask, strict=True):
        frames = np.flatnonzero(mask)
        rows.append(probabilities[frames[min(k, len(frames)) - 1]])
    chosen = np.array(rows, np.float64)
    guess = np.array(CLASSES)[chosen.argmax(axis=1)]
    present = [name for name in CLASSES if name in label]
    expected = recall_score(label, guess, labels=present, average=None, zero_division=0)
    assert list(found["recall"]) == present
    np.testing.assert_allclose(list(found["recall"].values()), expected)
    assert found["mean_recall"] == pytest.approx(expected.mean())
    if set(guess) <= set(label) and len(present) > 1:
        assert found["mean_recall"] == pytest.approx(balanced_accuracy_score(label, guess))
    assert found["accuracy"] == pytest.approx(accuracy_score(label, guess))
    truth = np.array([CLASSES.index(name) for name in label])
    chosen = np.clip(chosen, np.finfo(np.float32).eps, None)
    chosen /= chosen.sum(axis=1, keepdims=True)
    assert found["log_loss"] == pytest.approx(log_loss(truth, chosen, labels=range(7)), rel=1e-5)
    sums = {name: sum(line.values()) for name, line in found["confusion"].items()}
    assert sums == {name: int((label == name).sum()) for name in present}


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_masked_frames_and_order_of_objects_do_not_matter(seed):
    out, label = random_predictions(seed, 25, 12)
    expected = score(out, label)
    order = np.random.default_rng(seed).permutation(25)
    filled = np.where(out.mask[..., None], out.probabilities, 1.0).astype(np.float32)
    other = Predictions(out.classes, filled[order], out.mask[order], out.complete[order])
    found = score(other, label[order])
    assert found["by_n_images"]["5"]["confusion"] == expected["by_n_images"]["5"]["confusion"]
    assert found["log_loss"] == pytest.approx(expected["log_loss"], rel=1e-12)


def test_scores_survive_json():
    out, label = random_predictions(2, 40, 25)
    found = score(out, label)
    assert json.loads(json.dumps(found, allow_nan=False)) == found


@pytest.mark.parametrize(
    ("label", "n_images", "message"),
    [
        (["supernova", "kilonova"], (3,), "'kilonova'; the classifier knows supernova, rr_lyrae, galaxy"),
        (["supernova", ""], (3,), "labels ''"),
        (["supernova"], (3,), r"\(1,\) labels"),
        (["supernova", "galaxy"], (0, 3), "start at 1"),
    ],
)
def test_wrong_labels_are_refused(label, n_images, message):
    with pytest.raises(DataError, match=message):
        score(predictions([[0], [1]]), np.array(label), n_images)


def test_nan_in_a_usable_frame_is_refused():
    out = predictions([[0, 0], [1, 1]])
    out.probabilities[1, 0, 2] = np.nan
    with pytest.raises(DataError, match="NaN probability for object 1, frame 0"):
        score(out, np.array(["supernova", "rr_lyrae"]))


def test_nothing_usable_is_refused():
    with pytest.raises(DataError, match="no object with a usable image"):
        score(predictions([[-1, -1]]), np.array(["supernova"]))


def test_terminal_tables_show_recall_and_confusion():
    out = predictions([[0, 0, 1], [1, 1, 1], [2, 0, 0], [1, 2, 1]])
    found = score(out, np.array(["supernova", "supernova", "supernova", "rr_lyrae"]), n_images=(1, 2))
    console = Console(record=True, width=120, file=io.StringIO())
    print_scores(found, console)
    text = console.export_text()
    for part in ("supernova", "RR Lyrae", "33.3 ± 27.2", "66.7 ± 13.6", "50.0 ± 25.0", "After 1 images", "After 2 images"):
        assert part in text
