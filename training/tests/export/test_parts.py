"""Networks exported in parts, or for chosen patches alone: run by onnxruntime, together what the whole is."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from support import Made, lively_model, noise

from ask_training.data.resample import resample, resize_matrix
from ask_training.experiment.config import Architecture
from ask_training.experiment.exports import AnyExport, Blocks, Tokens, Whole
from ask_training.export.choose_form import export_model
from ask_training.export.graphs import check_fits, make_graph
from ask_training.export.onnx_files import describe, largest_difference, open_session, write_graph
from ask_training.models.forward import normalise, predict
from ask_training.models.shape import DEIT
from ask_training.models.vit import VisionTransformer

DEPTH, WIDTH, PATCHES = 3, 48, 9
PIXELS = noise(5)
ROWS = PIXELS.permute(0, 2, 3, 1).contiguous().numpy()


def write(export: AnyExport, network: VisionTransformer, path: Path) -> Path:
    graph = make_graph(export, network, 32)
    write_graph(graph, path)
    assert largest_difference(graph, path) < 1e-4
    return path


@pytest.mark.parametrize("cut", [1, 2])
def test_head_and_tail_are_together_the_whole_network(tmp_path: Path, cut: int) -> None:
    network = lively_model(depth=DEPTH)
    head = open_session(write(Blocks("head", "s", stop=cut), network, tmp_path / "head.onnx"))
    tail = open_session(write(Blocks("tail", "s", start=cut), network, tmp_path / "tail.onnx"))
    [tokens] = head.run(["tokens_out"], {"pixels": ROWS})
    assert tokens.shape == (5, 1 + PATCHES, WIDTH)
    [logits] = tail.run(["logits"], {"tokens": tokens})
    np.testing.assert_allclose(logits, predict(network, PIXELS, torch.device("cpu")), rtol=0, atol=1e-4)


def test_blocks_in_the_middle_take_and_give_tokens(tmp_path: Path) -> None:
    network = lively_model(depth=DEPTH)
    path = write(Blocks("middle", "s", start=1, stop=2), network, tmp_path / "middle.onnx")
    free = {"type": "float", "shape": ["batch", "tokens", WIDTH]}
    assert describe(path) == {"inputs": {"tokens": free}, "outputs": {"tokens_out": free}}
    tokens = torch.randn(2, 7, WIDTH, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = network.blocks[1](tokens, 7)[0]
    [found] = open_session(path).run(None, {"tokens": tokens.numpy()})
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


def test_a_head_holds_no_weights_of_the_tail(tmp_path: Path) -> None:
    network = lively_model(depth=DEPTH)
    sizes = [
        write(export, network, tmp_path / f"{i}.onnx").stat().st_size
        for i, export in enumerate([Whole("whole", "s"), Blocks("head", "s", stop=1), Blocks("tail", "s", start=1)])
    ]
    assert sizes[1] < 0.6 * sizes[0]
    assert sizes[1] + sizes[2] < 1.1 * sizes[0]
    names = {tensor.name for tensor in onnx.load(tmp_path / "1.onnx").graph.initializer}
    assert not [name for name in names if "blocks.1" in name or "blocks.2" in name]


def test_all_blocks_are_the_whole_network(tmp_path: Path) -> None:
    network = lively_model(depth=DEPTH)
    path = write(Blocks("all", "s"), network, tmp_path / "all.onnx")
    [logits] = open_session(path).run(["logits"], {"pixels": ROWS})
    np.testing.assert_allclose(logits, predict(network, PIXELS, torch.device("cpu")), rtol=0, atol=1e-4)


FORMS = {
    "class token": DEIT,
    "registers": replace(DEIT, registers=2, class_position=False, layer_scale=True),
    "mean of patches": replace(DEIT, class_token=False, class_position=False, mean=True, fc_norm=True),
}


def lively(form_of: str) -> VisionTransformer:
    torch.manual_seed(2)
    network = VisionTransformer(48, 6, width=WIDTH, depth=DEPTH, heads=3, form=FORMS[form_of]).eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.normal_(1.0 if "norm" in name and name.endswith("weight") else 0.0, 0.25)
    return network


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("places", [[0], [8, 2, 4], list(range(PATCHES))], ids=len)
def test_chosen_patches_are_the_network_on_those_tokens_alone(tmp_path: Path, form: str, places: list[int]) -> None:
    network = lively(form)
    session = open_session(write(Tokens("chosen", "s"), network, tmp_path / "chosen.onnx"))
    [logits] = session.run(["logits"], {"pixels": ROWS, "places": np.array([places] * 5, np.int64)})
    with torch.no_grad():
        matrix = resize_matrix(32, 48)[None]
        tokens = network.embed(normalise(resample(PIXELS.float() / 255, matrix, matrix)))
        tokens = tokens[:, [*range(network.prefix), *(network.prefix + place for place in places)]]
        for block in network.blocks:
            tokens = block(tokens, tokens.shape[1])[0]
        expected = network.classify(tokens)
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-4)
    if len(places) == PATCHES:
        np.testing.assert_allclose(logits, predict(network, PIXELS, torch.device("cpu")), rtol=0, atol=1e-4)


def test_what_lies_under_the_other_patches_does_not_matter(tmp_path: Path) -> None:
    network = lively("class token")
    session = open_session(write(Tokens("chosen", "s"), network, tmp_path / "chosen.onnx"))
    places = np.array([[0, 1, 3]], np.int64)
    other = ROWS[:1].copy()
    other[:, 24:, 24:] = 255 - other[:, 24:, 24:]  # within the last patch, beyond the reach of resizing
    one, two = (session.run(["logits"], {"pixels": rows, "places": places})[0] for rows in (ROWS[:1], other))
    np.testing.assert_array_equal(one, two)


FITS = {
    "too many blocks": (
        Blocks("part", "s", stop=4),
        "export 'part': the network has 3 blocks, got start = 0, stop = 4",
    ),
    "after the last": (Blocks("part", "s", start=3), "export 'part': the network has 3 blocks, got start = 3"),
    "second look": (Whole("part", "s", second_look=40), "export 'part': second_look must be a multiple of 16, got 40"),
}


@pytest.mark.parametrize(("export", "message"), FITS.values(), ids=FITS)
def test_an_export_that_does_not_fit_the_network_is_refused(export: AnyExport, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_fits(export, Architecture(48, WIDTH, DEPTH, 3, 0.0, 16))


def test_parts_of_a_stage_are_exported_beside_the_models_that_are_served(made: Made, tmp_path: Path) -> None:
    parts = [Blocks("front", "base", stop=1), Blocks("back", "base", start=1), Tokens("chosen", "specialist")]
    experiment = replace(made.run.experiment, exports=[*made.run.experiment.exports, *parts])
    run = replace(made.run, experiment=experiment)
    names = ["front", "back", *(f"chosen-{i}" for i in (1, 2, 3))]
    assert [*run.exports][4:] == names
    assert run.served() == made.run.served()
    try:
        for name in names:
            export_model(run, name)
        figures = run.figures("front", "export.json")
        assert (figures["form"], figures["origin"]["stop"]) == ("float32", 1)
        assert figures["inputs"]["pixels"] == {"type": "uint8", "shape": ["batch", 32, 32, 3]}
        assert figures["largestOnnxDifference"] < 1e-4
        front, back = (open_session(run.path(name, "float32.onnx")) for name in ("front", "back"))
        [logits] = back.run(None, {"tokens": front.run(None, {"pixels": ROWS})[0]})
        np.testing.assert_allclose(logits, predict(run.model("base"), PIXELS, torch.device("cpu")), rtol=0, atol=1e-4)
        assert run.figures("chosen-2", "export.json")["inputs"]["places"] == {
            "type": "int64",
            "shape": ["batch", "kept"],
        }
    finally:
        for name in names:
            run.path(name, "float32.onnx").unlink(missing_ok=True)
            run.path(name, "export.json").unlink(missing_ok=True)
