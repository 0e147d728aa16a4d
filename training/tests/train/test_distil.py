import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from support import STAGE, lively_model, noise

from ask_training.data.pictures import Pictures
from ask_training.data.sources import read_source
from ask_training.experiment.stage import Distillation, Mixing
from ask_training.models.forward import predict
from ask_training.models.vit import VisionTransformer
from ask_training.train import views
from ask_training.train.distil import ConsistentTeacher, StoredTeacher
from ask_training.train.engine import train_stage
from ask_training.train.loss import batch_loss, loss_of


def softmax(row: list[float]) -> list[float]:
    whole = sum(map(math.exp, row))
    return [math.exp(value) / whole for value in row]


@pytest.mark.parametrize(("share", "temperature"), [(0.0, 2.0), (0.3, 2.0), (0.5, 1.0), (1.0, 4.0)])
def test_the_loss_is_the_share_of_cross_entropy_and_of_the_distance_to_the_teacher(
    share: float, temperature: float
) -> None:
    logits, teacher, labels = [[2.0, -1.0, 0.5], [0.0, 0.3, -0.2]], [[1.0, 1.5, -2.0], [-0.5, 0.0, 3.0]], [0, 2]
    hard = -sum(math.log(softmax(row)[label]) for row, label in zip(logits, labels)) / 2
    soft = 0.0
    for row, wanted in zip(logits, teacher):
        p = softmax([value / temperature for value in wanted])
        q = softmax([value / temperature for value in row])
        soft += sum(a * math.log(a / b) for a, b in zip(p, q)) / 2
    expected = (1 - share) * hard + share * temperature**2 * soft

    found = loss_of(
        torch.tensor(logits), torch.tensor(labels), torch.tensor(teacher), Distillation(share, temperature)
    )

    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_without_a_teacher_the_loss_is_cross_entropy() -> None:
    logits, labels = torch.randn(5, 6), torch.arange(5)
    assert torch.equal(loss_of(logits, labels, None, Distillation(0.7)), F.cross_entropy(logits, labels))


def test_log_probabilities_teach_as_the_logits_they_come_from() -> None:
    logits, teacher, labels, way = torch.randn(5, 6), 3 * torch.randn(5, 6), torch.arange(5), Distillation(0.5)
    torch.testing.assert_close(
        loss_of(logits, labels, teacher.log_softmax(1), way), loss_of(logits, labels, teacher, way)
    )


def test_a_model_that_is_only_taught_follows_its_teacher_against_the_labels(data: Path, tmp_path: Path) -> None:
    """The teacher takes each colour for the next one; its rows belong to the pictures, whatever their order."""
    pictures = read_source(data, 32).pictures
    taught = (pictures.labels + 1) % 6
    stage = replace(STAGE, patch_dropout=None, teachers=["teacher"], distillation=Distillation(1.0))
    torch.manual_seed(0)
    model = VisionTransformer(32, 6, width=48, depth=2, heads=3)

    train_stage(
        model, pictures, [torch.arange(len(pictures))] * 6, stage, 1, tmp_path / "checkpoint", "pupil",
        StoredTeacher(8.0 * F.one_hot(taught, 6).half()),
    )

    said = predict(model, pictures.pixels, torch.device("cpu")).argmax(1)
    assert (said == taught).float().mean() > 0.6
    assert (said == pictures.labels).float().mean() < 0.2


def test_mixed_pictures_count_for_both_labels_by_their_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    order, share = torch.tensor([1, 2, 0]), 0.7
    monkeypatch.setattr(views, "mix", lambda x, generator: (x, order, share))
    model, part = lively_model(), Pictures(noise(3), torch.tensor([0, 3, 5]))
    teacher = torch.randn(3, 6)
    stage = replace(STAGE, patch_dropout=None, teachers=["teacher"], distillation=Distillation(0.4))

    def of(mixed: float, labels: torch.Tensor, taught: torch.Tensor) -> float:
        generator = torch.Generator().manual_seed(3)
        mixing = replace(stage, mixing=Mixing(mixed))
        return batch_loss(
            model, Pictures(part.pixels, labels), torch.arange(3), mixing, generator, StoredTeacher(taught)
        ).item()

    alone, others = of(0.0, part.labels, teacher), of(0.0, part.labels[order], teacher[order])
    assert alone != pytest.approx(others, rel=1e-3)
    assert of(1.0, part.labels, teacher) == pytest.approx(share * alone + (1 - share) * others, rel=1e-5)


@pytest.mark.parametrize("mixed", [0.0, 1.0])
def test_a_consistent_teacher_sees_the_views_of_the_student(mixed: float) -> None:
    """A network that teaches itself has nothing to learn; another, or the same on other views, has."""
    model, part = lively_model(), Pictures(noise(6), torch.tensor([0, 3, 5, 1, 2, 4]))
    way = Distillation(1.0, consistent=True)
    stage = replace(STAGE, patch_dropout=None, teachers=["teacher"], distillation=way, mixing=Mixing(mixed))

    def of(*networks: VisionTransformer) -> float:
        generator = torch.Generator().manual_seed(3)
        return batch_loss(model, part, torch.arange(6), stage, generator, ConsistentTeacher(networks)).item()

    other = lively_model(seed=1)
    assert of(model) == pytest.approx(0, abs=1e-6)
    assert of(other) > 1e-3
    assert 0 < of(model, other) < of(other)


def test_views_are_the_same_draws_at_every_size() -> None:
    """Shrunk to the smaller size, the larger view is the smaller one."""
    pixels = F.interpolate(noise(5).float() / 255, scale_factor=0.25, mode="area")  # coarse: both sizes hold all of it
    pixels = F.interpolate(pixels, 32, mode="bilinear")

    def draw(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        drawn = views.Views(pixels, Mixing(1.0), torch.Generator().manual_seed(seed))
        return drawn.at(32), drawn.at(64)

    (small, large), (_, other) = draw(5), draw(6)
    assert (small.shape[-1], large.shape[-1]) == (32, 64)
    near = (F.avg_pool2d(large, 2) - small).abs().mean()
    assert near < 0.2 * (F.avg_pool2d(other, 2) - small).abs().mean()


def test_the_share_of_a_mixture_is_that_of_the_first_size() -> None:
    """A pasted box is of whole pixels: its share of the picture differs a little between sizes."""
    for seed in range(20):
        one, other = (views.Views(noise(3) / 255, Mixing(1.0), torch.Generator().manual_seed(seed)) for _ in range(2))
        one.at(32)
        other.at(32)
        other.at(48)
        assert one.share == other.share


def test_views_of_a_second_size_take_no_draws_from_the_step() -> None:
    """What a step draws afterwards, such as the patches it sees, does not depend on the teachers."""
    one, other = (torch.Generator().manual_seed(5) for _ in range(2))
    alone, both = views.Views(noise(3) / 255, Mixing(0.5), one), views.Views(noise(3) / 255, Mixing(0.5), other)
    alone.at(32)
    assert torch.equal(alone.at(32), both.at(32))
    both.at(48)
    assert torch.equal(torch.rand(4, generator=one), torch.rand(4, generator=other))
