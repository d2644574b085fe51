"""Every condition of every cutout: derived, estimated or assumed where nobody states it, each with a note, or an error."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyreel.errors import BandError, DataError
from skyreel.exchange.border_noise import detector_noise
from skyreel.exchange.quantities import QUANTITIES
from skyreel.exchange.values import Values
from skyreel.interfaces import Camera
from skyreel.photometry import MOFFAT_BETA, background_variance, psf_image
from skyreel.photometry.widths import profile_width

TABLE_1 = (
    "mjd", "band", "exptime", "gain", "read_noise", "saturation", "sky", "psf_fwhm", "seeing", "airmass", "zero_point", "limiting_mag",
)  # fmt: skip
"""The conditions of Table 1 of the paper, in the order in which they are settled."""
AIRMASS = 1.4
"""Assumed where it is not known: the middle of HiTS exposures, which the conditions of a network are measured from."""
FULL_WELL = 65535.0
"""Assumed saturation [ADU] of images that hold no larger number: the range of 16 bits."""
FIRST_DAY, LAST_DAY = 10_000.0, 100_000.0
"""MJD of the years 1886 and 2132: other dates are another kind of number."""
NIGHT = 86400.0


@dataclass(frozen=True)
class Scan:
    """What was measured on N cutouts before any condition is estimated.

    Attributes
    ----------
    border_level, border_sky : float64 (N,), ADU / px
        Clipped median of the border as it is, and without the wings of a star in the middle; NaN where no pixel is left.
    variance : float64 (N,), ADU^2
        Of a pixel of the border.
    fwhm, centre : float64 (N,), (N, 2), px
        Of a star in the middle; NaN where there is none, or it was not looked for.
    blank : bool (N,)
        No usable pixel, or all pixels equal.
    cut : bool (N,)
        The image ends inside the stamp or lacks pixels.
    largest : float
        Brightest pixel of all [ADU].
    whole : bool
        Whether 16-bit whole numbers hold all pixels.
    pairs : int
        Pairs of pixels behind `variance`.
    """

    border_level: NDArray[np.float64]
    border_sky: NDArray[np.float64]
    variance: NDArray[np.float64]
    fwhm: NDArray[np.float64]
    centre: NDArray[np.float64]
    blank: NDArray[np.bool_]
    cut: NDArray[np.bool_]
    largest: float
    whole: bool
    pairs: int


@dataclass
class Settling:
    """Settles the conditions of N cutouts: `run` fills `values` and writes `how`.

    Attributes
    ----------
    values : Values
    scan : Scan
    where : callable
        Row -> its name for messages.
    bands : tuple of str
        Bands that are known; empty: those that occur.
    camera : Camera or None
    fluxes : callable
        (rows, conditions by name) -> counts [ADU] of the star in the middle of each.
    reference : float64 (N,) or None, mag
        Known magnitudes of constant stars.
    per_image : bool
        Whether given zero points are those of the whole exposure and not of one second.
    how : dict of str -> dict of str -> str
        Condition -> origin -> how such values were found.
    masked : dict of str -> int
        Reason -> frames that are masked for want of a condition.
    """

    values: Values
    scan: Scan
    where: Callable[[int], str]
    bands: tuple[str, ...] = ()
    camera: Camera | None = None
    fluxes: Callable[[NDArray[np.intp], dict[str, NDArray[Any]]], NDArray[np.float64]] | None = None
    reference: NDArray[np.float64] | None = None
    per_image: bool = False
    how: dict[str, dict[str, str]] = field(default_factory=dict)
    masked: dict[str, int] = field(default_factory=dict)

    def run(self) -> NDArray[np.bool_]:
        """Fills every condition of Table 1; returns the rows (N,) whose conditions are known.

        Raises
        ------
        DataError
            For a condition that is missing and cannot be estimated, naming it, the first such row and what to give.
        BandError
            For a band that the survey does not have.
        """
        exists = self.values["exists"]
        self.needed = np.where(np.isnan(exists), True, exists > 0)
        self._dates()
        self._bands()
        self._require("exptime")
        self._positive("exptime")
        if self.per_image:
            self._zero_points_per_second()
        self.exposure = self._exposures()
        self.needed = self.needed & ~self.scan.blank  # an empty image needs no condition that is measured on images
        self._detector()
        self._sky()
        self._widths()
        self._airmass()
        self._zero_points()
        self._limits()
        for name in ("gain", "saturation", "psf_fwhm"):
            self._positive(name)
        return self._complete()

    def _require(self, name: str, reason: str = "") -> None:
        missing = np.flatnonzero(self.needed & ~self.values.known(name))
        if not len(missing):
            return
        item = QUANTITIES[name]
        found = f"not known for {len(missing)} of {int(self.needed.sum())} cutouts, first {self.where(int(missing[0]))}"
        unit = f" [{item.unit}]" if item.unit else ""
        words = f"a column {name!r}, a FITS keyword ({', '.join(item.keywords[:3])}) or --set {name}=VALUE{unit}"
        raise DataError(f"import: {name}", found + (f"; it cannot be estimated: {reason}" if reason else ""), f"give {words}")

    def _positive(self, name: str) -> None:
        wrong = np.flatnonzero(self.needed & (self.values[name] <= 0))
        if len(wrong):
            row = int(wrong[0])
            raise DataError(f"import: {name}", f"{self.values[name][row]:g} in {self.where(row)}", "it must be positive; correct the value")

    def _dates(self) -> None:
        values = self.values
        half = 0.5 * values["exptime"] / NIGHT
        values.fill("mjd", values["mjd_mid"] - half, "derived")
        values.fill("mjd", values["jd"] - 2_400_000.5, "derived")
        stated = np.flatnonzero((values["date"] != "") & ~values.known("mjd"))
        if len(stated):
            from astropy.time import Time

            try:
                values.fill("mjd", Time(values["date"][stated].astype(str), scale="utc").mjd, "derived", stated)
            except ValueError as err:
                raise DataError("import: date", str(err), "write dates as 2015-02-17T03:21:00 (UTC, start of the exposure)") from err
        self._require("mjd")
        mjd = values["mjd"]
        wrong = np.flatnonzero(self.needed & ~((mjd > FIRST_DAY) & (mjd < LAST_DAY)))
        if len(wrong):
            row = int(wrong[0])
            raise DataError("import: mjd", f"{mjd[row]:.5f} in {self.where(row)}", "give modified Julian dates, or a column `jd`")

    def _bands(self) -> None:
        self._require("band")
        words = self.values["band"]
        names, inverse = np.unique(words.astype(str), return_inverse=True)
        # headers spell filters with more than their name: 'g DECam SDSS c0001 4720.0 1520.0'
        short = np.array([name if name in self.bands else (name.split() or [""])[0] for name in names.tolist()], dtype=object)
        words[:] = short[inverse]
        found = sorted({str(name) for name in words[self.needed]})
        strange = [name for name in found if self.bands and name not in self.bands]
        if strange:
            row = int(np.flatnonzero(self.needed & (words == strange[0]))[0])
            remedy = f"known are {', '.join(self.bands)}; rename it in the table, or leave those rows out"
            raise BandError("import: band", f"{strange[0]!r} in {self.where(row)}", remedy)
        self.bands = self.bands or tuple(found)

    def _zero_points_per_second(self) -> None:
        seconds = np.where(self.values["exptime"] > 0, self.values["exptime"], 1.0)
        self.values["zero_point"][:] -= 2.5 * np.log10(seconds)

    def _exposures(self) -> NDArray[np.intp]:
        """Index (N,) of the exposure of each cutout: its name, or else field, band and second."""
        values = self.values
        when = np.rint(np.nan_to_num(values["mjd"]) * NIGHT).astype(np.int64).astype(str)
        parts = [values[name].astype(str) for name in ("field", "band")] + [when]
        made = np.array(["/".join(words) for words in zip(*parts, strict=True)], dtype=object)
        key = np.where(values.known("exposure_id"), values["exposure_id"], made)
        return np.asarray(np.unique(key.astype(str), return_inverse=True)[1], np.intp)

    def _per_exposure(self, column: NDArray[np.float64], rows: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Median (N,) over the rows of each exposure; NaN where it has none."""
        return median_of_groups(column, self.exposure, rows)[self.exposure]

    def _detector(self) -> None:
        values, scan = self.values, self.scan
        if self.camera is not None:
            for name in ("gain", "read_noise", "saturation"):
                known = {str(ccd): value for ccd, value in zip(self.camera.ccd.tolist(), getattr(self.camera, name).tolist(), strict=True)}
                typical = float(np.median(getattr(self.camera, name)))
                values.fill(name, [known.get(word, typical) for word in values["ccd"].tolist()], "survey")
        level, usable = scan.border_level, self._quiet()
        if not values.known("gain")[self.needed].all():
            found = detector_noise(level[usable], scan.variance[usable], scan.pairs)
            if found.gain is None:
                self._require("gain", found.why)
                return
            values.fill("gain", found.gain, "estimated")
            values.fill("read_noise", found.read_noise, "estimated")
            for name in ("gain", "read_noise"):
                self.how[name] = {"estimated": f"variance of the sky against its level, {found.why}"}
        gain = values["gain"]
        if usable.any():
            excess = gain**2 * (scan.variance - 1 / 12) - gain * np.maximum(level, 0)
            values.fill("read_noise", np.sqrt(max(float(np.median(excess[usable])), 0.0)), "estimated")
            self.how.setdefault(
                "read_noise", {"estimated": "variance of the sky less its photon noise, median of the quieter half of the cutouts"}
            )
        values.fill("read_noise", 0.0, "assumed")
        values.fill("saturation", max(FULL_WELL, 1.0001 * scan.largest), "assumed")
        self.how["saturation"] = {"assumed": "above every pixel: saturated pixels are not flagged"}

    def _quiet(self) -> NDArray[np.bool_]:
        """Cutouts (N,) whose border tells the noise of the sky: the half with least light of a star in it."""
        usable = self.needed & np.isfinite(self.scan.border_level) & np.isfinite(self.scan.variance)
        wings = self.scan.border_level - self.scan.border_sky
        return np.asarray(usable & (wings <= np.median(wings[usable]))) if usable.any() else usable

    def _sky(self) -> None:
        self.values.fill("sky", self.scan.border_sky, "estimated")
        self.values.fill("sky", self._per_exposure(self.scan.border_sky, self.needed), "estimated")
        self.how["sky"] = {"estimated": "clipped median of the border of each cutout, without the wings of a star in the middle"}

    def _widths(self) -> None:
        values, scan = self.values, self.scan
        if self.camera is not None:
            values.fill("pixel_scale", self.camera.pixel_scale, "survey")
        stars = self.needed if self.reference is None else self.needed & np.isfinite(self.reference)
        missing = self.needed & ~values.known("psf_fwhm")
        measured = self._per_exposure(scan.fwhm, stars)
        values.fill("psf_fwhm", np.where(np.isnan(measured), self._per_exposure(scan.fwhm, self.needed), measured), "estimated")
        number = int((stars & np.isfinite(scan.fwhm) & missing).sum())
        self.how["psf_fwhm"] = {
            "estimated": f"Gaussian fits to {number} stars in the middle of cutouts, median of each exposure",
            "derived": "seeing over the pixel scale",
            "assumed": "median of all exposures, where one has no star bright enough",
        }
        values.fill("psf_fwhm", values["seeing"] / values["pixel_scale"], "derived")
        if not values.known("psf_fwhm")[self.needed].all():
            typical = np.nanmedian(values["psf_fwhm"][self.needed]) if values.known("psf_fwhm")[self.needed].any() else np.nan
            values.fill("psf_fwhm", typical, "assumed")
        self._require("psf_fwhm", "no cutout has a single star at S/N > 20 in its middle, and seeing with a pixel scale are not known")
        values.fill("seeing", values["psf_fwhm"] * values["pixel_scale"], "derived")
        self.how["seeing"] = {"derived": "psf_fwhm times the pixel scale"}
        self._require("seeing", "no pixel scale is known (--set pixel_scale=ARCSEC)")

    def _airmass(self) -> None:
        self.values.fill("airmass", AIRMASS, "assumed")
        self.how["airmass"] = {"assumed": "typical of a survey"}

    def _zero_points(self) -> None:
        values = self.values
        missing = self.needed & ~values.known("zero_point")
        if not missing.any():
            return
        if self.reference is None or self.fluxes is None:
            self._require("zero_point", "no star has a known magnitude (--reference-mag COLUMN)")
            return
        lacking = np.unique(self.exposure[missing])
        rows = np.flatnonzero(self.needed & np.isfinite(self.reference) & np.isin(self.exposure, lacking))
        names = ("sky", "psf_fwhm", "gain", "read_noise")
        flux = self.fluxes(rows, {name: values[name][rows] for name in names})
        with np.errstate(invalid="ignore", divide="ignore"):
            # eq. 1 of Carrasco-Davis et al. 2018, solved for the zero point
            found = self.reference[rows] + 2.5 * np.log10(np.where(flux > 0, flux, np.nan) / values["exptime"][rows])
        column = np.full(values.n, np.nan)
        column[rows] = found
        values.fill("zero_point", self._per_exposure(column, np.isfinite(column)), "estimated")
        stars = int(np.isfinite(found).sum())
        self.how["zero_point"] = {"estimated": f"{stars} cutouts of stars of known magnitude (eq. 1), median of each exposure"}
        if not values.known("zero_point")[self.needed].any():
            self._require("zero_point", "no star of known magnitude is bright enough")
        lost = self.needed & ~values.known("zero_point")
        if lost.any():
            self.masked["no star of known magnitude in the exposure"] = int(lost.sum())
            self.needed = self.needed & ~lost

    def _limits(self) -> None:
        values = self.values
        ok = self.needed & (values["gain"] > 0) & (values["psf_fwhm"] > 0)
        limit = np.full(values.n, np.nan)
        columns = {name: values[name][ok] for name in ("sky", "gain", "read_noise", "psf_fwhm", "exptime", "zero_point")}
        limit[ok] = limiting_magnitude(**columns)
        values.fill("limiting_mag", limit, "estimated")
        self.how["limiting_mag"] = {"estimated": "5 sigma of optimal photometry of a star on this sky"}

    def _complete(self) -> NDArray[np.bool_]:
        known = np.logical_and.reduce([self.values.known(name) for name in TABLE_1])
        lost = self.needed & ~known
        if lost.any():
            row = int(np.flatnonzero(lost)[0])
            names = [name for name in TABLE_1 if not self.values.known(name)[row]]
            raise DataError("import", f"{', '.join(names)} of {self.where(row)} could not be estimated", "give it or drop the row")
        exists = self.values["exists"]
        return np.asarray(known & np.where(np.isnan(exists), True, exists > 0))


