"""Cameras behind the tables of visits, and what LightCurveLynx does not know of them."""

from __future__ import annotations

from dataclasses import dataclass

OBSTABLE = "lightcurvelynx.obstable"


@dataclass(frozen=True)
class Instrument:
    """A kind of table of visits and the camera that took them.

    Attributes
    ----------
    target : str
        Dotted name of the subclass of LightCurveLynx's ``ObsTable``.
    loader : str or None
        Its constructor from a data frame, if not the class itself.
    gain : float, electron / ADU
    read_noise : float, electron
    saturation : float, ADU
    pixel_scale : float, arcsec / px
    dark : float, electron / s / px
    latitude, longitude : float or None, deg
        Of the site, east positive; for tables without an airmass.
    at_middle : bool
        Times are those of the middle of the exposure, not its start.
    effective_seeing : bool
        Seeing is the effective width; that of a star on the image is 0.822 times it plus 0.052 arcsec (SMTN-002).
    footprint : float
        Factor on the area 2.266 FWHM**2 of a star's noise by which the listed depths are met.
    """

    target: str
    gain: float
    read_noise: float
    saturation: float
    pixel_scale: float
    loader: str | None = None
    dark: float = 0.0
    latitude: float | None = None
    longitude: float | None = None
    at_middle: bool = False
    effective_seeing: bool = False
    footprint: float = 1.0


def _rubin(target: str, loader: str | None, *, at_middle: bool, effective_seeing: bool, footprint: float = 1.0) -> Instrument:
    """LSSTCam: means of its e2v and ITL detectors (lsstcam.lsst.io); 100,000 electrons to saturation are an assumption."""
    return Instrument(
        f"{OBSTABLE}.{target}",
        gain=1.595,
        read_noise=5.82,
        saturation=100_000.0 / 1.595,
        pixel_scale=0.2,
        loader=loader,
        dark=0.022,
        latitude=-30.2446,
        longitude=-70.7494,
        at_middle=at_middle,
        effective_seeing=effective_seeing,
        footprint=footprint,
    )


INSTRUMENTS = {
    "opsim": _rubin("opsim.OpSim", None, at_middle=False, effective_seeing=True),
    "ccdvisit": _rubin("lsst_obstable.LSSTObsTable", "from_ccdvisit_table", at_middle=True, effective_seeing=False, footprint=0.75),
    "sv_visits": _rubin("lsst_obstable.LSSTObsTable", "from_sv_visits_table", at_middle=True, effective_seeing=True),
    "nightly": _rubin("lsst_obstable.LSSTObsTable", "from_nightly_summary_table", at_middle=True, effective_seeing=True),
    "ztf": Instrument(
        f"{OBSTABLE}.ztf_obstable.ZTFObsTable",
        gain=6.2,
        read_noise=10.0,
        saturation=50_000.0,
        pixel_scale=1.01,
        latitude=33.3563,
        longitude=-116.8649,
        footprint=5.5,
    ),
}
"""Rubin's simulated visits (OpSim), rows of a CcdVisit table (DP1; of its expMidptMJD), science-validation visits, nightly summaries, and
ZTF's exposures (gain as in LightCurveLynx; read noise about 10, Dekany et al. 2020, PASP 132, 038001; saturation from the brightest pixels
of public cutouts, 55,000 ADU; site 33d21m26.2s, -116d51m35.5s). `footprint`: medians over 6,791 DP1 rows (0.75) and 37
uncrowded ZTF exposures (5.5), whose listed depth is 0.9 mag brighter than sky and read noise allow; in all 82 it is 1.1 mag."""
