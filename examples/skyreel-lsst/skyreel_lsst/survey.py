"""LSST as a survey: one position of the wide-fast-deep area per object."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyreel.errors import ConfigError
from skyreel.exposures import Exposures
from skyreel.interfaces import Camera, Survey
from skyreel.seeding import Seeds
from skyreel_lsst import cadence, throughput

GAIN, READ_NOISE = np.array([1.51, 1.68]), np.array([5.40, 6.21])
"""electron / ADU and electron, of e2v and ITL detectors (lsstcam.lsst.io)."""
SATURATION = 100_000.0
"""electron; an assumption, no value in ADU is published."""
SHARE_E2V = 117 / 189
"""13 of the 21 rafts carry e2v detectors."""
DARK = 0.022
"""electron / s / px."""
CLOUD = 0.03
"""Mean extinction by thin cloud [mag]; an assumption."""


@dataclass
class LSST(Survey):
    """Rubin LSST, wide-fast-deep: pairs of visits every few nights in one season.

    Each object has its own position, so no two objects share an exposure. Consecutive visits fall on different
    detectors because of dithering and camera rotation. CCD 1 stands for e2v, 2 for ITL detectors.

    Parameters
    ----------
    filters : list of str
        Bands used, among u, g, r, i, z, y; visits in others are left out. The default holds what all built-in
        classes know.
    start_mjd : float, d
        First night; the phase of the moon follows from it.
    season : float, d
        Length of the season.
    revisit : float, d
        Mean time between two nights on the same position.
    pair_gap : float, h
        Time between the two visits of a night.
    weather_loss : float
        Share of the nights lost.
    median_seeing : float, arcsec
        Effective width in r at the zenith (nights of July 2026: 1.0; design: 0.83).
    seeing_scatter : float
        Standard deviation of ln(seeing): two thirds of its variance between nights, the rest within.

    Raises
    ------
    ConfigError
        For options out of range.
    """

    filters: list[str] = field(default_factory=lambda: ["g", "r", "i"])
    start_mjd: float = field(default=61000.0, metadata={"unit": "d"})
    season: float = field(default=180.0, metadata={"unit": "d"})
    revisit: float = field(default=3.5, metadata={"unit": "d"})
    pair_gap: float = field(default=0.55, metadata={"unit": "h"})
    weather_loss: float = 0.2
    median_seeing: float = field(default=1.0, metadata={"unit": "arcsec"})
    seeing_scatter: float = 0.22

    def __post_init__(self) -> None:
        if not self.filters or len(set(self.filters)) != len(self.filters) or not set(self.filters) <= set(throughput.BANDS):
            raise ConfigError("survey.filters", str(self.filters), f"name one or more of {', '.join(throughput.BANDS)}, each once")
        for name in ("season", "pair_gap", "median_seeing", "seeing_scatter"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"survey.{name}", str(getattr(self, name)), "it must be positive")
        if not (self.revisit >= 1 and 0 <= self.weather_loss < 1):
            raise ConfigError("survey.revisit, survey.weather_loss", f"{self.revisit}, {self.weather_loss}", "at least 1 d, and in [0, 1)")
        self.camera = Camera(
            pixel_scale=throughput.PIXEL_SCALE,
            bands=tuple(self.filters),
            ccd=np.array([1, 2], np.int16),
            gain=GAIN.astype(np.float32),
            read_noise=READ_NOISE.astype(np.float32),
            saturation=(SATURATION / GAIN).astype(np.float32),
        )

    def sample(self, n: int, seeds: Seeds) -> Exposures:
        """Exposures of n positions (see `Survey.sample`)."""
        rng = seeds.rng("lsst")
        visits = self._visits(n, rng)
        band, airmass, shape = visits["band"], visits["airmass"], visits["mjd"].shape
        ccd = (rng.random(shape) >= SHARE_E2V).astype(np.int16)
        gain, read_noise = GAIN[ccd], READ_NOISE[ccd]
        exptime = np.full(shape, 30.0)
        seeing = self.median_seeing * throughput.SEEING[band] / throughput.SEEING[2] * airmass**0.6 * np.exp(visits["ln_seeing"])
        zero_point = throughput.electron_zero_point(band, airmass) - rng.exponential(CLOUD, shape)
        dark, extinction = throughput.DARK_SKY[band], throughput.EXTINCTION[band]
        brightness = cadence.sky_brightness(dark, extinction, band, visits["moon"], airmass, rng)
        sky = throughput.sky_electrons(band, brightness, exptime)
        position = rng.integers(0, 2**62, (n, 1))
        own = {throughput.BANDS.index(name): k for k, name in enumerate(self.filters)}
        exposures = Exposures(
            bands=self.bands,
            mask=visits["used"],
            mjd=visits["mjd"],
            band=np.array([own.get(k, 0) for k in range(len(throughput.BANDS))], np.int8)[band],
            exptime=exptime.astype(np.float32),
            seeing=seeing.astype(np.float32),
            psf_fwhm=throughput.stellar_width(seeing).astype(np.float32),
            airmass=airmass.astype(np.float32),
            sky=(sky / gain).astype(np.float32),
            zero_point=(zero_point - 2.5 * np.log10(gain)).astype(np.float32),
            limiting_mag=throughput.depth(zero_point, sky, seeing, exptime, read_noise, DARK).astype(np.float32),
            exposure_id=position + np.arange(shape[1]),
            field=np.broadcast_to(position % 2**31, shape).astype(np.int32),
            ccd=ccd + np.int16(1),
            gain=gain.astype(np.float32),
            read_noise=read_noise.astype(np.float32),
            saturation=(SATURATION / gain).astype(np.float32),
        )
        return exposures.compact(exposures.mask)

    def _visits(self, n: int, rng: np.random.Generator) -> dict[str, NDArray[Any]]:
        """Schedule of n positions: columns (n, T) mjd, airmass, moon, band (in ugrizy), ln_seeing and used."""
        night, made = cadence.nights(n, self.season, self.revisit, self.weather_loss, rng)
        mjd, airmass = cadence.visits(night, self.start_mjd, self.season, self.pair_gap, rng)
        moon = cadence.illumination(mjd)
        band = cadence.bands(moon[..., 0], rng)
        spread = np.sqrt([2 / 3, 1 / 3]) * self.seeing_scatter
        ln_seeing = spread[0] * rng.standard_normal((*night.shape, 1)) + spread[1] * rng.standard_normal(mjd.shape)
        columns = {"mjd": mjd, "airmass": airmass, "moon": moon, "band": band, "ln_seeing": ln_seeing}
        visits: dict[str, NDArray[Any]] = {name: column.reshape(n, -1) for name, column in columns.items()}
        wanted = [throughput.BANDS.index(name) for name in self.filters]
        used = np.repeat(made, 2, axis=1) & np.isin(visits["band"], wanted)
        lost = ~used.any(axis=1)  # a position without any visit in these filters keeps its first one
        used[lost, 0] = True
        visits["band"][lost, 0] = wanted[0]
        return {**visits, "used": used}
