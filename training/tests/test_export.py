from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from support import lively_model, noise

from ask_training.bundle import parity
from ask_training.engine import predict
from ask_training.export import export_float, export_int8, open_session, run_onnx
from ask_training.golden import golden_pixels

DEPTH = 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One model as float.onnx and int8.onnx with attention, and as plain.onnx without."""
    path = tmp_path_factory.mktemp("export")
    export_float(lively_model(depth=DEPTH), 32, True, path / "float.onnx")
    export_int8(path / "float.onnx", 32, path / "int8.onnx")
    export_float(lively_model(depth=DEPTH), 32, False, path / "plain.onnx")
    return path


@torch.no_grad()
def in_torch(pixels: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Logits through the training code's own preprocessing; attention through the same."""
    model = lively_model(depth=DEPTH)
    seen = []
    model.forward = lambda x: seen.append(model.forward_with_attention(x)) or seen[-1][0]
    logits = predict(model, pixels, torch.device("cpu"))
    return logits.numpy(), seen[0][1].numpy()


def served(path: Path, pixels: torch.Tensor) -> list[np.ndarray]:
    return open_session(path).run(["logits", "attention"], {"pixels": pixels.permute(0, 2, 3, 1).numpy()})


@pytest.mark.parametrize("count", [1, 5])
def test_the_float_graph_computes_what_pytorch_does(folder: Path, count: int) -> None:
    pixels = noise(count)
    logits, attention = served(folder / "float.onnx", pixels)
    expected_logits, expected_attention = in_torch(pixels)
    assert expected_logits.std() > 1
    np.testing.assert_allclose(logits, expected_logits, rtol=0, atol=1e-3)
    np.testing.assert_allclose(attention, expected_attention, rtol=0, atol=1e-4)
    np.testing.assert_allclose(run_onnx(folder / "plain.onnx", pixels), expected_logits, rtol=0, atol=1e-3)


@pytest.mark.parametrize("count", [1, 5])
def test_the_int8_graph_stays_close_without_being_the_float_one(folder: Path, count: int) -> None:
    pixels = golden_pixels(count)
    logits, attention = served(folder / "int8.onnx", pixels)
    expected_logits, expected_attention = in_torch(pixels)
    difference = np.abs(logits - expected_logits).max()
    assert 1e-4 < difference < 0.1 * expected_logits.std()
    np.testing.assert_allclose(attention, expected_attention, rtol=0, atol=0.05)


def test_the_graphs_take_rows_of_bytes_and_name_their_outputs(folder: Path) -> None:
    for name, outputs in (
        ("float", {"logits": 6, "attention": 9}), ("int8", {"logits": 6, "attention": 9}), ("plain", {"logits": 6})
    ):
        session = open_session(folder / f"{name}.onnx")
        [pixels] = session.get_inputs()
        assert (pixels.name, pixels.type, pixels.shape) == ("pixels", "tensor(uint8)", ["batch", 32, 32, 3])
        assert {output.name: output.shape for output in session.get_outputs()} == {
            key: ["batch", width] for key, width in outputs.items()
        }
        assert {output.type for output in session.get_outputs()} == {"tensor(float)"}


def test_pictures_do_not_depend_on_their_batch(folder: Path) -> None:
    pixels = noise(7)
    together, _ = served(folder / "float.onnx", pixels)
    np.testing.assert_allclose(run_onnx(folder / "float.onnx", pixels), together, rtol=0, atol=1e-4)


def test_int8_holds_the_blocks_and_leaves_the_resize_in_float(folder: Path) -> None:
    graph = onnx.load(folder / "int8.onnx").graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    quantised = [node for node in graph.node if node.op_type == "MatMulInteger"]
    assert len(quantised) == 4 * DEPTH  # qkv, proj, fc1 and fc2
    assert {constants[node.input[1]].data_type for node in quantised} == {onnx.TensorProto.INT8}

    resizing = [tensor for tensor in graph.initializer if sorted(tensor.dims) == [32, 48]]
    assert {tensor.data_type for tensor in resizing} == {onnx.TensorProto.FLOAT}
    names = {tensor.name for tensor in resizing}
    uses = [node.op_type for node in graph.node if names & set(node.input)]
    assert uses == ["MatMul", "MatMul"]


def test_int8_is_smaller_and_leaves_no_working_file(folder: Path) -> None:
    sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
    assert sizes.keys() == {"float.onnx", "int8.onnx", "plain.onnx"}
    assert sizes["int8.onnx"] < 0.6 * sizes["float.onnx"]


def test_parity_sees_a_graph_of_other_weights(folder: Path) -> None:
    assert parity(lively_model(depth=DEPTH), folder / "float.onnx") < 1e-3
    other = lively_model(depth=DEPTH)
    with torch.no_grad():
        other.head.bias[3] += 0.01
    assert parity(other, folder / "float.onnx") == pytest.approx(0.01, abs=1e-3)


def test_golden_pictures_are_the_same_on_every_call_and_unlike_one_another() -> None:
    pixels = golden_pixels()
    assert torch.equal(pixels, golden_pixels())
    assert (pixels.shape, pixels.dtype) == ((8, 3, 32, 32), torch.uint8)
    assert (pixels.float().flatten(1).std(1) > 30).all()
    assert len({picture.numpy().tobytes() for picture in pixels}) == 8


@pytest.mark.parametrize("count", [1, 5])
def test_a_mirrored_graph_averages_the_picture_and_its_mirror_image(folder: Path, count: int) -> None:
    export_float(lively_model(depth=DEPTH), 32, False, folder / "mirror.onnx", mirror=True)
    pixels = noise(count)
    (plain, _), (mirrored, _) = in_torch(pixels), in_torch(pixels.flip(-1))
    assert np.abs(plain - mirrored).max() > 0.1
    np.testing.assert_allclose(run_onnx(folder / "mirror.onnx", pixels), (plain + mirrored) / 2, rtol=0, atol=1e-3)
