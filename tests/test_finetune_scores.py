"""Mean and spread over draws of nested scores."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scored_toys import outcomes

from skyreel.evaluate.metrics import score
from skyreel.verbs.finetune_scores import compared, over_draws


def test_mean_and_spread_of_a_tree():
    trees = [
        {"a": 1.0, "b": {"x": 2, "y": None}, "rows": [{"n": 1}, {"n": 5}], "name": "same", "flag": True},
        {"a": 3.0, "b": {"x": 4, "y": 7.0}, "rows": [{"n": 3}, {"n": 5}], "name": "same", "flag": True},
    ]
    mean, spread = over_draws(trees)
    assert mean == {"a": 2.0, "b": {"x": 3.0, "y": 7.0}, "rows": [{"n": 2.0}, {"n": 5.0}], "name": "same", "flag": True}
    assert spread["a"] == pytest.approx(2**0.5)
    assert (spread["b"]["y"], spread["rows"][1]["n"], spread["name"], spread["flag"]) == (None, 0.0, None, None)


@given(st.lists(st.lists(st.floats(-1, 1), min_size=3, max_size=3), min_size=2, max_size=6))
def test_lists_are_averaged_entry_by_entry(rows):
    mean, spread = over_draws([{"v": row} for row in rows])
    assert mean["v"] == pytest.approx(np.mean(rows, axis=0))
    assert spread["v"] == pytest.approx(np.std(rows, axis=0, ddof=1))


def test_what_some_draws_lack_is_averaged_over_the_others():
    mean, spread = over_draws([{"p": None}, {"p": 0.5, "q": 1.0}, {"p": 0.7}])
    assert mean == {"p": pytest.approx(0.6), "q": 1.0}
    assert spread == {"p": pytest.approx(np.std([0.5, 0.7], ddof=1)), "q": None}
    assert over_draws([{"p": None}, {"p": None}]) == ({"p": None}, {"p": None})
    assert over_draws([{"p": 0.5}]) == ({"p": 0.5}, {"p": None})


def test_before_and_after_of_two_draws_by_hand():
    label = ["supernova", "supernova", "rr_lyrae", "rr_lyrae"]
    before = [outcomes([[0], [1], [1], [0]], label), outcomes([[0], [0], [1], [0]], label)]
    after = [outcomes([[0], [0], [1], [1]], label), outcomes([[0], [0], [1], [0]], label)]
    found = compared(before, after, prevalence=None, seed=0)
    assert [item["mean_recall"] for item in found["before"]["each"]] == [0.5, 0.75]
    assert found["after"]["mean"]["recall"] == {"supernova": 1.0, "rr_lyrae": 0.75}
    assert found["after"]["spread"]["recall"]["rr_lyrae"] == pytest.approx(np.std([1.0, 0.5], ddof=1))
    assert found["difference"]["value"] == pytest.approx(0.25)
    assert found["after"]["interval"]["value"] == pytest.approx(0.875)
    whole = score(after[0])
    assert {key for key in whole if not key.endswith("interval") and key != "bootstrap"} == set(found["after"]["mean"])
