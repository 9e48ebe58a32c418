"""The GPT's layers: rotations are rotations, masks are made once, dropout drops what it should, caches keep frames."""

import math

import pytest
import torch
import torch.nn.functional as F

from sparsevq.models.causal import (
    Cache,
    Layer,
    Rotation,
    attend_causally,
    block_causal,
    by_position,
    dropped,
    positions_first,
    positions_last,
    rotary_frequencies,
)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# ------------------------------------------------------------------ positions


def rotation(times=(0, 3, 5), size=2, count=5) -> Rotation:
    return Rotation(torch.tensor(times), rotary_frequencies(8), size, count)


def test_pairs_of_channels_are_rotated_by_the_frame_of_their_token():
    """As complex numbers: channel i and i + d/2 are real and imaginary part; values stay as they are."""
    joined = torch.randn(2, 5, 3 * 16, generator=seeded())
    query, key, value = rotation()(joined, heads=2)
    parts = joined.view(2, 5, 3, 2, 8).permute(2, 0, 3, 1, 4)
    time = torch.tensor([0, 0, 3, 3, 5]).float()
    turn = torch.polar(torch.ones(5, 4), time[:, None] * 100.0 ** (-torch.arange(4) / 4))
    for found, before in ((query, parts[0]), (key, parts[1])):
        expected = torch.complex(*before.chunk(2, -1)) * turn
        torch.testing.assert_close(torch.complex(*found.chunk(2, -1)), expected)
    assert torch.equal(value, parts[2])


def test_the_gradient_of_a_rotation_is_exact():
    joined = torch.randn(2, 5, 3 * 16, generator=seeded(), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: rotation()(x, heads=2), joined)


def test_a_part_of_a_rotation_is_that_of_its_tokens():
    joined = torch.randn(2, 5, 3 * 16, generator=seeded())
    whole, part = rotation()(joined, heads=2), rotation().at(2, 2)(joined[:, 2:4], heads=2)
    assert all(torch.equal(one, all_of_them[:, :, 2:4]) for one, all_of_them in zip(part, whole, strict=True))


# ------------------------------------------------------------------ attention


@pytest.mark.parametrize("block", [1, 3, 4])
def test_a_token_sees_its_block_and_those_before(block):
    like = torch.zeros(())
    sight = block_causal(9, block, like)
    if block == 1:
        assert isinstance(sight, str) and sight == "before", "which fused kernels take without a mask"
        return
    allowed = torch.arange(9)[:, None] // block >= torch.arange(9) // block
    assert torch.equal(sight == 0, allowed) and torch.isneginf(sight[~allowed]).all()
    assert sight.stride(0) % 8 == 0, "CUDA's fused kernel would copy it in each layer"
    assert block_causal(9, block, like) is sight, "made once"
    assert block_causal(block, block, like) == "all"


