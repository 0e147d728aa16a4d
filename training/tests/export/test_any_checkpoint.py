"""From a checkpoint of another form than DeiT's, whose sizes no configuration names, to the file that is served."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from ask_training.experiment.config import Architecture
from ask_training.experiment.exports import Whole
from ask_training.export.choose_form import export_model
from ask_training.export.onnx_files import run_onnx
from ask_training.models.forward import predict
from ask_training.models.shape import DEIT, Form
from ask_training.models.vit import VisionTransformer
from ask_training.train.run import Run
from ask_training.train.stages import perform

FORMS = {
    "LayerScale and registers": (replace(DEIT, layer_scale=True, registers=2, class_position=False), True),
    "mean of patches": (replace(DEIT, class_token=False, class_position=False, mean=True, fc_norm=True), False),
}


@pytest.mark.parametrize(("form", "attention"), FORMS.values(), ids=FORMS)
def test_a_checkpoint_of_another_form_is_trained_and_served(
    run: Run, tmp_path: Path, form: Form, attention: bool
) -> None:
    torch.manual_seed(4)
    network = VisionTransformer(56, 9, 14, 48, 2, 3, form=form)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("gamma"):
                parameter.fill_(0.5)
    save_file(network.state_dict(), tmp_path / "start.safetensors")
    experiment = replace(
        run.experiment, architectures={"small": Architecture(28, heads=3)}, checkpoint="",
        stages=[replace(run.experiment.stage("generalist"), epochs=1)],
        exports=[Whole("generalist", "generalist", attention=attention, processor="cpu")],
    )
    run = replace(run, experiment=experiment, weights=tmp_path / "start.safetensors")

    perform(run, experiment.stage("generalist"))
    export_model(run, "generalist")

    origin = run.figures("generalist")["origin"]
    assert (origin["width"], origin["depth"], origin["heads"], origin["patch"]) == (48, 2, 3, 14)
    assert (origin.get("registers", 0), origin.get("fc_norm", False)) == (form.registers, form.fc_norm)
    figures, pixels = run.figures("generalist", "export.json"), run.split[1].pixels[:20]
    assert figures["largestOnnxDifference"] < 1e-4
    assert figures["accuracies"].keys() >= {"float32", "static", "dynamic"}
    expected = predict(run.model("generalist"), pixels, torch.device("cpu"))
    np.testing.assert_allclose(
        run_onnx(run.path("generalist", "float32.onnx"), pixels), expected, rtol=0, atol=1e-4
    )
    perform(run, experiment.stage("generalist"))  # what is recorded of it is recognised
