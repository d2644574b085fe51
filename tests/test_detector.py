"""From expected counts to stored numbers: noise against theory, saturation, order of the stages."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
from builders import exposures
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr
from scipy.stats import chisquare, poisson

from skyreel.errors import DataError, PluginError
from skyreel.exposures import Exposures
from skyreel.interfaces import Detector, Effect, PixelBits
from skyreel.seeding import Seeds
from skyreel.simulate.detector import expose
from skyreel_ccd.detector import CCD

SIDE = 400


def camera(gain: float, read_noise: float, saturation: float = 1e9, n: int = 1, epochs: int = 1) -> Exposures:
    shape = (n, epochs)
    return exposures(n, epochs).replace(
        gain=np.full(shape, gain), read_noise=np.full(shape, read_noise), saturation=np.full(shape, saturation)
    )


def flat(level: float, n: int = 1, epochs: int = 1, side: int = SIDE) -> torch.Tensor:
    return torch.full((n, epochs, 1, side, side), float(level))


def exposed(scene: torch.Tensor, e: Exposures, detector: Detector | None = None, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    pixels, bits = expose(scene, e, detector or CCD(), Seeds(seed).torch("noise"))
    return pixels.double().numpy(), bits.numpy()


def stored_numbers(level: float, gain: float, read_noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Whole ADU and their probabilities: Poisson electrons plus normal read noise, divided by the gain and rounded."""
    spread = 8 * np.hypot(np.sqrt(level * gain), read_noise)
    electrons = np.arange(max(0, int(level * gain - spread) - 10), int(level * gain + spread) + 20)
    adu = np.arange(int((level * gain - spread) / gain) - 3, int((level * gain + spread) / gain) + 4)
    edges = gain * np.append(adu - 0.5, adu[-1] + 0.5)
    below = ndtr((edges[:, None] - electrons) / read_noise) @ poisson.pmf(electrons, level * gain)
    return adu, np.diff(below)


