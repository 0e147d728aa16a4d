import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from support import export_whole, lively_model, noise

from ask_training.data.golden import golden_pixels
from ask_training.export.onnx_files import open_session, run_onnx
from ask_training.export.quantise import (
    avoid_overflow,
    fuse_products,
    most_sensitive,
    quantise_dynamic,
    quantise_static,
)
from ask_training.models.vit import VisionTransformer

DEPTH = 2
PRODUCTS = 4 * DEPTH + 1  # qkv, proj, fc1 and fc2; the last block's qkv is two products, one token's q and all k and v


def calm_model() -> VisionTransformer:
    """Weights of about a trained network's size: rounding has little to multiply."""
    model = lively_model(depth=DEPTH)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.startswith("blocks") and "norm" not in name:
                parameter *= 0.3
    return model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One model in float32, dynamic, static and (four products in float) mixed form."""
    path = tmp_path_factory.mktemp("quantise")
    export_whole(calm_model(), path / "float32.onnx")
    quantise_dynamic(path / "float32.onnx", path / "dynamic.onnx")
    quantise_static(path / "float32.onnx", path / "static.onnx", calibration())
    in_float = most_sensitive(path / "float32.onnx", calibration()[:4], 4)
    quantise_static(path / "float32.onnx", path / "mixed.onnx", calibration(), in_float)
    return path


def calibration() -> torch.Tensor:
    return torch.cat([noise(12, seed=1), golden_pixels(count=12)])


def together(path: Path, pixels: torch.Tensor) -> np.ndarray:
    return open_session(path).run(["logits"], {"pixels": pixels.permute(0, 2, 3, 1).numpy()})[0]


def graph(path: Path) -> tuple[onnx.GraphProto, dict[str, onnx.TensorProto]]:
    found = onnx.load(path).graph
    return found, {tensor.name: tensor for tensor in found.initializer}


def fixed_products(path: Path) -> list[str]:
    """Where each product's weights come from, of those a static graph quantised: int8 behind a DequantizeLinear."""
    found, constants = graph(path)
    sources = {node.output[0]: node for node in found.node if node.op_type == "DequantizeLinear"}
    weights = [sources[node.input[1]].input[0] for node in found.node if node.op_type == "MatMul" and node.input[1] in sources]
    assert {constants[name].data_type for name in weights} <= {onnx.TensorProto.INT8}
    return weights


@pytest.mark.parametrize("form", ["dynamic", "static", "mixed"])
def test_an_8_bit_form_stays_close_without_being_the_float_one(folder: Path, form: str) -> None:
    pixels = torch.cat([golden_pixels(count=8), noise(4, seed=9)])
    expected = run_onnx(folder / "float32.onnx", pixels)
    difference = np.abs(run_onnx(folder / f"{form}.onnx", pixels) - expected).max()
    assert expected.std() > 1
    assert 1e-4 < difference < 0.1 * expected.std()


@pytest.mark.parametrize("form", ["static", "mixed"])
def test_by_static_scales_a_pictures_logits_do_not_depend_on_its_batch(folder: Path, form: str) -> None:
    pixels = torch.cat([noise(4), golden_pixels(count=3), torch.zeros(1, 3, 32, 32, dtype=torch.uint8)])
    path = folder / f"{form}.onnx"
    np.testing.assert_allclose(run_onnx(path, pixels), together(path, pixels), rtol=0, atol=1e-4)
    np.testing.assert_allclose(together(path, pixels[[6, 0, 7]]), together(path, pixels)[[6, 0, 7]], rtol=0, atol=1e-4)


def test_by_dynamic_scales_they_do_and_prediction_therefore_takes_one_picture_at_a_time(folder: Path) -> None:
    pixels = torch.cat([noise(4), golden_pixels(count=3), torch.zeros(1, 3, 32, 32, dtype=torch.uint8)])
    path = folder / "dynamic.onnx"
    assert np.abs(run_onnx(path, pixels) - together(path, pixels)).max() > 1e-3
    alone = np.concatenate([run_onnx(path, picture[None]) for picture in pixels])
    np.testing.assert_array_equal(run_onnx(path, pixels), alone)


@pytest.mark.parametrize("form", ["static", "mixed", "float32"])
def test_fused_products_answer_the_same_with_fewer_nodes(folder: Path, tmp_path: Path, form: str) -> None:
    path = tmp_path / "fused.onnx"
    shutil.copy(folder / f"{form}.onnx", path)
    fuse_products(path)
    pixels = torch.cat([noise(4), golden_pixels(count=3)])
    np.testing.assert_allclose(together(path, pixels), together(folder / f"{form}.onnx", pixels), rtol=0, atol=1e-4)
    found, constants = graph(path)
    fused = [node for node in found.node if node.op_type == "MatMulIntegerToFloat"]
    assert len(fused) == {"static": PRODUCTS, "mixed": PRODUCTS - 4, "float32": 0}[form]
    assert sum(len(node.input) == 7 for node in fused) == len(fused)  # each with its bias
    assert not [node for node in found.node if node.op_type == "DequantizeLinear" and node.input[0] in constants]


