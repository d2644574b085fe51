import io
import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from scored_toys import NAMES, outcomes, random_outcomes
from sklearn.metrics import accuracy_score, balanced_accuracy_score, log_loss, precision_score, recall_score

from skyreel.errors import ConfigError, DataError
from skyreel.evaluate.metrics import score
from skyreel.evaluate.table import print_scores
from skyreel.interfaces import CLASSES

FOUR = ["supernova", "supernova", "supernova", "rr_lyrae"]
GUESSES = [[0, 0, 1], [1, 1, 1], [2, 0, 0], [1, 2, 1]]


def test_scores_worked_out_by_hand():
    found = score(outcomes(GUESSES, FOUR), n_images=(1, 3), resamples=10)
    # last image: supernovae are called rr_lyrae, rr_lyrae, supernova; the RR Lyrae is right
    assert found["recall"] == {"supernova": pytest.approx(1 / 3), "rr_lyrae": 1.0}
    assert found["mean_recall"] == pytest.approx(2 / 3)
    assert found["accuracy"] == 0.5
    assert found["confusion"] == {
        "supernova": {"supernova": 1, "rr_lyrae": 2, "galaxy": 0},
        "rr_lyrae": {"supernova": 0, "rr_lyrae": 1, "galaxy": 0},
    }
    assert found["log_loss"] == pytest.approx(-(2 * np.log(0.8) + 2 * np.log(0.1)) / 4, rel=1e-6)
    # right: 0.2^2 + 2 x 0.1^2; wrong: 0.8^2 + 0.9^2 + 0.1^2
    assert found["brier"] == pytest.approx((2 * 0.06 + 2 * 1.46) / 4, rel=1e-6)
    # one bin: half of them right, at a confidence of 0.8
    assert found["ece"] == pytest.approx(0.3)
    assert found["ece_chance"] == pytest.approx(np.sqrt(2 / np.pi * 4 * 0.16) / 4)
    error = np.sqrt(1 / 3 * 2 / 3 / 3)
    assert found["recall_error"] == {"supernova": pytest.approx(error), "rr_lyrae": 0.0}
    assert found["mean_recall_error"] == pytest.approx(error / 2)
    assert found["accuracy_error"] == pytest.approx(0.25)
    assert found["counts"] == {"supernova": 3, "rr_lyrae": 1}
    assert (found["n_objects"], found["unscored"], found["classes"], found["n_images"]) == (4, {}, list(NAMES), [1, 3])
    assert found["by_n_images"]["1"]["recall"] == {"supernova": pytest.approx(1 / 3), "rr_lyrae": 1.0}
    assert found["by_n_images"]["2"]["recall"] == {"supernova": pytest.approx(2 / 3), "rr_lyrae": 0.0}
    # mean recall 2/3, 1/3, 2/3 after 1, 2, 3 images, then constant
    assert found["area"] == pytest.approx((21 * 2 / 3 + 1 / 3) / 22)


def test_precision_is_stated_for_a_prevalence():
    label = ["supernova"] * 4 + ["rr_lyrae"] * 2 + ["galaxy"]
    last = [[0], [0], [0], [1], [1], [0], [0]]
    some = outcomes(last, label)
    # of equally frequent classes: supernova 3/4 against 1/2 and 1 of the others; galaxy is never given
    equal = score(some, resamples=10)
    assert equal["precision"] == {
        "supernova": pytest.approx(0.75 / 2.25),
        "rr_lyrae": pytest.approx(0.5 / 0.75),
        "galaxy": None,
    }
    assert equal["prevalence"] == dict.fromkeys(NAMES, pytest.approx(1 / 3))
    # shares of classes that the set lacks are left out, the others scaled
    stated = score(some, prevalence={"supernova": 1, "rr_lyrae": 2, "galaxy": 5, "asteroid": 92}, resamples=10)
    assert stated["prevalence"] == {"supernova": 0.125, "rr_lyrae": 0.25, "galaxy": 0.625}
    assert stated["precision"]["supernova"] == pytest.approx(0.75 / (0.75 + 2 * 0.5 + 5))
    # a class without objects in reality is never a right answer
    assert score(some, prevalence={"supernova": 1, "rr_lyrae": 0, "galaxy": 0}, resamples=10)["precision"]["rr_lyrae"] == 0
    own = {"supernova": 4 / 7, "rr_lyrae": 2 / 7, "galaxy": 1 / 7}
    guess = [NAMES[k[0]] for k in last]
    expected = precision_score(label, guess, labels=NAMES, average=None, zero_division=0)
    found = score(some, prevalence=own, resamples=10)["precision"]
    assert [found[name] or 0.0 for name in NAMES] == pytest.approx(expected.tolist())


@pytest.mark.parametrize(
    ("prevalence", "message"),
    [
        ({"supernova": 1.0}, "prevalence: no share of rr_lyrae; give one of every class in the set"),
        ({"supernova": -1.0, "rr_lyrae": 2.0}, "shares are finite and not negative"),
        ({"supernova": 0.0, "rr_lyrae": 0.0, "galaxy": 1.0}, "at least one class of the set has a positive one"),
        ({"supernova": float("nan"), "rr_lyrae": 1.0}, "shares are finite and not negative"),
        ({"supernova": float("inf"), "rr_lyrae": 1.0}, "shares are finite and not negative"),
    ],
)
def test_a_prevalence_that_says_nothing_is_refused(prevalence, message):
    with pytest.raises(ConfigError, match=message):
        score(outcomes(GUESSES, FOUR), prevalence=prevalence, resamples=10)


