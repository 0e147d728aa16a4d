"""The same cascade on the same ONNX files, as a Python server runs it: decode with Pillow, generalist, gate, and for
unsure answers the expert with the most top-k mass and the log-linear merge. For `npm run -s bench -- --peers`."""

import io
import json
import os
import sys
from pathlib import Path

import numpy as np

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read when onnxruntime is loaded

import onnxruntime
from PIL import Image, ImageOps


class Cascade:
    """BUNDLE names the bundle, THRESHOLD the confidence below which an expert is asked."""

    def __init__(self) -> None:
        bundle = Path(os.environ["BUNDLE"])
        manifest = json.loads((bundle / "manifest.json").read_text())
        self.threshold = float(os.environ["THRESHOLD"])
        self.labels, self.size, self.routing = manifest["labels"], manifest["input"]["size"], manifest["routing"]
        self.generalist, *self.experts = [
            (open_session(bundle / model["file"]), model) for model in (manifest["generalist"], *manifest["experts"])
        ]
        for model in (self.generalist, *self.experts):
            self.probabilities(model, np.zeros((1, self.size, self.size, 3), np.uint8))

    def classify(self, file: bytes) -> dict:
        pixels = self.decode(file)
        answer = self.probabilities(self.generalist, pixels)
        expert = None
        if answer.max() < self.threshold:
            top = np.argsort(-answer)[: self.routing["k"]]
            session, model = max(self.experts, key=lambda one: sum(answer[i] for i in top if i in one[1]["classes"]))
            merge = self.routing["merge"]
            pooled = answer ** merge["generalistWeight"] * self.probabilities((session, model), pixels) ** merge["expertWeight"]
            answer, expert = pooled / pooled.sum(), model["id"]
        best = np.argsort(-answer)[:5].tolist()
        top_k = [{"label": self.labels[i], "index": i, "confidence": float(answer[i])} for i in best]
        return top_k[0] | {"topK": top_k, "route": "edge" if expert is None else "expert", "expert": expert}

    def confidence(self, file: bytes) -> float:
        return float(self.probabilities(self.generalist, self.decode(file)).max())

    def decode(self, file: bytes) -> np.ndarray:
        image = Image.open(io.BytesIO(file))
        image.draft("RGB", (self.size, self.size))
        image = ImageOps.exif_transpose(image).convert("RGB")
        if image.size != (self.size, self.size):
            image = ImageOps.fit(image, (self.size, self.size), Image.Resampling.LANCZOS)
        return np.asarray(image)[None]

    def probabilities(self, model: tuple[onnxruntime.InferenceSession, dict], pixels: np.ndarray) -> np.ndarray:
        session, entry = model
        logits = session.run(["logits"], {"pixels": pixels})[0][0].astype(np.float64) / entry["temperature"]
        powers = np.exp(logits - logits.max())
        return powers / powers.sum()


def open_session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # a process per core, as the service has
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


if __name__ == "__main__":  # the confidences in the files named, by which the bench chooses THRESHOLD
    cascade = Cascade()
    print(json.dumps([cascade.confidence(Path(name).read_bytes()) for name in sys.argv[1:]]))
