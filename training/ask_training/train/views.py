"""What the networks of a training step see of its pictures."""

import torch
from torch import Tensor

from ..data.augment import Augment, augment, mix
from ..experiment.stage import Mixing
from ..models.forward import normalise


class Views:
    """Fresh views of a batch of pictures in 0..1, perhaps mixed: the same crops, colours and mixtures at every size.
    Only the first size draws from ``generator``; later ones repeat its draws."""

    def __init__(self, pixels: Tensor, mixing: Mixing | None, generator: torch.Generator):
        self.pixels, self.mixing, self.generator = pixels, mixing, generator
        self.state = generator.get_state()
        self.seen: dict[int, Tensor] = {}
        self.other: Tensor | None = None  # index [B] of the pictures that these are mixed with
        self.share = 1.0  # of the pictures themselves in the mixture, at the first size: a box is of whole pixels

    def at(self, size: int) -> Tensor:
        """[B, 3, size, size], normalised."""
        if not self.seen:
            x, self.other, self.share = self._draw(size, self.generator)
            self.seen[size] = normalise(x)
        elif size not in self.seen:
            generator = torch.Generator(self.pixels.device)
            generator.set_state(self.state)
            self.seen[size] = normalise(self._draw(size, generator)[0])
        return self.seen[size]

    def _draw(self, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor | None, float]:
        x = augment(self.pixels, size, Augment(), generator)
        share = self.mixing.share if self.mixing else 0.0
        if share > 0 and torch.rand(1, device=x.device, generator=generator).item() < share:
            return mix(x, generator)
        return x, None, 1.0