def test_a_shorter_sequence_keeps_its_last_answer():
    found = score(outcomes([[0, 1, 2], [1, -1, -1]], ["supernova", "rr_lyrae"]), resamples=10)["by_n_images"]
    assert [found[str(k)]["recall"]["supernova"] for k in (1, 2, 3)] == [1.0, 0.0, 0.0]
    assert [found[str(k)]["recall"]["rr_lyrae"] for k in (1, 2, 22)] == [1.0, 1.0, 1.0]
    # `reached` says how many have as many images
    assert [found[str(k)]["reached"] for k in (1, 2, 3, 4)] == [2, 1, 1, 0]


def test_every_number_of_images_and_the_chosen_ones():
    found = score(random_outcomes(0, 30, 30), n_images=(3, 25), resamples=10)
    assert list(found["by_n_images"]) == [str(k) for k in (*range(1, 23), 25)]


def test_the_top_level_is_the_last_image():
    some = random_outcomes(1, 50, 30)
    found = score(some, n_images=(30,), resamples=50)
    last = {key: value for key, value in found["by_n_images"]["30"].items() if key != "reached"}
    assert last == {key: found[key] for key in last}
    # sequences beyond the longest column count at the top, too
    assert score(some, resamples=50)["log_loss"] == found["log_loss"] != found["by_n_images"]["22"]["log_loss"]


def test_argmax_runs_over_classes_that_do_not_occur():
    found = score(outcomes([[2], [2], [0]], ["supernova"] * 3), resamples=10)
    assert found["recall"] == {"supernova": pytest.approx(1 / 3)}
    assert found["confusion"] == {"supernova": {"supernova": 1, "rr_lyrae": 0, "galaxy": 2}}


def test_a_certain_wrong_answer_has_a_finite_log_loss():
    found = score(outcomes([[0]], ["galaxy"], sure=1.0), resamples=10)
    assert found["log_loss"] == pytest.approx(-np.log(np.finfo(np.float32).eps))


def test_the_bright_subset_is_scored_apart():
    bright = np.array([True, False, True, True])
    found = score(outcomes(GUESSES, FOUR, bright=bright), resamples=10)
    assert found["bright"]["counts"] == {"supernova": 2, "rr_lyrae": 1}
    assert found["bright"]["recall"] == {"supernova": 0.5, "rr_lyrae": 1.0}
    assert found["bright"]["mean_recall"] == 0.75
    assert [found["bright"]["by_n_images"][str(k)]["mean_recall"] for k in (1, 2)] == [0.75, 0.5]
    assert found["recall"]["supernova"] == pytest.approx(1 / 3)
    assert score(outcomes(GUESSES, FOUR), resamples=10)["bright"] is None


def test_what_had_no_image_is_passed_on():
    assert score(outcomes(GUESSES, FOUR), unscored={"galaxy": 2}, resamples=10)["unscored"] == {"galaxy": 2}


@settings(max_examples=20)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 60), longest=st.integers(1, 30), k=st.integers(1, 22))
def test_scores_equal_scikit_learn(seed, n, longest, k):
    some = random_outcomes(seed, n, longest, fields=1)
    label = some.label
    found = score(some, resamples=5)["by_n_images"][str(k)]
    rows = [some.probabilities[row, min(k, number) - 1] for row, number in enumerate(some.n_images)]
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


@settings(max_examples=5)
@given(seed=st.integers(0, 10**6))
def test_order_of_objects_does_not_matter(seed):
    some = random_outcomes(seed, 60, 12)
    order = np.random.default_rng(seed).permutation(60)
    expected, found = score(some, resamples=100), score(some.take(order), resamples=100)

    def numbers(value):
        if isinstance(value, dict):
            return [number for item in value.values() for number in numbers(item)]
        if isinstance(value, list):
            return [number for item in value for number in numbers(item)]
        return [value if isinstance(value, int | float) else np.nan]

    np.testing.assert_allclose(numbers(found), numbers(expected), rtol=1e-9, atol=1e-12)


def test_scores_survive_json():
    some = random_outcomes(2, 40, 25)
    some = replace(
        some, alert=np.arange(40, dtype=np.int32) % 3, bright=np.arange(40) % 2 == 0, mag=np.where(np.arange(40) < 5, np.nan, 20.0)
    )
    found = score(some, resamples=20)
    assert json.loads(json.dumps(found, allow_nan=False)) == found


@pytest.mark.parametrize(
    ("label", "n_images", "message"),
    [
        (["supernova", "kilonova"], (3,), "'kilonova'; the classifier knows supernova, rr_lyrae, galaxy"),
        (["supernova", ""], (3,), "labels ''"),
        (["supernova", "galaxy"], (0, 3), "start at 1"),
    ],
)
def test_wrong_labels_are_refused(label, n_images, message):
    with pytest.raises(DataError, match=message):
        score(outcomes([[0], [1]], label), n_images)


def test_nan_in_an_image_is_refused():
    some = outcomes([[0, 0], [1, 1]], ["supernova", "rr_lyrae"])
    some.probabilities[1, 0, 2] = np.nan
    with pytest.raises(DataError, match="NaN probability for object 'o1', image 1"):
        score(some)


def test_nothing_is_refused():
    with pytest.raises(DataError, match="no object with a usable image"):
        score(outcomes(GUESSES, FOUR).take(np.zeros(0, int)))


def test_terminal_tables_show_recall_and_confusion():
    found = score(outcomes(GUESSES, FOUR), n_images=(1, 2), resamples=10)
    console = Console(record=True, width=120, file=io.StringIO())
    print_scores(found, console)
    text = console.export_text()
    for part in ("supernova", "RR Lyrae", "33.3 ± 27.2", "66.7 ± 13.6", "50.0 ± 25.0", "After 1 images", "After 2 images"):
        assert part in text
