"""ONNX files: written from a graph of PyTorch, and run by onnxruntime."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor

from .graphs import Graph

OPSET = 23  # the first with Attention, and with Gelu: a fifth less time than their parts


def write_graph(graph: Graph, path: Path) -> None:
    """In float32."""
    names = {name for axes in graph.free.values() for name in axes.values()}
    dimensions = {name: torch.export.Dim(name) for name in names}
    free = tuple({axis: dimensions[name] for axis, name in graph.free[key].items()} for key in graph.example)
    program = torch.onnx.export(
        graph.module, tuple(graph.example.values()), input_names=list(graph.example), output_names=graph.outputs,
        opset_version=OPSET, dynamo=True, dynamic_shapes=free, optimize=True, verbose=False,
    )
    onnx.save(forget_source(program.model_proto), path)


def forget_source(model: onnx.ModelProto) -> onnx.ModelProto:
    """Removes, in place, the exporter's notes: paths and lines of the code. The same weights then give the same file in
    every checkout."""
    graph = model.graph
    for noted in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        del noted.metadata_props[:]
    return model


@torch.inference_mode()
def largest_difference(graph: Graph, path: Path) -> float:
    """Between the outputs of PyTorch and of onnxruntime on the example, one picture at a time."""
    expected = graph.module(*graph.example.values())
    expected = [output.numpy() for output in (expected if isinstance(expected, tuple) else (expected,))]
    session = open_session(path)
    worst = 0.0
    for i in range(len(expected[0])):
        found = session.run(graph.outputs, {name: value[i : i + 1].numpy() for name, value in graph.example.items()})
        worst = max(worst, *(float(np.abs(one - other[i : i + 1]).max()) for one, other in zip(found, expected)))
    return worst


def open_session(path: Path) -> onnxruntime.InferenceSession:
    """A session that runs as the services do: one thread."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def describe(path: Path) -> dict[str, dict[str, Any]]:
    """Inputs and outputs by name, with their type and shape; free dimensions have names."""
    session = open_session(path)
    return {
        side: {
            value.name: {"type": value.type.removeprefix("tensor(").removesuffix(")"), "shape": value.shape}
            for value in values
        }
        for side, values in (("inputs", session.get_inputs()), ("outputs", session.get_outputs()))
    }


def run_onnx(path: Path, pixels: Tensor) -> np.ndarray:
    """uint8 [N, 3, S, S] -> logits [N, classes], by onnxruntime. Pictures run one at a time, as in serving: a dynamic
    graph scales its activations over the batch, and answers differently in another one."""
    session = open_session(path)
    rows = pixels.permute(0, 2, 3, 1).contiguous().numpy()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return np.concatenate(list(pool.map(lambda row: session.run(["logits"], {"pixels": row[None]})[0], rows)))
