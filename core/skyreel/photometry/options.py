"""Options of the photometry of movies, and the flags of its points."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntFlag

from skyreel.errors import ConfigError
from skyreel.photometry.profiles import MOFFAT_BETA, PROFILES

SKIES = ("border", "reported")
CENTRES = ("middle", "object", "frame")
WIDTHS = ("fitted", "profile")
HOSTS = ("none", "weights", "subtract")
ERROR_FLOOR = 0.02
"""Relative error that no point falls below: the frame-to-frame residual of bright HiTS constants is 0.018 mag where their
photon noise is 0.003 mag (errors of PSF, chip and flat field)."""


class Flag(IntFlag):
    """Quality of one point of a light curve; 0 is a good one, several may be set.

    SATURATED
        A saturated pixel lies under the PSF (where the profile exceeds 2 % of its peak). Saturated pixels are left
        out of the sums: the flux comes from the others.
    BAD_PIXELS
        More than 10 % of the light falls on pixels that are left out.
    NEGATIVE
        The flux is not positive: the point has no magnitude.
    SKY
        Too few usable border pixels: the reported sky is used.
    CENTRE_LIMIT
        The fitted centre has run into its limit.
    CENTRE_FALLBACK
        The frame is too faint for a centre of its own: the object's is used, or the middle where that is too faint too.
    EDGE
        The stamp holds less than 80 % of the light at this centre and width.
    EMPTY
        No measurement (mask False): the frame is unusable, or less than 10 % of the light falls on usable pixels.
    """

    SATURATED = 1
    BAD_PIXELS = 2
    NEGATIVE = 4
    SKY = 8
    CENTRE_LIMIT = 16
    CENTRE_FALLBACK = 32
    EDGE = 64
    EMPTY = 128


@dataclass(frozen=True)
class PhotometryOptions:
    """How a movie becomes a light curve.

    Attributes
    ----------
    profile : 'moffat' or 'gaussian'
        Shape of the PSF.
    beta : float
        Exponent of the Moffat profile.
    width : 'fitted' or 'profile'
        What the reported `psf_fwhm` is: the width of a Gaussian fitted to a star on the stamp, as `Exposures` defines it, from
        which that of the profile follows; or already the profile's own.
    sky : 'border' or 'reported'
        Clipped median of each stamp's border, corrected for the light of the source there, or the reported level.
    centre : 'middle', 'object' or 'frame'
        The middle of the stamp; one fitted position per object (stamps of registered images); one per frame (stamps
        cut at the nearest pixel of each image), shrunk towards the object's as its signal to noise falls.
    iterations : int
        Passes with the noise of source (and host) in the weights; 0 weights by the profile alone.
    host : 'none', 'weights' or 'subtract'
        What is done with a static extended light under the source, which is fitted to all frames of the object:
        nothing; its noise enters weights and errors, and its light within the profile stays; it is subtracted.
    error_floor : float
        Relative error added in quadrature.
    zero_point : float, mag
        Magnitude of a flux of 1.

    Raises
    ------
    ConfigError
        For an unknown word or a number out of range.
    """

    profile: str = "moffat"
    beta: float = MOFFAT_BETA
    width: str = "fitted"
    sky: str = "border"
    centre: str = "middle"
    iterations: int = 2
    host: str = "none"
    error_floor: float = ERROR_FLOOR
    zero_point: float = field(default=25.0, metadata={"unit": "mag"})

    def __post_init__(self) -> None:
        for name, known in (("profile", PROFILES), ("width", WIDTHS), ("sky", SKIES), ("centre", CENTRES), ("host", HOSTS)):
            if getattr(self, name) not in known:
                raise ConfigError(f"photometry.{name}", repr(getattr(self, name)), f"use one of {', '.join(known)}")
        if not self.beta > 1:
            raise ConfigError("photometry.beta", str(self.beta), "a Moffat profile has finite flux only for beta > 1")
        if self.iterations < 0:
            raise ConfigError("photometry.iterations", str(self.iterations), "use 0 (weights by the profile alone) or more")
        if not 0 <= self.error_floor < 1:
            raise ConfigError("photometry.error_floor", str(self.error_floor), "it must lie in [0, 1)")
