"""HiTS 2015A as a survey: virtual fields of the season, one CCD per object, alerts by difference."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import make_interp_spline

from skyreel.errors import ConfigError, SimulationError
from skyreel.exposures import DTYPES, Exposures
from skyreel.interfaces import Array, Survey
from skyreel.seeding import Seeds
from skyreel_hits.alerts import DETECTIONS, RULES
from skyreel_hits.camera import decam, detectors
from skyreel_hits.season import coefficients, virtual_fields

FILTERS = ("g", "r", "i")
PSF_WIDTHS = ("calibrated", "header")
DETECTOR = ("ccd", "gain", "read_noise", "saturation")
"""Columns of `Exposures` that belong to an object's CCD and not to its field."""


@dataclass
class HiTS(Survey):
    """The High cadence Transient Survey with DECam, season 2015A (Foerster et al. 2016; Carrasco-Davis et al. 2018).

    Exposures come from virtual fields that follow the season's nights: a generator fitted to real fields (see
    `skyreel_hits.season`). All objects of a field share its exposures; each object lies on one CCD.

    Parameters
    ----------
    filters : list of str
        DECam filters used, among g, r, i (the paper: g). They become `bands`.
    n_fields : int
        Virtual fields that the objects of a run are spread over.
    max_seeing : float or None, arcsec
        Exposures with a larger header seeing are not used (the authors: 2.0); None keeps all.
    psf_width : 'calibrated' or 'header'
        Width of a star on the stamp. 'calibrated': the polygon fitted to constant stars against the header's seeing, in px
        (single exposures scatter by 1.4 % about it). 'header': seeing / pixel_scale, as the authors' simulator has it, 19 % too wide.
    detection : 'difference' or 'limiting_mag'
        'difference': the flux above the mean of the object's first night in that band is brighter than the limiting
        magnitude, as in the HiTS pipeline. 'limiting_mag': the object itself is (section 3.1 of the paper). Both are rules
        for noiseless magnitudes; alerts by 5 sigma of measured flux belong to evaluation (`skyreel.evaluate.triggers`).
    pixel_scale : float, arcsec / px
        0.27 in the paper; DECam's true scale is 0.263.
    known_ccds_only : bool
        Uses the six CCDs with published gain, read noise and saturation alone.

    Raises
    ------
    ConfigError
        For options out of range.
    """

    filters: list[str] = field(default_factory=lambda: ["g"])
    n_fields: int = 200
    max_seeing: float | None = field(default=2.0, metadata={"unit": "arcsec"})
    psf_width: str = "calibrated"
    detection: str = "difference"
    pixel_scale: float = field(default=0.27, metadata={"unit": "arcsec / pix"})
    known_ccds_only: bool = False

    def __post_init__(self) -> None:
        _choice("survey.psf_width", self.psf_width, PSF_WIDTHS)
        _choice("survey.detection", self.detection, DETECTIONS)
        if not self.filters or len(set(self.filters)) != len(self.filters) or not set(self.filters) <= set(FILTERS):
            raise ConfigError("survey.filters", str(self.filters), f"name one or more of {', '.join(FILTERS)}, each once")
        if self.n_fields < 1:
            raise ConfigError("survey.n_fields", str(self.n_fields), "at least one field is needed")
        if not self.pixel_scale > 0:
            raise ConfigError("survey.pixel_scale", f"{self.pixel_scale} arcsec / px", "it must be positive")
        if self.max_seeing is not None and not self.max_seeing > 0:
            raise ConfigError("survey.max_seeing", f"{self.max_seeing} arcsec", "it must be positive, or null for no cut")
        self.camera = decam(self.pixel_scale, tuple(self.filters))

    def sample(self, n: int, seeds: Seeds) -> Exposures:
        """Exposures of n objects: a virtual field and a CCD each (see `Survey.sample`).

        Raises
        ------
        SimulationError
            If none of the virtual fields was observed in the chosen filters.
        """
        fields = virtual_fields(seeds.root, self.n_fields, self.bands)
        if len(fields) == 0:
            raise SimulationError(
                f"exposures in {', '.join(self.filters)}", f"none in {self.n_fields} virtual fields", "raise survey.n_fields or add filters"
            )
        rng = seeds.rng("hits")
        chosen = rng.integers(0, len(fields), n)
        ccd, constants = detectors(n, rng, self.known_ccds_only)
        of_object = zip(DETECTOR, (ccd, *constants.T), strict=True)
        columns = {name: np.broadcast_to(value.astype(DTYPES[name])[:, None], (n, fields.shape[1])) for name, value in of_object}
        columns["psf_fwhm"] = self.stellar_width(fields.seeing).take(chosen, axis=0)
        columns.update({name: getattr(fields, name).take(chosen, axis=0) for name in DTYPES if name not in columns})
        return Exposures(fields.bands, **columns)

    def stellar_width(self, seeing: NDArray[np.float32]) -> NDArray[np.float32]:
        """Full width at half maximum [px] of a star for the header's seeing [arcsec]."""
        if self.psf_width == "header":
            return np.asarray(seeing / self.pixel_scale, np.float32)
        known = coefficients()["stellar_width"]
        return np.asarray(make_interp_spline(known["seeing"], known["fwhm"], k=1)(seeing), np.float32)

    def detect(self, exposures: Exposures, mags: Array, host: Array | None = None) -> NDArray[np.bool_]:
        """Which epochs raise an alert (see `Survey.detect`); the host's light cancels in the difference."""
        return RULES[self.detection](exposures, mags)


def _choice(option: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ConfigError(option, repr(value), f"choose {' or '.join(allowed)}")
