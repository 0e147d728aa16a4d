import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from ask_training.policy.calibrate import Outputs
from ask_training.report import ablate
from ask_training.report.__main__ import main, renew
from ask_training.report.stored import Stored, read_stored
from ask_training.report.tables import progress

GROUPS = [[0, 1, 2], [3, 4, 5]]
COUNT = 600


def made_bundle(folder: Path) -> Path:
    """A generalist that is unsure of every third picture, and two experts that know their own classes and no others."""
    generator = torch.Generator().manual_seed(1)
    labels = torch.randint(0, 6, (COUNT,), generator=generator)
    sure = torch.where(torch.arange(COUNT) % 3 == 0, 0.7, 6.0)[:, None]
    truth = torch.eye(6)[labels]
    noise = torch.randn(COUNT, 6, generator=generator)
    tensors = {"generalist": sure * truth + noise}
    for i, group in enumerate(GROUPS):
        own = torch.isin(labels, torch.tensor(group))[:, None]
        tensors[f"expert-{i + 1}"] = torch.where(own, 6 * truth, 0) + torch.randn(COUNT, 6, generator=generator)
    models = {
        name: {
            "sha256": f"{i:064x}", "precision": "int8", "bytes": 1234567,
            "inputs": {"pixels": {"picture": {"networkSide": 48}}},
            "figures": {"validationAccuracy": 0.9, "float32ValidationAccuracy": 0.9},
        }
        for i, name in enumerate(tensors)
    }
    experts = list(tensors)[1:]
    cascade = {
        "generalist": {"model": "generalist", "temperature": 1.0},
        "experts": [
            {"model": m, "classes": group, "temperature": 1.0} for m, group in zip(experts, GROUPS, strict=True)
        ],
        "gate": {"threshold": 0.8},
        "routing": {
            "k": 3,
            "scoring": {"method": "expected-gain"},
            "classToExpert": [f"expert-{1 + label // 3}" for label in range(6)],
        },
    }
    manifest = {"schemaVersion": 2, "labels": list("abcdef"), "models": models, "strategies": {"ask": cascade}}
    content = {name: values.half() for name, values in tensors.items()}
    content |= {"labels": labels.to(torch.uint16), "held": (torch.arange(COUNT) % 2).to(torch.uint8)}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "validation.safetensors").write_bytes(
        save(content, metadata={"models": json.dumps({name: model["sha256"] for name, model in models.items()})})
    )
    return folder


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Stored:
    return read_stored(made_bundle(tmp_path_factory.mktemp("bundle")))


def test_stored_predictions_of_other_weights_are_refused(tmp_path: Path) -> None:
    folder = made_bundle(tmp_path / "bundle")
    manifest = (folder / "manifest.json").read_text()
    (folder / "manifest.json").write_text(manifest.replace(f"{1:064x}", f"{9:064x}"))
    with pytest.raises(ValueError, match="the predictions of expert-1 are of other weights"):
        read_stored(folder)


def test_a_manifest_of_an_older_version_is_refused_with_the_command_that_rewrites_it(tmp_path: Path) -> None:
    folder = made_bundle(tmp_path / "bundle")
    manifest = (folder / "manifest.json").read_text()
    (folder / "manifest.json").write_text(manifest.replace('"schemaVersion": 2', '"schemaVersion": 1'))
    with pytest.raises(ValueError, match="a manifest of version 1: npm run -s ask -- migrate --models"):
        read_stored(folder)


def test_escalating_more_helps_where_experts_know_more(stored: Stored) -> None:
    choice = ablate.by_mass(GROUPS, 5)
    edge = (stored.outputs.edge.argmax(1) == stored.outputs.labels).float().mean().item()
    few, many = (ablate.system(stored, choice, share) for share in (0.1, 0.33))
    assert edge < few < many
    assert many < ablate.oracle(stored, 0.33)
    assert ablate.system(stored, ablate.by_truth([0, 0, 0, 1, 1, 1]), 0.33) > many


def test_a_merge_that_ignores_the_experts_leaves_the_generalists_answers(stored: Stored) -> None:
    edge = (stored.outputs.edge.argmax(1) == stored.outputs.labels).double().mean().item()
    assert ablate.system(stored, ablate.by_mass(GROUPS), 1, ablate.fixed(1, 0)) == pytest.approx(edge)


def test_a_learned_merge_trusts_whoever_is_sure_and_right() -> None:
    """The expert is right where it is sure; elsewhere the generalist is, which is never sure."""
    labels = torch.arange(6).repeat(100)
    sure = torch.rand(600, generator=torch.Generator().manual_seed(3)) < 0.5
    truth, lie = torch.eye(6)[labels], torch.eye(6)[(labels + 1) % 6]
    noise = 0.2 * torch.randn(600, 6, generator=torch.Generator().manual_seed(4))
    edge = (2 * torch.where(sure[:, None], lie, truth) + noise).log_softmax(1)
    expert = (torch.where(sure[:, None], 5 * truth, 3 * lie) + noise).log_softmax(1)
    outputs, first = Outputs(edge, [expert], labels), torch.zeros(600, dtype=torch.long)

    def share(merge: ablate.Answer) -> float:
        return (merge(outputs, outputs, first, first).argmax(1) == labels).float().mean().item()

    assert max(share(ablate.fixed(1, 0)), share(ablate.fixed(0, 1))) < 0.6
    assert share(ablate.fixed(0.5, 0.5)) < 0.6
    assert share(ablate.learned_merge) > 0.9


