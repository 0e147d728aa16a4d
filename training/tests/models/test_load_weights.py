import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from support import lively_model, noise
from torch import Tensor

from ask_training.data.resample import resize_matrix
from ask_training.models.forward import predict
from ask_training.models.vit import VisionTransformer
from ask_training.models.weights import load_weights


def stored(seed: int = 1, **options: int) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in lively_model(seed, **options).state_dict().items()}


def assert_same(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name


def test_a_checkpoint_of_the_same_shape_loads_exactly(tmp_path: Path) -> None:
    weights = stored()
    save_file(weights, tmp_path / "weights.safetensors")
    model = lively_model()
    load_weights(model, tmp_path / "weights.safetensors")
    assert_same(model.state_dict(), weights)


@pytest.mark.parametrize("size", [32, 112])
def test_positions_of_another_resolution_are_resized_as_pictures_are(size: int) -> None:
    weights = stored(size=64)
    model = lively_model(size=size)

    load_weights(model, weights)

    side = size // 16
    matrix = resize_matrix(4, side)
    grid = torch.einsum("ih,hwc,jw->ijc", matrix, weights["pos_embed"][0, 1:].reshape(4, 4, 48), matrix)
    expected = torch.cat([weights["pos_embed"][0, :1], grid.reshape(side * side, 48)])[None]
    torch.testing.assert_close(model.pos_embed.detach(), expected, rtol=1e-4, atol=1e-5)
    assert_same(
        {name: tensor for name, tensor in model.state_dict().items() if name != "pos_embed"},
        {name: tensor for name, tensor in weights.items() if name != "pos_embed"},
    )


def test_a_head_of_other_classes_is_left_out() -> None:
    weights = stored(classes=11)
    model = lively_model()
    fresh = {name: tensor.clone() for name, tensor in model.state_dict().items() if name.startswith("head.")}

    load_weights(model, weights)

    assert_same(model.state_dict(), weights | fresh)


def test_a_checkpoint_without_a_head_loads() -> None:
    weights = {name: tensor for name, tensor in stored().items() if not name.startswith("head.")}
    model = lively_model()
    load_weights(model, weights)
    assert torch.equal(model.blocks[1].mlp.fc2.weight, weights["blocks.1.mlp.fc2.weight"])


WRONG = {
    "missing": (
        {"blocks.1.attn.proj.bias": None},
        "tensor blocks.1.attn.proj.bias is missing from the checkpoint",
    ),
    "without positions": ({"pos_embed": None}, "tensor pos_embed is missing from the checkpoint"),
    "without the head's bias": ({"head.bias": None}, "tensor head.bias is missing from the checkpoint"),
    "unknown": ({"mask_token": torch.zeros(1, 1, 48)}, "tensor mask_token is not expected in the checkpoint"),
    "other shape": (
        {"blocks.0.mlp.fc1.weight": torch.zeros(48, 192)},
        r"tensor blocks.0.mlp.fc1.weight has shape \[48, 192\], expected \[192, 48\]",
    ),
    "other width": (
        {"pos_embed": torch.zeros(1, 10, 64)},
        r"tensor pos_embed has shape \[1, 10, 64\], expected \[1, 10, 48\]",
    ),
    "positions without batch": ({"pos_embed": torch.zeros(10)}, r"tensor pos_embed has shape \[10\], expected"),
    "one position": ({"pos_embed": torch.zeros(1, 1, 48)}, r"tensor pos_embed has shape \[1, 1, 48\], expected"),
    # 14 x 14 patches, CLS and distillation token: DeiT's distilled checkpoints, which a user may well try
    "distilled": (
        {"pos_embed": torch.zeros(1, 198, 48)},
        r"tensor pos_embed has shape \[1, 198, 48\]: not one CLS token and a square of patches",
    ),
}


@pytest.mark.parametrize(("change", "message"), WRONG.values(), ids=WRONG)
def test_a_wrong_checkpoint_is_refused_by_the_tensors_name_and_changes_nothing(
    change: dict[str, Tensor | None], message: str
) -> None:
    model = lively_model()
    before = stored(0)
    weights = {name: tensor for name, tensor in (stored() | change).items() if tensor is not None}
    with pytest.raises(ValueError, match=message):
        load_weights(model, weights)
    assert_same(model.state_dict(), before)


def test_a_file_of_another_format_is_refused_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "deit.pth"
    torch.save(stored(), path)
    with pytest.raises(ValueError, match="deit.pth: not a safetensors file"):
        load_weights(lively_model(), path)


if path := os.environ.get("ASK_DEIT_WEIGHTS"):  # 22 MB that not every machine has

    def test_the_real_deit_checkpoint_loads_at_its_own_and_at_another_resolution() -> None:
        model = VisionTransformer(224, 1000)
        load_weights(model, Path(path))
        logits = predict(model, noise(2), torch.device("cpu"))
        assert logits.shape == (2, 1000)
        assert 0.3 < logits.std() < 10
        small = VisionTransformer(112, 100)
        load_weights(small, Path(path))
        assert torch.equal(small.blocks[11].mlp.fc2.weight, model.blocks[11].mlp.fc2.weight)
