"""The loss of a training step: fresh views of pictures, their labels, and what teachers say of them."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..data.augment import Augment, augment, mix
from ..data.pictures import Pictures
from ..experiment.config import Stage
from ..models.forward import autocast, normalise
from ..models.vit import VisionTransformer


def loss_of(logits: Tensor, labels: Tensor, teacher: Tensor | None, stage: Stage) -> Tensor:
    """Cross-entropy with the labels and, with a teacher's logits, distillation (Hinton et al., arXiv:1503.02531)."""
    hard = F.cross_entropy(logits, labels)
    if teacher is None:
        return hard
    t = stage.temperature
    soft = F.kl_div((logits / t).log_softmax(1), (teacher / t).log_softmax(1), log_target=True, reduction="batchmean")
    return (1 - stage.distil) * hard + stage.distil * t * t * soft


def batch_loss(
    model: VisionTransformer, part: Pictures, teacher: Tensor | None, stage: Stage, generator: torch.Generator,
    watching: Sequence[VisionTransformer] = (),
) -> Tensor:
    """Loss of fresh views of the pictures, some of them mixed. ``teacher`` holds logits [B, classes] of the plain
    pictures; networks ``watching`` teach by what they say of the views themselves."""
    device = generator.device
    pixels, labels = part.pixels.to(device).float() / 255, part.labels.to(device)
    drawn = generator.get_state() if watching else None
    x, other, share = view(pixels, model.size, stage, generator)
    x = normalise(x)
    other_teacher = None if teacher is None or other is None else teacher[other]
    if drawn is not None:
        teacher = other_teacher = watch(watching, pixels, stage, drawn, {model.size: x})
    with autocast(device):
        logits = model(x, stage.keep, generator).float()
    loss = loss_of(logits, labels, teacher, stage)
    return loss if other is None else share * loss + (1 - share) * loss_of(logits, labels[other], other_teacher, stage)


def view(pixels: Tensor, size: int, stage: Stage, generator: torch.Generator) -> tuple[Tensor, Tensor | None, float]:
    """pixels [B, 3, S, S] in 0..1 -> views [B, 3, size, size], the index [B] of those they are mixed with or none, and the
    share of the pictures themselves. The draws do not depend on the size."""
    x = augment(pixels, size, Augment(), generator)
    if stage.mix > 0 and torch.rand(1, device=x.device, generator=generator).item() < stage.mix:
        return mix(x, generator)
    return x, None, 1.0


@torch.no_grad()
def watch(
    networks: Sequence[VisionTransformer], pixels: Tensor, stage: Stage, drawn: Tensor, views: dict[int, Tensor]
) -> Tensor:
    """Mean log-probabilities [B, classes] that the networks, each at its own size, give to the very views that are drawn
    from that state of the generator: a consistent teacher (Beyer et al., arXiv:2106.05237). ``views`` holds those that
    there are, normalised, by their size."""
    for size in {network.size for network in networks} - views.keys():
        generator = torch.Generator(pixels.device)
        generator.set_state(drawn)
        views[size] = normalise(view(pixels, size, stage, generator)[0])
    with autocast(pixels.device):
        return torch.stack([network(views[network.size]).float().log_softmax(1) for network in networks]).mean(0)
