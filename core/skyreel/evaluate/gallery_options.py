"""Options of the gallery."""

from __future__ import annotations

from dataclasses import dataclass, field

from skyreel.errors import ConfigError
from skyreel.seeding import BLOCK

PICKS = ("clear", "first")
STRETCHES = ("asinh", "linear")
MOST_OBJECTS = 1_000_000
"""Of a class: beyond it the distributions gain nothing and memory runs out."""


@dataclass(frozen=True)
class GalleryOptions:
    """What `skyreel gallery` shows (config key `gallery`).

    Attributes
    ----------
    per_class : int
        Movies of each class that are shown, 1 to 64.
    population : int
        Objects of each class behind the distributions; no image of them is made.
    pick : 'clear' or 'first'
        Which of a class's first 64 objects are shown: those of typical contrast among the ones that stand well above the
        noise (see `skyreel.evaluate.gallery_sample.chosen`), or the first ones whatever they look like.
    stretch : 'asinh' or 'linear'
        Grey scale, one for all stamps of a movie.
    low_percentile, high_percentile : float, %
        Percentiles of a movie's pixel values that are black and white.
    magnify : int
        Screen pixels per pixel of a stamp in the animated movies; 0: so many that a stamp is about 250 of them wide.
    frame_time : float, s
        How long an animated movie shows each frame.

    Raises
    ------
    ConfigError
        For an unknown word or a number out of range.
    """

    per_class: int = 1
    population: int = 1024
    pick: str = "clear"
    stretch: str = "asinh"
    low_percentile: float = field(default=0.5, metadata={"unit": "%"})
    high_percentile: float = field(default=99.9, metadata={"unit": "%"})
    magnify: int = 0
    frame_time: float = field(default=0.4, metadata={"unit": "s"})

    def __post_init__(self) -> None:
        for name, known in (("pick", PICKS), ("stretch", STRETCHES)):
            if getattr(self, name) not in known:
                raise ConfigError(f"gallery.{name}", repr(getattr(self, name)), f"use one of {', '.join(known)}")
        for name, least, most in (("per_class", 1, BLOCK), ("population", 1, MOST_OBJECTS), ("magnify", 0, 64)):
            if not least <= getattr(self, name) <= most:
                raise ConfigError(f"gallery.{name}", str(getattr(self, name)), f"use a whole number from {least} to {most}")
        if not 0 <= self.low_percentile < self.high_percentile <= 100:
            found = f"{self.low_percentile} and {self.high_percentile}"
            raise ConfigError("gallery.low_percentile and gallery.high_percentile", found, "use two percentages, the lower one first")
        if not 0.02 <= self.frame_time <= 60:
            raise ConfigError("gallery.frame_time", str(self.frame_time), "use 0.02 to 60 seconds")
