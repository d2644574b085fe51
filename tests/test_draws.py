"""Draws of labelled objects: one side for every physical object, a function of seed and names alone."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from skyreel.datasets import load_dataset
from skyreel.datasets.draws import draw, draws
from skyreel.errors import ConfigError, DataError

CLASSES = ("supernova", "rr_lyrae", "non_variable")


@st.composite
def catalogues(draw_from):
    """Label, group and name of movies: up to three movies of one object."""
    label, group, name = [], [], []
    for kind in CLASSES:
        for k in range(draw_from(st.integers(3, 8))):
            for movie in range(draw_from(st.integers(1, 3))):
                label.append(kind)
                group.append(f"{kind} {k}")
                name.append(f"{kind} {k} {'abc'[movie]}")
    order = draw_from(st.permutations(range(len(label))))
    return tuple(np.array(column)[order] for column in (label, group, name))


@settings(max_examples=40)
@given(catalogues(), st.integers(1, 3), st.integers(0, 5))
def test_every_object_is_on_one_side(catalogue, per_class, seed):
    label, group, name = catalogue
    chosen, rest = draw(label, group, per_class, seed, object_id=name)
    assert not (chosen & rest).any()
    assert not set(group[chosen]) & set(group[rest])
    assert set(group[chosen]) | set(group[rest]) == set(group)
    assert len(set(group[chosen])) == chosen.sum()
    for kind in CLASSES:
        assert (chosen & (label == kind)).sum() == per_class
    # all movies of the objects left are there to be scored
    np.testing.assert_array_equal(rest, ~np.isin(group, group[chosen]))


@settings(max_examples=40)
@given(catalogues(), st.integers(1, 3), st.integers(0, 5), st.randoms(use_true_random=False))
def test_order_of_movies_does_not_matter(catalogue, per_class, seed, random):
    label, group, name = catalogue
    chosen, rest = draw(label, group, per_class, seed, object_id=name)
    order = np.array(random.sample(range(len(label)), len(label)))
    again = draw(label[order], group[order], per_class, seed, object_id=name[order])
    np.testing.assert_array_equal(again.chosen, chosen[order])
    np.testing.assert_array_equal(again.rest, rest[order])
    # without names the same objects are chosen, by one of their movies
    unnamed = draw(label[order], group[order], per_class, seed)
    assert set(group[order][unnamed.chosen]) == set(group[chosen])


@settings(max_examples=40)
@given(catalogues(), st.integers(0, 5), st.sampled_from(CLASSES))
def test_other_classes_and_absent_objects_do_not_matter(catalogue, seed, kind):
    label, group, name = catalogue
    all_classes = draw(label, group, 3, seed, object_id=name).chosen
    one_class = draw(label, group, 3, seed, [kind], object_id=name)
    np.testing.assert_array_equal(one_class.chosen, all_classes & (label == kind))
    assert one_class.rest[label != kind].all()
    fewer = draw(label, group, 2, seed, object_id=name).chosen
    assert not (fewer & ~all_classes).any()
    # without one object that was not chosen nothing changes, without a chosen one it alone is exchanged
    candidates = np.unique(group[label == kind])
    assume(len(candidates) > 3)
    for gone in candidates:
        left = group != gone
        after = set(group[left][draw(label[left], group[left], 3, seed, [kind]).chosen])
        assert len(after - set(group[one_class.chosen])) == (gone in group[one_class.chosen])


def test_draws_differ_and_are_repeatable():
    label = np.repeat(np.array(CLASSES), 40)
    group = np.array([f"{k:03d}" for k in range(120)])
    first = draws(label, group, 10, 5, 3)
    assert len({tuple(np.flatnonzero(each.chosen)) for each in first}) == 5
    for one, other in zip(first, draws(label, group, 10, 5, 3), strict=True):
        np.testing.assert_array_equal(one.chosen, other.chosen)
    np.testing.assert_array_equal(first[2].chosen, draw(label, group, 10, 3, index=2).chosen)
    assert (first[0].chosen != draws(label, group, 10, 1, 4)[0].chosen).any()
    assert (draw(label, group, 10, 0).chosen != first[0].chosen).any()


def test_draws_are_uniform_and_independent():
    """Each of 20 objects is in 2000 draws of 5 with probability 1/4, two of them together with 5/20 x 4/19: 5 sigma."""
    label = np.full(20, "rr_lyrae")
    group = np.array([f"object {k}" for k in range(20)])
    chosen = np.array([each.chosen for each in draws(label, group, 5, 2000, 11)])
    assert np.abs(chosen.mean(axis=0) - 0.25).max() < 5 * np.sqrt(0.25 * 0.75 / 2000)
    together = (chosen[:, :, None] & chosen[:, None]).mean(axis=0)[np.triu_indices(20, 1)]
    pair = 5 / 20 * 4 / 19
    assert np.abs(together - pair).max() < 5 * np.sqrt(pair * (1 - pair) / 2000)
    successive = (chosen[1:] & chosen[:-1]).mean(axis=0)
    assert np.abs(successive - 0.0625).max() < 5 * np.sqrt(0.0625 * 0.9375 / 1999)


def test_unlabelled_movies_stay_in_the_rest():
    chosen, rest = draw(np.array(["cepheid", "", "cepheid"]), np.array(["a", "b", "c"]), 2, 0)
    assert chosen.tolist() == [True, False, True]
    assert rest.tolist() == [False, True, False]


def test_twins_leave_together():
    label, group = np.array(["supernova"] * 3), np.array(["ba", "ba", "cb"])
    for seed in range(10):
        chosen, rest = draw(label, group, 1, seed, object_id=np.array(["ci", "ba", "cb"]))
        assert (chosen.tolist(), rest.tolist()) in (
            ([False, True, False], [False, False, True]),
            ([False, False, True], [True, True, False]),
        )


def test_too_few_objects_names_class_and_numbers():
    label, group = np.array(["supernova"] * 4 + ["rr_lyrae"]), np.array(["a", "a", "b", "c", "d"])
    with pytest.raises(DataError, match="drawing 4 objects of class 'supernova': there are 3; ask for fewer"):
        draw(label, group, 4, 0, ["supernova"])
    with pytest.raises(DataError, match="drawing 1 objects of class 'galaxy': there are 0"):
        draw(label, group, 1, 0, ["galaxy"])


def test_bad_requests_are_named():
    label, group = np.array(["supernova", "rr_lyrae"]), np.array(["a", "a"])
    with pytest.raises(DataError, match=r"group 'a': labels 'supernova' and 'rr_lyrae'"):
        draw(label, group, 1, 0)
    with pytest.raises(ConfigError, match="per_class: 0"):
        draw(label, group, 0, 0)
    with pytest.raises(ConfigError, match="draws: 0"):
        draws(label, group, 1, 0, 0)
    with pytest.raises(DataError, match="2 labels, 1 groups"):
        draw(label, group[:1], 1, 0)


@pytest.mark.real_data
def test_real_duplicated_supernova_is_on_one_side_of_every_draw(data_dir):
    data = load_dataset("hits2015a", data_dir / "hits2015a")
    twins = np.isin(data.movies.object_id, ["SNHiTS15ba", "SNHiTS15ci"])
    sides = []
    for chosen, rest in draws(data.movies.label, data.group, 10, 40, 3, object_id=data.movies.object_id):
        assert chosen.sum() == 40
        assert rest.sum() == len(data) - 40 - chosen[twins].any()
        sides.append((int(chosen[twins].sum()), int(rest[twins].sum())))
    assert set(sides) == {(1, 0), (0, 2)}
