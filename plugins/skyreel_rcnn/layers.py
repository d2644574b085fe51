"""Batch renormalisation (Ioffe 2017): eq. 3 of Carrasco-Davis et al. 2018."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class BatchRenorm(nn.Module):
    r"""Normalises each channel with the batch's statistics, tied to the moving averages that inference uses.

    Training (eq. 3 of the paper; Ioffe 2017, Algorithm 1):

    .. math:: Y = \left(\frac{X-\mu_b}{\sigma_b} r + d\right)\gamma + \beta,\quad
        r = \mathrm{clip}_{[1/r_{max}, r_{max}]}(\sigma_b/\sigma_d),\quad
        d = \mathrm{clip}_{[-d_{max}, d_{max}]}((\mu_b-\mu_d)/\sigma_d)

    with r and d constant in the gradients and with the moving averages of the steps before. Inference:
    :math:`Y = \gamma (X-\mu_d)/\sigma_d + \beta`. Statistics are float32 whatever the precision of the input.

    Parameters
    ----------
    channels : int
    r_max, d_max : float
        Limits reached at the end of the ramp. The paper gives none; 3 and 5 are Ioffe's (2017, section 4).
    momentum : float
        alpha of the moving averages, `mean = alpha mean + (1 - alpha) mean_batch`. The paper gives none; 0.99 is
        Ioffe's. In the first steps `(1 + t) / (10 + t)` replaces it while smaller, so that a short training does not
        end with averages that still remember their starting values.
    warmup, ramp : int
        Steps with r = 1 and d = 0 (plain batch normalisation), and steps over which the limits then grow linearly.
    eps : float
        Added to the batch's variance.

    Attributes
    ----------
    running_mean, running_std : Tensor (channels,)
        mu_d and sigma_d.
    steps : int
        Batches seen; saved with the weights.
    frozen : bool
        True: training normalises with the moving averages too and leaves them alone (fine-tuning on few objects).
    """

    running_mean: Tensor
    running_std: Tensor

    def __init__(
        self,
        channels: int,
        *,
        r_max: float = 3.0,
        d_max: float = 5.0,
        momentum: float = 0.99,
        warmup: int = 1000,
        ramp: int = 5000,
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.r_max, self.d_max, self.momentum = r_max, d_max, momentum
        self.warmup, self.ramp, self.eps = warmup, ramp, eps
        self.frozen = False
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_std", torch.ones(channels))
        self.steps = 0  # a plain number: the schedule is read every step and must not wait for the device

    def get_extra_state(self) -> Tensor:
        """`steps`, for the state dict."""
        return torch.tensor(self.steps)

    def set_extra_state(self, state: Tensor) -> None:
        """Takes `steps` from a state dict."""
        self.steps = int(state)

    def limits(self) -> tuple[float, float]:
        """(r_max, d_max) in force at the present step."""
        part = min(max((self.steps - self.warmup) / max(self.ramp, 1), 0.0), 1.0)
        return 1.0 + part * (self.r_max - 1.0), part * self.d_max

    def affine(self) -> tuple[Tensor, Tensor]:
        """(scale, shift) per channel of the inference form, Y = scale X + shift."""
        scale = self.weight / self.running_std
        return scale, self.bias - scale * self.running_mean

    def forward(self, x: Tensor) -> Tensor:
        """Normalised `x` (N, channels, H, W), same shape."""
        if self.frozen or not self.training:
            scale, shift = self.affine()
            return torch.addcmul(shift[:, None, None].to(x.dtype), x, scale[:, None, None].to(x.dtype))
        r, d = self._renorm(x)
        # (x_hat r + d) gamma + beta: the library's fused kernel gives the textbook values and gradients.
        return F.batch_norm(x, None, None, self.weight * r, self.bias + self.weight * d, True, 0.0, self.eps)

    @torch.no_grad()
    def _renorm(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """r and d of this batch (channels,); moves the averages on."""
        mean, std = self._moments(x.float())
        r_max, d_max = self.limits()
        r = (std / self.running_std).clamp(1 / r_max, r_max)
        d = ((mean - self.running_mean) / self.running_std).clamp(-d_max, d_max)
        alpha = min(self.momentum, (1 + self.steps) / (10 + self.steps))
        self.running_mean.lerp_(mean, 1 - alpha)
        self.running_std.lerp_(std, 1 - alpha)
        self.steps += 1
        return r, d

    def _moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation (channels,) of a batch.

        Taken about the moving average: far from it the difference of squares would lose digits. Sums over rows of
        (pixels, channels) are ten times as fast on a CPU as `torch.var_mean` over three axes.
        """
        rows = x.permute(0, 2, 3, 1).reshape(-1, x.shape[1]) - self.running_mean
        offset = rows.mean(0)
        variance = (rows.square().mean(0) - offset.square()).clamp(min=0)
        return self.running_mean + offset, (variance + self.eps).sqrt()


def freeze_statistics(network: nn.Module, frozen: bool = True) -> None:
    """Keeps (or, with False, moves again) the averages of every `BatchRenorm` in `network`."""
    for layer in network.modules():
        if isinstance(layer, BatchRenorm):
            layer.frozen = frozen


def statistics(network: nn.Module) -> list[Tensor]:
    """Copies of the averages of every `BatchRenorm` in `network` and of the number of batches they have seen."""
    layers = [layer for layer in network.modules() if isinstance(layer, BatchRenorm)]
    return [tensor.cpu().clone() for layer in layers for tensor in (layer.running_mean, layer.running_std, torch.tensor(layer.steps))]