@given(level=st.floats(1, 3000), gain=st.floats(0.5, 6), read_noise=st.floats(0.5, 20), seed=st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_flat_fields_have_the_moments_of_photons_read_noise_and_rounding(level: float, gain: float, read_noise: float, seed: int) -> None:
    pixels, bits = exposed(flat(level), camera(gain, read_noise), seed=seed)
    n = pixels.size
    adu, chance = stored_numbers(level, gain, read_noise)
    mean = adu @ chance
    variance, fourth = (((adu - mean) ** k) @ chance for k in (2, 4))
    # The chance of any 5 sigma deviation in 15 examples is 2e-5.
    assert pixels.mean() == pytest.approx(mean, abs=5 * np.sqrt(variance / n))
    assert pixels.var() == pytest.approx(variance, abs=5 * np.sqrt((fourth - variance**2) / n))
    # What theory says without rounding: mean L, variance L / g + (r / g)^2, and 1 / 12 for rounding wide distributions.
    if variance > 1.5:
        assert mean == pytest.approx(level, abs=1e-3)
        assert variance == pytest.approx(level / gain + (read_noise / gain) ** 2 + 1 / 12, abs=1e-3)
    assert not bits.any()


def test_photons_are_exactly_poisson_where_a_normal_distribution_would_fail() -> None:
    pixels, _ = exposed(flat(1.5, side=600), camera(1.0, 0.0), CCD(read_noise=False))
    counts = np.bincount(pixels.astype(int).ravel(), minlength=12)
    expected = poisson.pmf(np.arange(9), 1.5) * pixels.size
    observed = np.append(counts[:8], counts[8:].sum())
    expected[8] = pixels.size - expected[:8].sum()
    assert chisquare(observed, expected).pvalue > 1e-4


def test_read_noise_is_in_electrons() -> None:
    pixels, _ = exposed(flat(1000), camera(4.0, 40.0), CCD(photon_noise=False))
    n = pixels.size
    assert pixels.var() == pytest.approx(100 + 1 / 12, abs=5 * 100 * np.sqrt(2 / n))


def test_pixels_frames_and_objects_are_independent() -> None:
    pixels, _ = exposed(flat(300, n=3, epochs=2, side=200), camera(4.0, 7.0, n=3, epochs=2))
    noise = pixels[:, :, 0] - pixels.mean()
    sigma2, n = noise.var(), noise[0, 0].size
    limit = 5 * sigma2 / np.sqrt(6 * n)
    for dy, dx in ((0, 1), (1, 0), (1, 1), (2, 0)):
        shifted = np.roll(noise, (dy, dx), axis=(2, 3))
        assert abs((noise * shifted).mean()) < limit
    assert abs((noise[:, 0] * noise[:, 1]).mean()) < 5 * sigma2 / np.sqrt(3 * n)
    assert abs((noise[0] * noise[1]).mean()) < 5 * sigma2 / np.sqrt(2 * n)


def test_every_frame_has_its_own_gain_and_read_noise() -> None:
    e = exposures(2, 2).replace(
        gain=np.array([[1.0, 4.0], [2.0, 8.0]]), read_noise=np.array([[0.0, 10.0], [30.0, 2.0]]), saturation=np.full((2, 2), 1e9)
    )
    pixels, _ = exposed(flat(500, 2, 2, 200), e)
    expected = 500 / e.gain + (e.read_noise / e.gain) ** 2 + 1 / 12
    np.testing.assert_allclose(pixels.var(axis=(2, 3, 4)), expected, rtol=5 * np.sqrt(2 / 40_000))


def test_without_effects_only_rounding_is_left() -> None:
    rng = np.random.default_rng(1)
    scene = torch.from_numpy(rng.uniform(-5, 5000, (2, 3, 1, 9, 9)).astype(np.float32))
    pixels, bits = expose(scene, camera(3.7, 5.0, n=2, epochs=3), CCD(False, False, False), Seeds(0).torch("noise"))
    assert (pixels == pixels.round()).all()
    assert (pixels - scene).abs().max() <= 0.501
    assert not bits.any()
    assert pixels.dtype == torch.float32
    assert bits.dtype == torch.uint8


def test_saturated_pixels_are_clipped_and_marked_and_no_others() -> None:
    scene = flat(1000, side=9)
    scene[0, 0, 0, 2, 3] = 50_000
    scene[0, 0, 0, 4, 4] = 34_000
    pixels, bits = exposed(scene, camera(4.0, 6.0, saturation=35_000))
    assert pixels[0, 0, 0, 2, 3] == 35_000
    assert bits[0, 0, 0, 2, 3] == PixelBits.SATURATED
    assert np.count_nonzero(bits) == 1
    assert pixels[0, 0, 0, 4, 4] < 35_000
    unclipped, unmarked = exposed(scene, camera(4.0, 6.0, saturation=35_000), CCD(saturation=False))
    assert unclipped.max() > 45_000
    assert not unmarked.any()


def test_same_generator_same_bytes() -> None:
    e = camera(4.0, 6.0)
    assert exposed(flat(300), e, seed=4)[0].tobytes() == exposed(flat(300), e, seed=4)[0].tobytes()
    assert exposed(flat(300), e, seed=4)[0].tobytes() != exposed(flat(300), e, seed=5)[0].tobytes()


def test_padding_and_slightly_negative_scenes_stay_finite() -> None:
    e = camera(4.0, 6.0, epochs=2).replace(mask=np.array([[True, False]]), gain=np.array([[4.0, 0.0]]))
    pixels, _ = exposed(flat(-1e-3, epochs=2, side=5), e)
    assert np.isfinite(pixels).all()


@dataclass
class Doubling(Effect):
    stage: ClassVar[str] = "scene"  # type: ignore[misc,assignment]

    def apply(self, pixels, bits, exposures, generator):  # type: ignore[no-untyped-def]
        return pixels * 2, bits | PixelBits.BAD


class Offset(Doubling):
    stage: ClassVar[str] = "adu"  # type: ignore[misc,assignment]

    def apply(self, pixels, bits, exposures, generator):  # type: ignore[no-untyped-def]
        return pixels + 0.4, bits


class Nowhere(Doubling):
    stage: ClassVar[str] = "sky"  # type: ignore[misc,assignment]


class Listed(Detector):
    def __init__(self, *effects: Effect) -> None:
        self.listed = effects

    def effects(self) -> Sequence[Effect]:
        return self.listed


def test_other_effects_take_their_stage_and_rounding_comes_last() -> None:
    e = camera(3.0, 0.0)
    pixels, bits = exposed(flat(100.3, side=5), e, Listed(Doubling(), Offset()))
    assert (pixels == 201).all()
    assert (bits == PixelBits.BAD).all()


def test_effects_out_of_order_or_without_a_stage_are_named() -> None:
    with pytest.raises(PluginError, match=r"detector Listed: effects: Offset \(adu\), Doubling \(scene\); list them in the order"):
        exposed(flat(1, side=5), camera(1.0, 0.0), Listed(Offset(), Doubling()))
    with pytest.raises(PluginError, match="effect Nowhere: no known stage"):
        exposed(flat(1, side=5), camera(1.0, 0.0), Listed(Nowhere()))
    with pytest.raises(DataError, match="expose: scene"):
        exposed(flat(1, n=2, side=5), camera(1.0, 0.0))
