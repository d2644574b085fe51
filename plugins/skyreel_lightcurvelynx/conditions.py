"""Rows of an ObsTable as Table 1 of Carrasco-Davis et al. 2018, in the units of `skyreel.exposures.Exposures`.

Two columns are not LightCurveLynx's own. OpSim's sky brightness is that above the telescope, so sky light is not dimmed by the
extinction (SMTN-002); with LightCurveLynx's sky the listed depths are missed by 0.1 mag in g, with this one by 0.006. And
``zeroPoint`` and ``skyBg`` of Rubin's CcdVisit table are electrons (the variance of the pixels grows as the sky with slope
0.99), where LightCurveLynx takes them for ADU.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyreel.errors import DataError
from skyreel.interfaces import Array
from skyreel_lightcurvelynx.instruments import Instrument
from skyreel_lightcurvelynx.source import ZERO

NOISE_AREA = 2.266
"""Area of the noise under a Gaussian star per FWHM**2, pi / (2 ln 2)."""


def visits(kind: str, table: Any, instrument: Instrument) -> dict[str, NDArray[Any]]:
    """Conditions of each row, (rows,) per column; NaN where the table says nothing.

    Parameters
    ----------
    kind : str
        Key of `INSTRUMENTS`, or a dotted name.
    table : ObsTable
    instrument : Instrument

    Returns
    -------
    dict
        ``mjd`` (start), ``band`` (names), ``exptime`` [s], ``seeing`` [arcsec], ``psf_fwhm`` [px], ``airmass``, ``sky`` [ADU / px],
        ``zero_point`` [mag of 1 ADU / s], ``limiting_mag``, ``ra`` and ``dec`` [deg].

    Raises
    ------
    DataError
        For columns that are missing and cannot be derived.
    """
    need = _Columns(kind, table)
    time, exptime = need("time"), need("exptime")
    ra, dec = need("ra"), need("dec")
    mjd = time - (0.5 * exptime / 86400.0 if instrument.at_middle else 0.0)
    seeing = _seeing(need, instrument)
    airmass = need("airmass") if "airmass" in table else _airmass(kind, ra, dec, time, instrument)
    zero_point, sky = _electrons(kind, need, instrument, seeing, exptime, airmass)
    limiting = depth(zero_point, sky, seeing, exptime, instrument)
    if "maglim" in table:
        limiting = np.where(np.isfinite(need("maglim")), need("maglim"), limiting)
    return {
        "mjd": mjd,
        "band": np.asarray(table["filter"]).astype(np.str_),
        "exptime": exptime,
        "seeing": seeing,
        "psf_fwhm": _stellar_width(seeing, instrument) / instrument.pixel_scale,
        "airmass": airmass,
        "sky": sky / instrument.gain,
        "zero_point": zero_point - 2.5 * np.log10(exptime * instrument.gain),
        "limiting_mag": limiting,
        "ra": ra,
        "dec": dec,
    }


def depth(zero_point: Array, sky: Array, seeing: Array, exptime: Array, instrument: Instrument) -> Array:
    """5-sigma depth of a point source [mag] (LSE-40; SMTN-002, "Calculating m5").

    Parameters
    ----------
    zero_point : (rows,), mag
        Magnitude that gives 1 electron in the exposure.
    sky : (rows,), electron / px
    seeing : (rows,), arcsec
    exptime : (rows,), s
    """
    pixels = instrument.footprint * NOISE_AREA * (seeing / instrument.pixel_scale) ** 2
    variance = pixels * (sky + instrument.read_noise**2 + instrument.dark * exptime)
    return np.asarray(zero_point - 2.5 * np.log10(12.5 + np.sqrt(12.5**2 + 25.0 * variance)), np.float64)


def airmass(ra: Array, dec: Array, mjd: Array, latitude: float, longitude: float) -> Array:
    """Secant of the zenith distance (rows,), at most 10 (the plane-parallel limit).

    Parameters
    ----------
    ra, dec : (rows,), deg
    mjd : (rows,), d
    latitude, longitude : float, deg
        East positive.
    """
    sidereal = 280.46061837 + 360.98564736629 * (mjd - 51544.5) + longitude  # Meeus 1998, eq. 12.4, without its slow terms
    hour_angle, declination, north = np.radians(sidereal - ra), np.radians(dec), np.radians(latitude)
    altitude = np.sin(north) * np.sin(declination) + np.cos(north) * np.cos(declination) * np.cos(hour_angle)
    return np.asarray(1.0 / np.maximum(altitude, 0.1), np.float64)


class _Columns:
    """Columns of an ObsTable as float arrays; a missing one is a DataError."""

    def __init__(self, kind: str, table: Any) -> None:
        self.kind = kind
        self.table = table

    def __call__(self, name: str) -> Array:
        if name not in self.table:
            have = ", ".join(sorted(map(str, self.table.columns)))
            raise DataError(
                f"survey.lightcurvelynx: table {self.kind}", f"no column {name!r} and nothing to derive it from", f"have {have}"
            )
        return np.asarray(self.table.get_value_per_row(name), np.float64)


def _seeing(need: _Columns, instrument: Instrument) -> Array:
    if "seeing" in need.table:
        return need("seeing")
    if "fwhm_px" in need.table:
        return need("fwhm_px") * instrument.pixel_scale
    return np.asarray(np.sqrt(need("psf_footprint") / NOISE_AREA) * instrument.pixel_scale, np.float64)


def _stellar_width(seeing: Array, instrument: Instrument) -> Array:
    return 0.822 * seeing + 0.052 if instrument.effective_seeing else seeing


def _airmass(kind: str, ra: Array, dec: Array, time: Array, instrument: Instrument) -> Array:
    if instrument.latitude is None or instrument.longitude is None:
        remedy = "give the site: survey.latitude=..., survey.longitude=... [deg, east positive]"
        raise DataError(f"survey.lightcurvelynx: table {kind}", "no column 'airmass'", remedy)
    return airmass(ra, dec, time, instrument.latitude, instrument.longitude)


def _electrons(kind: str, need: _Columns, instrument: Instrument, seeing: Array, exptime: Array, airmass: Array) -> tuple[Array, Array]:
    """Magnitude of 1 electron in the exposure, and sky [electron / px], (rows,) each."""
    if kind == "ccdvisit":
        return need("zp_mag_adu"), need("sky_bg_adu")
    sky = need("sky_bg_e")
    if kind == "ztf":
        return _ztf_zero_point(need, instrument, sky, seeing, exptime), sky
    zero_point = ZERO - 2.5 * np.log10(need("zp"))
    if kind == "opsim" and "skybrightness" in need.table:
        sky = sky * 10.0 ** (0.4 * np.abs(need("ext_coeff")) * airmass)
    return zero_point, sky


def _ztf_zero_point(need: _Columns, instrument: Instrument, sky: Array, seeing: Array, exptime: Array) -> Array:
    """From the table's own zero point [mag of 1 ADU in the exposure], else from its depth."""
    for name in ("magzpsci", "magzp", "zp_mag"):
        if name in need.table:
            return np.asarray(need(name) + 2.5 * np.log10(instrument.gain), np.float64)
    return need("maglim") - depth(np.zeros_like(sky), sky, seeing, exptime, instrument)
