"""From movies to the network's input: alert window, preprocessing (eq. 4), stacks of n_w images and time gaps."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SequenceOptions:
    """How a movie becomes a sequence (config group `sequence`).

    Attributes
    ----------
    n_stacked : int
        Images stacked in one input tensor, n_w (the paper: 3).
    max_images : int
        Dates used at most, N_d (the paper: 22); S = max_images - n_stacked + 1 steps.
    before_alert : int
        Images kept before the first alert (the paper: 5).
    scaling : 'zero_point' or 'running_max'
        'zero_point' is eq. 4 of the paper, divided by the constant `flux_unit`. 'running_max' also divides each
        object by the running (causal) maximum of its PSF-weighted flux and compresses with asinh.
    flux_unit : float
        Counts [ADU] that become 1 with 'zero_point'; 1 is the paper's text.
    flux_floor : float
        Smallest running maximum [ADU].
    softening : float
        With 'running_max': asinh(1000 x / softening) / 3.
    conditions : tuple of str
        Reported conditions fed to the recurrent layer beside the time gaps: any of 'seeing', 'psf_fwhm', 'sky',
        'airmass', 'band'. The paper: none.
    """

    n_stacked: int = 3
    max_images: int = 22
    before_alert: int = 5
    scaling: str = "zero_point"
    flux_unit: float = 1.0
    flux_floor: float = 100.0
    softening: float = 20.0
    conditions: tuple[str, ...] = ()