@pytest.mark.parametrize("block", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_attention_without_dropout_is_attention(block, dtype):
    query, key, value = torch.randn(3, 2, 2, 9, 8, generator=seeded()).to(dtype).unbind(0)
    allowed = torch.arange(9)[:, None] // block >= torch.arange(9) // block
    expected = F.scaled_dot_product_attention(query.float(), key.float(), value.float(), attn_mask=allowed)
    for training in (False, True):
        with torch.set_grad_enabled(training):
            found = attend_causally(query, key, value, block_causal(9, block, query)).float()
        torch.testing.assert_close(found, expected, rtol=2e-2, atol=2e-2 if dtype == torch.bfloat16 else 1e-6)


@pytest.mark.parametrize("block", [1, 3])
def test_attention_with_dropout_is_the_same_on_average(block):
    """On the CPU by a path of its own: within 5 standard errors, and causal each time."""
    query, key, value = torch.randn(3, 1, 1, 6, 8, generator=seeded()).unbind(0)
    draws, sight = 4000, block_causal(6, block, query)
    many = [part.expand(draws, -1, -1, -1) for part in (query, key, value)]
    torch.manual_seed(0)
    found = attend_causally(*many, sight, dropout=0.25)
    apart = found - attend_causally(query, key, value, sight)
    assert (apart.mean(0).abs() < 5 * found.std(0) / math.sqrt(draws) + 1e-6).all() and found.std(0).max() > 0.1
    later = value.clone()
    later[:, :, 3:] += 100
    torch.manual_seed(0)
    again = attend_causally(*many[:2], later.expand(draws, -1, -1, -1), sight, dropout=0.25)
    assert torch.equal(again[:, :, :3], found[:, :, :3])


@pytest.mark.parametrize("block", [1, 3])
def test_a_layer_with_dropout_trains_in_bf16(block):
    """A past bug: the mask stayed bf16 where the attention of training is float32."""
    layer, x = Layer(16, 2, dropout=0.5), torch.randn(2, 6, 16, generator=seeded())
    with torch.autocast("cpu", torch.bfloat16):
        layer(x, rotation(count=6), block).float().sum().backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in layer.parameters())


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_a_share_is_dropped_and_the_mean_stays(share):
    torch.manual_seed(0)
    x = torch.ones(401, 501, requires_grad=True)
    found = dropped(x, share)
    count = x.numel()
    assert ((found == 0).float().mean() - share).abs() < 5 * math.sqrt(share * (1 - share) / count)
    assert found.max().item() == pytest.approx(1 / (1 - share), rel=1e-4)
    kept = (found != 0).float()
    neighbours = (kept[:, 1:] * kept[:, :-1]).mean() - (1 - share) ** 2
    assert neighbours.abs() < 5 / math.sqrt(count), "entries that share a random number are independent"
    found.sum().backward()
    assert torch.equal(x.grad, found.detach()), "the gradient goes where the entries went"


def test_the_seed_decides_what_is_dropped():
    x, found = torch.ones(64), []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        found.append(dropped(x, 0.5))
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])


def test_a_layer_without_training_drops_nothing():
    layer = Layer(16, 2, dropout=0.5).eval()
    x = torch.randn(2, 5, 16, generator=seeded())
    assert torch.equal(layer(x, rotation(), 2), layer(x, rotation(), 2))
    assert not torch.equal(layer.train()(x, rotation(), 2), layer(x, rotation(), 2))


# ------------------------------------------------------------------ keys and values that are kept


@pytest.mark.parametrize("step", [1, 3])
@pytest.mark.parametrize("ever", [33, 1000])
def test_a_cache_keeps_the_latest_frames(step, ever):
    """Of 30 tokens in frames of 3 it keeps up to 11: those of the last whole frames, and of the one in the making."""
    tokens = torch.arange(30.0).view(1, 1, 30, 1)
    cache, begin = Cache(11, 3, ever), 0
    for place in range(0, 30, step):
        new = tokens[:, :, place : place + step]
        key, value = cache.add(new, -new)
        while place + step - begin > 11:
            begin += 3
        expected = tokens[:, :, begin : place + step]
        assert torch.equal(key, expected) and torch.equal(value, -expected)


def test_a_cache_is_allocated_once():
    cache = Cache(11, 3, 30)
    cache.add(*torch.zeros(2, 1, 1, 3, 1))
    where = cache.kept.data_ptr()
    for _ in range(9):
        cache.add(*torch.zeros(2, 1, 1, 3, 1))
    assert cache.kept.data_ptr() == where and cache.kept.shape[3] < 30, "and it has no room for what has left"


# ------------------------------------------------------------------ by position


def test_tokens_position_by_position_and_back():
    x = torch.arange(24.0).view(2, 6, 2)  # two sequences of two frames of three tokens
    first = positions_first(x, 3)
    assert torch.equal(first[1], x[:, [1, 4]].flatten(0, 1)), "all tokens of a position, sequence by sequence"
    assert torch.equal(positions_last(first, 2), x)


@pytest.mark.parametrize("own", [1, 3])
def test_each_position_has_its_own_matrix_or_all_have_one(own):
    x, matrices = torch.randn(3, 5, 4, generator=seeded()), torch.randn(own, 4, 2, generator=seeded(1))
    torch.testing.assert_close(by_position(x, matrices), x @ matrices.expand(3, -1, -1))
