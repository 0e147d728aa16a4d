"""What a bundle's manifest and predictions say, checked on the bundle's own files."""

import hashlib
import json
from dataclasses import asdict

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from support import Made

from ask_training.data.pictures import held_back
from ask_training.export.bundle import write_bundle
from ask_training.export.onnx_files import open_session, run_onnx
from ask_training.models.weights import load_weights
from ask_training.policy.gain import FEATURES, features
from ask_training.train.run import load_logits

EXPERTS = ["expert-1", "expert-2", "expert-3"]
MODELS = ["generalist", *EXPERTS]


def test_the_manifest_names_every_model_with_its_digest_and_size(made: Made) -> None:
    assert [entry["id"] for entry in made.entries] == MODELS
    for entry in made.entries:
        content = (made.target / entry["file"]).read_bytes()
        assert (entry["sha256"], entry["bytes"]) == (hashlib.sha256(content).hexdigest(), len(content))


def test_the_manifest_holds_the_golden_file_with_its_digest(made: Made) -> None:
    content = (made.target / "golden.json").read_bytes()
    assert made.manifest["golden"] == {"file": "golden.json", "sha256": hashlib.sha256(content).hexdigest()}


def test_a_signature_stays_as_long_as_the_manifest_it_is_of(made: Made) -> None:
    manifest, signature = made.target / "manifest.json", made.target / "manifest.json.sig"
    signature.write_text("of this manifest\n")
    try:
        write_bundle(made.run, made.target, made.manifest["provenance"]["command"])
        assert signature.read_text() == "of this manifest\n"
        write_bundle(made.run, made.target, "another command")
        assert "another command" in manifest.read_text()
        assert not signature.exists()
    finally:
        signature.unlink(missing_ok=True)
        write_bundle(made.run, made.target, made.manifest["provenance"]["command"])


def test_the_manifest_says_what_each_graph_takes_and_gives(made: Made) -> None:
    assert [entry["outputs"].keys() for entry in made.entries] == [{"logits", "attention"}, *[{"logits"}] * 3]
    for entry in made.entries:
        session = open_session(made.target / entry["file"])
        given = {output.name: output.shape[1] for output in session.get_outputs()}
        assert {name: output["shape"][1] for name, output in entry["outputs"].items()} == given
        picture = entry["inputs"]["pixels"]["picture"]
        assert picture["networkSide"] == (32 if entry["id"] == "generalist" else 48)
        assert session.get_inputs()[0].shape[1:] == entry["inputs"]["pixels"]["shape"][1:]
        assert entry["inputs"]["pixels"]["shape"] == ["batch", picture["side"], picture["side"], 3]


def test_every_class_has_one_expert(made: Made) -> None:
    assert made.manifest["labels"] == [f"colour-{i}" for i in range(6)]
    assert made.entries[0]["classes"] == list(range(6))
    owners = made.cascade["routing"]["classToExpert"]
    for entry in made.entries[1:]:
        assert entry["classes"] == [label for label, owner in enumerate(owners) if owner == entry["id"]]
        assert len(entry["classes"]) == 2
    assert sorted(set(owners)) == EXPERTS


def test_the_manifest_tells_where_the_bundle_comes_from(made: Made) -> None:
    provenance = made.manifest["provenance"]
    assert provenance["dataSha256"] == hashlib.sha256((made.run.data / "train.bin").read_bytes()).hexdigest()
    assert provenance["startingWeights"] == hashlib.sha256(made.run.weights.read_bytes()).hexdigest()
    assert (provenance["seed"], provenance["validationPictures"], provenance["heldPictures"]) == (3, 60, 30)
    assert provenance["command"] == "npm run -s train -- all --config training/tests/tiny.toml --data DIR --weights FILE"
    assert provenance["experiment"] == asdict(made.run.experiment)
    assert [stage["name"] for stage in provenance["stages"]] == [
        "generalist", "base", *(f"{stage}-{i}" for stage in ("widening", "specialist") for i in (1, 2, 3))
    ]
    for stage in provenance["stages"]:
        figures = made.run.figures(stage["name"])
        kept = stage.keys() - {"name", "byGroup"}
        assert {key: figures[key] for key in kept} == {key: stage[key] for key in kept}
        assert kept >= {"pictures", "seconds", "finalLoss", "validationAccuracy"}


