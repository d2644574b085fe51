"""The seed contract: who draws from what, so that any number of workers gives the same bytes.

Per-object draws depend on (root seed, stream, block, purpose) alone, where a block is a fixed number of objects
of one class. Per-exposure draws (zero-point error, PSF shape) depend on (root seed, purpose, exposure_id) alone:
all objects photographed by one exposure share them, whatever block they are in.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

BLOCK = 64
"""Objects per block: the unit of simulation, never split between workers."""


def _key(*parts: object) -> int:
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:16], "little")


def _splitmix64(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Steele, Lea & Flood 2014 (OOPSLA), the finaliser of SplitMix64: a bijective 64-bit mixer."""
    with np.errstate(over="ignore"):
        x = x + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))


@dataclass(frozen=True)
class Seeds:
    """Where one block of objects takes its random numbers from.

    Parameters
    ----------
    root : int
        The run's seed (``seed=`` on the command line).
    stream : str
        What is drawn, for example the split and the class (``"train/supernova"``).
    block : int
        Number of the block within the stream.
    """

    root: int
    stream: str = ""
    block: int = 0

    def child(self, name: str) -> Seeds:
        """The same block under a longer stream name, for instance one proposal of a rejection loop."""
        return replace(self, stream=f"{self.stream}/{name}")

    def rng(self, purpose: str) -> np.random.Generator:
        """A numpy generator for the per-object draws of this block; one per purpose."""
        return np.random.Generator(np.random.PCG64DXSM(_key(self.root, self.stream, self.block, purpose)))

    def shared_rng(self, purpose: str) -> np.random.Generator:
        """A generator that every block of the run shares (root seed and purpose only), e.g. for a field's schedule."""
        return np.random.Generator(np.random.PCG64DXSM(_key(self.root, "shared", purpose)))

    def torch(self, purpose: str, device: str = "cpu") -> torch.Generator:
        """A torch generator for the per-pixel draws of this block."""
        import torch

        generator = torch.Generator(device=device)
        return generator.manual_seed(_key(self.root, self.stream, self.block, purpose) & 0x7FFF_FFFF_FFFF_FFFF)

    def exposure_uniform(self, exposure_id: NDArray[np.int64], purpose: str) -> NDArray[np.float64]:
        """Uniform numbers in (0, 1), one per exposure_id, equal wherever the same exposure is met again.

        Parameters
        ----------
        exposure_id : ndarray of int64, any shape
        purpose : str

        Returns
        -------
        ndarray of float64, same shape
        """
        key = np.uint64(_key(self.root, "exposure", purpose) & 0xFFFF_FFFF_FFFF_FFFF)
        mixed = _splitmix64(_splitmix64(np.asarray(exposure_id, np.int64).astype(np.uint64)) ^ key)
        return (np.asarray(mixed >> np.uint64(11), np.float64) + 0.5) * 2.0**-53

    def exposure_normal(self, exposure_id: NDArray[np.int64], purpose: str) -> NDArray[np.float64]:
        """Standard normal numbers, one per exposure_id (see `exposure_uniform`)."""
        from scipy.special import ndtri

        return np.asarray(ndtri(self.exposure_uniform(exposure_id, purpose)), np.float64)
