"""ONNX export: pixels in, logits out, with resizing and normalisation inside the graph."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from ..data.resample import resize_matrix
from ..models.forward import MEAN, STD
from ..models.vit import VisionTransformer
from ..models.weights import at_size

OPSET = 23  # the first with Attention, and with Gelu: a fifth less time than their parts


class Served(nn.Module):
    """What the graph computes. pixels: uint8 [B, source, source, 3]; outputs: logits [B, classes] float32 and, if
    asked for, attention [B, patches] float32, the last layer's CLS-to-patch attention, mean over heads. With a
    ``second`` size the logits are the mean over the picture and its mirror image at that size; there is no attention
    then."""

    def __init__(self, model: VisionTransformer, source: int, with_attention: bool, second: int = 0):
        super().__init__()
        self.looks = nn.ModuleList([model, at_size(model, second)] if second else [model])
        self.with_attention = with_attention
        for i, look in enumerate(self.looks):
            self.register_buffer(f"resize{i}", resize_matrix(source, look.size))
        mean, std = torch.tensor(MEAN).view(3, 1, 1), torch.tensor(STD).view(3, 1, 1)
        self.register_buffer("scale", 1 / (255 * std))
        self.register_buffer("shift", -mean / std)

    def forward(self, pixels: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        x = pixels.permute(0, 3, 1, 2).float() * self.scale + self.shift
        first = self.resize0 @ x @ self.resize0.T
        if self.with_attention:
            return self.looks[0].forward_with_attention(first)
        if len(self.looks) == 1:
            return self.looks[0](first)
        second = self.resize1 @ x.flip(-1) @ self.resize1.T
        return (self.looks[0](first) + self.looks[1](second)) / 2


def export_float(model: VisionTransformer, source: int, with_attention: bool, path: Path, second: int = 0) -> None:
    served = Served(model.cpu().eval(), source, with_attention, second).eval()
    outputs = ["logits", "attention"] if with_attention else ["logits"]
    example = torch.zeros(2, source, source, 3, dtype=torch.uint8)
    program = torch.onnx.export(
        served, (example,), input_names=["pixels"], output_names=outputs, opset_version=OPSET, dynamo=True,
        dynamic_shapes=({0: torch.export.Dim("batch")},), optimize=True, verbose=False,
    )
    onnx.save(forget_source(program.model_proto), path)


def forget_source(model: onnx.ModelProto) -> onnx.ModelProto:
    """Removes, in place, the exporter's notes: paths and lines of the code. The same weights then give the same file
    in every checkout."""
    graph = model.graph
    for noted in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        del noted.metadata_props[:]
    return model


def open_session(path: Path) -> onnxruntime.InferenceSession:
    """A session that runs as the services do: one thread."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def run_onnx(path: Path, pixels: Tensor) -> np.ndarray:
    """uint8 [N, 3, S, S] -> logits [N, classes], by onnxruntime, one picture at a time as in serving: a graph that
    quantises its activations as they come scales them over the whole batch, and answers differently for another one."""
    session = open_session(path)
    rows = pixels.permute(0, 2, 3, 1).contiguous().numpy()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return np.concatenate(list(pool.map(lambda row: session.run(["logits"], {"pixels": row[None]})[0], rows)))
