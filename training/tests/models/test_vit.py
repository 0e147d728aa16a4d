import math

import pytest
import torch
from support import lively_model
from torch import Tensor, nn

from ask_training.models.vit import Block, VisionTransformer


def pictures(count: int, size: int) -> Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(8))


def test_tensors_are_named_and_shaped_as_in_timm() -> None:
    model = VisionTransformer(size=64, classes=5, width=48, depth=1, heads=3)
    assert {name: list(tensor.shape) for name, tensor in model.state_dict().items()} == {
        "cls_token": [1, 1, 48],
        "pos_embed": [1, 17, 48],
        "patch_embed.proj.weight": [48, 3, 16, 16],
        "patch_embed.proj.bias": [48],
        "blocks.0.norm1.weight": [48],
        "blocks.0.norm1.bias": [48],
        "blocks.0.attn.qkv.weight": [144, 48],
        "blocks.0.attn.qkv.bias": [144],
        "blocks.0.attn.proj.weight": [48, 48],
        "blocks.0.attn.proj.bias": [48],
        "blocks.0.norm2.weight": [48],
        "blocks.0.norm2.bias": [48],
        "blocks.0.mlp.fc1.weight": [192, 48],
        "blocks.0.mlp.fc1.bias": [192],
        "blocks.0.mlp.fc2.weight": [48, 192],
        "blocks.0.mlp.fc2.bias": [48],
        "norm.weight": [48],
        "norm.bias": [48],
        "head.weight": [5, 48],
        "head.bias": [5],
    }


def test_deit_tiny_has_its_published_number_of_parameters() -> None:
    assert sum(parameter.numel() for parameter in VisionTransformer(224, 1000).parameters()) == 5_717_416


def test_a_size_that_is_no_multiple_of_the_patch_is_refused() -> None:
    with pytest.raises(ValueError, match="size 50 is not a multiple of the patch size 16"):
        VisionTransformer(50, 5)


def test_a_block_is_torchs_own_pre_norm_encoder_layer() -> None:
    block = lively_model(depth=1).blocks[0]
    layer = nn.TransformerEncoderLayer(
        48, 3, 192, activation="gelu", layer_norm_eps=1e-6, batch_first=True, norm_first=True
    ).eval()
    names = {
        "attn.qkv.weight": "self_attn.in_proj_weight", "attn.qkv.bias": "self_attn.in_proj_bias",
        "attn.proj.weight": "self_attn.out_proj.weight", "attn.proj.bias": "self_attn.out_proj.bias",
        "mlp.fc1.weight": "linear1.weight", "mlp.fc1.bias": "linear1.bias",
        "mlp.fc2.weight": "linear2.weight", "mlp.fc2.bias": "linear2.bias",
    }
    layer.load_state_dict({names.get(name, name): tensor for name, tensor in block.state_dict().items()})
    x = torch.randn(2, 7, 48, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(block(x, 7)[0], layer(x), rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_attention_is_the_last_blocks_softmax_from_cls_to_patches_averaged_over_heads() -> None:
    model = lively_model(size=64, depth=2)
    x = pictures(2, 64)
    tokens = torch.cat([model.cls_token.expand(2, -1, -1), model.patch_embed(x)], 1) + model.pos_embed
    last = model.blocks[1]
    joined = last.attn.qkv(last.norm1(model.blocks[0](tokens, 17)[0]))
    heads = []
    for head in range(3):
        q, k = (joined[:, :, part * 48 + head * 16 : part * 48 + head * 16 + 16] for part in (0, 1))
        scores = torch.einsum("bqd,bkd->bqk", q, k)[:, 0] / math.sqrt(16)
        heads.append(scores.exp() / scores.exp().sum(1, keepdim=True))
    expected = torch.stack(heads).mean(0)

    attention = model.forward_with_attention(x)[1]

    torch.testing.assert_close(attention, expected[:, 1:], rtol=1e-4, atol=1e-6)
    assert attention.shape == (2, 16)
    assert (attention.sum(1) < 1).all()
    torch.testing.assert_close(attention.sum(1) + expected[:, 0], torch.ones(2))


@pytest.mark.parametrize("depth", [1, 3])
def test_a_last_block_of_the_cls_token_alone_gives_the_logits_and_gradients_of_the_full_one(depth: int) -> None:
    model, x = lively_model(size=64, depth=depth), pictures(3, 64)
    tokens = torch.cat([model.cls_token.expand(3, -1, -1), model.patch_embed(x)], 1) + model.pos_embed
    for block in model.blocks:
        tokens = block(tokens, 17)[0]
    assert tokens.shape == (3, 17, 48)
    expected = model.head(model.norm(tokens)[:, 0])
    gradients = torch.autograd.grad(expected.logsumexp(1).sum(), list(model.parameters()))

    logits = model(x)

    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)
    found = torch.autograd.grad(logits.logsumexp(1).sum(), list(model.parameters()))
    for (name, _), one, other in zip(model.named_parameters(), found, gradients):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3, msg=lambda text, name=name: f"{name}: {text}")


