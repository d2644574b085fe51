"""Builds snia.npz: absolute AB magnitude of a normal SN Ia over redshift and rest-frame phase, per band.

Run as ``python -m skyreel_sources.tables.build_snia --templates DIR --output FILE`` (needs sncosmo and speclite, the
extra ``skyreel[tables]``; DIR is not read, the spectra come inside sncosmo).

Sources: spectral template of Hsiao et al. 2007 (ApJ 663, 1187) V3 as packaged by sncosmo ('hsiao-subsampled'), DECam
filter curves of speclite ('decam2014', u g r i z Y), peak M_B = -19.36 in the Vega system, B(AB) = B(Vega) - 0.09
(Blanton & Roweis 2007, AJ 133, 734, table 1).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from skyreel_sources.tables.command import arguments

BANDS = ("u", "g", "r", "i", "z", "Y")
REDSHIFT = np.linspace(0.0, 1.0, 51)
PHASE = np.arange(-18.0, 86.0)
"""Days from B maximum, rest frame."""
PEAK_B = -19.36 - 0.09
"""AB magnitude at B maximum."""
FAINTEST = 0.0
"""Absolute magnitude given to phases without flux."""


def main() -> None:
    """Writes `redshift` (Z,), `phase` [d] (P,), `absmag` [mag] (6, Z, P) and `wavelength` [angstrom] (6,)."""
    import astropy.units as u
    import sncosmo
    from speclite import filters

    options = arguments(__doc__)
    source = sncosmo.get_source("hsiao-subsampled")
    source.set_peakmag(PEAK_B, "bessellb", "ab")
    rest = np.arange(source.minwave(), 12_000.0, 5.0)
    flux = np.clip(source.flux(PHASE, rest), 0.0, None)
    responses = filters.load_filters(*(f"decam2014-{band}" for band in BANDS))
    unit = u.erg / u.s / u.cm**2 / u.angstrom
    absmag = np.full((len(BANDS), len(REDSHIFT), len(PHASE)), FAINTEST)
    for row, z in enumerate(REDSHIFT):
        # At 10 pc, a spectrum stretched by (1+z) carries 1/(1+z) of the flux per observed wavelength.
        padded, wave = responses.pad_spectrum(flux / (1.0 + z) * unit, rest * (1.0 + z) * u.angstrom, method="zero")
        for index, response in enumerate(responses):
            maggies = np.asarray(response.get_ab_maggies(padded, wave))
            absmag[index, row] = np.where(maggies > 0, -2.5 * np.log10(np.where(maggies > 0, maggies, 1.0)), FAINTEST)
    wavelength = np.array([response.effective_wavelength.to_value(u.angstrom) for response in responses])
    np.savez_compressed(
        Path(options.output),
        redshift=REDSHIFT,
        phase=PHASE,
        absmag=np.minimum(absmag, FAINTEST).astype(np.float32).round(4),
        wavelength=wavelength,
    )


if __name__ == "__main__":
    main()
