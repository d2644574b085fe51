"""Which real objects are compared, which stars their PSF is measured on, and what is simulated beside them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from realism_parts import constant_stars, in_fields, real_of, simulation_of

from skyreel.datasets import Dataset
from skyreel.errors import DataError, PluginError
from skyreel.evaluate.realism import whole_adu
from skyreel.evaluate.realism_comparison import of_matched
from skyreel.evaluate.realism_features import frame_features
from skyreel.evaluate.realism_forest import forest_verdicts
from skyreel.evaluate.realism_matching import Replayed, match_columns, matched_frames, only_frames, simulated_at
from skyreel.evaluate.realism_samples import FEW, RealObjects, field_folds, fields, real_objects
from skyreel.evaluate.realism_samples import constant_stars as stars_of
from skyreel.evaluate.realism_twins import as_composed, cross_fitted, cut_like, twins
from skyreel.interfaces import PSF
from skyreel.movies import Movies
from skyreel.seeding import Seeds


@dataclass
class Measured(PSF):
    """Remembers the stars that it was measured on."""

    like: PSF
    log: list

    def basis(self, scale, size, oversample):
        return self.like.basis(scale, size, oversample)

    def coefficients(self, exposures, seeds=None):
        return self.like.coefficients(exposures, seeds)

    def fitted(self, stars, pixel_scale):
        self.log.append((stars, pixel_scale))
        return Measured(self.like, self.log)


def survey_of_fields():
    """25 stars in each of three fields, one in a fourth and one in a fifth."""
    field = np.repeat([10, 11, 17, 22, 30], [25, 25, 25, 1, 1])
    stars = constant_stars(len(field), epochs=4)
    names = np.array([f"star-{k}" for k in range(len(field))])
    return replace(in_fields(stars, field), object_id=names), field


def dataset_of(movies, mag=None):
    columns = {} if mag is None else {"mean_mag": mag}
    return Dataset(movies, movies.object_id, {}, {"kept": {}}, "made", Path(), columns)


def test_library_and_scored_stars_are_never_the_same():
    stars, field = survey_of_fields()
    simulation = simulation_of()
    measured = Measured(simulation.psf, [])
    parts = cross_fitted(replace(simulation, psf=measured), real_of(stars), stars)
    assert [(part.name, len(part.scored), len(part.stars)) for part in parts] == [
        ("small fields", 2, 75),
        ("field 10", 25, 52),
        ("field 11", 25, 52),
        ("field 17", 25, 52),
    ]
    assert sorted(np.concatenate([part.scored for part in parts])) == list(range(len(stars)))
    for part, (library, scale) in zip(parts, measured.log, strict=True):
        assert not set(library.object_id) & set(stars.object_id[part.scored])
        assert not set(fields(library)) & set(field[part.scored])
        assert list(library.object_id) == list(part.stars)
        assert scale == simulation.survey.camera.pixel_scale


def test_objects_where_no_star_is_use_all_large_fields():
    stars, _ = survey_of_fields()
    elsewhere = in_fields(stars.take(slice(0, 3)), [3, 11, 48])
    elsewhere = replace(elsewhere, object_id=np.array(["v1", "v2", "v3"]))
    found = {fold.name: fold for fold in field_folds(elsewhere, stars)}
    assert set(found) == {"small fields", "field 11"}
    assert found["small fields"].scored.tolist() == [0, 2]
    assert len(found["small fields"].library) == 75
    assert 11 not in fields(stars)[found["field 11"].library]


@cache
def forty_stars():
    return constant_stars(40, epochs=2)


@settings(max_examples=30)
@given(st.lists(st.integers(1, 5), min_size=6, max_size=40), st.integers(1, 8))
def test_folds_hold_everyone_once_and_no_field_on_both_sides(field, few):
    stars = in_fields(forty_stars().take(slice(0, len(field))), field)
    scored = []
    for fold in field_folds(stars, stars, few):
        scored += fold.scored.tolist()
        assert not set(fields(stars)[fold.scored]) & set(fields(stars)[fold.library])
    assert sorted(scored) == list(range(len(field)))


def test_a_star_listed_in_two_fields_is_no_star_of_its_own_library():
    stars, _ = survey_of_fields()
    names = stars.object_id.copy()
    names[30] = names[0]  # the star of field 10 again, under field 11
    stars = replace(stars, object_id=names)
    fold = next(item for item in field_folds(stars, stars) if item.name == "field 10")
    assert 30 not in fold.library
    assert len(fold.library) == 51


def test_a_psf_that_cannot_be_measured_stays_as_it_is():
    stars, _ = survey_of_fields()
    simulation = simulation_of()  # a Gaussian

    class Refuses(Measured):
        def fitted(self, stars, pixel_scale):
            raise PluginError("psf", "no way to measure it", "choose another")

    for psf in (simulation.psf, Refuses(simulation.psf, [])):
        (whole,) = cross_fitted(replace(simulation, psf=psf), real_of(stars), stars)
        assert whole.simulation.psf is psf
        assert len(whole.stars) == 0
        assert len(whole.scored) == len(stars)


@pytest.mark.parametrize("field", [10, None])
def test_a_single_field_cannot_be_cross_fitted(field):
    stars, _ = survey_of_fields()
    simulation = simulation_of()
    library = stars.take(slice(0, FEW if field else 0))
    with pytest.raises(DataError, match=r"realism.crossfit.*no constant star in any other field.*several fields.*realism.crossfit=false"):
        cross_fitted(replace(simulation, psf=Measured(simulation.psf, [])), real_of(stars.take(slice(0, FEW))), library)


def test_twins_keep_the_order_of_their_objects():
    stars, _ = survey_of_fields()
    stars = stars.take(np.array([76, 0, 60, 30, 1]))
    real = replace(real_of(stars), mag=np.array([16.0, 17.0, 18.0, 19.0, 20.0]))
    simulation = replace(simulation_of(), psf=Measured(simulation_of().psf, []))
    parts = cross_fitted(simulation, real, survey_of_fields()[0])
    made = twins(parts, real, "non_variable")
    assert [name.split("-0000000")[0] for name in made.object_id] == [f"twin-non_variable-{name}" for name in stars.object_id]
    assert fields(made).tolist() == fields(stars).tolist()
    ratio = made.truth.flux[:, 0] / (made.truth.exposures.exptime[:, 0] * 10 ** (-0.4 * (real.mag - 25.0)))
    np.testing.assert_allclose(ratio, 1.0, rtol=1e-5)


def test_twins_are_cut_like_the_real_ones():
    mixed = simulation_of("simulation.centring=both")
    assert cut_like(mixed, registered=True).options.centring == "per_object"
    assert cut_like(mixed, registered=False).options.centring == "per_frame"
    chosen = simulation_of("simulation.centring=per_object")
    assert cut_like(chosen, registered=False).options.centring == "per_object"  # what was asked for is what is judged


def test_real_objects_are_cut_in_seeing_and_spread_over_the_set():
    stars = constant_stars(10, epochs=6)
    seeing = stars.reported.seeing.copy()
    seeing[:, 4:] = 2.5
    seeing[7, 1:] = 2.5  # one frame left: too few
    mag = np.arange(10.0)
    mag[3] = np.nan
    found = dataset_of(replace(stars, reported=stars.reported.replace(seeing=seeing)), mag)
    real = real_objects(found, "non_variable", 2.0)
    assert real.mag.tolist() == [0, 1, 2, 4, 5, 6, 8, 9]
    assert (real.movies.frame_mask.sum(axis=1) == 4).all()
    assert real_objects(found, "non_variable", 2.0, objects=3).mag.tolist() == [0, 5, 9]
    assert len(stars_of(found, 2.0)) == 9
    assert len(real_objects(found, "non_variable", None)) == 9


def test_frames_long_before_the_alert_do_not_count():
    stars = replace(constant_stars(4, epochs=8), first_detection=np.array([6, 0, -1, 3], np.int32))
    real = real_objects(dataset_of(stars), "non_variable", None, with_mag=False, before_alert=2)
    assert real.movies.frame_mask.argmax(axis=1).tolist() == [4, 0, 1]
    assert (real.conditions.mask.sum(axis=1) == 8).all()


def test_a_class_that_the_data_lack_is_named():
    with pytest.raises(DataError, match=r"class 'cepheid'.*none; made holds 4 non_variable.*realism.label"):
        real_objects(dataset_of(constant_stars(4)), "cepheid", None, with_mag=False)
    assert len(stars_of(dataset_of(replace(constant_stars(2), label=np.array(["rr_lyrae"] * 2))), None)) == 0


def test_pairs_are_the_closest_together():
    rng = np.random.default_rng(0)
    real, simulated, scale = rng.normal(size=(4, 3)), rng.normal(size=(6, 3)), np.array([1.0, 2.0, 0.5])
    first, second = matched_frames(real, simulated, scale)

    def cost(chosen):
        return sum((((real[k] - simulated[j]) / scale) ** 2).sum() for k, j in enumerate(chosen))

    assert first.tolist() == [0, 1, 2, 3]
    assert second.tolist() == sorted(min(permutations(range(6), 4), key=cost))
    with pytest.raises(DataError, match="4 real, 0 simulated"):
        matched_frames(real, simulated[:0], scale)


def test_chosen_frames_alone_are_left():
    stars = constant_stars(4, epochs=5)
    left = only_frames(stars, np.array([1, 6, 8]))
    assert left.object_id.tolist() == stars.object_id[:2].tolist()
    assert [np.flatnonzero(row).tolist() for row in left.frame_mask] == [[1], [1, 3]]
    np.testing.assert_array_equal(left.frame_mask, left.reported.mask)


def test_simulated_movies_lie_where_the_real_one_does():
    simulation = simulation_of(source="[supernova]", seed=4)
    conditions = simulation.survey.sample(1, Seeds(1, "test"))
    made = simulated_at(simulation, conditions, "supernova", "a")
    assert set(made.label) == {"supernova"}
    assert Replayed(simulation.survey, conditions).max_seeing == simulation.survey.max_seeing
    known = set(zip(conditions.exposure_id[conditions.mask], conditions.mjd[conditions.mask], strict=True))
    use = made.frame_mask
    assert set(zip(made.reported.exposure_id[use], made.reported.mjd[use], strict=True)) <= known
    other = simulated_at(simulation, conditions, "supernova", "b")
    assert not np.array_equal(made.truth.flux[0], other.truth.flux[0])


def one_simulation(seed, n=30):
    """Supernovae as if they were real, and movies of the same simulation at their positions."""
    simulation = simulation_of(source="[supernova]", seed=seed)
    conditions = simulation.survey.sample(n, Seeds(seed, "positions"))
    movies = [simulated_at(simulation, conditions.take([k]), "supernova", f"real {k}").take([0]) for k in range(n)]
    movies = replace(whole_adu(Movies.concatenate(movies)), object_id=np.array([f"sn {k}" for k in range(n)]))
    real = RealObjects(movies, np.full(n, np.nan), conditions)
    return of_matched([as_composed(simulation, real)], real, "supernova", False, 0.27)


@pytest.mark.slow
def test_matched_frames_of_one_simulation_cannot_be_told():
    """Supernovae and their galaxies against others of the same simulation: no bias of the matching to either side."""
    seen = one_simulation(5)
    assert max(seen.balance.values()) < 0.55
    for item in forest_verdicts(seen.sample, seen.levels):
        assert item.interval[0] < 0.5 < item.interval[1], item


def test_a_matched_frame_belongs_to_its_real_object():
    seen = one_simulation(5, n=3)
    n_real = int(seen.sample.real.sum())
    assert seen.levels == ("frame", "background")
    assert n_real == int((~seen.sample.real).sum()) == int(seen.movies[0].frame_mask.sum()) == int(seen.movies[1].frame_mask.sum())
    np.testing.assert_array_equal(seen.sample.group[:n_real], seen.sample.group[n_real:])
    np.testing.assert_array_equal(seen.sample.field[:n_real], seen.sample.field[n_real:])
    for movies, of_kind in zip(seen.movies, (seen.sample.real, ~seen.sample.real), strict=True):
        np.testing.assert_array_equal(frame_features(movies, 0.27)[0], seen.sample.values[of_kind])


def test_matched_quantities_are_the_reported_ones():
    stars = constant_stars(3, epochs=4, sky=100.0, seeing=1.1)
    columns = match_columns(stars, np.zeros((12, 24)))
    np.testing.assert_allclose(columns[:, :2], [[1.1, 2.0]] * 12, rtol=1e-6)
