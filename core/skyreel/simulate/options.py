"""Options of the simulation itself: how the true conditions differ from the reported ones, centring, limits."""

from __future__ import annotations

from dataclasses import dataclass, field

from skyreel.errors import ConfigError

CENTRINGS = ("per_frame", "per_object", "both")


@dataclass(frozen=True)
class SimulationOptions:
    """Config group `simulation`.

    Attributes
    ----------
    zero_point_jitter : float, mag
        Standard deviation of true minus reported zero point, one draw per exposure.
    zero_point_scatter : float, mag
        The same, one draw per object and frame (flat field, aperture losses).
    psf_width_jitter : float
        Relative standard deviation of true over reported PSF width, one draw per exposure.
    psf_width_scatter : float
        The same, one draw per object (place on the focal plane).
    sky_jitter : float
        Relative standard deviation of true over reported sky, one draw per object and frame.
    centring : 'per_frame', 'per_object' or 'both'
        Sub-pixel centre of the source, uniform within the central pixel: drawn anew for every frame (stamps cut at
        the nearest pixel of each image, and the paper's text), once per object (stamps cut at a fixed position of
        registered images), or either for half of the objects of every class.
    min_images : int
        Shortest movie kept; an alert so late that fewer images exist is proposed again.
    extra_before : int
        Half of the objects of every class start up to this many images earlier (uniform), so that a network also sees
        long sequences; the classes' lengths stay alike. 0 is the paper's text.
    window : bool
        True: the dates of section 3.1 of the paper (five images before the first alert, other classes borrow the
        dates of such an object). False: every exposure of the field.
    oversample : int
        Samples per pixel of the renderer.
    max_rounds : int
        Rounds of proposals after which an undetectable class is given up.
    """

    zero_point_jitter: float = field(default=0.0, metadata={"unit": "mag"})
    zero_point_scatter: float = field(default=0.0, metadata={"unit": "mag"})
    psf_width_jitter: float = 0.0
    psf_width_scatter: float = 0.0
    sky_jitter: float = 0.0
    centring: str = "per_frame"
    min_images: int = 5
    extra_before: int = 0
    window: bool = True
    oversample: int = 2
    max_rounds: int = 200

    def __post_init__(self) -> None:
        if self.centring not in CENTRINGS:
            raise ConfigError("simulation.centring", repr(self.centring), f"use one of {', '.join(CENTRINGS)}")
        for name in ("zero_point_jitter", "zero_point_scatter", "psf_width_jitter", "psf_width_scatter", "sky_jitter"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"simulation.{name}", str(getattr(self, name)), "it must lie in [0, 1)")
        if self.extra_before < 0:
            raise ConfigError("simulation.extra_before", str(self.extra_before), "it must be 0 or more")
        for name in ("min_images", "oversample", "max_rounds"):
            if getattr(self, name) < 1:
                raise ConfigError(f"simulation.{name}", str(getattr(self, name)), "it must be at least 1")
