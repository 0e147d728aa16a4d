"""Which form of a model is kept. Exports and 8-bit forms are stand-ins here: copies of one good and one bad graph."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from support import export_whole, lively_model, noise

from ask_training.data.pictures import Pictures
from ask_training.export import choose_form
from ask_training.export.choose_form import export_model
from ask_training.models.forward import predict
from ask_training.models.vit import VisionTransformer
from ask_training.train.run import Run, load_logits, save_logits

COUNT = 800
FORMS = ("static", "dynamic", "mixed")


def model(worse: bool = False) -> VisionTransformer:
    """``worse`` answers every picture otherwise."""
    network = lively_model(size=32)
    with torch.no_grad():
        if worse:
            network.head.weight.neg_()
            network.head.bias.neg_()
    return network


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("graphs")
    for name in ("good", "bad"):
        export_whole(model(name == "bad"), folder / f"{name}.onnx")
    return {name: folder / f"{name}.onnx" for name in ("good", "bad")}


@pytest.fixture
def trained(run: Run, graphs: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run whose models are all alike and right about every validation picture."""
    experiment = replace(
        run.experiment, exports=[replace(export, attention=False, second_look=0) for export in run.experiment.exports],
        architectures=dict.fromkeys(("small", "medium"), replace(run.experiment.architectures["small"], drop_path=0.0)),
    )
    run = replace(run, experiment=experiment)
    run.folder.mkdir(parents=True)
    logits = predict(model(), noise(COUNT), torch.device("cpu"))
    pictures = Pictures(noise(COUNT), logits.argmax(1))
    run.__dict__["split"] = (pictures, pictures)  # what the cached property would hold
    for name in ("generalist", "specialist-1"):
        save_file(model().state_dict(), run.path(name, "safetensors"))
        save_logits(run.path(name, "npz"), logits)
    monkeypatch.setattr(choose_form, "write_graph", lambda graph, path: shutil.copy(graphs["good"], path))
    return run


def stand_in(monkeypatch: pytest.MonkeyPatch, graphs: dict[str, Path], good: set[str]) -> None:
    def writer(form: str) -> Callable[[dict[str, Path], torch.Tensor], object]:
        return lambda paths, pixels: shutil.copy(graphs["good" if form in good else "bad"], paths[form])

    monkeypatch.setattr(choose_form, "WRITERS", {form: writer(form) for form in FORMS})


CHOICES = {
    "generalist, all good": ("generalist", {"dynamic", "static", "mixed"}, "static"),
    "expert, all good": ("expert-1", {"dynamic", "static", "mixed"}, "static"),
    "generalist, dynamic bad": ("generalist", {"static", "mixed"}, "static"),
    "expert, static bad": ("expert-1", {"dynamic", "mixed"}, "dynamic"),
    "generalist, only mixed": ("generalist", {"mixed"}, "mixed"),
    "expert, only mixed": ("expert-1", {"mixed"}, "mixed"),
    "generalist, none": ("generalist", set(), "float32"),
    "expert, none": ("expert-1", set(), "float32"),
}


@pytest.mark.parametrize(("name", "good", "form"), CHOICES.values(), ids=CHOICES)
def test_the_first_form_in_order_of_preference_that_costs_little_is_kept(
    trained: Run, graphs: dict[str, Path], monkeypatch: pytest.MonkeyPatch, name: str, good: set[str], form: str
) -> None:
    stand_in(monkeypatch, graphs, good)

    export_model(trained, name)

    figures = trained.figures(name, "export.json")
    assert figures.keys() == {"form", "sha256", "accuracies", "largestOnnxDifference", "origin"}
    assert figures["form"] == form
    tried = FORMS if form in ("mixed", "float32") else FORMS[:2]  # the slowest only where the others cost too much
    assert figures["accuracies"].keys() == {"float32", *tried}
    assert figures["accuracies"]["float32"] == 1
    for other in tried:
        assert (figures["accuracies"][other] == 1) == (other in good)
    assert 0 <= figures["largestOnnxDifference"] < 1e-3
    served = load_logits(trained.path(name, "served.npz"))
    torch.testing.assert_close(served, trained.logits(trained.served()[name]), rtol=0, atol=1e-3)


@pytest.mark.parametrize(("wrong", "form"), [(1, "static"), (2, "dynamic")])
def test_three_per_mille_may_be_lost_and_no_more(
    trained: Run, graphs: dict[str, Path], monkeypatch: pytest.MonkeyPatch, wrong: int, form: str
) -> None:
    """One of 400 pictures is within the limit, two are not; the held ones do not count."""
    stand_in(monkeypatch, graphs, {"dynamic", "mixed"})
    right = trained.logits("generalist")

    def answers(path: Path, pixels: torch.Tensor):
        logits = right[: len(pixels)].clone()
        if "static" in path.name:
            logits[: 2 * wrong : 2] *= -1
            logits[1::2] *= -1
        return logits.numpy()

    monkeypatch.setattr(choose_form, "largest_difference", lambda *_: 0.0)
    monkeypatch.setattr(choose_form, "run_onnx", answers)
    export_model(trained, "generalist")
    assert trained.figures("generalist", "export.json")["form"] == form


def test_a_graph_that_differs_from_pytorch_is_refused_and_reported_nowhere(
    trained: Run, graphs: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choose_form, "write_graph", lambda graph, path: shutil.copy(graphs["bad"], path))
    with pytest.raises(ArithmeticError, match=r"generalist: ONNX differs from PyTorch by .*, at most 0.001 is accepted"):
        export_model(trained, "generalist")
    assert not trained.path("generalist", "export.json").exists()
    assert not trained.path("generalist", "served.npz").exists()


def test_heads_of_a_group_are_not_exported(trained: Run) -> None:
    strategies = {"ask": replace(trained.experiment.cascade, head="group")}
    run = replace(trained, experiment=replace(trained.experiment, strategies=strategies))
    with pytest.raises(ValueError, match="head = 'group' is for comparisons"):
        export_model(run, "expert-1")
