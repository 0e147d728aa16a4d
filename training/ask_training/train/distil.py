"""Distillation: the teachers' answers to a batch, and the loss towards them."""

from collections.abc import Sequence
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from ..experiment.stage import Distillation
from ..models.forward import autocast
from ..models.vit import VisionTransformer
from .views import Views


class Teacher(Protocol):
    networks: Sequence[VisionTransformer]  # that run beside the student

    def answer(self, rows: Tensor, views: Views) -> tuple[Tensor, Tensor | None]:
        """Logits or log-probabilities [B, classes] for the pictures of those rows, and for what they are mixed with."""


class StoredTeacher:
    """Answers with logits [N, classes] that were computed once, of the plain pictures."""

    def __init__(self, stored: Tensor):
        self.stored, self.networks = stored, ()

    def answer(self, rows: Tensor, views: Views) -> tuple[Tensor, Tensor | None]:
        own = self.stored[rows].to(views.pixels.device).float()
        return own, None if views.other is None else own[views.other]


class ConsistentTeacher:
    """Sees the very views of the student, mixtures included, each network at its own size (Beyer et al.,
    arXiv:2106.05237). It answers with the mean of the networks' log-probabilities."""

    def __init__(self, networks: Sequence[VisionTransformer]):
        self.networks = networks

    @torch.no_grad()
    def answer(self, rows: Tensor, views: Views) -> tuple[Tensor, Tensor | None]:
        seen = [views.at(network.size) for network in self.networks]
        with autocast(views.pixels.device):
            answers = [network(x).float().log_softmax(1) for network, x in zip(self.networks, seen)]
        mean = torch.stack(answers).mean(0)
        return mean, mean


def distillation_loss(logits: Tensor, labels: Tensor, taught: Tensor, way: Distillation) -> Tensor:
    """Cross-entropy with the labels, and the distance to the teacher (Hinton et al., arXiv:1503.02531)."""
    hard, t = F.cross_entropy(logits, labels), way.temperature
    soft = F.kl_div((logits / t).log_softmax(1), (taught / t).log_softmax(1), log_target=True, reduction="batchmean")
    return (1 - way.share) * hard + way.share * t * t * soft
