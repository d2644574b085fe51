"""The network is Table 3 of the paper."""

from pathlib import Path

import pytest
import torch
import yaml
from hydra import compose, initialize_config_dir
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from skyreel.errors import ConfigError
from skyreel.interfaces import CLASSES, Task
from skyreel.preprocessing import SequenceOptions
from skyreel_rcnn.classifier import RCNN
from skyreel_rcnn.layers import BatchRenorm
from skyreel_rcnn.network import ConvUnit, Network, fold

CONF = Path(__file__).parents[1] / "conf"
PAPER = Task(CLASSES, ("g",), 21, ("science",), 0.27, SequenceOptions())


def preset(name: str) -> RCNN:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        options = OmegaConf.to_container(compose(f"classifier/{name}").classifier)
    assert options.pop("name") == "rcnn"
    return RCNN(**options)


def small(**options) -> Network:
    torch.manual_seed(0)
    plain = {"channels": [[4, 4], [6]], "dense": 16, "lstm": 8, "dropout": 0.0}
    return Network(3, 3, 1, 11, **{**plain, **options}).eval()


def steps(n: int, size: int, images: int = 3, channels: int = 1, conditions: int = 0):
    generator = torch.Generator().manual_seed(n)
    stacks = torch.randn(n, images, channels, size, size, generator=generator)
    return stacks, torch.rand(n, images, generator=generator), torch.randn(n, images, conditions, generator=generator)


def stirred(network: Network) -> Network:
    """With averages and affine weights as after a training."""
    for module in network.modules():
        if isinstance(module, BatchRenorm):
            module.running_mean.normal_(0, 0.3)
            module.running_std.uniform_(0.5, 2)
            nn.init.normal_(module.weight, 1, 0.3)
            nn.init.normal_(module.bias, 0, 0.3)
    return network


def test_default_is_the_papers_network():
    network = RCNN().build(PAPER)
    assert sum(weight.numel() for weight in network.parameters()) == 5_707_085
    norms = sum(w.numel() for m in network.modules() if isinstance(m, BatchRenorm) for w in m.parameters())
    assert norms == 2 * (3 + 6 * 64)


def test_sizes_follow_table_3():
    network, shapes = RCNN().build(PAPER), []
    for module in network.convolutions:
        module.register_forward_hook(lambda _, __, out: shapes.append(tuple(out.shape[1:])))
    inputs = network.inputs(*steps(2, 21))
    first, second = [(64, 21, 21)] * 3 + [(64, 11, 11)], [(64, 11, 11)] * 3 + [(64, 6, 6)]
    assert shapes == [(3, 21, 21), *first, *second]
    assert network.dense.in_features == 2304
    assert inputs.shape == (2, 1024 + 3)
    assert (network.lstm.input_size, network.lstm.hidden_size, network.head.out_features) == (1027, 512, 7)


def test_pools_keep_the_last_odd_row():
    pool = RCNN().build(PAPER).convolutions[4]
    image = torch.zeros(1, 1, 21, 21)
    image[..., 20, 20] = 5
    assert pool(image)[0, 0, 10, 10] == 5


@pytest.mark.parametrize(("name", "wanted"), [("rcnn", 104.3), ("rcnn_small", 11.0), ("rcnn_tiny", 1.2)])
def test_cost_per_image(name, wanted):
    """MFLOP of one step, two per multiply-add; the library's counter knows nothing of its fused LSTM."""
    network = preset(name).build(PAPER).eval()
    frames = 4
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(*steps(frames, 21), torch.ones(1, frames, dtype=torch.bool))
    recurrent = 2 * 4 * network.lstm.hidden_size * (network.lstm.input_size + network.lstm.hidden_size)
    assert (counter.get_total_flops() / frames + recurrent) / 1e6 == pytest.approx(wanted, abs=0.1)


def test_norm_order_decides_where_the_relu_stands():
    for order, relu_last in (("relu_first", False), ("norm_first", True)):
        unit = ConvUnit(1, 4, 3, 1, order, BatchRenorm(4)).eval()
        unit.norm.bias.data.fill_(-0.5)
        out = unit(torch.randn(2, 1, 5, 5)).detach()
        assert (float(out.min()) == 0) == relu_last