def test_the_gain_gate_sends_what_the_experts_would_mend(stored: Stored) -> None:
    fit, to = ablate.halves(stored)[0]
    values = ablate.by_expected_gain(GROUPS)(fit, to)
    owner = torch.tensor([0, 0, 0, 1, 1, 1])[to.labels]
    mended = (to.edge.argmax(1) != to.labels) & (to.of(owner).argmax(1) == to.labels)
    assert mended.sum() > 20
    assert ablate.auroc(-values, mended) > 0.75


@pytest.mark.parametrize("none", [False, True])
def test_a_masked_head_gives_probabilities_and_cannot_leave_its_group_to_another(stored: Stored, none: bool) -> None:
    fit, to = ablate.halves(stored)[0]
    chosen_fit, chosen = torch.zeros(len(fit.labels), dtype=torch.long), torch.zeros(len(to.labels), dtype=torch.long)
    scores = ablate.masked(GROUPS, none)(fit, to, chosen_fit, chosen)
    torch.testing.assert_close(scores.exp().sum(1), torch.ones(len(scores)), atol=1e-3, rtol=0)
    others = scores[:, GROUPS[1]].log_softmax(1) - to.edge[:, GROUPS[1]].log_softmax(1)
    assert others.abs().max() < 1e-3


@pytest.mark.parametrize("gate", [ablate.confidence, ablate.margin, ablate.negative_entropy, ablate.learned_gate])
def test_every_gate_tells_right_from_wrong_better_than_chance(stored: Stored, gate: ablate.Gate) -> None:
    assert 0.6 < ablate.gate_auroc(stored, gate) < 1


def test_the_table_of_stages_has_a_column_for_each_and_a_row_for_each_group(stored: Stored) -> None:
    one, other = stored.experts
    experts = [replace(one, figures={"validationAccuracyOwnClasses": 0.75}), replace(other, figures={})]
    stages = [
        {"name": "base-2", "byGroup": [0.5, 0.6]},
        {"name": "specialist-1", "validationAccuracyOwnClasses": 0.7},
        {"name": "specialist-2", "validationAccuracyOwnClasses": 0.8},
    ]
    assert progress(replace(stored, experts=experts, stages=stages)).splitlines() == [
        "| own classes of | base-2 | specialist | as served |",
        "| --- | --- | --- | --- |",
        "| expert-1 | 50.00 % | 70.00 % | 75.00 % |",
        "| expert-2 | 60.00 % | 80.00 % | - |",
    ]


def test_the_auroc_counts_pairs() -> None:
    scores = torch.tensor([0.1, 0.4, 0.4, 0.9])
    positive = torch.tensor([False, True, False, True])
    assert ablate.auroc(scores, positive) == pytest.approx(3.5 / 4)


def test_figures_and_tables_are_renewed_and_the_text_between_them_stays(tmp_path: Path) -> None:
    folder, to = made_bundle(tmp_path / "bundle"), tmp_path / "results"
    to.mkdir()
    runs = [{"seed": 1, "own": 0.8, "system": 0.7, "pictures": 1000}, {"seed": 4, "own": 0.9, "system": 0.7, "pictures": 2000}]
    (to / "trained.json").write_text(json.dumps({
        "columns": {"own": "own classes", "system": "system"}, "counts": {"pictures": ["thousands", 1000.0]},
        "variants": [{"name": "static", "runs": runs}],
    }))
    (to / "README.md").write_text("before\n<!-- gate -->\nold\n<!-- end -->\nbetween\n<!-- trained -->\n<!-- end -->\n")

    main(["--bundle", str(folder), "--to", str(to)])

    text = (to / "README.md").read_text()
    assert text.startswith("before\n<!-- gate -->\n| gate | AUROC |")
    assert "\nold\n" not in text
    assert "| static | 1, 4 | 85.00 % (10.0) | 70.00 % (0.0) | 1.5 |\n<!-- end -->\n" in text
    assert "<!-- end -->\nbetween\n<!-- trained -->" in text
    figures = {path.name: path.read_bytes() for path in to.glob("*.svg")}
    assert set(figures) == {"risk-coverage.svg", "reliability.svg", "groups.svg", "routing.svg"}

    main(["--bundle", str(folder), "--to", str(to)])
    assert {path.name: path.read_bytes() for path in to.glob("*.svg")} == figures
    assert (to / "README.md").read_text() == text


def test_a_card_is_renewed_with_the_bundles_models_and_their_classes(tmp_path: Path) -> None:
    folder = made_bundle(tmp_path / "models" / "bundle")
    card = tmp_path / "models" / "README.md"
    card.write_text("# Card\n<!-- classes -->\n<!-- end -->\n<!-- models -->\nold\n<!-- end -->\n")

    main(["--bundle", str(folder), "--to", str(tmp_path / "results"), "--card", str(card)])

    text = card.read_text()
    assert text.startswith("# Card\n<!-- classes -->\n| model | for |")
    assert "| expert-2 | d, e, f |\n" in text
    assert "| expert-1 | 48 px | 90.00 % | - | 90.00 % | int8 | 1.000 | 1,234,567 |\n" in text
    assert "old" not in text


def test_a_place_for_a_table_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text("<!-- gaet -->\n<!-- end -->\n")
    with pytest.raises(ValueError, match="there is no table 'gaet'; there are gate"):
        renew(path, {"gate": "| |"})


def test_a_folder_without_a_bundle_ends_the_program_with_a_line(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"^ask_training.report: .*manifest.json"):
        main(["--bundle", str(tmp_path), "--to", str(tmp_path / "results")])
