"""Made-up pictures and what training got for them, for other runtimes to compare with."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..data.files import digest, write_atomically
from ..data.sources import fit_square
from ..train.run import Run
from .graph import Served, run_onnx


@torch.inference_mode()
def write_golden(run: Run, target: Path) -> dict[str, str]:
    """Writes golden.json: pictures and, for each model, what PyTorch (float32) and onnxruntime (as served) make of them.
    Returns what the manifest says of it."""
    side = run.experiment.side
    pixels = golden_pixels(side)
    rows = pixels.permute(0, 2, 3, 1).contiguous()
    golden: dict[str, Any] = {"png": [_png(picture) for picture in rows.numpy()], "models": {}}
    for model, name in run.served().items():
        torch_logits = Served(run.model(name), side, False, run.second_look(model))(rows)
        golden["models"][model] = {
            "torch": np.round(torch_logits.numpy().astype(float), 4).tolist(),
            "served": np.round(run_onnx(target / f"{model}.onnx", pixels).astype(float), 4).tolist(),
        }
    photo, expected = golden_photo(side)
    golden["photo"] = {"png": _png(photo), "pixels": base64.b64encode(expected.tobytes()).decode()}
    path = target / "golden.json"
    write_atomically(path, lambda to: to.write_text(json.dumps(golden) + "\n"))
    return {"file": path.name, "sha256": digest(path)}


def golden_pixels(side: int = 32, count: int = 8) -> Tensor:
    """Fixed made-up pictures uint8 [count, 3, side, side]: smooth colour fields with noise, none of any data set."""
    rng = np.random.default_rng(20130)
    y, x = np.mgrid[0:side, 0:side] / side
    waves = [
        [np.sin(2 * np.pi * (rng.uniform(0, 3) * x + rng.uniform(0, 3) * y + rng.uniform())) for _ in range(3)]
        for _ in range(count)
    ]
    pictures = 128 + 90 * np.array(waves) + rng.normal(0, 12, (count, 3, side, side))
    return torch.from_numpy(pictures.clip(0, 255).astype(np.uint8))


def golden_photo(side: int) -> tuple[np.ndarray, np.ndarray]:
    """A made-up picture [90, 140, 3] with edges and noise, and what the manifest's input rule makes of it."""
    rng = np.random.default_rng(20131)
    y, x = np.mgrid[0:90, 0:140]
    field = np.stack([128 + 100 * np.sin(x / 9 + y / 17), 255.0 * ((x // 20 + y // 15) % 2), 1.8 * x], -1)
    photo = (field + rng.normal(0, 10, field.shape)).clip(0, 255).astype(np.uint8)
    return photo, fit_square(Image.fromarray(photo), side)


def _png(picture: np.ndarray) -> str:
    to = io.BytesIO()
    Image.fromarray(picture).save(to, "PNG")
    return base64.b64encode(to.getvalue()).decode()