def test_the_dynamic_form_holds_the_blocks_in_8_bits(folder: Path) -> None:
    found, constants = graph(folder / "dynamic.onnx")
    quantised = [node for node in found.node if node.op_type == "MatMulInteger"]
    assert len(quantised) == PRODUCTS
    assert {constants[node.input[1]].data_type for node in quantised} == {onnx.TensorProto.INT8}


def test_the_static_form_holds_the_blocks_in_8_bits_but_for_what_it_spares(folder: Path) -> None:
    assert len(fixed_products(folder / "static.onnx")) == PRODUCTS
    assert len(fixed_products(folder / "mixed.onnx")) == PRODUCTS - 4


@pytest.mark.parametrize("form", ["dynamic", "static", "mixed"])
def test_the_resize_stays_in_float(folder: Path, form: str) -> None:
    found, _ = graph(folder / f"{form}.onnx")
    resizing = [tensor for tensor in found.initializer if sorted(tensor.dims) == [32, 48]]
    assert {tensor.data_type for tensor in resizing} == {onnx.TensorProto.FLOAT}
    names = {tensor.name for tensor in resizing}
    assert [node.op_type for node in found.node if names & set(node.input)] == ["MatMul", "MatMul"]


def test_8_bits_are_smaller_and_leave_no_working_file(folder: Path) -> None:
    sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
    assert sizes.keys() == {"float32.onnx", "dynamic.onnx", "static.onnx", "mixed.onnx"}
    for form in ("dynamic", "static"):
        assert sizes[f"{form}.onnx"] < 0.7 * sizes["float32.onnx"]
    assert sizes["static.onnx"] < sizes["mixed.onnx"] < sizes["float32.onnx"]


@pytest.mark.parametrize("block", range(DEPTH))
def test_a_product_that_8_bits_spoil_is_found(tmp_path: Path, block: int) -> None:
    """One of fc2's inputs is huge and weighs nothing: in 8 bits it takes the whole scale and leaves the others none."""
    model = calm_model()
    with torch.no_grad():
        model.blocks[block].mlp.fc1.bias[5] = 2000.0
        model.blocks[block].mlp.fc2.weight[:, 5] = 0.0
    path = tmp_path / "float32.onnx"
    export_whole(model, path)

    [name] = most_sensitive(path, noise(4), 1)

    quantise_dynamic(path, tmp_path / "one.onnx", [name])
    found, constants = graph(tmp_path / "one.onnx")
    [product] = [node for node in found.node if node.op_type == "MatMulInteger"]
    weights = onnx.numpy_helper.to_array(constants[product.input[1]])
    assert weights.shape == (192, 48)
    assert not weights[5].any()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["float32.onnx", "one.onnx"]


def test_the_most_sensitive_come_first_and_are_as_many_as_asked_for(folder: Path) -> None:
    path, pixels = folder / "float32.onnx", calibration()[:4]
    every = most_sensitive(path, pixels, 99)
    assert len(set(every)) == PRODUCTS
    assert most_sensitive(path, pixels, 2) == every[:2]


@pytest.mark.parametrize("form", ["dynamic", "static", "mixed"])
def test_no_two_neighbouring_products_overflow_16_bits(folder: Path, form: str) -> None:
    """255 times two weights: what x86-64 without VNNI adds in 16 bits, saturating."""
    weights = [onnx.numpy_helper.to_array(tensor).astype(int) for name, tensor in graph(folder / f"{form}.onnx")[1].items()
               if tensor.data_type == onnx.TensorProto.INT8 and name.endswith("_quantized")]
    assert len(weights) >= PRODUCTS - 4
    for matrix in weights:
        pairs = np.stack([np.maximum(matrix, 0), np.maximum(-matrix, 0)])
        assert 255 * (pairs[:, :-1] + pairs[:, 1:]).max() <= 32767


def test_only_channels_that_could_overflow_are_coarsened_and_keep_their_size(tmp_path: Path) -> None:
    loud, calm = [127, 100, -3, 5], [127, -100, 1, 9]
    path = tmp_path / "two.onnx"
    tensors = [
        onnx.numpy_helper.from_array(np.array([loud, calm], np.int8).T, "w_quantized"),
        onnx.numpy_helper.from_array(np.array([0.5, 0.25], np.float32), "w_scale"),
    ]
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph([], "g", [], [], tensors)), path)
    avoid_overflow(path)
    found = {name: onnx.numpy_helper.to_array(tensor) for name, tensor in graph(path)[1].items()}
    weights, scale = found["w_quantized"].T.astype(float), found["w_scale"]
    assert weights[1].tolist() == calm and scale[1] == 0.25
    assert weights[0, 0] + weights[0, 1] in (127, 128)
    np.testing.assert_allclose(weights[0] * scale[0], np.array(loud) * 0.5, atol=scale[0] / 2 + 1e-6)
