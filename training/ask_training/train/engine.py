"""The training loop: one stage of one model, resumable at any step."""

import math
import platform
import time
from collections.abc import Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from ..data.files import write_atomically
from ..data.pictures import Pictures
from ..experiment.config import Stage
from ..models.forward import compile_blocks, pick_device
from ..models.vit import VisionTransformer
from .loss import batch_loss

CHECKPOINT_SECONDS = 60


def parameter_groups(model: VisionTransformer, stage: Stage) -> list[dict[str, Any]]:
    """AdamW groups: layer-wise decayed learning rates, no weight decay on vectors and embeddings."""
    depth = len(model.blocks)
    groups: dict[tuple[float, float], dict[str, Any]] = {}
    for name, parameter in model.named_parameters():
        if name.startswith("blocks."):
            layer = int(name.split(".")[1]) + 1
        else:
            layer = depth + 1 if name.startswith(("norm", "fc_norm", "head")) else 0
        scale = stage.layer_decay ** (depth + 1 - layer)
        decay = 0.0 if parameter.ndim < 2 or name in ("cls_token", "reg_token", "pos_embed") else stage.weight_decay
        group = groups.setdefault((scale, decay), {"params": [], "scale": scale, "weight_decay": decay})
        group["params"].append(parameter)
    return list(groups.values())


def learning_rate(step: int, steps: int, peak: float) -> float:
    warm = max(1, steps // 20)
    if step < warm:
        return peak * (step + 1) / warm
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def freeze(model: VisionTransformer, blocks: int) -> None:
    """Stops training of the embeddings and of the first ``blocks`` blocks; 0 trains everything."""
    early = ("patch_embed.", "cls_token", "reg_token", "pos_embed", *(f"blocks.{i}." for i in range(blocks)))
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(blocks == 0 or not name.startswith(early))


def _read(checkpoint: Path, device: torch.device) -> dict[str, Any]:
    try:
        return torch.load(checkpoint, map_location=device, weights_only=True)
    except (RuntimeError, UnpicklingError, EOFError) as error:
        raise ValueError(f"{checkpoint} is broken, remove it to begin anew: {error}") from error


def lost(title: str, what: str, value: float, step: int, checkpoint: Path) -> FloatingPointError:
    """Going on would repeat it, since every step's draws are fixed: what helps is said, too."""
    left = f"the last good state is {checkpoint}" if checkpoint.exists() else "no state was saved yet"
    return FloatingPointError(f"{title}: {what} is {value} at step {step}; {left}. Lower the stage's lr, under another name")


def train_stage(
    model: VisionTransformer, fit: Pictures, pools: list[Tensor], stage: Stage, seed: int, checkpoint: Path, title: str,
    teacher: Tensor | None = None, origin: str = "", watching: Sequence[VisionTransformer] = (),
) -> dict[str, Any]:
    """Trains ``model`` in place; ``pools`` holds the indices of the pictures of each epoch; ``teacher`` logits [N, classes]
    or networks ``watching`` the views teach, see ``batch_loss``.

    Continues from ``checkpoint`` if it exists and is of the same stage, seed and ``origin``, and writes it about every
    minute; the caller removes it once the result is stored. Step s always draws from a generator seeded with (seed, s), so that a resumed run equals an uninterrupted one.
    Raises FloatingPointError on a non-finite loss or gradient and leaves the last checkpoint in place.
    """
    device = pick_device()
    model.to(device).train()
    for network in watching:
        network.to(device).eval()
    if device.type == "cuda":
        for network in (model, *watching):
            compile_blocks(network)
    # a rest of less than half a batch is left out, unless it is all there is
    plan = [(epoch, i) for epoch, pool in enumerate(pools) for i in range(max(1, int(len(pool) / stage.batch + 0.5)))]
    steps, seen = len(plan), 0
    optimizer = torch.optim.AdamW(parameter_groups(model, stage), lr=stage.lr, fused=True)
    first, seconds, running = 0, 0.0, None
    settings = f"{stage}, seed {seed}, {origin}"
    if checkpoint.exists():
        state = _read(checkpoint, device)
        if state["settings"] != settings:
            raise ValueError(f"{checkpoint} was made with other settings: remove it to begin anew")
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        first, seconds, running, seen = state["step"], state["seconds"], state["loss"], state["pictures"]
    generator = torch.Generator(device)
    last_saved, begun = time.monotonic(), time.monotonic() - seconds
    current, order = -1, torch.empty(0)
    bar = tqdm(range(first, steps), initial=first, total=steps, desc=title, unit="step", mininterval=5)
    for step in bar:
        generator.manual_seed(seed * 1_000_003 + step)
        torch.manual_seed(seed * 1_000_003 + step)
        epoch, position = plan[step]
        if epoch != current:
            current = epoch
            order_seed = torch.Generator().manual_seed(seed * 7919 + epoch)
            order = pools[epoch][torch.randperm(len(pools[epoch]), generator=order_seed)]
            freeze(model, stage.at(stage.freeze, epoch))
        batch = order[position * stage.batch : (position + 1) * stage.batch]
        part = fit.at(batch)
        seen += len(batch)
        for group in optimizer.param_groups:
            group["lr"] = group["scale"] * learning_rate(step, steps, stage.lr)
        soft = None if teacher is None else teacher[batch].to(device).float()
        loss = batch_loss(model, part, soft, stage, generator, watching)
        value = loss.item()
        if not math.isfinite(value):
            raise lost(title, "loss", value, step, checkpoint)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0).item()
        if not math.isfinite(norm):  # a step would spoil the weights, and the next checkpoint with them
            raise lost(title, "gradient", norm, step, checkpoint)
        optimizer.step()
        running = value if running is None else 0.98 * running + 0.02 * value
        bar.set_postfix(loss=f"{running:.3f}", refresh=False)
        if time.monotonic() - last_saved > CHECKPOINT_SECONDS:
            last_saved = time.monotonic()
            state = {
                "model": model.state_dict(), "optimizer": optimizer.state_dict(),
                "step": step + 1, "seconds": last_saved - begun, "loss": running, "pictures": seen,
                "settings": settings,
            }
            write_atomically(checkpoint, lambda to, state=state: torch.save(state, to))
    return {
        "steps": steps, "pictures": seen, "finalLoss": running,
        "seconds": round(time.monotonic() - begun), "device": device.type, "torch": torch.__version__,
        "processor": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine(),
    }
