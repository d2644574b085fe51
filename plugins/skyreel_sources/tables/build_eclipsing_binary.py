"""Builds eclipsing_binary.npz: light curves in u, g, r, i, z, y of contact, detached and semi-detached binaries.

Run as ``python -m skyreel_sources.tables.build_eclipsing_binary --templates DIR --output FILE`` (two minutes; DIR is not
read, the curves are computed by `skyreel_sources.tables.roche_curve`). The bank is broad; how often each curve is drawn is
decided by the constants of eclipsing_binary.json, fitted by benchmarks/sky/fit_eclipsing_binary.py. Star 0 is the more massive.
Laws whose source is not named are assumptions, not fitted to any real light curve.

Contact binaries: ln P ~ N(ln 0.32, 0.30), P in 0.2..0.95 d (W UMa stars end at 0.22 d, Rucinski 1992, AJ 103, 960 [recalled]), mass
ratio q = 0.08 + 0.9 Beta(2, 2), T_0 = 5200 + 7500 (P - 0.30) + N(0, 250) in 4000..7800 K (longer periods are hotter: Eggen
1967, MemRAS 70, 111 [recalled]), T_1 = T_0 + N(-50, 180) K, fill-out 0.8 Beta(1.3, 4), inclinations isotropic above 35 degrees.
Detached binaries: M_0 = 0.5 + Gamma(2, 0.22) Msun, q ~ U(0.35, 1), lg P ~ N(0.25, 0.4), main-sequence radii M**0.8
(M**0.57 above 1 Msun) times U(0.95, 1.4) for age, T = 5772 K M**0.55 (at least 2800 K), isotropic. Beyond 2 d eccentric:
e = U(0, e_max) with e_max = 1 - (P / 2 d)**(-2/3) (Moe & Di Stefano 2017, ApJS 230, 15, equation 3 [recalled]); below 0.02
taken as circular.
Semi-detached binaries (Algols): M_0 = 0.8 + Gamma(2, 0.35) Msun of the same radii and temperatures, q ~ U(0.15, 0.6),
lg P ~ N(0.05, 0.25); star 1 fills its lobe and has T_1 = T_0 U(0.5, 0.8), isotropic.
Kept are curves of at least `SHALLOWEST` mag in g in which detached stars eclipse each other.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyreel.files import write_bytes
from skyreel_sources.eclipsing_binary_bank import BANDS, KINDS, PROPOSED, SAMPLES
from skyreel_sources.tables import roche
from skyreel_sources.tables.command import arguments
from skyreel_sources.tables.roche_curve import Binary, light_curve, magnitudes
from skyreel_sources.tables.roche_light import blackbody, limb_darkening, wavelengths

Array = NDArray[np.float64]
COUNTS = dict(zip(KINDS, (900, 400, 200), strict=True))
SEED = 20150217
SHALLOWEST = 0.05
"""mag."""
PHASES = np.arange(SAMPLES) / SAMPLES
HALF = SAMPLES // 2
COOLEST = 2800.0
"""K; the mass-temperature law is too steep for the lowest masses."""
CIRCULAR = 0.02
"""Smaller eccentricities are taken as 0."""


def isotropic(rng: np.random.Generator, lowest: float = 0.0) -> float:
    """Isotropic inclination [deg] above `lowest`."""
    return float(np.degrees(np.arccos(rng.uniform(0.0, np.cos(np.radians(lowest))))))


def main_sequence(masses: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Radii [Rsun] and temperatures [K] of dwarfs of `masses` [Msun]."""
    return masses ** np.where(masses < 1.0, 0.8, 0.57) * rng.uniform(0.95, 1.4, len(masses)), np.maximum(5772.0 * masses**0.55, COOLEST)


def axis(mass: float, period: float) -> float:
    """Semi-major axis [Rsun] for a total mass [Msun] and period [d]: Kepler's third law."""
    return float(4.207 * np.cbrt(mass * period**2))


def contact(rng: np.random.Generator) -> tuple[float, Binary] | None:
    """Period [d] and geometry of one contact binary; None if the draw is outside the ranges."""
    period = float(np.exp(rng.normal(np.log(PROPOSED[0]), PROPOSED[1])))
    q = 0.08 + 0.9 * rng.beta(2.0, 2.0)
    hot = float(np.clip(5200.0 + 7500.0 * (period - 0.30) + rng.normal(0.0, 250.0), 4000.0, 7800.0))
    cool = float(hot + rng.normal(-50.0, 180.0))
    inner, outer = roche.critical(q)
    level = inner - 0.8 * rng.beta(1.3, 4.0) * (inner - outer)
    tilt = isotropic(rng, 35.0)
    if not 0.2 <= period <= 0.95:
        return None
    return period, Binary(q, (level, level), (hot, cool), tilt)


def detached(rng: np.random.Generator) -> tuple[float, Binary] | None:
    """One detached binary; None if a star reaches its Roche lobe at periastron or no eclipse can happen."""
    mass = 0.5 + rng.gamma(2.0, 0.22)
    q = float(rng.uniform(0.35, 1.0))
    period = float(10.0 ** rng.normal(0.25, 0.4))
    masses = np.array([mass, q * mass])
    radii, temperatures = main_sequence(masses, rng)
    radii = radii / axis(masses.sum(), period)
    tilt, omega = isotropic(rng), float(rng.uniform(0.0, 360.0))
    e = rng.uniform(0.0, 1.0) * (1.0 - max(period / 2.0, 1.0) ** (-2.0 / 3.0))
    e = float(e) if e >= CIRCULAR else 0.0
    lobes = np.array([roche.lobe_radius(q), roche.lobe_radius(1.0 / q)])
    conjunctions = (1.0 - e**2) / (1.0 + e * np.sin(np.radians(omega)) * np.array([1.0, -1.0]))
    eclipses = np.cos(np.radians(tilt)) * conjunctions.min() < radii.sum()
    if not eclipses or (radii > 0.97 * (1.0 - e) * lobes).any():
        return None
    levels = [float(roche.level_of_radius(q, radius, star)[0]) for star, radius in enumerate(radii)]
    return period, Binary(q, (levels[0], levels[1]), (float(temperatures[0]), float(temperatures[1])), tilt, e, omega)


