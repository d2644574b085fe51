"""Batch renormalisation against the formulas of Ioffe (2017) written out in double precision."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from skyreel_rcnn.layers import BatchRenorm, freeze_statistics


def layer(channels: int = 3, step: int = 100, **options) -> BatchRenorm:
    """In the middle of a training: averages that differ from any batch, limits fully grown."""
    torch.manual_seed(1)
    norm = BatchRenorm(channels, **{"warmup": 5, "ramp": 10, **options})
    norm.steps = step
    norm.running_mean.normal_(0, 0.3)
    norm.running_std.uniform_(0.5, 3.0)
    nn.init.normal_(norm.weight, 1, 0.3)
    nn.init.normal_(norm.bias)
    return norm


def textbook(x, mean, std, weight, bias, r_max, d_max, eps):
    """Eq. 3 of the paper."""
    mu = x.mean((0, 2, 3))
    sigma = (x.var((0, 2, 3), correction=0) + eps).sqrt()
    r = (sigma / std).clamp(1 / r_max, r_max).detach()
    d = ((mu - mean) / std).clamp(-d_max, d_max).detach()
    wide = (None, slice(None), None, None)
    return ((x - mu[wide]) / sigma[wide] * r[wide] + d[wide]) * weight[wide] + bias[wide]


@pytest.mark.parametrize(("r_max", "d_max"), [(3.0, 5.0), (1.2, 0.1), (1.0, 0.0)])
def test_training_gives_eq_3_and_its_gradients(r_max, d_max):
    norm = layer(r_max=r_max, d_max=d_max)
    mean, std = norm.running_mean.double(), norm.running_std.double()
    x = (torch.randn(6, 3, 5, 5) * 2 + 0.7).requires_grad_()
    ours = norm(x)
    up = torch.randn_like(ours)
    grads = torch.autograd.grad(ours, (x, norm.weight, norm.bias), up)
    again = [tensor.detach().double().requires_grad_() for tensor in (x, norm.weight, norm.bias)]
    wanted = textbook(again[0], mean, std, again[1], again[2], r_max, d_max, norm.eps)
    wanted_grads = torch.autograd.grad(wanted, again, up.double())
    torch.testing.assert_close(ours.double(), wanted, rtol=0, atol=5e-6)
    for found, value in zip(grads, wanted_grads, strict=True):
        torch.testing.assert_close(found.double(), value, rtol=1e-5, atol=1e-5)


def test_without_limits_it_is_batch_normalisation():
    norm, x = layer(step=0), torch.randn(8, 3, 4, 4) * 3 + 1
    wanted = torch.nn.functional.batch_norm(x, None, None, norm.weight, norm.bias, True, 0.0, norm.eps)
    torch.testing.assert_close(norm(x), wanted, rtol=0, atol=0)


def test_with_wide_limits_training_equals_inference():
    norm, x = layer(r_max=1e6, d_max=1e6), torch.randn(8, 3, 4, 4) * 3 + 1
    before = layer(r_max=1e6, d_max=1e6).eval()
    torch.testing.assert_close(norm(x), before(x), rtol=1e-5, atol=1e-5)


def test_inference_uses_the_averages_and_leaves_them():
    norm, x = layer().eval(), torch.randn(4, 3, 2, 2)
    kept = {name: value.clone() for name, value in norm.state_dict().items()}
    wide = (None, slice(None), None, None)
    wanted = norm.weight[wide] * (x - norm.running_mean[wide]) / norm.running_std[wide] + norm.bias[wide]
    torch.testing.assert_close(norm(x), wanted, rtol=1e-5, atol=1e-6)
    assert all(torch.equal(kept[name], value) for name, value in norm.state_dict().items())


def test_averages_move_by_one_minus_momentum():
    norm, x = layer(step=10_000, momentum=0.9), torch.randn(4, 3, 6, 6) * 4 + 2
    mean, std = norm.running_mean.clone(), norm.running_std.clone()
    norm(x)
    torch.testing.assert_close(norm.running_mean, 0.9 * mean + 0.1 * x.mean((0, 2, 3)))
    torch.testing.assert_close(norm.running_std, 0.9 * std + 0.1 * (x.var((0, 2, 3), correction=0) + norm.eps).sqrt())


def test_a_short_training_forgets_the_starting_averages():
    norm = BatchRenorm(2)
    torch.manual_seed(0)
    for _ in range(60):
        norm(torch.randn(64, 2, 4, 4) * 20 + 300)
    torch.testing.assert_close(norm.running_mean, torch.full((2,), 300.0), rtol=0.01, atol=0)
    torch.testing.assert_close(norm.running_std, torch.full((2,), 20.0), rtol=0.03, atol=0)


def test_limits_grow_linearly_after_the_warm_up():
    norm = BatchRenorm(1, r_max=3, d_max=5, warmup=100, ramp=200)
    found = []
    for norm.steps in (0, 100, 200, 300, 9000):
        found.append(norm.limits())
    assert found == [(1, 0), (1, 0), (2, 2.5), (3, 5), (3, 5)]


def test_frozen_statistics_stay_and_weights_still_learn():
    network = nn.Sequential(nn.Conv2d(1, 3, 3), layer())
    freeze_statistics(network)
    norm = network[1]
    mean = norm.running_mean.clone()
    x = torch.randn(5, 1, 6, 6)
    out = network(x)
    torch.testing.assert_close(out, network.eval()(x))
    out.square().sum().backward()
    assert torch.equal(norm.running_mean, mean)
    assert norm.weight.grad is not None
    assert norm.weight.grad.abs().min() > 0
    freeze_statistics(network, False)
    network.train()(x)
    assert not torch.equal(norm.running_mean, mean)


def test_statistics_are_float32_under_low_precision():
    norm = layer(step=10_000, momentum=0.0)
    x = (torch.randn(64, 3, 8, 8) + 3).bfloat16()
    assert norm(x).dtype == torch.bfloat16
    assert norm.running_mean.dtype == norm.running_std.dtype == torch.float32
    torch.testing.assert_close(norm.running_mean, x.float().mean((0, 2, 3)), rtol=1e-6, atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 9), st.floats(0.1, 100), st.floats(-50, 50))
def test_output_moments_follow_r_and_d(n, spread, centre):
    """Mean of the output is d beta-shifted and its standard deviation r, whatever the input."""
    norm = BatchRenorm(1, warmup=0, ramp=1)
    norm.steps = 1
    x = torch.linspace(-1, 1, n * 9).reshape(n, 1, 3, 3) * spread + centre
    y = norm(x).detach()
    std = float(x.std(correction=0))
    r, d = min(max(std, 1 / 3), 3), min(max(float(x.mean()), -5), 5)
    assert float(y.mean()) == pytest.approx(d, abs=2e-3)
    assert float(y.std(correction=0)) == pytest.approx(r, rel=2e-3)


def test_step_count_travels_with_the_weights():
    first, second = layer(step=77), BatchRenorm(3)
    second.load_state_dict(first.state_dict())
    assert second.steps == 77
