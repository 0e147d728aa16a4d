"""What each kind of export computes, and on which inputs. A further kind is a function here, its settings in
``experiment/exports.py``."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..data.golden import golden_pixels
from ..data.resample import resize_matrix
from ..experiment.config import Architecture
from ..experiment.exports import AnyExport, Blocks, Tokens, Whole
from ..models.forward import MEAN, STD
from ..models.vit import VisionTransformer
from ..models.weights import at_size


@dataclass(frozen=True)
class Graph:
    module: nn.Module
    example: dict[str, Tensor]  # inputs, as the exporter and the comparison with PyTorch take them
    free: dict[str, dict[int, str]]  # by input: its dimensions of any length, and their names
    outputs: list[str]


class Look(nn.Module):
    """uint8 pixels [B, source, source, 3] -> a network's pictures [B, 3, size, size], resized and normalised."""

    def __init__(self, network: VisionTransformer, source: int):
        super().__init__()
        self.network = network
        self.register_buffer("resize", resize_matrix(source, network.size))
        register_normalising(self)

    def see(self, pixels: Tensor) -> Tensor:
        x = pixels.permute(0, 3, 1, 2).float() * self.scale + self.shift
        return self.resize @ x @ self.resize.T


def register_normalising(module: nn.Module) -> None:
    mean, std = torch.tensor(MEAN).view(3, 1, 1), torch.tensor(STD).view(3, 1, 1)
    module.register_buffer("scale", 1 / (255 * std))
    module.register_buffer("shift", -mean / std)


class WholeGraph(nn.Module):
    """uint8 pixels [B, source, source, 3] -> logits [B, classes] float32 and, if asked for, attention [B, patches]
    float32: the last block's, from the class token to the patches, mean over heads. With a ``second`` size the logits
    are the mean over the picture and its mirror image at that size, and there is no attention."""

    def __init__(self, network: VisionTransformer, source: int, with_attention: bool, second: int = 0):
        super().__init__()
        self.looks = nn.ModuleList([network, at_size(network, second)] if second else [network])
        self.with_attention = with_attention
        for i, look in enumerate(self.looks):
            self.register_buffer(f"resize{i}", resize_matrix(source, look.size))
        register_normalising(self)

    def forward(self, pixels: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        x = pixels.permute(0, 3, 1, 2).float() * self.scale + self.shift
        first = self.resize0 @ x @ self.resize0.T
        if self.with_attention:
            return self.looks[0].forward_with_attention(first)
        if len(self.looks) == 1:
            return self.looks[0](first)
        second = self.resize1 @ x.flip(-1) @ self.resize1.T
        return (self.looks[0](first) + self.looks[1](second)) / 2


class HeadGraph(Look):
    """pixels -> tokens [B, T, width] float32 before block ``stop``, or logits where that is the end."""

    def __init__(self, network: VisionTransformer, source: int, stop: int):
        super().__init__(network, source)
        self.stop = stop

    def forward(self, pixels: Tensor) -> Tensor:
        tokens = self.network.run_blocks(self.network.embed(self.see(pixels)), stop=self.stop)
        return self.network.classify(tokens) if self.stop == len(self.network.blocks) else tokens


class TailGraph(nn.Module):
    """tokens [B, T, width] before block ``start`` -> tokens before block ``stop``, or logits where that is the end."""

    def __init__(self, network: VisionTransformer, start: int, stop: int):
        super().__init__()
        self.network, self.start, self.stop = network, start, stop

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = self.network.run_blocks(tokens, self.start, self.stop)
        return self.network.classify(tokens) if self.stop == len(self.network.blocks) else tokens


class TokensGraph(Look):
    """pixels, and the places [B, K] int64 of patches in the grid, row by row -> logits of those patches alone."""

    def forward(self, pixels: Tensor, places: Tensor) -> Tensor:
        return self.network.classify(self.network.run_blocks(self.network.embed(self.see(pixels), places)))


def whole_graph(export: Whole, network: VisionTransformer, side: int) -> Graph:
    module = WholeGraph(network, side, export.attention, export.second_look)
    outputs = ["logits", "attention"] if export.attention else ["logits"]
    return Graph(module, {"pixels": rows(side)}, {"pixels": {0: "batch"}}, outputs)


def blocks_graph(export: Blocks, network: VisionTransformer, side: int) -> Graph:
    depth = len(network.blocks)
    stop = depth if export.stop is None else export.stop
    outputs = ["logits" if stop == depth else "tokens_out"]  # ONNX has one name for one thing, inputs included
    if export.start == 0:
        return Graph(HeadGraph(network, side, stop), {"pixels": rows(side)}, {"pixels": {0: "batch"}}, outputs)
    with torch.inference_mode():
        tokens = HeadGraph(network, side, export.start)(rows(side)).clone()
    tail = TailGraph(network, export.start, stop)
    return Graph(tail, {"tokens": tokens}, {"tokens": {0: "batch", 1: "tokens"}}, outputs)


def tokens_graph(export: Tokens, network: VisionTransformer, side: int) -> Graph:
    pixels = rows(side)
    places = torch.arange(network.patches)[::2].expand(len(pixels), -1).contiguous()
    free = {"pixels": {0: "batch"}, "places": {0: "batch", 1: "kept"}}
    return Graph(TokensGraph(network, side), {"pixels": pixels, "places": places}, free, ["logits"])


GRAPHS: dict[type, Callable[[Any, VisionTransformer, int], Graph]] = {
    Whole: whole_graph, Blocks: blocks_graph, Tokens: tokens_graph,
}


def make_graph(export: AnyExport, network: VisionTransformer, side: int) -> Graph:
    graph = GRAPHS[type(export)](export, network.cpu().eval(), side)
    graph.module.eval()
    return graph


def check_fits(export: AnyExport, architecture: Architecture) -> None:
    """Raises ValueError if a network of that complete architecture cannot be exported so."""
    if isinstance(export, Whole) and export.second_look % architecture.patch:
        raise ValueError(
            f"export {export.model!r}: second_look must be a multiple of {architecture.patch}, got {export.second_look}"
        )
    if isinstance(export, Blocks) and max(export.start + 1, export.stop or 0) > architecture.depth:
        raise ValueError(
            f"export {export.model!r}: the network has {architecture.depth} blocks, got start = {export.start}"
            + ("" if export.stop is None else f", stop = {export.stop}"))


def rows(side: int) -> Tensor:
    """The golden pictures, uint8 [N, side, side, 3]."""
    return golden_pixels(side).permute(0, 2, 3, 1).contiguous()