def semi_detached(rng: np.random.Generator) -> tuple[float, Binary] | None:
    """One Algol, whose less massive star fills its Roche lobe; None if the other would reach its own."""
    mass = 0.8 + rng.gamma(2.0, 0.35, 1)
    q = float(rng.uniform(0.15, 0.6))
    period = float(10.0 ** rng.normal(0.05, 0.25))
    (radius,), (hot,) = main_sequence(mass, rng)
    radius = radius / axis(float(mass[0]) * (1.0 + q), period)
    cool, tilt = float(hot * rng.uniform(0.5, 0.8)), isotropic(rng, 35.0)
    if radius > 0.9 * roche.lobe_radius(q) or cool < 3000.0:
        return None
    levels = float(roche.level_of_radius(q, radius, 0)[0]), roche.critical(q)[0]
    return period, Binary(q, levels, (float(hot), cool), tilt)


def second_conjunction(binary: Binary) -> float:
    """Phase at which star 1 is behind star 0, counted from the opposite conjunction."""
    e, omega = binary.eccentricity, np.radians(binary.periastron)
    true = np.array([0.5, 1.5]) * np.pi - omega
    anomaly = 2.0 * np.arctan2(np.sqrt(1.0 - e) * np.sin(0.5 * true), np.sqrt(1.0 + e) * np.cos(0.5 * true))
    mean = anomaly - e * np.sin(anomaly)
    return float((mean[1] - mean[0]) / (2.0 * np.pi) % 1.0)


def curves(binary: Binary) -> Array:
    """Magnitudes (6, 256) over one cycle from the deeper eclipse in g on."""
    if binary.eccentricity == 0.0:
        half = magnitudes(light_curve(binary, PHASES[: HALF + 1], BANDS))
        if half[1, 0] < half[1, -1]:
            half = half[:, ::-1]
        return np.concatenate([half, half[:, -2:0:-1]], axis=1)
    curve = light_curve(binary, PHASES, BANDS)
    other = second_conjunction(binary)
    if light_curve(binary, np.array([other]))[0, 0] < curve[1, 0]:
        curve = light_curve(binary, PHASES + other, BANDS)
    return magnitudes(curve)


def share(binary: Binary) -> float:
    """Share of star 0 in the light in g, of spheres of the stars' volumes."""
    micron = float(wavelengths(("g",))[0])
    light = [
        float(blackbody(micron, kelvin))
        * (1.0 - limb_darkening(micron, kelvin) / 3.0)
        * roche.surface(binary.q, level, star).volume_radius[0] ** 2
        for star, (level, kelvin) in enumerate(zip(binary.levels, binary.temperatures, strict=True))
    ]
    return float(light[0] / sum(light))


def fill(
    draw: Callable[[np.random.Generator], tuple[float, Binary] | None], count: int, rng: np.random.Generator
) -> tuple[list[Array], list[Array]]:
    """`count` binaries: rows of system and curves (6, 256)."""
    systems: list[Array] = []
    made: list[Array] = []
    while len(made) < count:
        drawn = draw(rng)
        if drawn is None:
            continue
        period, binary = drawn
        bands = curves(binary)
        if np.ptp(bands[1]) >= SHALLOWEST:
            orbit = (binary.inclination, binary.eccentricity, binary.periastron, share(binary))
            systems.append(np.array([period, binary.q, *binary.temperatures, *orbit]))
            made.append(bands)
    return systems, made


def pack(values: Array, circular: NDArray[np.bool_], name: str) -> dict[str, NDArray[np.int16]]:
    """Curves (N, 256) [mmag] as differences along the phase: (Nc, 129) of half a cycle and (Ne, 256) of eccentric orbits."""
    parts = {f"{name}_half": values[circular, : HALF + 1], f"{name}_full": values[~circular]}
    return {key: np.diff(part, axis=1, prepend=0.0).astype(np.int16) for key, part in parts.items()}


def main() -> None:
    """Writes the bank; rows are sorted by kind, in the order of `COUNTS`.

    Per band ``g_half`` and ``g_full`` (see `pack`; rows in the bank's order), of the other bands minus g; ``kind`` (N,) and
    ``system`` (N, 8): period [d], q, T_0, T_1 [K], inclination [deg], e, periastron [deg], light share of star 0.
    """
    options = arguments(__doc__)
    systems: list[Array] = []
    made: list[Array] = []
    for index, (draw, count) in enumerate(zip((contact, detached, semi_detached), COUNTS.values(), strict=True)):
        one, two = fill(draw, count, np.random.default_rng((SEED, index)))
        systems, made = systems + one, made + two
    system = np.stack(systems)
    circular = system[:, 5] == 0.0
    curve = 1e3 * np.stack(made)
    g = curve[:, BANDS.index("g")]
    table: dict[str, Any] = {
        "kind": np.repeat(np.arange(len(COUNTS)), list(COUNTS.values())).astype(np.int8),
        "system": system.astype(np.float32),
    }
    for index, name in enumerate(BANDS):
        table |= pack(np.round(g if name == "g" else curve[:, index] - g), circular, name)
    stream = io.BytesIO()
    np.savez_compressed(stream, **table)
    write_bytes(Path(options.output), stream.getvalue())


if __name__ == "__main__":
    main()
