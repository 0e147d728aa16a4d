"""The training loop: one stage of one model, resumable at any step."""

import math
import platform
import time
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from ..data.files import write_atomically
from ..data.pictures import Pictures
from ..experiment.stage import Stage, in_force, record
from ..models.forward import compile_blocks, pick_device
from ..models.vit import VisionTransformer
from .distil import Teacher
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


def lost(title: str, what: str, value: float, step: int, checkpoint: Path) -> FloatingPointError:
    """Resuming would repeat it, since every step's draws are fixed. The message therefore says what helps."""
    left = f"the last good state is {checkpoint}" if checkpoint.exists() else "no state was saved yet"
    helps = "Lower the stage's lr, under another name"
    return FloatingPointError(f"{title}: {what} is {value} at step {step}; {left}. {helps}")


@dataclass
class Progress:
    """How far a stage is: with the weights and the optimizer's state all that a checkpoint holds."""

    step: int = 0
    seconds: float = 0.0
    loss: float | None = None  # running mean
    pictures: int = 0


def train_stage(
    model: VisionTransformer, fit: Pictures, pools: list[Tensor], stage: Stage, seed: int, checkpoint: Path, title: str,
    teacher: Teacher | None = None, origin: str = "",
) -> dict[str, Any]:
    """Trains ``model`` in place; ``pools`` holds the indices of the pictures of each epoch.

    Continues from ``checkpoint`` if it exists and is of the same stage, seed and ``origin``, and writes it about every
    minute; the caller removes it once the result is stored. Step s always draws from a generator seeded with (seed, s):
    a resumed run equals an uninterrupted one. Raises FloatingPointError on a loss or gradient that is not finite, and
    leaves the last checkpoint in place.
    """
    device = pick_device()
    prepare(model, teacher, device)
    plan = plan_steps(pools, stage.batch)
    optimizer = torch.optim.AdamW(parameter_groups(model, stage), lr=stage.lr, fused=True)
    settings = f"{record(stage)}, seed {seed}, {origin}"
    progress = resume(checkpoint, model, optimizer, settings, device) if checkpoint.exists() else Progress()
    generator = torch.Generator(device)
    last_saved, begun = time.monotonic(), time.monotonic() - progress.seconds
    current, order = -1, torch.empty(0)
    steps = range(progress.step, len(plan))
    bar = tqdm(steps, initial=progress.step, total=len(plan), desc=title, unit="step", mininterval=5)
    for step in bar:
        generator.manual_seed(seed * 1_000_003 + step)
        torch.manual_seed(seed * 1_000_003 + step)
        epoch, position = plan[step]
        if epoch != current:
            current, order = epoch, shuffled(pools[epoch], seed * 7919 + epoch)
            freeze(model, in_force(stage.freeze, epoch))
        rows = order[position * stage.batch : (position + 1) * stage.batch]
        part = fit.at(rows)
        for group in optimizer.param_groups:
            group["lr"] = group["scale"] * learning_rate(step, len(plan), stage.lr)
        loss = batch_loss(model, part, rows, stage, generator, teacher)
        value = loss.item()
        if not math.isfinite(value):
            raise lost(title, "loss", value, step, checkpoint)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0).item()
        if not math.isfinite(norm):  # a step would spoil the weights, and the next checkpoint with them
            raise lost(title, "gradient", norm, step, checkpoint)
        optimizer.step()
        running = value if progress.loss is None else 0.98 * progress.loss + 0.02 * value
        progress = Progress(step + 1, time.monotonic() - begun, running, progress.pictures + len(rows))
        bar.set_postfix(loss=f"{running:.3f}", refresh=False)
        if time.monotonic() - last_saved > CHECKPOINT_SECONDS:
            last_saved = time.monotonic()
            save(checkpoint, model, optimizer, settings, progress)
    return figures_of(progress, len(plan), round(time.monotonic() - begun), device)


def prepare(model: VisionTransformer, teacher: Teacher | None, device: torch.device) -> None:
    networks = () if teacher is None else teacher.networks
    model.to(device).train()
    for network in networks:
        network.to(device).eval()
    if device.type == "cuda":
        for network in (model, *networks):
            compile_blocks(network)


def plan_steps(pools: list[Tensor], batch: int) -> list[tuple[int, int]]:
    """Epoch and position of each step. A rest of less than half a batch is left out, unless it is all there is."""
    return [(epoch, i) for epoch, pool in enumerate(pools) for i in range(max(1, int(len(pool) / batch + 0.5)))]


def shuffled(pool: Tensor, seed: int) -> Tensor:
    return pool[torch.randperm(len(pool), generator=torch.Generator().manual_seed(seed))]


def resume(
    checkpoint: Path, model: VisionTransformer, optimizer: torch.optim.Optimizer, settings: str, device: torch.device
) -> Progress:
    """Raises ValueError if the checkpoint is broken or of other settings."""
    try:
        state = torch.load(checkpoint, map_location=device, weights_only=True)
    except (RuntimeError, UnpicklingError, EOFError) as error:
        raise ValueError(f"{checkpoint} is broken, remove it to begin anew: {error}") from error
    if state["settings"] != settings:
        raise ValueError(f"{checkpoint} was made with other settings: remove it to begin anew")
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    return Progress(state["step"], state["seconds"], state["loss"], state["pictures"])


def save(
    checkpoint: Path, model: VisionTransformer, optimizer: torch.optim.Optimizer, settings: str, progress: Progress
) -> None:
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), **vars(progress), "settings": settings}
    write_atomically(checkpoint, lambda to: torch.save(state, to))


def figures_of(progress: Progress, steps: int, seconds: int, device: torch.device) -> dict[str, Any]:
    cuda = device.type == "cuda"
    return {
        "steps": steps, "pictures": progress.pictures, "finalLoss": progress.loss,
        "seconds": seconds, "device": device.type, "torch": torch.__version__,
        "processor": torch.cuda.get_device_name(device) if cuda else platform.processor() or platform.machine(),
    }
