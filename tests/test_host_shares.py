"""How hosts and neighbours are counted on real stamps: the measures on known images, and what they find on the development fields."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(Path(__file__).resolve().parents[1] / "benchmarks" / "sky")
    import hosts

    return hosts


def stacks(script: ModuleType, n: int, frames: int = 5, light: np.ndarray | None = None) -> list:
    """Images of empty sky of 110 ADU with Gaussian noise, and `light` (21, 21) [ADU] on it."""
    rng = np.random.default_rng(0)
    variance = np.full(frames, 110 / script.GAIN + (script.READ_NOISE / script.GAIN) ** 2)
    zero_point = rng.uniform(24.9, 25.1, frames)
    noise = rng.standard_normal((n, frames, 21, 21)) * np.sqrt(variance[:, None, None])
    flat = np.zeros((21, 21)) if light is None else light
    return [script.Stack(110 + flat + part, np.full(frames, 4.5), zero_point, variance) for part in noise]


def blob(flux: float, x: float, y: float, width: float = 4.5) -> np.ndarray:
    image = np.exp(-4 * np.log(2) * ((np.arange(21) - 10 - x) ** 2 + (np.arange(21)[:, None] - 10 - y) ** 2) / width**2)
    return flux * image / image.sum()


def test_empty_sky_has_standard_normal_significance(script: ModuleType) -> None:
    found = np.array([script.significance(stack) for stack in stacks(script, 1500)])
    assert abs(found.mean()) < 5 / np.sqrt(1500)
    assert found.std() == pytest.approx(1, abs=5 / np.sqrt(2 * 1500))


def test_a_star_has_the_significance_of_its_flux(script: ModuleType) -> None:
    # Sky-limited: flux over its error is flux sqrt(frames x sum of squares of the profile / variance); the median of the 216
    # border pixels adds its own variance, times the profile's effective area.
    stack = stacks(script, 1)[0]
    area = 1 / (blob(1, 0, 0) ** 2).sum()
    expected = 2000 * np.sqrt(5 / area / stack.variance[0] / (1 + np.pi / 2 / 216 * area))
    found = [script.significance(part) for part in stacks(script, 200, light=blob(2000, 0, 0))]
    assert np.mean(found) == pytest.approx(expected, rel=0.02)


def test_neighbours_are_found_beside_stars_and_stars_alone_have_none(script: ModuleType) -> None:
    star = blob(50_000, 0.2, -0.1)
    alone = np.array([script.neighbour(part) for part in stacks(script, 100, light=star)])
    beside = np.array([script.neighbour(part) for part in stacks(script, 100, light=star + blob(2500, 7, 5))])
    assert (alone > script.LIMIT).mean() <= 0.02
    assert (beside > script.LIMIT).mean() > 0.9


def test_only_first_nights_well_before_the_detection_count(script: ModuleType) -> None:
    mjd = np.array([57070.1, 57070.2, 57071.1, 57075.1])
    np.testing.assert_array_equal(script.first_night(mjd, 57075.0), [True, True, False, False])
    assert not script.first_night(mjd, 57071.5).any()
    np.testing.assert_array_equal(script.all_before(mjd, 57071.1), [True, True, False, False])


@pytest.mark.real_data
def test_real_supernovae_show_hosts_before_they_are_detected(script: ModuleType, data_dir: Path) -> None:
    # 53 objects counted before the light curves of wrong fields were left out: 39 (74 %) and 43 (81 %).
    found, field = script.real(data_dir, "supernova", script.all_before)
    assert len(found) == 49
    assert sum(script.significance(stack) > 5 for stack in found) == 35
    assert sum(script.brightest_pixel(stack) > 8 for stack in found) == 40
    low, high = script.interval(np.array([script.significance(stack) > 5 for stack in found]), field)
    assert low < 0.74 < high
