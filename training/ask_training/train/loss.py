"""The loss of a training step, towards the labels and the teachers' answers."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..data.pictures import Pictures
from ..experiment.stage import Distillation, Stage
from ..models.forward import autocast
from ..models.vit import VisionTransformer
from .distil import Teacher, distillation_loss
from .views import Views


def loss_of(logits: Tensor, labels: Tensor, taught: Tensor | None, way: Distillation | None) -> Tensor:
    if taught is None or way is None:
        return F.cross_entropy(logits, labels)
    return distillation_loss(logits, labels, taught, way)


def batch_loss(
    model: VisionTransformer, part: Pictures, rows: Tensor, stage: Stage, generator: torch.Generator,
    teacher: Teacher | None = None,
) -> Tensor:
    """Loss of fresh views of the pictures ``part``, which are those of ``rows``. Mixed ones count for both labels, by
    their shares."""
    device = generator.device
    pixels, labels = part.pixels.to(device).float() / 255, part.labels.to(device)
    views = Views(pixels, stage.mixing, generator)
    x = views.at(model.size)
    taught, other_taught = (None, None) if teacher is None else teacher.answer(rows, views)
    with autocast(device):
        logits = model(x, stage.patch_dropout.keep if stage.patch_dropout else 1.0, generator).float()
    loss = loss_of(logits, labels, taught, stage.distillation)
    if views.other is None:
        return loss
    other = loss_of(logits, labels[views.other], other_taught, stage.distillation)
    return views.share * loss + (1 - views.share) * other