@settings(max_examples=15, deadline=None)
@given(size=st.integers(5, 24), stride=st.integers(1, 3), kernel=st.sampled_from([1, 3, 5]), channels=st.integers(1, 3))
def test_folding_changes_nothing(size, stride, kernel, channels):
    torch.manual_seed(size)
    options = {"channels": [[4, 5], [6]], "dense": 8, "lstm": 4, "kernel": kernel, "first_stride": stride}
    network = stirred(Network(3, 2, channels, size, 1, norm_order="norm_first", **options)).eval()
    inputs = steps(4, size, 2, channels, 1)
    mask = torch.tensor([[True, True, True], [True, False, False]])
    folded = fold(network)
    assert sum(isinstance(module, BatchRenorm) for module in folded.modules()) == 1
    torch.testing.assert_close(folded(*inputs, mask)[mask], network(*inputs, mask)[mask], rtol=0, atol=2e-6)


def test_the_papers_order_cannot_be_folded():
    with pytest.raises(ConfigError, match="norm_first"):
        fold(small())


def test_recurrence_starts_from_zeros():
    network = small()
    hidden, cell = network.zero_state(2)
    assert hidden.shape == cell.shape == (2, 8)
    assert not hidden.any()
    assert not cell.any()
    stacks, dt, conditions = steps(1, 11)
    alone = network(stacks, dt, conditions, torch.ones(1, 1, dtype=torch.bool))
    by_hand = network.lstm(network.inputs(stacks, dt, conditions)[:, None])[0]
    torch.testing.assert_close(alone, network.head(by_hand), rtol=0, atol=0)


def test_objects_and_padding_do_not_meet():
    network = stirred(small())
    stacks, dt, conditions = steps(6, 11)
    mask = torch.tensor([[True, True, False, False, False], [True, True, True, True, False]])
    both = network(stacks, dt, conditions, mask)
    for row, part in ((0, slice(0, 2)), (1, slice(2, 6))):
        length = part.stop - part.start
        alone = network(stacks[part], dt[part], conditions[part], torch.ones(1, length, dtype=torch.bool))
        torch.testing.assert_close(both[row, :length], alone[0], rtol=1e-5, atol=1e-6)


def test_time_gaps_are_fed_in_days():
    stacks, dt, conditions = steps(2, 11)
    network = small()
    torch.testing.assert_close(network.inputs(stacks, dt, conditions)[:, 16:], dt, rtol=0, atol=0)
    scaled = small(time_unit=10.0)
    torch.testing.assert_close(scaled.inputs(stacks, dt, conditions)[:, 16:], dt / 10)


def test_conditions_join_the_time_gaps():
    network = Network(2, 3, 2, 11, 4, channels=[[4]], dense=16, lstm=8)
    stacks, dt, conditions = steps(5, 11, 3, 2, 4)
    inputs = network.eval().inputs(stacks, dt, conditions)
    assert inputs.shape == (5, 16 + 3 + 3 * 4)
    assert network.convolutions[0].weight.shape == (6,)
    torch.testing.assert_close(inputs[:, 19:], conditions.flatten(1), rtol=0, atol=0)


def test_memory_format_does_not_change_the_meaning_of_weights():
    network = stirred(small())
    plain = small()
    plain.load_state_dict(network.state_dict())
    plain.to(memory_format=torch.contiguous_format)
    mask = torch.ones(1, 4, dtype=torch.bool)
    torch.testing.assert_close(plain(*steps(4, 11), mask), network(*steps(4, 11), mask), rtol=1e-5, atol=1e-6)


def test_defaults_of_class_and_config_agree():
    values = yaml.safe_load((CONF / "classifier" / "rcnn.yaml").read_text())
    assert values.pop("name") == "rcnn"
    assert values == OmegaConf.to_container(OmegaConf.structured(RCNN))


@pytest.mark.parametrize(
    ("options", "word"),
    [({"kernel": 2}, "odd"), ({"norm_order": "bn"}, "relu_first"), ({"channels": [[]]}, "block"), ({"dropout": 1.0}, "dropout")],
)
def test_wrong_options_are_named(options, word):
    with pytest.raises(ConfigError, match=word):
        RCNN(**options).build(PAPER)
