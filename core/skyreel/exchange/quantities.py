"""What may be known about a cutout: names, units, and the spellings under which tables and FITS headers hold them."""

from __future__ import annotations

from dataclasses import dataclass

from skyreel.exposures import UNITS


@dataclass(frozen=True)
class Quantity:
    """One observing condition.

    Attributes
    ----------
    name : str
        Name of the table's column (any case), of `Exposures` where it has one.
    unit : str or None
        Unit that values are taken in where the table states none, and converted to where it does.
    keywords : tuple of str
        FITS keywords, the first one found counts; also accepted as names of table columns.
    text : bool
        Whether values are words or numbers that count nothing.
    """

    name: str
    unit: str | None
    keywords: tuple[str, ...]
    text: bool = False


def _condition(name: str, *keywords: str, text: bool = False) -> Quantity:
    return Quantity(name, UNITS.get(name), keywords, text)


CONDITIONS = {
    item.name: item
    for item in (
        _condition("mjd", "MJD-OBS", "MJD_OBS", "MJDOBS", "MJD-BEG", "MJDSTART", "MJD"),
        Quantity("mjd_mid", "d", ("MJD-AVG", "MJD-MID", "MJDMID")),
        Quantity("jd", "d", ("JD", "OBSJD", "JD-OBS")),
        Quantity("date", None, ("DATE-OBS", "DATE-BEG"), text=True),
        _condition("band", "FILTER", "FILTERS", "FILTNAM", "FILTER1", "FILT", "FID", text=True),
        _condition("exptime", "EXPTIME", "EXPOSURE", "EXP_TIME", "TEXPTIME", "XPOSURE", "ITIME"),
        _condition("seeing", "SEEING", "FWHM_ARC", "FWHMSEC"),
        _condition("psf_fwhm", "PSF_FWHM", "PSFFWHM", "FWHM", "FWHMPIX"),
        _condition("airmass", "AIRMASS", "AIRMAS", "SECZ"),
        _condition("sky", "SKYLEVEL", "SKYADU", "SKY", "AVSKY", "BACKGRND", "BKGLEVEL"),
        _condition("zero_point", "MAGZERO", "MAGZPT", "ZP", "ZEROPT", "MAGZP", "ZPMAG", "ZEROPNT"),
        _condition("limiting_mag", "MAGLIM", "LIMMAG", "MAGLIMIT", "LIMITMAG", "LIMMAG5"),
        _condition("exposure_id", "EXPNUM", "EXPID", "EXP_ID", "VISIT", text=True),
        _condition("field", "FIELDID", "FIELD_ID", "FIELD", text=True),
        _condition("ccd", "CCDNUM", "CCDID", "CCD_ID", "CCD", "CHIP", text=True),
        _condition("gain", "GAIN", "EGAIN", "CCDGAIN", "GAINA"),
        _condition("read_noise", "RDNOISE", "READNOIS", "READNOISE", "RON", "ENOISE", "RDNOISEA"),
        _condition("saturation", "SATURATE", "SATURAT", "SATLEVEL", "SATURATA"),
        Quantity("pixel_scale", "arcsec / pix", ("PIXSCALE", "PIXSCAL1", "PIXSCAL", "SECPIX", "SECPIX1")),
    )
}
"""Name -> condition. ``mjd_mid``, ``jd`` and ``date`` stand in for ``mjd``; ``pixel_scale`` links seeing and PSF width."""

TABLE_ONLY = {
    item.name: item
    for item in (
        Quantity("object_id", None, ("ID", "OBJECT", "OBJID", "NAME", "OID"), text=True),
        Quantity("file", None, ("FILENAME", "PATH", "FITS"), text=True),
        Quantity("hdu", None, ("EXTENSION", "EXT"), text=True),
        Quantity("mask_hdu", None, (), text=True),
        Quantity("label", None, ("CLASS", "TYPE"), text=True),
        Quantity("first_detection", None, ()),
        Quantity("first_detection_mjd", "d", ()),
        Quantity("frame", None, ()),
        Quantity("usable", None, ()),
        Quantity("exists", None, ()),
        Quantity("centre_x", "pix", ()),
        Quantity("centre_y", "pix", ()),
    )
}
"""What only a table can say, see docs/your_own_data.md."""

QUANTITIES = {**CONDITIONS, **TABLE_ONLY}
SETTABLE = (*CONDITIONS, "label")
"""Quantities that a constant can stand in for."""
