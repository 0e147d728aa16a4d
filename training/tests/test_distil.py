import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from support import STAGE, lively_model, noise

from ask_training import engine
from ask_training.data import Pictures
from ask_training.engine import loss_of, predict, train_stage
from ask_training.sources import read_source
from ask_training.vit import VisionTransformer


def softmax(row: list[float]) -> list[float]:
    whole = sum(map(math.exp, row))
    return [math.exp(value) / whole for value in row]


@pytest.mark.parametrize(("share", "temperature"), [(0.0, 2.0), (0.3, 2.0), (0.5, 1.0), (1.0, 4.0)])
def test_the_loss_is_the_share_of_cross_entropy_and_of_the_distance_to_the_teacher(share: float, temperature: float) -> None:
    logits, teacher, labels = [[2.0, -1.0, 0.5], [0.0, 0.3, -0.2]], [[1.0, 1.5, -2.0], [-0.5, 0.0, 3.0]], [0, 2]
    hard = -sum(math.log(softmax(row)[label]) for row, label in zip(logits, labels)) / 2
    soft = 0.0
    for row, wanted in zip(logits, teacher):
        p = softmax([value / temperature for value in wanted])
        q = softmax([value / temperature for value in row])
        soft += sum(a * math.log(a / b) for a, b in zip(p, q)) / 2
    expected = (1 - share) * hard + share * temperature**2 * soft

    stage = replace(STAGE, distil=share, temperature=temperature)
    found = loss_of(torch.tensor(logits), torch.tensor(labels), torch.tensor(teacher), stage)

    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_without_a_teacher_the_loss_is_cross_entropy() -> None:
    logits, labels = torch.randn(5, 6), torch.arange(5)
    assert torch.equal(loss_of(logits, labels, None, replace(STAGE, distil=0.7)), F.cross_entropy(logits, labels))


def test_log_probabilities_teach_as_the_logits_they_come_from() -> None:
    logits, teacher, labels = torch.randn(5, 6), 3 * torch.randn(5, 6), torch.arange(5)
    stage = replace(STAGE, distil=0.5)
    torch.testing.assert_close(
        loss_of(logits, labels, teacher.log_softmax(1), stage), loss_of(logits, labels, teacher, stage)
    )


def test_a_model_that_is_only_taught_follows_its_teacher_against_the_labels(data: Path, tmp_path: Path) -> None:
    """The teacher takes each colour for the next one; its rows belong to the pictures, whatever their order."""
    pictures = read_source(data, 32).pictures
    taught = (pictures.labels + 1) % 6
    stage = replace(STAGE, keep=1.0, teachers=["teacher"], distil=1.0)
    torch.manual_seed(0)
    model = VisionTransformer(32, 6, width=48, depth=2, heads=3)

    train_stage(
        model, pictures, [torch.arange(len(pictures))] * 6, stage, 1, tmp_path / "checkpoint", "pupil",
        8.0 * F.one_hot(taught, 6).half(),
    )

    said = predict(model, pictures.pixels, torch.device("cpu")).argmax(1)
    assert (said == taught).float().mean() > 0.6
    assert (said == pictures.labels).float().mean() < 0.2


def test_mixed_pictures_count_for_both_labels_by_their_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    order, share = torch.tensor([1, 2, 0]), 0.7
    monkeypatch.setattr(engine, "mix", lambda x, generator: (x, order, share))
    model, part = lively_model(), Pictures(noise(3), torch.tensor([0, 3, 5]))
    teacher = torch.randn(3, 6)
    stage = replace(STAGE, keep=1.0, teachers=["teacher"], distil=0.4)

    def loss(mixed: float, labels: torch.Tensor, taught: torch.Tensor) -> float:
        generator = torch.Generator().manual_seed(3)
        return engine.batch_loss(model, Pictures(part.pixels, labels), taught, replace(stage, mix=mixed), generator).item()

    alone, others = loss(0.0, part.labels, teacher), loss(0.0, part.labels[order], teacher[order])
    assert alone != pytest.approx(others, rel=1e-3)
    assert loss(1.0, part.labels, teacher) == pytest.approx(share * alone + (1 - share) * others, rel=1e-5)