def test_a_stage_on_all_pictures_is_measured_on_the_classes_of_each_group(made: Made) -> None:
    validation = made.run.split[1]
    stages = {stage["name"]: stage for stage in made.manifest["provenance"]["stages"]}
    assert {name for name, stage in stages.items() if "byGroup" in stage} == {"generalist", "base"}
    for name in ("generalist", "base"):
        right = made.run.logits(name).argmax(1) == validation.labels
        for entry, share in zip(made.entries[1:], stages[name]["byGroup"], strict=True):
            own = torch.isin(validation.labels, torch.tensor(entry["classes"]))
            assert share == pytest.approx(right[own].float().mean().item(), abs=1e-4)


def test_the_checkpoint_is_what_further_training_can_start_from(made: Made) -> None:
    path = made.target / "checkpoint.safetensors"
    assert made.manifest["provenance"]["checkpoint"] == {
        "stage": "base", "file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    trained = made.run.model("base")
    copy = made.run.build(made.run.experiment.stage("base"))
    load_weights(copy, path)
    assert copy.state_dict().keys() == trained.state_dict().keys()
    for name, tensor in copy.state_dict().items():
        assert torch.equal(tensor, trained.state_dict()[name].half().float()), name


def test_a_models_figures_are_those_of_its_file(made: Made) -> None:
    validation = made.run.split[1]
    for entry in made.entries:
        logits = torch.from_numpy(run_onnx(made.target / entry["file"], validation.pixels))
        recorded = load_logits(made.run.path(entry["id"], "served.npz"))
        torch.testing.assert_close(logits, recorded, rtol=0, atol=1e-3)
        right = (logits.argmax(1) == validation.labels).float()
        own = torch.isin(validation.labels, torch.tensor(entry["classes"]))
        figures = entry["figures"]
        assert figures["validationAccuracy"] == pytest.approx(right.mean().item(), abs=1e-4)
        if entry["id"] != "generalist":
            assert figures["validationAccuracyOwnClasses"] == pytest.approx(right[own].mean().item(), abs=1e-4)
        assert right[own].mean() > 0.4  # guessing reaches a sixth


def test_the_form_that_is_served_is_the_one_that_was_chosen_and_all_that_were_compared_are_recorded(made: Made) -> None:
    for entry in made.entries:
        export = made.run.figures(entry["id"], "export.json")
        assert entry["precision"] == ("float32" if export["form"] == "float32" else "int8")
        assert export["largestOnnxDifference"] < 1e-3
        assert export["accuracies"].keys() >= {"float32", "dynamic", "static", export["form"]}
        for form, accuracy in export["accuracies"].items():
            assert entry["figures"][f"{form}ValidationAccuracy"] == accuracy
        used = made.run.split[1].at(~held_back(len(made.run.split[1])))
        right = {
            form: float((run_onnx(made.run.path(entry["id"], f"{form}.onnx"), used.pixels).argmax(1) == used.labels.numpy()).mean())
            for form in ("float32", export["form"])
        }
        assert right["float32"] - right[export["form"]] <= 0.003 + 1e-9
        assert entry["sha256"] == hashlib.sha256(made.run.path(entry["id"], f"{export['form']}.onnx").read_bytes()).hexdigest()


def test_the_predictions_are_those_of_the_served_models_and_name_their_weights(made: Made) -> None:
    path = made.target / "validation.safetensors"
    tensors = load_file(path)
    labels = made.run.split[1].labels
    assert tensors.keys() == {"labels", "held", "rows", *MODELS}
    assert made.run.source.pictures.labels[tensors["rows"].long()].tolist() == labels.tolist()
    assert torch.equal(made.run.source.pictures.pixels[tensors["rows"].long()], made.run.split[1].pixels)
    assert tensors["labels"].dtype == torch.uint16
    assert tensors["labels"].long().tolist() == labels.tolist()
    assert tensors["held"].tolist() == [0, 1] * 30
    for name in MODELS:
        assert torch.equal(tensors[name], load_logits(made.run.path(name, "served.npz")).half())
        assert (tensors[name].dtype, tensors[name].shape) == (torch.float16, (60, 6))
    with safe_open(path, "pt") as file:
        assert json.loads(file.metadata()["models"]) == {
            name: hashlib.sha256((made.target / f"{name}.onnx").read_bytes()).hexdigest() for name in MODELS
        }


def test_all_files_of_a_bundle_are_readable_by_whoever_may_read_the_manifest(made: Made) -> None:
    modes = {path.name: path.stat().st_mode & 0o777 for path in made.target.iterdir()}
    assert set(modes.values()) == {modes["manifest.json"]}


def test_the_figures_are_what_the_manifests_rule_reaches_on_the_held_half(made: Made) -> None:
    """Applied to the bundle's own predictions picture by picture, as the services do."""
    tensors = load_file(made.target / "validation.safetensors")
    held = tensors["held"].bool()
    labels = tensors["labels"].long()[held]
    edge, *experts = (
        (tensors[entry["id"]].float()[held] / entry["temperature"]).log_softmax(1) for entry in made.entries
    )
    routing, figures = made.cascade["routing"], made.manifest["provenance"]["held"]
    threshold = made.cascade["gate"]["threshold"]
    assert 0 < threshold < 1
    assert routing["k"] in made.run.experiment.operating.k
    asked = edge.exp().amax(1) < threshold
    answers, final = edge.argmax(1), []
    for i in range(len(labels)):
        expert = experts[EXPERTS.index(choose(made, edge[i].exp()))]
        merged = routing["merge"]["generalistWeight"] * edge[i] + routing["merge"]["expertWeight"] * expert[i]
        final.append(int(merged.argmax() if asked[i] else answers[i]))

    right = torch.tensor(final) == labels
    assert figures["accuracy"] == pytest.approx(right.float().mean().item(), abs=1e-4)
    assert figures["edgeAccuracy"] == pytest.approx((answers == labels).float().mean().item(), abs=1e-4)
    assert figures["escalated"] == pytest.approx(asked.float().mean().item(), abs=1e-4)
    assert figures["escalatedAccuracy"] == pytest.approx(right[asked].float().mean().item(), abs=1e-4)


def choose(made: Made, probabilities: torch.Tensor) -> str:
    routing, groups = made.cascade["routing"], [entry["classes"] for entry in made.entries[1:]]
    scoring = routing["scoring"]
    if scoring["method"] == "expected-gain":
        inputs = features(probabilities[None], groups)[0, :, : len(FEATURES)]
        gains = inputs @ torch.tensor([scoring["weights"][name] for name in FEATURES], dtype=torch.double)
        scores = {name: float(gain) + scoring["intercepts"][name] for name, gain in zip(EXPERTS, gains)}
    else:
        top, labels = probabilities.topk(routing["k"])
        scores = dict.fromkeys(EXPERTS, 0.0)
        for probability, label in zip(top.tolist(), labels.tolist()):
            scores[routing["classToExpert"][label]] += probability
    return max(EXPERTS, key=scores.__getitem__)


def test_the_threshold_lets_through_at_most_the_share_allowed_on_the_half_that_fits_it(made: Made) -> None:
    tensors = load_file(made.target / "validation.safetensors")
    edge = tensors["generalist"].float()[~tensors["held"].bool()] / made.entries[0]["temperature"]
    asked = (edge.softmax(1).amax(1) < made.cascade["gate"]["threshold"]).float().mean().item()
    assert 0.4 <= asked <= 0.5


def test_a_leftover_of_an_earlier_bundle_is_not_part_of_the_manifest(made: Made) -> None:
    assert (made.target / "expert-9.onnx").exists()
    assert "expert-9" not in json.dumps(made.manifest)
