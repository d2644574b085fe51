"""Bad input to RR Lyrae, Cepheids and constant stars: what the errors say."""

from __future__ import annotations

import numpy as np
import pytest

from skyreel.errors import BandError, ConfigError, DataError
from skyreel_sources.cepheid import Cepheid
from skyreel_sources.constant import NonVariable
from skyreel_sources.rr_lyrae import RRLyrae


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"templates": "hits"}, r"RRLyrae\.templates: 'hits'; choose one of embedded, sesar2010"),
        ({"fraction_ab": float("nan")}, r"RRLyrae\.fraction_ab: nan; choose a number from 0 to 1"),
        ({"fraction_ab": 1.2}, r"RRLyrae\.fraction_ab: 1\.2; choose a number from 0 to 1"),
        ({"magnitudes": "bright"}, r"RRLyrae\.magnitudes: 'bright'; choose one of paper, authors, wide"),
        ({"mag_min": 20.0, "mag_max": 19.0}, r"RRLyrae\.mag_min, mag_max: 20\.0, 19\.0; choose 0 < mag_min < mag_max"),
        ({"mag_cut": 5.0}, r"RRLyrae\.mag_cut: 5\.0; choose a cut that leaves stars fainter than mag_min = 14\.5"),
    ],
)
def test_options_of_rr_lyrae_that_make_no_sense_are_named(options, message):
    with pytest.raises(ConfigError, match=message):
        RRLyrae(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"period_min": 2.0}, r"Cepheid\.period_min, period_centre: 2\.0, 6\.5; stay between 2\.5 and 85 d"),
        ({"period_centre": 90.0}, r"Cepheid\.period_min, period_centre: 3\.0, 90\.0; stay between 2\.5 and 85 d"),
        ({"period_centre": -1.0}, r"Cepheid\.period_centre: -1\.0; choose a positive number"),
        ({"period_scatter": 0.0}, r"Cepheid\.period_scatter: 0\.0; choose a positive number"),
    ],
)
def test_periods_of_cepheids_out_of_range_are_named(options, message):
    with pytest.raises(ConfigError, match=message):
        Cepheid(**options)


@pytest.mark.parametrize("period", [0.0, -0.5, float("nan"), float("inf")])
@pytest.mark.parametrize("cls", [RRLyrae, Cepheid])
def test_periods_that_are_none_are_named(cls, period):
    variable = cls()
    params = variable.sample(3, np.random.default_rng(0))
    params["period"][1] = period
    message = rf"{cls.__name__}\.light_curve: period {period:g} d of object 1 is not positive and finite; hand in periods in days"
    with pytest.raises(DataError, match=message):
        variable.light_curve(params, np.zeros((3, 2)), np.zeros((3, 2), np.int8))


EPOCHS = {
    "an infinite date": (
        np.array([[0.0, np.inf]]),
        np.zeros((1, 2)),
        DataError,
        "MJD inf of object 0 at epoch 1 is not finite; fill masked",
    ),
    "a missing date": (np.array([[np.nan, 0.0]]), np.zeros((1, 2)), DataError, "MJD nan of object 0 at epoch 0 is not finite; fill masked"),
    "a band beyond the last": (np.zeros((1, 2)), np.array([[0, 6]]), BandError, r"band index 0\.\.6; indices count into .*g, r, i"),
    "a band before the first": (np.zeros((1, 2)), np.array([[-1, 1]]), BandError, r"band index -1\.\.1; indices count into .*g, r, i"),
    "one band too few": (np.zeros((1, 2)), np.zeros((1, 1)), DataError, r"mjd \(1, 2\), band \(1, 1\), 1 objects; hand in mjd and band as"),
    "another number of objects": (np.zeros((2, 2)), np.zeros((2, 2)), DataError, r"mjd \(2, 2\), band \(2, 2\), 1 objects; hand in"),
    "a single row": (
        np.zeros(2),
        np.zeros(2),
        DataError,
        r"mjd \(2,\), band \(2,\), 1 objects; hand in mjd and band as \(objects, epochs\)",
    ),
}


@pytest.mark.parametrize("case", EPOCHS)
@pytest.mark.parametrize("cls", [RRLyrae, Cepheid, NonVariable])
def test_bad_epochs_are_named(cls, case):
    mjd, band, error, message = EPOCHS[case]
    star = cls()
    with pytest.raises(error, match=rf"{cls.__name__}\.light_curve: {message}"):
        star.light_curve(star.sample(1, np.random.default_rng(0)), mjd, band.astype(np.int8))


def test_an_empty_table_of_params_is_an_error():
    with pytest.raises(DataError, match=r"mjd \(1, 1\), band \(1, 1\), 0 objects"):
        NonVariable().light_curve({}, np.zeros((1, 1)), np.zeros((1, 1), np.int8))
