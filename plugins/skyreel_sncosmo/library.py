"""The way to sncosmo and speclite: what is missing, unknown or not downloaded becomes a typed error."""

from __future__ import annotations

import importlib.util
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from skyreel.errors import ConfigError, DatasetError, PluginError
from skyreel.interfaces import Array
from skyreel.registry import nearest

TIMEOUT = 10.0
"""Seconds after which a server that does not answer is given up; sncosmo sets no limit for some of its requests."""
TRIM = 0.01
"""A curve of speclite ends where its transmission falls below this fraction of its maximum (sncosmo's own: 0.001). The measured wings
of decam2014 reach from 3,300 to 10,300 angstrom, where many spectra do not; they hold 3 % of the light of a flat source in u,
0.8 % in g, at most 0.6 % in the others."""
DUST = {"ccm89": "CCM89Dust", "od94": "OD94Dust", "f99": "F99Dust"}
"""Extinction laws by option and their sncosmo classes: Cardelli, Clayton & Mathis 1989; O'Donnell 1994; Fitzpatrick 1999."""


def check_installed() -> None:
    """Raises PluginError unless sncosmo and speclite are installed."""
    missing = [name for name in ("sncosmo", "speclite") if importlib.util.find_spec(name) is None]
    if missing:
        raise PluginError("source 'sncosmo'", f"{' and '.join(missing)} not installed", "run: pip install skyreel[sncosmo]")


def source(model: str, version: str | None = None) -> Any:
    """A new copy of a source of sncosmo's registry.

    Parameters
    ----------
    model : str
        Built-in name, or one registered with ``sncosmo.register`` in this process.
    version : str, optional
        Default: the latest.

    Raises
    ------
    ConfigError
        For an unknown name or version.
    DatasetError
        If sncosmo has to download the model and cannot.
    """
    import sncosmo
    from sncosmo.models import _SOURCES

    known = {(name, number) for name, number in (*_SOURCES._loaders, *_SOURCES._instances)}
    names = sorted({name for name, _ in known})
    if model.lower() not in names:
        few = ", ".join(name for name in ("hsiao-subsampled", "hsiao", "salt2", "salt3", "nugent-sn2p", "nugent-sn91bg") if name in names)
        found = f"unknown to sncosmo {sncosmo.__version__}{nearest(model.lower(), names)}"
        raise ConfigError(f"source.sncosmo.model {model!r}", found, f"name one of its {len(names)} sources, for example {few}")
    if version is not None and (model.lower(), version) not in known:
        have = ", ".join(sorted(str(number) for name, number in known if name == model.lower() and number is not None))
        raise ConfigError(f"source.sncosmo.version {version!r}", f"no such version of {model}", f"choose one of {have or 'none (null)'}")
    command = f"sncosmo.get_source({model!r}{'' if version is None else f', version={version!r}'})"
    with _downloads(f"source.sncosmo.model {model!r}", command, "choose a model that needs none: hsiao-subsampled"):
        return sncosmo.get_source(model, version=version)


@lru_cache(maxsize=64)
def curve(name: str) -> Any:
    """A filter curve as ``sncosmo.Bandpass``: speclite's for 'group-band' (no download), else sncosmo's by name.

    Raises
    ------
    ConfigError
        For a name that neither knows.
    DatasetError
        If sncosmo has to download the curve and cannot.
    """
    import sncosmo
    from speclite import filters

    group, _, band = name.rpartition("-")
    if group in filters.filter_group_names:
        try:
            response = filters.load_filter(name)
        except ValueError as err:
            raise ConfigError(f"filter curve {name!r}", f"{group} has no {band}", f"choose one of {', '.join(group_bands(group))}") from err
        return sncosmo.Bandpass(response.wavelength, response.response, name=name, trim_level=TRIM)
    asked = f"filter curve {name!r}"
    remedy = f"choose a curve that needs none, such as decam2014-g or lsst2023-r; groups are {', '.join(filters.filter_group_names)}"
    with _downloads(asked, f"sncosmo.get_bandpass({name!r})", remedy):
        try:
            return sncosmo.get_bandpass(name)
        except OSError:
            raise
        except Exception as err:  # sncosmo raises a bare Exception for unknown names
            raise ConfigError(asked, "unknown to sncosmo and speclite", "see sncosmo's list of bandpasses; " + remedy) from err


def group_bands(group: str) -> dict[str, str]:
    """Bands of a speclite group in order of wavelength: lower-case letter -> curve name, for example u -> decam2014-u.

    Raises
    ------
    ConfigError
        For an unknown group.
    """
    from speclite import filters

    if group not in filters.filter_group_names:
        have = ", ".join(filters.filter_group_names)
        raise ConfigError(f"source.sncosmo.filter_set {group!r}", f"unknown{nearest(group, filters.filter_group_names)}", f"have {have}")
    loaded = sorted(filters.load_filters(f"{group}-*"), key=lambda response: float(response.effective_wavelength.value))
    return {response.name.rpartition("-")[2].lower(): response.name for response in loaded}


def dust(law: str, r_v: float) -> Callable[[Array], Array]:
    """Extinction [mag] per unit of E(B-V) as a function of wavelength [angstrom].

    Parameters
    ----------
    law : str
        Key of `DUST`.
    r_v : float
        A(V) / E(B-V).
    """
    effect = dust_effect(law, r_v)
    effect.set(ebv=1.0)

    def extinction(wave: Array) -> Array:
        return np.asarray(-2.5 * np.log10(effect.propagate(wave, np.ones((1, len(wave))))[0]), np.float64)

    return extinction


def dust_effect(law: str, r_v: float) -> Any:
    """The law as an effect of sncosmo, without dust yet; its wavelengths [angstrom] bound where it may be used."""
    import sncosmo

    if law == "f99":
        return sncosmo.F99Dust(r_v)
    effect = getattr(sncosmo, DUST[law])()
    effect.set(r_v=r_v)
    return effect


@contextmanager
def _downloads(asked: str, command: str, otherwise: str) -> Iterator[None]:
    """One process at a time, and no endless wait: sncosmo writes straight into its cache."""
    from filelock import FileLock

    before = socket.getdefaulttimeout()
    with FileLock(Path(tempfile.gettempdir()) / "skyreel-sncosmo.lock", mode=0o666):
        socket.setdefaulttimeout(TIMEOUT)
        try:
            yield
        except OSError as err:  # URLError and HTTPError are OSErrors
            why = " ".join(str(err).split())
            found = f"sncosmo wants to download it and cannot ({type(err).__name__}: {why})"
            remedy = f'run once with a network: python -c "import sncosmo; {command}", or {otherwise}'
            raise DatasetError(asked, found, remedy) from err
        finally:
            socket.setdefaulttimeout(before)
