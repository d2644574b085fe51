"""Builds eclipsing_binary.npz: g light curves of 800 contact and 300 detached binaries with their orbits.

Run as ``python -m skyreel_sources.tables.build_eclipsing_binary --templates DIR --output FILE`` (about a minute; DIR is
not read, the curves are computed by `skyreel_sources.tables.roche`).

Contact binaries: periods ln P ~ N(ln 0.30 d, 0.22) in 0.215..0.8 d, mass ratio q = 0.08 + 0.9 Beta(2, 2), temperature
T1 = 5200 + 7500 (P - 0.30) + N(0, 250) in 4000..7800 K, T2 = T1 + N(-50, 180) K, fill-out 0.8 Beta(1.3, 4), inclinations
isotropic above 35 degrees. The period law was chosen after looking at the periods of real HiTS binaries.
Detached binaries: M1 = 0.5 + Gamma(2, 0.22) Msun, q ~ U(0.35, 1), lg P ~ N(0.1, 0.35), main-sequence radii M**0.8
(M**0.57 above 1 Msun) times U(0.95, 1.4) for age, T = 5772 K M**0.55, isotropic. Only curves deeper than 0.1 mag are kept.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from skyreel_sources.tables import roche
from skyreel_sources.tables.command import arguments

Array = NDArray[np.float64]
CONTACT, DETACHED = 800, 300
SEED = 20150217
SHALLOWEST = 0.1
"""mag."""
PHASES = np.arange(65) / 128.0
"""Half a cycle: circular synchronous orbits repeat mirrored."""
System = tuple[float, float, float, float, float]
"""Period [d], mass ratio, T1 [K], T2 [K], inclination [deg]."""


def inclination(rng: np.random.Generator, lowest: float) -> float:
    """Isotropic inclination [deg] above `lowest`."""
    return float(np.degrees(np.arccos(rng.uniform(0.0, np.cos(np.radians(lowest))))))


def contact(rng: np.random.Generator) -> tuple[System, Array]:
    """One contact binary: its system and its curve [mag] at `PHASES`."""
    period = 0.0
    while not 0.215 <= period <= 0.8:
        period = float(np.exp(rng.normal(np.log(0.30), 0.22)))
    q = 0.08 + 0.9 * rng.beta(2.0, 2.0)
    hot = float(np.clip(5200.0 + 7500.0 * (period - 0.30) + rng.normal(0.0, 250.0), 4000.0, 7800.0))
    cool = hot + rng.normal(-50.0, 180.0)
    inner, outer = (roche.on_axis(q, x) for x in roche.lagrange(q)[:2])
    level = inner - 0.8 * rng.beta(1.3, 4.0) * (inner - outer)
    tilt = inclination(rng, 35.0)
    return (period, q, hot, cool, tilt), roche.light_curve(q, (level, level), (hot, cool), tilt, PHASES)


def detached(rng: np.random.Generator) -> tuple[System, Array] | None:
    """One detached binary; None if a star overflows its Roche lobe or no eclipse can happen."""
    mass = 0.5 + rng.gamma(2.0, 0.22)
    q = rng.uniform(0.35, 1.0)
    period = 10.0 ** rng.normal(0.1, 0.35)
    masses = np.array([mass, q * mass])
    axis = 4.207 * np.cbrt(masses.sum() * period**2)  # Kepler's third law, solar radii
    radii = masses ** np.where(masses < 1.0, 0.8, 0.57) * rng.uniform(0.95, 1.4, 2) / axis
    hot, cool = 5772.0 * masses**0.55
    tilt = inclination(rng, 0.0)
    if np.cos(np.radians(tilt)) > radii.sum() or radii.sum() > 0.8:
        return None
    x = np.array([0.0, 1.0])
    levels = roche.potential(q, x, np.zeros(2), radii)
    if levels.min() < roche.on_axis(q, roche.lagrange(q)[0]) + 0.01:
        return None
    system = (period, q, float(hot), float(cool), tilt)
    return system, roche.light_curve(q, (float(levels[0]), float(levels[1])), (float(hot), float(cool)), tilt, PHASES)


def main() -> None:
    """Writes `curve` int16 (N, 65) [mmag below maximum light], `type` (0 contact, 1 detached) and `system` (N, 5)."""
    options = arguments(__doc__)
    rng = np.random.default_rng(SEED)
    systems: list[System] = []
    curves: list[Array] = []
    for draw, wanted in ((contact, CONTACT), (detached, CONTACT + DETACHED)):
        while len(curves) < wanted:
            made = draw(rng)
            if made is not None and np.ptp(made[1]) > SHALLOWEST:
                systems.append(made[0])
                curves.append(made[1])
    curve = np.stack(curves)
    # Star 1 is the more massive; phase 0 is the deeper eclipse, whichever star it hides.
    curve = np.where((curve[:, 0] >= curve[:, -1])[:, None], curve, curve[:, ::-1])
    np.savez_compressed(
        Path(options.output),
        curve=np.round(1e3 * curve).astype(np.int16),
        type=(np.arange(CONTACT + DETACHED) >= CONTACT).astype(np.int8),
        system=np.array(systems, np.float32),
    )


if __name__ == "__main__":
    main()