def median_of_groups(column: NDArray[np.float64], group: NDArray[np.intp], rows: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Median of the finite values of each group among `rows`; NaN for groups without.

    Parameters
    ----------
    column : float64 (N,)
    group : int (N,)
        0 .. G - 1.
    rows : bool (N,)

    Returns
    -------
    float64 (G,)
    """
    use = rows & np.isfinite(column)
    out = np.full(int(group.max(initial=-1)) + 1, np.nan)
    order = np.lexsort((column[use], group[use]))
    key, value = group[use][order], column[use][order]
    first, count = (np.unique(key, return_index=True, return_counts=True))[1:] if len(key) else (np.zeros(0, int), np.zeros(0, int))
    middle = 0.5 * (value[first + (count - 1) // 2] + value[first + count // 2]) if len(key) else np.zeros(0)
    out[key[first]] = middle
    return out


def limiting_magnitude(
    sky: NDArray[Any], gain: NDArray[Any], read_noise: NDArray[Any], psf_fwhm: NDArray[Any], exptime: NDArray[Any], zero_point: NDArray[Any]
) -> NDArray[np.float64]:
    """Magnitude of a star at 5 sigma of optimal photometry on the sky alone, sigma^2 = V / sum(P^2) (Naylor 1998, eq. 10).

    Parameters
    ----------
    sky, gain, read_noise, psf_fwhm, exptime, zero_point : arrays (m,)
        ADU / px, electron / ADU, electron, px (Gaussian fit), s, mag (1 ADU / s).
    """
    squares = np.concatenate(
        [np.zeros(0)]
        + [
            (psf_image((41, 41), profile_width(part, "moffat", MOFFAT_BETA)) ** 2).sum(axis=(1, 2), dtype=np.float64)
            for part in np.array_split(psf_fwhm, max(len(psf_fwhm) // 4096, 1))
        ]
    )
    sigma = np.sqrt(background_variance(sky, gain, read_noise) / np.maximum(squares, 1e-9))
    return np.asarray(zero_point - 2.5 * np.log10(5.0 * sigma / exptime), np.float64)


def notes(settled: Settling, among: NDArray[np.bool_], names: Sequence[str] = TABLE_1) -> list[dict[str, Any]]:
    """JSON-ready: for each condition, how many values come from where, and how those that nobody stated were found."""
    out = []
    for name in names:
        origins = settled.values.origins(name, among)
        how = {origin: text for origin, text in settled.how.get(name, {}).items() if origin in origins}
        entry: dict[str, Any] = {"quantity": name, "unit": QUANTITIES[name].unit, "from": origins}
        if how:
            entry["how"] = how
        if not QUANTITIES[name].text and among.any():
            entry["median"] = float(np.nanmedian(settled.values[name][among]))
        out.append(entry)
    return out
