"""Checkpoints of timm's names and forms, made here, against a forward pass written from their tensors alone."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from ask_training.models.shape import DEIT, Form, Shape, head_count, read_shape, shape_of
from ask_training.models.vit import VisionTransformer
from ask_training.models.weights import at_size, load_weights

WIDTH, DEPTH, HEADS = 24, 3, 3
FORMS = {
    "DeiT": (DEIT, 16),
    "DINOv2": (replace(DEIT, layer_scale=True), 14),
    "registers without positions": (replace(DEIT, layer_scale=True, class_position=False, registers=4), 14),
    "mean of patches beside a class token": (replace(DEIT, mean=True, fc_norm=True), 16),
    "no class token": (replace(DEIT, class_token=False, class_position=False, mean=True, fc_norm=True), 8),
    "no class token, norm first": (replace(DEIT, class_token=False, class_position=False, mean=True), 16),
    "no bias": (replace(DEIT, qkv_bias=False), 16),
    "another MLP": (replace(DEIT, hidden=40), 16),
}


def checkpoint(form: Form, patch: int, grid: int, classes: int = 7) -> dict[str, Tensor]:
    """Tensors as timm names them, all random."""
    hidden = form.hidden or 4 * WIDTH
    shapes = {
        "patch_embed.proj.weight": (WIDTH, 3, patch, patch),
        "patch_embed.proj.bias": (WIDTH,),
        "pos_embed": (1, grid * grid + form.class_position, WIDTH),
        "head.weight": (classes, WIDTH),
        "head.bias": (classes,),
    }
    if form.class_token:
        shapes["cls_token"] = (1, 1, WIDTH)
    if form.registers:
        shapes["reg_token"] = (1, form.registers, WIDTH)
    norm = "fc_norm" if form.fc_norm else "norm"
    shapes |= {f"{norm}.weight": (WIDTH,), f"{norm}.bias": (WIDTH,)}
    for i in range(DEPTH):
        parts = {
            "norm1.weight": (WIDTH,),
            "norm1.bias": (WIDTH,),
            "norm2.weight": (WIDTH,),
            "norm2.bias": (WIDTH,),
            "attn.qkv.weight": (3 * WIDTH, WIDTH),
            "attn.proj.weight": (WIDTH, WIDTH),
            "attn.proj.bias": (WIDTH,),
            "mlp.fc1.weight": (hidden, WIDTH),
            "mlp.fc1.bias": (hidden,),
            "mlp.fc2.weight": (WIDTH, hidden),
            "mlp.fc2.bias": (WIDTH,),
        }
        if form.qkv_bias:
            parts["attn.qkv.bias"] = (3 * WIDTH,)
        if form.layer_scale:
            parts |= {"ls1.gamma": (WIDTH,), "ls2.gamma": (WIDTH,)}
        shapes |= {f"blocks.{i}.{name}": shape for name, shape in parts.items()}
    generator = torch.Generator().manual_seed(3)
    return {name: 0.3 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def forward(w: dict[str, Tensor], x: Tensor, kept: list[int] | None = None) -> Tensor:
    """timm's VisionTransformer, as a function of its tensors."""
    patch = w["patch_embed.proj.weight"].shape[2]
    patches = (
        F.conv2d(x, w["patch_embed.proj.weight"], w["patch_embed.proj.bias"], stride=patch).flatten(2).transpose(1, 2)
    )
    positions = w["pos_embed"]
    owned = positions.shape[1] - patches.shape[1]
    patches = patches + positions[:, owned:]
    if kept is not None:
        patches = patches[:, kept]
    before = []
    if "cls_token" in w:
        before.append((w["cls_token"] + positions[:, :1] if owned else w["cls_token"]).expand(len(x), -1, -1))
    if "reg_token" in w:
        before.append(w["reg_token"].expand(len(x), -1, -1))
    x = torch.cat([*before, patches], 1)
    prefix = x.shape[1] - patches.shape[1]
    for i in range(DEPTH):
        b = {name.removeprefix(f"blocks.{i}."): tensor for name, tensor in w.items() if name.startswith(f"blocks.{i}.")}
        y = F.layer_norm(x, (WIDTH,), b["norm1.weight"], b["norm1.bias"], 1e-6)
        y = F.linear(y, b["attn.qkv.weight"], b.get("attn.qkv.bias"))
        q, k, v = y.unflatten(2, (3, HEADS, WIDTH // HEADS)).permute(2, 0, 3, 1, 4)
        y = ((q @ k.mT / math.sqrt(WIDTH // HEADS)).softmax(-1) @ v).transpose(1, 2).flatten(2)
        x = x + F.linear(y, b["attn.proj.weight"], b["attn.proj.bias"]) * b.get("ls1.gamma", torch.ones(1))
        y = F.layer_norm(x, (WIDTH,), b["norm2.weight"], b["norm2.bias"], 1e-6)
        y = F.linear(
            F.gelu(F.linear(y, b["mlp.fc1.weight"], b["mlp.fc1.bias"])), b["mlp.fc2.weight"], b["mlp.fc2.bias"]
        )
        x = x + y * b.get("ls2.gamma", torch.ones(1))
    if "fc_norm.weight" in w:
        x = F.layer_norm(x[:, prefix:].mean(1), (WIDTH,), w["fc_norm.weight"], w["fc_norm.bias"], 1e-6)
    else:
        x = F.layer_norm(x, (WIDTH,), w["norm.weight"], w["norm.bias"], 1e-6)
        x = x[:, 0] if "cls_token" in w else x.mean(1)
    return F.linear(x, w["head.weight"], w["head.bias"])


def loaded(path: Path, weights: dict[str, Tensor], size: int, classes: int = 7) -> VisionTransformer:
    save_file(weights, path)
    shape = read_shape(path)
    model = VisionTransformer(size, classes, shape.patch, shape.width, shape.depth, HEADS, form=shape.form)
    load_weights(model, path)
    return model.eval()


@torch.no_grad()
@pytest.mark.parametrize(("form", "patch"), FORMS.values(), ids=FORMS)
def test_a_checkpoint_of_any_form_loads_by_its_tensors_alone_and_computes_what_timm_does(
    tmp_path: Path, form: Form, patch: int
) -> None:
    weights = checkpoint(form, patch, 3)
    model = loaded(tmp_path / "timm.safetensors", weights, 3 * patch)
    assert read_shape(tmp_path / "timm.safetensors") == Shape(WIDTH, DEPTH, patch, form)
    assert model.state_dict().keys() == weights.keys()
    x = torch.randn(2, 3, 3 * patch, 3 * patch, generator=torch.Generator().manual_seed(1))
    expected = forward(weights, x)
    assert expected.std() > 0.1
    torch.testing.assert_close(model(x), expected, rtol=1e-4, atol=1e-4)
    kept = torch.tensor([[5, 0, 7], [5, 0, 7]])
    chosen = model.classify(model.run_blocks(model.embed(x, kept)))
    torch.testing.assert_close(chosen, forward(weights, x, [5, 0, 7]), rtol=1e-4, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize(("form", "patch"), FORMS.values(), ids=FORMS)
def test_positions_are_resampled_in_the_plane_alone(tmp_path: Path, form: Form, patch: int) -> None:
    weights = checkpoint(form, patch, 4)
    model = loaded(tmp_path / "timm.safetensors", weights, 6 * patch)
    owned = int(form.class_position)
    grid = weights["pos_embed"][:, owned:].reshape(1, 4, 4, WIDTH).permute(0, 3, 1, 2)
    grid = F.interpolate(grid, (6, 6), mode="bicubic", antialias=True).flatten(2).transpose(1, 2)
    expected = torch.cat([weights["pos_embed"][:, :owned], grid], 1)
    torch.testing.assert_close(model.pos_embed, expected)
    x = torch.randn(1, 3, 4 * patch, 4 * patch)
    smaller = at_size(model, 4 * patch)
    assert smaller.pos_embed.shape == weights["pos_embed"].shape
    assert smaller(x).shape == (1, 7)
    assert model.pos_embed.shape[1] == 36 + owned, "the network itself stays as it is"


@torch.no_grad()
@pytest.mark.parametrize(("form", "patch"), FORMS.values(), ids=FORMS)
def test_blocks_from_and_to_are_the_network_in_parts(tmp_path: Path, form: Form, patch: int) -> None:
    model = loaded(tmp_path / "timm.safetensors", checkpoint(form, patch, 3), 3 * patch)
    x = torch.randn(2, 3, 3 * patch, 3 * patch)
    for cut in range(DEPTH + 1):
        tokens = model.run_blocks(model.embed(x), stop=cut)
        if cut < DEPTH:
            assert tokens.shape == (2, model.prefix + 9, WIDTH)
        assert torch.equal(model.classify(model.run_blocks(tokens, start=cut)), model(x))


def test_the_attention_output_needs_a_class_token() -> None:
    form = FORMS["no class token"][0]
    with pytest.raises(ValueError, match="attention is the class token's, this network has none"):
        VisionTransformer(32, 3, width=24, depth=1, form=form).forward_with_attention(torch.zeros(1, 3, 32, 32))


@torch.no_grad()
def test_registers_do_not_count_as_patches_in_the_attention() -> None:
    form = FORMS["registers without positions"][0]
    model = VisionTransformer(56, 3, 14, 24, 2, 3, form=form).eval()
    assert model.forward_with_attention(torch.randn(2, 3, 56, 56))[1].shape == (2, 16)


WRONG = {
    "pre-norm": (
        {"norm_pre.weight": (WIDTH,)},
        "tensor norm_pre.weight is not expected in C: a norm before the first block",
    ),
    "distilled": (
        {"dist_token": (1, 1, WIDTH)},
        "tensor dist_token is not expected in C: a distillation token is not supported",
    ),
    "attention pooling": (
        {"attn_pool.q.bias": (WIDTH,)},
        "tensor attn_pool.q.bias is not expected in C: attention pooling",
    ),
    "oblong patches": (
        {"patch_embed.proj.weight": (WIDTH, 3, 16, 8)},
        "tensor patch_embed.proj.weight has shape .* must be squares",
    ),
    "no network": ({"patch_embed.proj.weight": None}, "tensor patch_embed.proj.weight is missing from C"),
    "no blocks": (
        {f"blocks.{i}.mlp.fc1.weight": None for i in range(DEPTH)},
        "tensor blocks.0.mlp.fc1.weight is missing from C",
    ),
    "no positions": ({"pos_embed": None}, "tensor pos_embed is missing from C"),
    "flat positions": ({"pos_embed": (5,)}, r"tensor pos_embed has shape \[5\], expected 3 dimensions"),
}


@pytest.mark.parametrize(("change", "message"), WRONG.values(), ids=WRONG)
def test_a_checkpoint_of_another_kind_is_refused_by_its_first_tensor(change: dict, message: str) -> None:
    sizes = {name: tensor.shape for name, tensor in checkpoint(DEIT, 16, 2).items()} | change
    with pytest.raises(ValueError, match=message):
        shape_of({name: size for name, size in sizes.items() if size is not None}, "C")


MISFITS = {
    "layer scale in one block": ("blocks.2.ls1.gamma", "tensor blocks.2.ls1.gamma is not expected in"),
    "query norm": ("blocks.0.attn.q_norm.weight", "tensor blocks.0.attn.q_norm.weight is not expected in"),
    "a gated MLP": ("blocks.0.mlp.norm.weight", "tensor blocks.0.mlp.norm.weight is not expected in"),
}


@pytest.mark.parametrize(("name", "message"), MISFITS.values(), ids=MISFITS)
def test_a_tensor_too_many_is_refused_by_its_name(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        loaded(tmp_path / "timm.safetensors", checkpoint(DEIT, 16, 2) | {name: torch.ones(WIDTH)}, 32)


def test_positions_that_are_no_square_are_refused(tmp_path: Path) -> None:
    weights = checkpoint(DEIT, 16, 2) | {"pos_embed": torch.zeros(1, 1 + 6, WIDTH)}
    with pytest.raises(
        ValueError, match=r"tensor pos_embed has shape \[1, 7, 24\]: not one CLS token and a square of patches"
    ):
        loaded(tmp_path / "timm.safetensors", weights, 32)
    without = checkpoint(FORMS["no class token"][0], 16, 2) | {"pos_embed": torch.zeros(1, 6, WIDTH)}
    with pytest.raises(ValueError, match=r"tensor pos_embed has shape \[1, 6, 24\]: not a square of patches"):
        loaded(tmp_path / "timm.safetensors", without, 32)


def test_heads_are_64_wide_unless_configured() -> None:
    assert [head_count(width, None) for width in (192, 384, 768)] == [3, 6, 12]
    assert head_count(192, 6) == 6
    with pytest.raises(ValueError, match="heads must be configured: the width 48 is not a multiple of 64"):
        head_count(48, None)
