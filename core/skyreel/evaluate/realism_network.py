"""A small convolutional network as judge of single stamps: what the features forgot."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from skyreel.errors import ConfigError
from skyreel.evaluate.realism import Judge
from skyreel.interfaces import PixelBits
from skyreel.movies import Movies
from skyreel.simulate.device import device

EPOCHS = 12
BATCH = 256
RATE = 2e-3


def judge_device(name: str) -> torch.device:
    """The device that a user named; 'auto' is a GPU where torch finds one.

    Raises
    ------
    ConfigError
        If this machine has none of that name; the message lists those it has.
    """
    try:
        return device(name)
    except ConfigError as err:
        raise ConfigError(f"realism.device={name}", err.found, err.remedy) from None


def judged_stamps(movies: Movies) -> NDArray[np.float32]:
    """What the network sees of every usable frame, (m, 1, H, W): (pixel - reported sky) / its noise, compressed by asinh.

    Bad and missing pixels are 0. Order as in `realism_features.frame_features`.
    """
    rows, epochs = np.nonzero(movies.frame_mask & movies.reported.mask)
    sky, gain, noise = (
        np.asarray(getattr(movies.reported, name)[rows, epochs], np.float32)[:, None, None] for name in ("sky", "gain", "read_noise")
    )
    stamp = np.asarray(movies.pixels[rows, epochs, 0], np.float32)
    scaled = (stamp - sky) / np.sqrt(np.maximum(sky, 1.0) / gain + (noise / gain) ** 2)
    good = (movies.pixel_mask[rows, epochs, 0] & (PixelBits.BAD | PixelBits.NO_DATA)) == 0
    return np.where(good, np.arcsinh(scaled), 0.0).astype(np.float32)[:, None]


def network_judge(
    stamps: NDArray[np.float32], real: NDArray[np.bool_], seed: int, place: str | torch.device = "cpu", epochs: int = EPOCHS
) -> Judge:
    """A judge for `realism.cross_validated` that learns from stamps (n, 1, H, W).

    Four convolutions (16 to 64 channels), mean and largest value over the stamp, one linear layer; Adam, `epochs` passes. Stamps
    are not turned or mirrored: that real stars keep their orientation is a thing to see.
    """
    images, truth = torch.from_numpy(stamps), torch.from_numpy(real.astype(np.float32))

    def judge(seen: NDArray[np.intp], asked: NDArray[np.intp]) -> NDArray[np.float64]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = _Network().to(place)
            steps = epochs * (-(-len(seen) // BATCH))
            optimiser = torch.optim.Adam(network.parameters(), lr=RATE)
            schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps)
            for _ in range(epochs):
                for part in torch.split(torch.from_numpy(seen)[torch.randperm(len(seen))], BATCH):
                    loss = nn.functional.binary_cross_entropy_with_logits(network(images[part].to(place)), truth[part].to(place))
                    optimiser.zero_grad()
                    loss.backward()  # type: ignore[no-untyped-call]
                    optimiser.step()
                    schedule.step()
        network.eval()
        with torch.no_grad():
            answers = [torch.sigmoid(network(images[part].to(place))).cpu() for part in torch.split(torch.from_numpy(asked), 1024)]
        return np.asarray(torch.cat(answers).numpy(), np.float64)

    return judge


class _Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after, stride in ((1, 16, 1), (16, 32, 2), (32, 32, 1), (32, 64, 2)):
            layers += [nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        self.features = nn.Sequential(*layers)
        self.last = nn.Linear(128, 1)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.features(images)
        answer: Tensor = self.last(torch.cat([maps.mean(dim=(2, 3)), maps.amax(dim=(2, 3))], dim=1))
        return answer[:, 0]
