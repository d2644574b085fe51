"""The way to LightCurveLynx: classes come from the packages that the user names, what goes wrong there is a typed error."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import numpy as np

from skyreel.errors import ConfigError, DatasetError, PluginError, SkyreelError
from skyreel.interfaces import Array
from skyreel.registry import nearest

SPACING = 5.0
"""Grid of the integration over a filter [angstrom]."""
TRIM = 0.01
"""A filter curve ends where its transmission falls below this fraction of its maximum: the measured wings of decam2014 reach from
3,300 to 10,300 angstrom, where many spectra do not, and hold 3 % of the light of a flat source in u, 0.8 % in g."""


def check_installed(who: str) -> None:
    """Raises PluginError, beginning with `who`, unless LightCurveLynx and speclite are installed."""
    missing = [name for name in ("lightcurvelynx", "speclite") if importlib.util.find_spec(name) is None]
    if missing:
        raise PluginError(who, f"{' and '.join(missing)} not installed", "run: pip install skyreel[lightcurvelynx]")


def named_class(dotted: str, packages: Sequence[str]) -> type:
    """A class by its dotted name.

    Parameters
    ----------
    dotted : str
        'package.module.Class'.
    packages : sequence of str
        Packages in which it must be defined: names that a module only imports from elsewhere are refused.

    Raises
    ------
    ConfigError
        If it comes from elsewhere, does not exist or cannot be imported.
    """
    module, _, name = dotted.rpartition(".")
    allowed = ", ".join(packages) or "no package"
    remedy = "name it package.module.Class, or add the package to the option packages if you trust it"
    if not _within(module, packages):
        raise ConfigError(repr(dotted), f"is not in {allowed}", remedy)
    try:
        loaded = importlib.import_module(module)
    except Exception as err:  # a third party's import may raise anything
        raise ConfigError(repr(dotted), f"{type(err).__name__}: {err}", "install what it needs or correct the name") from err
    cls = getattr(loaded, name, None)
    if not isinstance(cls, type):
        have = [word for word, value in vars(loaded).items() if isinstance(value, type) and value.__module__ == module]
        raise ConfigError(repr(dotted), f"{module} has no such class{nearest(name, have)}", f"it has {', '.join(have) or 'none'}")
    if not _within(cls.__module__, packages):
        raise ConfigError(repr(dotted), f"it belongs to {cls.__module__}, which is not in {allowed}", remedy)
    return cls


def _within(module: str, packages: Sequence[str]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


@contextmanager
def refusals(asked: str, remedy: str) -> Iterator[None]:
    """Turns what LightCurveLynx raises into typed errors that begin with `asked`.

    Raises
    ------
    DatasetError
        For files and servers.
    ConfigError
        For everything else.
    """
    try:
        yield
    except SkyreelError:
        raise
    except OSError as err:
        found = f"{type(err).__name__}: {' '.join(str(err).split())}"
        raise DatasetError(asked, found, "it reads a file or a server: get the file first and name it") from err
    except Exception as err:  # a third party's code may raise anything
        raise ConfigError(asked, f"{type(err).__name__}: {' '.join(str(err).split())}", remedy) from err


@lru_cache(maxsize=16)
def group_bands(filter_set: str) -> Mapping[str, str]:
    """Bands of a speclite group in order of wavelength: lower-case letter -> curve name, for example u -> decam2014-u.

    Raises
    ------
    ConfigError
        For an unknown group.
    """
    from speclite import filters

    if filter_set not in filters.filter_group_names:
        found = f"unknown{nearest(filter_set, filters.filter_group_names)}"
        raise ConfigError(f"filter_set {filter_set!r}", found, f"have {', '.join(filters.filter_group_names)}")
    loaded = sorted(filters.load_filters(f"{filter_set}-*"), key=lambda response: float(response.effective_wavelength.value))
    return MappingProxyType({response.name.rpartition("-")[2].lower(): response.name for response in loaded})


@lru_cache(maxsize=64)
def curve(name: str) -> Array:
    """Wavelength [angstrom] and transmission of speclite's 'group-band', (W, 2), between its ends at `TRIM`.

    Raises
    ------
    ConfigError
        For an unknown group or band.
    """
    from speclite import filters

    group, _, band = name.rpartition("-")
    known = group_bands(group)
    if name not in known.values():
        raise ConfigError(f"filter curve {name!r}", f"{group} has no {band}", f"its bands are {', '.join(known)}")
    response = filters.load_filter(name)
    kept = np.flatnonzero(response.response >= TRIM * response.response.max())
    part = slice(kept[0], kept[-1] + 1)
    return np.stack([response.wavelength[part], response.response[part]], axis=1)


@lru_cache(maxsize=16)
def passbands(curves: tuple[tuple[str, str], ...]) -> Any:
    """A ``PassbandGroup`` of (band, name of its curve), see `curve`."""
    from lightcurvelynx.astro_utils.passbands import Passband, PassbandGroup

    made = []
    for band, name in curves:
        wave, transmission = curve(name).T
        # LightCurveLynx integrates with SPACING even where its own grid misses it: fluxes would be off by up to 0.3 %
        grid = np.arange(wave[0], wave[-1] + 1e-6, SPACING)
        table = np.stack([grid, np.interp(grid, wave, transmission)], axis=1)
        made.append(Passband(table, "skyreel", band, delta_wave=SPACING, trim_quantile=None))
    return PassbandGroup(made)
