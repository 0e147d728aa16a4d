"""What training computed of the golden pictures, for other runtimes to compare with."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from ..data.files import digest, write_atomically
from ..data.golden import golden_photo, golden_pixels
from ..train.run import Run
from .graphs import WholeGraph
from .onnx_files import run_onnx


@torch.inference_mode()
def write_golden(run: Run, target: Path) -> dict[str, str]:
    """Writes golden.json: pictures and, for each model, the logits of PyTorch (float32) and of onnxruntime (as served).
    Returns the manifest's entry."""
    side = run.experiment.side
    pixels = golden_pixels(side)
    rows = pixels.permute(0, 2, 3, 1).contiguous()
    golden: dict[str, Any] = {"png": [_png(picture) for picture in rows.numpy()], "models": {}}
    for model, name in run.served().items():
        torch_logits = WholeGraph(run.model(name), side, False, run.exports[model][0].second_look)(rows)
        golden["models"][model] = {
            "torch": np.round(torch_logits.numpy().astype(float), 4).tolist(),
            "served": np.round(run_onnx(target / f"{model}.onnx", pixels).astype(float), 4).tolist(),
        }
    photo, expected = golden_photo(side)
    golden["photo"] = {"png": _png(photo), "pixels": base64.b64encode(expected.tobytes()).decode()}
    path = target / "golden.json"
    write_atomically(path, lambda to: to.write_text(json.dumps(golden) + "\n"))
    return {"file": path.name, "sha256": digest(path)}


def _png(picture: np.ndarray) -> str:
    to = io.BytesIO()
    Image.fromarray(picture).save(to, "PNG")
    return base64.b64encode(to.getvalue()).decode()
