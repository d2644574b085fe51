"""The public inputs by name: address, checksum, licence, citation.

Addresses name a full commit, so that what they serve cannot change; the checksums are those of the files that the tables
committed with this package were made from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from skyreel.errors import DatasetError
from skyreel.registry import nearest

_RAW = "https://raw.githubusercontent.com"
_ASTROML = f"{_RAW}/astroML/astroML-data/869ca28294159d4c6302c1e63b9402bd54abf29f/datasets"
_SNPY = f"{_RAW}/obscode/snpy/c70c4f8fb7a6d30c4c7898a829d80d8322370ede"
_CLAIMS = f"{_RAW}/obscode/ScientificClaims/1a8354dd2afbcd3a56b5aa01cd8bf6fab6b389b7"


@dataclass(frozen=True)
class RemoteFile:
    """One file at an address.

    Parameters
    ----------
    name : str
        Its name in the input's folder, here and on a mirror.
    url : str
        Where its publisher keeps it.
    size : int
        Bytes.
    sha256 : str
        Checksum in hexadecimal.
    """

    name: str
    url: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Repository:
    """Part of a git repository at one commit; the commit's own name is the checksum of all its files.

    Parameters
    ----------
    url : str
        Where its publisher keeps it.
    commit : str
        Full name (40 hexadecimal digits): git derives it from the content.
    parts : tuple of str
        Patterns (as in .gitignore) of the files wanted; each part is fetched on its own, and kept when the next one fails.
    left_out : tuple of str
        Patterns of files among them that are not wanted.
    size : int
        Bytes of the files wanted, to two figures.
    """

    url: str
    commit: str
    parts: tuple[str, ...]
    left_out: tuple[str, ...]
    size: int


@dataclass(frozen=True)
class PublicInput:
    """One public input: files, or part of a repository.

    Parameters
    ----------
    name : str
        By which `skyreel data get` knows it, also its folder's name.
    summary : str
        What it is, in one line.
    licence : str
        Licence, or what is known about it.
    citation : str
        Publications to cite when it is used.
    source : tuple of RemoteFile or Repository
        Where it comes from.
    """

    name: str
    summary: str
    licence: str
    citation: str
    source: tuple[RemoteFile, ...] | Repository

    @property
    def size(self) -> int:
        """Bytes; to two figures for a repository."""
        return self.source.size if isinstance(self.source, Repository) else sum(file.size for file in self.source)


_HITS_STAMPS = "/real_obs/real_stamps"

_ALL = (
    PublicInput(
        "sesar2010",
        "RR Lyrae of Stripe 82: 98 templates in ugriz; periods, amplitudes and template of 483 stars",
        "published journal data; the repository that keeps them (astroML/astroML-data) states no licence",
        "Sesar et al. 2010, ApJ 708, 717 (2010ApJ...708..717S)",
        (
            RemoteFile(
                "RRLyr_ugriz_templates.tar.gz",
                f"{_ASTROML}/RRLyr_ugriz_templates.tar.gz",
                172_713,
                "f88cbdb35d6ba98945fae198c4e7c80aaadd22f0a132e10ad894e080838e7565",
            ),
            RemoteFile(
                "sesar2010_table2.dat.gz",
                f"{_ASTROML}/S82_RRLyr/table2.dat.gz",
                63_872,
                "17dfa90d65d2c91b15b21d76f00d7067266058cc9b2885b44d366f464fcb7614",
            ),
            RemoteFile(
                "sesar2010_table3.dat.gz",
                f"{_ASTROML}/S82_RRLyr/table3.dat.gz",
                22_059,
                "65581694b52731085b499539a976205e047939979e7f7695f18aa39b9eb768a0",
            ),
        ),
    ),
    PublicInput(
        "hsiao",
        "SED of type Ia supernovae, version 3: 106 phases from -20 to 85 d, 1000 to 25000 Angstrom",
        "MIT (the repository that keeps it, obscode/snpy)",
        "Hsiao et al. 2007, ApJ 663, 1187 (2007ApJ...663.1187H); Burns et al. 2011, AJ 141, 19 (SNooPy)",
        (
            RemoteFile(
                "Hsiao_SED_V3.fits",
                f"{_SNPY}/snpy/typeIa/Hsiao_SED_V3.fits",
                1_022_400,
                "92e351b8570272125be2fdbd8640b93ae1208bbbb769076f33f64246f72d43c4",
            ),
        ),
    ),
    PublicInput(
        "yoachim2009",
        "Cepheid light curves: principal components in B, V, I and scores of 526 short- and 74 long-period stars",
        "MIT (the repository that keeps them, obscode/ScientificClaims); data by P. Yoachim",
        "Yoachim et al. 2009, AJ 137, 4697 (arXiv:0903.4186)",
        (
            RemoteFile(
                "yoachim09_short_struc.fits",
                f"{_CLAIMS}/BVI_templates/short_struc.fits",
                227_520,
                "94b236c4d9ae97515c4dc573d6a7242f12be60d31a2cb2ee4c79009670eebd3b",
            ),
            RemoteFile(
                "yoachim09_long_struc.fits",
                f"{_CLAIMS}/BVI_templates/long_struc.fits",
                54_720,
                "9e781300482cfb3a1231fee6fc5c62d24bfa2c1905dcfba3737797d8141b777e",
            ),
        ),
    ),
    PublicInput(
        "hits2015a",
        "HiTS 2015A: stamps, light curves and observing conditions of real objects, read by dataset=hits2015a_raw",
        "MIT (the repository)",
        "Carrasco-Davis et al. 2018 (arXiv:1807.03869); HiTS: Foerster et al. 2016; RR Lyrae: Medina et al. 2018; "
        "light curves: Martinez-Palomera et al. 2018",
        Repository(
            "https://github.com/rodrigcd/HiTS_simulations",
            "275198b77abef1e1db4a669e7d824d9655501ab0",
            (
                "/real_obs/Blind15A_info/",
                f"{_HITS_STAMPS}/SNstamps/",
                f"{_HITS_STAMPS}/RRLyrae/",
                f"{_HITS_STAMPS}/EB/",
                f"{_HITS_STAMPS}/real_constants/",
                "/LICENSE*",
            ),
            ("*.tar.gz", "*.ipynb"),
            37_000_000,
        ),
    ),
)

INPUTS: Mapping[str, PublicInput] = {entry.name: entry for entry in _ALL}
"""Name -> public input."""


def find(name: str) -> PublicInput:
    """The input of that name.

    Raises
    ------
    DatasetError
        For an unknown name; the message names the nearest known one.
    """
    if name not in INPUTS:
        known = ", ".join(INPUTS)
        raise DatasetError(f"public input {name!r}", f"known are {known}", nearest(name, INPUTS)[2:] or "see `skyreel data list`")
    return INPUTS[name]
