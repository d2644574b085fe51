"""The network of Table 3 of Carrasco-Davis et al. 2018: convolutions per stack, an LSTM over the stacks."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from skyreel.errors import ConfigError
from skyreel_rcnn.layers import BatchRenorm

NORM_ORDERS = ("relu_first", "norm_first")
LSTMState = tuple[Tensor, Tensor]
"""Hidden and cell state, (n, units) each."""


class ConvUnit(nn.Module):
    """One "Conv + BRN" line of Table 3.

    Parameters
    ----------
    inputs, outputs : int
        Channels.
    kernel : int, px
        Odd; zero padding keeps the size.
    stride : int
    norm_order : 'relu_first' or 'norm_first'
        Convolution, ReLU, BRN (the paper's text) or convolution, BRN, ReLU (can be folded, see `fold`).
    norm : BatchRenorm
        Over `outputs` channels.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, norm_order: str, norm: BatchRenorm) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2)
        self.norm: nn.Module = norm
        self.norm_first = norm_order == "norm_first"

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) to (N, outputs, H', W')."""
        x = self.conv(x)
        return torch.relu(self.norm(x)) if self.norm_first else self.norm(torch.relu(x))

    def fold(self) -> None:
        """Moves the inference form of the normalisation into weight and bias of the convolution."""
        assert isinstance(self.norm, BatchRenorm)
        with torch.no_grad():
            scale, shift = self.norm.affine()
            assert self.conv.bias is not None
            self.conv.weight.mul_(scale[:, None, None, None])
            self.conv.bias.mul_(scale).add_(shift)
        self.norm = nn.Identity()


class Network(nn.Module):
    """Recurrent convolutional network (Table 3 of the paper).

    Shapes: n objects, S steps, V valid steps of all objects together, n_w images a stack, C channels an image, F
    recurrent inputs.

    Parameters
    ----------
    n_classes : int
    n_stacked, image_channels : int
        n_w and C; the input has ``n_w * C`` channels.
    stamp_size : int, px
    n_conditions : int
        Reported conditions per image, fed to the LSTM beside the time gaps.
    channels : sequence of sequences of int
        Output channels of every convolution, one inner list per block; a 2 x 2 max pool with ceil mode ends a block.
    kernel, first_stride : int, px
        Of all convolutions, of the first one.
    dense, lstm : int
        Units of the fully connected layer and of the LSTM.
    dropout : float
        After the fully connected layer.
    norm_order : 'relu_first' or 'norm_first'
    time_unit : float, d
        Time gaps are divided by it.
    r_max, d_max, momentum, renorm_warmup, renorm_ramp
        See `BatchRenorm`.

    Raises
    ------
    ConfigError
        For an even kernel, an unknown `norm_order`, an empty block or a number out of range.
    """

    def __init__(
        self,
        n_classes: int,
        n_stacked: int,
        image_channels: int,
        stamp_size: int,
        n_conditions: int = 0,
        *,
        channels: Sequence[Sequence[int]] = ((64, 64, 64), (64, 64, 64)),
        kernel: int = 3,
        first_stride: int = 1,
        dense: int = 1024,
        dropout: float = 0.5,
        lstm: int = 512,
        norm_order: str = "relu_first",
        time_unit: float = 1.0,
        r_max: float = 3.0,
        d_max: float = 5.0,
        momentum: float = 0.99,
        renorm_warmup: int = 1000,
        renorm_ramp: int = 5000,
    ) -> None:
        super().__init__()
        _check_options(channels, kernel, first_stride, norm_order, time_unit, dropout)

        def norm(width: int) -> BatchRenorm:
            return BatchRenorm(width, r_max=r_max, d_max=d_max, momentum=momentum, warmup=renorm_warmup, ramp=renorm_ramp)

        self.time_unit = time_unit
        width, size, stride = n_stacked * image_channels, stamp_size, first_stride
        layers: list[nn.Module] = [norm(width)]
        for block in channels:
            for outputs in block:
                layers.append(ConvUnit(width, outputs, kernel, stride, norm_order, norm(outputs)))
                width, size, stride = outputs, -(-size // stride), 1
            layers.append(nn.MaxPool2d(2, 2, ceil_mode=True))
            size = -(-size // 2)
        self.convolutions = nn.Sequential(*layers)
        self.dense = nn.Linear(width * size * size, dense)
        self.dropout = nn.Dropout(dropout)
        self.lstm = nn.LSTM(dense + n_stacked * (1 + n_conditions), lstm, batch_first=True)
        self.head = nn.Linear(lstm, n_classes)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def features(self, stacks: Tensor) -> Tensor:
        """(V, n_w, C, H, W) stacks to (V, dense) features; no padding may be among them."""
        x = stacks.flatten(1, 2).contiguous(memory_format=torch.channels_last)
        # Flattened channel by channel, so that the weights mean the same in every memory format.
        x = self.convolutions(x).contiguous().flatten(1)
        return self.dropout(torch.relu(self.dense(x)))  # type: ignore[no-any-return]

    def inputs(self, stacks: Tensor, dt: Tensor, conditions: Tensor) -> Tensor:
        """What the LSTM reads: (V, F) from the stacks, time gaps (V, n_w) [d] and conditions (V, n_w, K)."""
        features = self.features(stacks)
        extra = torch.cat([dt / self.time_unit, conditions.flatten(1)], 1)
        return torch.cat([features, extra.to(features.dtype)], 1)

    def zero_state(self, n: int) -> LSTMState:
        """The LSTM's state before the first stack: zeros (section 3.2 of the paper)."""
        zeros = self.head.weight.new_zeros(n, self.lstm.hidden_size)
        return zeros, zeros.clone()

    def recur(self, inputs: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        """LSTM and output layer.

        Parameters
        ----------
        inputs : (n, S, F)
        state : (n, units) twice

        Returns
        -------
        logits : (n, S, n_classes)
        state : (n, units) twice
            After the last of the S steps.
        """
        output, (hidden, cell) = self.lstm(inputs, (state[0][None], state[1][None]))
        return self.head(output).float(), (hidden[0], cell[0])

    def forward(self, stacks: Tensor, dt: Tensor, conditions: Tensor, mask: Tensor) -> Tensor:
        """Logits after every step.

        Parameters
        ----------
        stacks : float32 (V, n_w, C, H, W)
            The valid steps alone, object by object, in time order.
        dt : float32 (V, n_w), d
        conditions : float32 (V, n_w, K)
        mask : bool (n, S)
            True for the V valid steps, which lead every row.

        Returns
        -------
        logits : float32 (n, S, n_classes)
            Meaningless where `mask` is False.
        """
        inputs = self.inputs(stacks, dt, conditions)
        padded = inputs.new_zeros(*mask.shape, inputs.shape[1])
        padded[mask] = inputs
        return self.recur(padded, self.zero_state(len(mask)))[0]


def fold(network: Network) -> Network:
    """A copy for inference with every "Conv + BRN" folded into one convolution; the same function to rounding.

    The input's BRN stays: its shift cannot move behind a zero-padded convolution.

    Raises
    ------
    ConfigError
        With norm_order 'relu_first', where the ReLU stands between the two.
    """
    folded = copy.deepcopy(network).eval()
    for layer in folded.modules():
        if isinstance(layer, ConvUnit):
            if not layer.norm_first:
                raise ConfigError("folding the network", "norm_order is 'relu_first'", "train with norm_order=norm_first")
            layer.fold()
    return folded


def _check_options(
    channels: Sequence[Sequence[int]], kernel: int, first_stride: int, norm_order: str, time_unit: float, dropout: float
) -> None:
    if norm_order not in NORM_ORDERS:
        raise ConfigError("classifier.norm_order", repr(norm_order), f"use one of {', '.join(NORM_ORDERS)}")
    if kernel < 1 or kernel % 2 == 0:
        raise ConfigError("classifier.kernel", str(kernel), "it must be odd, so that padding keeps the size")
    if not channels or any(not block or min(block) < 1 for block in channels):
        raise ConfigError("classifier.channels", repr(channels), "give each block one positive number per convolution")
    if first_stride < 1 or time_unit <= 0 or not 0 <= dropout < 1:
        found = f"first_stride {first_stride}, time_unit {time_unit}, dropout {dropout}"
        raise ConfigError("classifier", found, "they must lie in [1, ..), (0, ..) and [0, 1)")
