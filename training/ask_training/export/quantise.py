"""8-bit forms of an exported graph. Weights are scaled per output channel, activations per batch (dynamic) or once
(static)."""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import Tensor

from .onnx_files import run_onnx

LARGEST_PAIR = 32767 // 255  # of weights: activations go up to 255


def quantise_dynamic(float_path: Path, path: Path, only: list[str] | None = None) -> None:
    """Activations are scaled over the batch: the fastest form on CPUs, but a picture's logits depend a little on the
    rest of the batch. ``only`` names the products to quantise; the default is all with weights."""
    model, linear = _prepare(float_path, path)
    quantize_dynamic(
        model, path, op_types_to_quantize=["MatMul"], nodes_to_quantize=only or linear, per_channel=True,
        weight_type=QuantType.QInt8,
    )
    avoid_overflow(path)


def quantise_static(float_path: Path, path: Path, pixels: Tensor, in_float: Sequence[str] = ()) -> None:
    """Activations are scaled by their extremes over the calibration pictures uint8 [N, 3, side, side]: a picture's
    logits never depend on the rest of the batch. The products ``in_float`` are not quantised: mixed precision."""
    model, linear = _prepare(float_path, path)
    quantize_static(
        model, path, Rows(pixels), quant_format=QuantFormat.QDQ, op_types_to_quantize=["MatMul"],
        nodes_to_quantize=[name for name in linear if name not in in_float], per_channel=True,
        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
        extra_options={"WeightSymmetric": True, "OpTypesToExcludeOutputQuantization": ["MatMul"]},
    )
    avoid_overflow(path)


def fuse_products(path: Path) -> None:
    """Fuses, in place, dequantising, product and bias of a static graph into one node. That takes a twentieth less time
    on CPUs; other processors have no such node."""
    model = onnx.load(path)
    graph = model.graph
    constants = {tensor.name for tensor in graph.initializer}
    maker = {output: node for node in graph.node for output in node.output}
    users: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    fused: dict[str, onnx.NodeProto] = {}
    for node in graph.node:
        sources = [maker.get(name) for name in node.input]
        quantised = all(source is not None and source.op_type == "DequantizeLinear" for source in sources)
        if node.op_type != "MatMul" or not quantised:
            continue
        left, right = (list(source.input) for source in sources)
        inputs = [left[0], right[0], left[1], right[1], left[2], right[2]]
        last = node
        if [user.op_type for user in users.get(node.output[0], [])] == ["Add"]:
            add = users[node.output[0]][0]
            if bias := [name for name in add.input if name in constants]:
                inputs, last = [*inputs, bias[0]], add
        fused[last.output[0]] = onnx.helper.make_node(
            "MatMulIntegerToFloat", inputs, [last.output[0]], name=node.name, domain="com.microsoft"
        )
    nodes = [fused.get(node.output[0], node) for node in graph.node]
    needed = {output.name for output in graph.output}
    kept: list[onnx.NodeProto] = []
    for node in reversed(nodes):
        if needed.intersection(node.output):
            needed.update(node.input)
            kept.append(deepcopy(node))
    del graph.node[:]
    graph.node.extend(reversed(kept))
    if fused and all(entry.domain != "com.microsoft" for entry in model.opset_import):
        model.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    onnx.save(model, path)


def avoid_overflow(path: Path) -> None:
    """Coarsens, in place, the scale of the output channels whose products could overflow. x86-64 without VNNI adds two
    neighbouring products of 8 bits by 8 in 16 bits that saturate: the same file would answer differently from one
    machine to the next."""
    model = onnx.load(path)
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    for name, tensor in tensors.items():
        if tensor.data_type != onnx.TensorProto.INT8 or not name.endswith("_quantized"):
            continue
        scale = tensors[name.removesuffix("_quantized") + "_scale"]
        weights, steps = numpy_helper.to_array(tensor).astype(np.float64), numpy_helper.to_array(scale)
        coarser = np.ones_like(steps)
        while (over := _largest_pair(np.rint(weights / coarser)) > LARGEST_PAIR).any():
            coarser[over] *= 1.01
        tensor.CopyFrom(numpy_helper.from_array(np.rint(weights / coarser).astype(np.int8), name))
        scale.CopyFrom(numpy_helper.from_array(steps * coarser, scale.name))
    onnx.save(model, path)


def _largest_pair(weights: np.ndarray) -> np.ndarray:
    """[inputs, outputs] -> [outputs]: the largest that two neighbouring inputs of 1 give, of either sign."""
    signs = (np.maximum(weights, 0), np.maximum(-weights, 0))
    return np.max([(part[:-1] + part[1:]).max(0) for part in signs], axis=0)


def most_sensitive(float_path: Path, pixels: Tensor, count: int) -> list[str]:
    """The ``count`` products that, quantised alone, move the logits of the pictures most (root mean square)."""
    path = float_path.with_suffix(".one")
    expected = run_onnx(float_path, pixels)
    try:
        moved = {}
        for name in _prepare(float_path, path)[1]:
            quantise_dynamic(float_path, path, [name])
            moved[name] = float(np.sqrt(((run_onnx(path, pixels) - expected) ** 2).mean()))
    finally:
        path.unlink(missing_ok=True)
    return sorted(moved, key=moved.__getitem__, reverse=True)[:count]


class Rows(CalibrationDataReader):
    """One picture at a time, as served."""

    def __init__(self, pixels: Tensor):
        self.rows: Iterator[np.ndarray] = iter(pixels.permute(0, 2, 3, 1).contiguous().numpy())

    def get_next(self) -> dict[str, np.ndarray] | None:
        row = next(self.rows, None)
        return None if row is None else {"pixels": row[None]}


def _prepare(float_path: Path, path: Path) -> tuple[onnx.ModelProto, list[str]]:
    """The graph with its constants folded, and the products with weights that follow a patch embedding. The resize
    before it stays in float: it is cheap, and all else depends on it."""
    prepared = path.with_suffix(".prepared")
    try:
        quant_pre_process(float_path, prepared, skip_symbolic_shape=True)
        model = onnx.load(prepared)
    finally:
        prepared.unlink(missing_ok=True)
    graph = model.graph
    del graph.value_info[:]  # the exporter's notes on shapes contradict the quantiser's transposed weights
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:  # the quantiser transposes a Gemm's weights where they lie: a second look needs its own
        if node.op_type == "Gemm" and node.input[1] in constants:
            own = onnx.TensorProto()
            own.CopyFrom(constants[node.input[1]])
            own.name = f"{node.input[1]} of {node.name}"
            graph.initializer.append(own)
            node.input[1] = own.name
    before: set[str] = set()  # all that a patch embedding is computed from
    for node in reversed(graph.node):
        if node.op_type == "Conv" or before.intersection(node.output):
            before.update(node.input)
    return model, [
        node.name for node in graph.node
        if node.op_type == "MatMul" and node.input[1] in constants and not before.intersection(node.output)
    ]
