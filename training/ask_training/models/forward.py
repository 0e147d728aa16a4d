"""Running a network: device, precision, and its logits of pictures."""

import ctypes

import torch
import torch._dynamo
from torch import Tensor

from ..data.resample import resample, resize_matrix
from .vit import VisionTransformer

MEAN = (0.485, 0.456, 0.406)  # ImageNet's, which the starting weights were trained with
STD = (0.229, 0.224, 0.225)
VARIANTS = 256  # of a compiled block; PyTorch's own limit is 8, beyond which it silently stops compiling


def pick_device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def autocast(device: torch.device) -> torch.autocast:
    """bfloat16 where it is faster than float32: on GPUs, and on CPUs that have instructions for it. Without them it
    runs at half the speed."""
    fast = device.type == "cuda" or torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return torch.autocast(device.type, torch.bfloat16, enabled=fast)


def keep_freed_memory() -> None:
    """glibc then reuses a step's buffers instead of returning them to the kernel: a quarter more steps a second on
    CPU."""
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return  # not glibc: nothing to tune
    for parameter, value in ((-1, 2**31 - 1), (-2, 2**28), (-3, 2**30)):  # trim threshold, top pad, mmap threshold
        mallopt(parameter, value)


def compile_blocks(model: VisionTransformer, backend: str = "inductor") -> None:
    """Fuses what a block does besides its products. Blocks share the compiled code. It has a variant for every number
    of tokens, batch size, gradient mode and rate of drop_path."""
    torch._dynamo.config.recompile_limit = VARIANTS
    for block in model.blocks:
        block.compile(backend=backend, dynamic=False)


def normalise(x: Tensor) -> Tensor:
    mean, std = (torch.tensor(v, device=x.device).view(1, 3, 1, 1) for v in (MEAN, STD))
    return (x - mean) / std


@torch.inference_mode()
def predict(model: VisionTransformer, pixels: Tensor, device: torch.device, batch: int = 250) -> Tensor:
    """uint8 [N, 3, 32, 32] -> float32 logits [N, classes] on the CPU, with the plain resize of serving."""
    model.eval().to(device)
    matrix = resize_matrix(pixels.shape[-1], model.size).to(device)[None]
    logits = []
    with torch.compiler.set_stance("force_eager"):  # compiling again, for inference, takes longer than it saves
        for part in pixels.split(batch):
            x = normalise(resample(part.to(device).float() / 255, matrix, matrix))
            logits.append(model(x).cpu())
    return torch.cat(logits)