@torch.no_grad()
@pytest.mark.parametrize("queries", [1, 3])
def test_a_block_asked_for_some_tokens_gives_the_first_of_all(queries: int) -> None:
    block = lively_model(depth=1).blocks[0]
    x = torch.randn(2, 7, 48, generator=torch.Generator().manual_seed(1))
    whole, weights = block(x, 7, with_weights=True)
    some, fewer = block(x, queries, with_weights=True)
    torch.testing.assert_close(some, whole[:, :queries], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(fewer, weights[:, :, :queries], rtol=1e-4, atol=1e-6)


@torch.no_grad()
def test_logits_are_the_same_with_and_without_attention() -> None:
    model, x = lively_model(), pictures(3, 48)
    logits = model(x)
    assert logits.std() > 1
    torch.testing.assert_close(model.forward_with_attention(x)[0], logits, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_keeping_every_patch_is_plain_evaluation() -> None:
    model, x = lively_model(), pictures(3, 48)
    assert torch.equal(model(x, 1.0, torch.Generator().manual_seed(1)), model(x))


@pytest.mark.parametrize(("keep", "seen"), [(0.5, 8), (0.8, 13), (0.01, 1)])
@torch.no_grad()
def test_patch_dropout_sees_the_share_it_was_told_to(keep: float, seen: int) -> None:
    model, x = lively_model(size=64), pictures(1, 64)

    def logits(picture: Tensor) -> Tensor:
        return model(picture, keep, torch.Generator().manual_seed(3))

    plain = logits(x)
    noticed = 0
    for patch in range(16):
        other = x.clone()
        other[..., patch // 4 * 16 : patch // 4 * 16 + 16, patch % 4 * 16 : patch % 4 * 16 + 16] += 1
        noticed += not torch.equal(logits(other), plain)
    assert noticed == seen


@torch.no_grad()
def test_patch_dropout_draws_from_the_generator_and_differs_between_pictures() -> None:
    model, x = lively_model(size=64), pictures(1, 64).expand(8, -1, -1, -1)
    first, again, other = (model(x, 0.5, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)
    assert not torch.allclose(first[0], first[1])


@torch.no_grad()
def test_stochastic_depth_drops_whole_branches_and_only_in_training() -> None:
    block = Block(48, 3, drop_path=0.4)
    block.load_state_dict(lively_model(depth=1).blocks[0].state_dict())
    block.mlp.fc2.weight.zero_()
    block.mlp.fc2.bias.zero_()
    x = torch.randn(1, 7, 48, generator=torch.Generator().manual_seed(1)).expand(400, -1, -1)
    added = block.eval()(x, 7)[0] - x
    torch.manual_seed(2)
    dropped = block.train()(x, 7)[0] - x

    kept = dropped.abs().amax((1, 2)) > 0
    torch.testing.assert_close(dropped[kept], added[kept] / 0.6, rtol=1e-4, atol=1e-4)
    assert 0.5 < kept.float().mean() < 0.7


def test_stochastic_depth_rises_to_the_last_block() -> None:
    model = VisionTransformer(32, 5, width=48, depth=3, heads=3, drop_path=0.2)
    assert [block.drop_path for block in model.blocks] == [0.0, 0.1, 0.2]
