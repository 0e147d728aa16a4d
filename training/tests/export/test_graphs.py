from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from support import export_whole, lively_model, noise

from ask_training.experiment.exports import Whole
from ask_training.export.graphs import Graph, make_graph
from ask_training.export.onnx_files import OPSET, largest_difference, open_session, run_onnx
from ask_training.models.forward import predict
from ask_training.models.vit import VisionTransformer
from ask_training.models.weights import load_weights

DEPTH = 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One model as float.onnx with attention, as plain.onnx without, and as second.onnx."""
    path = tmp_path_factory.mktemp("export")
    export_whole(lively_model(depth=DEPTH), path / "float.onnx", attention=True)
    export_whole(lively_model(depth=DEPTH), path / "plain.onnx")
    export_whole(lively_model(depth=DEPTH), path / "second.onnx", second_look=32)
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


def test_the_graphs_take_rows_of_bytes_and_name_their_outputs(folder: Path) -> None:
    for name, outputs in (("float", {"logits": 6, "attention": 9}), ("plain", {"logits": 6}), ("second", {"logits": 6})):
        session = open_session(folder / f"{name}.onnx")
        [pixels] = session.get_inputs()
        assert (pixels.name, pixels.type, pixels.shape) == ("pixels", "tensor(uint8)", ["batch", 32, 32, 3])
        assert {output.name: output.shape for output in session.get_outputs()} == {
            key: ["batch", width] for key, width in outputs.items()
        }
        assert {output.type for output in session.get_outputs()} == {"tensor(float)"}


@pytest.mark.parametrize(("name", "blocks"), [("plain", DEPTH), ("float", DEPTH - 1)])
def test_attention_is_one_node_wherever_its_weights_are_not_asked_for(folder: Path, name: str, blocks: int) -> None:
    model = onnx.load(folder / f"{name}.onnx")
    assert [(domain.domain, domain.version) for domain in model.opset_import if not domain.domain] == [("", OPSET)]
    kinds = [node.op_type for node in model.graph.node]
    assert kinds.count("Attention") == blocks
    assert kinds.count("Softmax") == DEPTH - blocks


@pytest.mark.parametrize("name", ["float", "plain", "second"])
def test_pictures_do_not_depend_on_their_batch(folder: Path, name: str) -> None:
    pixels = noise(7)
    rows = {"pixels": pixels.permute(0, 2, 3, 1).numpy()}
    together = open_session(folder / f"{name}.onnx").run(["logits"], rows)[0]
    np.testing.assert_allclose(run_onnx(folder / f"{name}.onnx", pixels), together, rtol=0, atol=1e-4)


def whole(network: VisionTransformer, **options: Any) -> Graph:
    return make_graph(Whole("model", "stage", **options), network, 32)


def test_the_comparison_sees_a_graph_of_other_weights(folder: Path) -> None:
    model = lively_model(depth=DEPTH)
    assert largest_difference(whole(model, attention=True), folder / "float.onnx") < 1e-3
    assert largest_difference(whole(model, second_look=32), folder / "second.onnx") < 1e-3
    assert largest_difference(whole(model), folder / "second.onnx") > 0.05
    with torch.no_grad():
        model.head.bias[3] += 0.01
    assert largest_difference(whole(model), folder / "float.onnx") == pytest.approx(0.01, abs=1e-3)


@pytest.mark.parametrize("count", [1, 5])
def test_a_second_look_is_at_the_mirror_image_in_its_own_size(folder: Path, count: int) -> None:
    pixels, cpu = noise(count), torch.device("cpu")
    smaller = VisionTransformer(32, 6, width=48, depth=DEPTH, heads=3)
    load_weights(smaller, lively_model(depth=DEPTH).state_dict())
    one = predict(lively_model(depth=DEPTH), pixels, cpu)
    other = predict(smaller, pixels.flip(-1), cpu)
    assert (one - other).abs().max() > 0.1
    np.testing.assert_allclose(run_onnx(folder / "second.onnx", pixels), (one + other) / 2, rtol=0, atol=1e-3)


def test_two_looks_share_their_weights(folder: Path) -> None:
    one, two = (folder / f"{name}.onnx" for name in ("plain", "second"))
    assert two.stat().st_size < 1.5 * one.stat().st_size
