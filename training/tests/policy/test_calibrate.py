import math

import pytest
import torch
from torch import Tensor

from ask_training.experiment.config import Operating
from ask_training.policy import calibrate
from ask_training.policy.calibrate import (
    Outputs,
    Rule,
    choose_rule,
    evaluate,
    fit_merge,
    fit_rules,
    fit_temperature,
    fit_threshold,
    rank_experts,
    rise_of_truth,
)
from ask_training.policy.gain import FEATURES

GROUPS = [[0, 1, 2], [3, 4, 5]]


def draw(probabilities: Tensor, seed: int) -> Tensor:
    return torch.multinomial(probabilities, 1, generator=torch.Generator().manual_seed(seed))[:, 0]


def scores(count: int, seed: int, classes: int = 6) -> Tensor:
    return 2 * torch.randn(count, classes, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("planted", [0.4, 1.0, 2.5])
def test_a_planted_temperature_is_recovered(planted: float) -> None:
    true = scores(4000, 1)
    labels = draw(true.softmax(1), 2)
    found = fit_temperature(true * planted, labels)
    assert found == pytest.approx(planted, rel=0.06)
    assert found == round(found, 3)


def test_a_few_pictures_that_are_all_right_do_not_make_every_answer_certain() -> None:
    """Without a prior the least temperature would be best."""
    labels = torch.arange(5)
    assert 0.4 < fit_temperature(3.0 * torch.eye(5), labels) < 1


def test_experts_are_ranked_by_the_mass_of_the_top_k_in_their_classes() -> None:
    probabilities = torch.tensor([
        [0.40, 0.00, 0.00, 0.30, 0.25, 0.05],
        [0.10, 0.10, 0.15, 0.35, 0.15, 0.15],
        [0.30, 0.29, 0.01, 0.39, 0.01, 0.00],
    ])
    assert rank_experts(probabilities, 1, GROUPS).tolist() == [0, 1, 1]
    assert rank_experts(probabilities, 2, [[0, 1], [3, 4], [2, 5]]).tolist() == [0, 1, 1]
    assert rank_experts(probabilities, 3, GROUPS).tolist() == [1, 1, 0]
    assert rank_experts(probabilities, 6, [[5, 2], [4, 3], [1, 0]]).tolist() == [1, 1, 2]


def test_the_merge_trusts_the_better_model() -> None:
    good = scores(1000, 1).log_softmax(1)
    labels = draw(good.exp(), 2)
    noise = scores(1000, 3).log_softmax(1)

    edge, expert = fit_merge(noise, good, labels)
    assert (edge, expert) == pytest.approx((0.0, 1.0), abs=0.15)
    edge, expert = fit_merge(good, noise, labels)
    assert (edge, expert) == pytest.approx((1.0, 0.05), abs=0.15)


@pytest.mark.parametrize("bias", [0.5, 1.0, 2.0])
def test_a_weight_that_would_be_negative_is_0_and_the_other_the_best_beside_it(bias: float) -> None:
    """The expert knows what the generalist says and more, and is the same way wrong, but less."""
    truth, error = scores(1500, 1), bias * scores(1500, 2)
    labels = draw(truth.softmax(1), 3)
    edge, expert = (truth + 2 * error).log_softmax(1), (truth + error).log_softmax(1)

    def loss(weight: float) -> float:
        return torch.nn.functional.cross_entropy(weight * expert, labels).item()

    found = fit_merge(edge, expert, labels)
    assert found[0] == 0
    assert loss(found[1]) == pytest.approx(min(loss(0.01 * i) for i in range(1, 500)), abs=1e-4)


@pytest.mark.parametrize("scale", [0.05, 8.0])
def test_the_merge_converges_for_outputs_that_are_far_from_calibrated(scale: float) -> None:
    truth = scores(800, 1)
    labels = draw(truth.softmax(1), 3)
    edge, expert = (scale * (truth + 0.5 * scores(800, 5))).log_softmax(1), (scale * truth).log_softmax(1)

    def loss(weights: tuple[float, float]) -> float:
        return torch.nn.functional.cross_entropy(weights[0] * edge + weights[1] * expert, labels).item()

    grid = torch.linspace(0, min(5.0, 3 / scale), 31).tolist()
    assert loss(fit_merge(edge, expert, labels)) <= min(loss((a, b)) for a in grid for b in grid) + 2e-3


def test_the_merge_adds_what_two_independent_models_know() -> None:
    one, other = scores(3000, 1), scores(3000, 2)
    labels = draw((one + other).softmax(1), 3)
    assert fit_merge(one.log_softmax(1), other.log_softmax(1), labels) == pytest.approx((1.0, 1.0), abs=0.11)


def planted(count: int = 1000) -> Outputs:
    """A generalist that guesses on the last 30 % of the pictures and knows it, and experts that know their own
    classes."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(6))
    labels = torch.arange(count) % 6
    sure = 8.0 * torch.nn.functional.one_hot(labels, 6)
    edge = sure.clone()
    unsure = torch.arange(count) >= 0.7 * count
    wrong = labels // 3 * 3 + (labels + 1) % 3  # of the same expert
    edge[unsure] = 1.0 * torch.nn.functional.one_hot(wrong, 6)[unsure]
    edge += 0.2 * scores(count, 4)
    experts = [torch.where(torch.isin(labels, torch.tensor(group))[:, None], sure, scores(count, 5)) for group in GROUPS]
    return Outputs(edge.log_softmax(1), [expert.log_softmax(1) for expert in experts], labels).at(order)


def apply(rule: Rule, threshold: float, outputs: Outputs) -> tuple[Tensor, Tensor]:
    """What the services do: answers [N], and who was asked."""
    asked = outputs.edge.exp().amax(1) < threshold
    answers = torch.stack(outputs.experts)[rule.choose(outputs.edge, GROUPS), torch.arange(len(outputs.labels))]
    merged = rule.generalist_weight * outputs.edge + rule.expert_weight * answers
    return torch.where(asked, merged.argmax(1), outputs.edge.argmax(1)), asked


def test_pictures_of_all_models_are_cut_alike() -> None:
    outputs, part = planted(60), torch.tensor([5, 0, 59])
    cut = outputs.at(part)
    assert torch.equal(cut.edge, outputs.edge[part])
    assert torch.equal(cut.experts[1], outputs.experts[1][part])
    assert torch.equal(cut.labels, outputs.labels[part])
    assert torch.equal(cut.of(torch.tensor([1, 0, 1])), torch.stack([cut.experts[i][row] for row, i in enumerate((1, 0, 1))]))


@pytest.mark.parametrize("share", [0.04, 0.14, 0.4, 0.5])
def test_a_threshold_lets_through_as_much_as_it_may_and_no_more(share: float) -> None:
    """Also where pictures are so close together that the threshold's four digits count."""
    for seed in range(6):
        confidence = torch.rand(1000, generator=torch.Generator().manual_seed(seed)) * 0.02 + 0.5
        asked = (confidence < fit_threshold(confidence, share)).float().mean().item()
        assert share - 0.02 <= asked <= share + 1e-6


def test_a_threshold_between_equal_pictures_lets_through_none_of_them() -> None:
    confidence = torch.tensor([0.3] * 10 + [0.5] * 60 + [0.9] * 30)
    assert (confidence < fit_threshold(confidence, 0.4)).sum() == 10


def test_a_rule_by_mass_is_fitted_for_every_k_and_one_by_gain_for_the_last() -> None:
    rules = fit_rules(planted(), GROUPS, Operating(0.4, [1, 3]))
    assert [(rule.k, rule.scoring) for rule in rules] == [(1, "top-k-mass"), (3, "top-k-mass"), (3, "expected-gain")]
    assert rules[0].weights == rules[1].weights == []
    assert len(rules[2].weights) == len(FEATURES) + len(GROUPS)
    assert (rules[2].generalist_weight, rules[2].expert_weight) == (rules[1].generalist_weight, rules[1].expert_weight)


def test_what_asking_gains_is_the_rise_of_the_truths_log_probability_down_to_a_floor() -> None:
    edge = torch.tensor([[0.6, 0.3, 0.1], [0.5, 0.5, 1e-6]]).log()
    expert = torch.tensor([[0.2, 0.2, 0.6], [1e-6, 0.5, 0.5]]).log()
    outputs = Outputs(edge, [edge, expert], torch.tensor([2, 2]))
    found = rise_of_truth(outputs, 1.0, 2.0)
    first = [0.1**3 / (0.6**3 + 0.3**3 + 0.1**3), 0.1 * 0.36 / (0.6 * 0.04 + 0.3 * 0.04 + 0.1 * 0.36)]
    expected = torch.tensor([[max(math.log(p), -4.0) - math.log(0.1) for p in first], [0.0, 0.0]])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_rules_ask_the_expert_that_helps() -> None:
    outputs = planted()
    right = torch.isin(outputs.labels, torch.tensor(GROUPS[1])).long()
    unsure = outputs.confidence() < 0.6
    by_mass, _, by_gain = fit_rules(outputs.at(torch.arange(500)), GROUPS, Operating(0.4, [3, 1]))
    for rule in (by_mass, by_gain):
        held = torch.arange(1000) >= 500
        chosen = rule.choose(outputs.edge, GROUPS)
        assert (chosen == right)[held & unsure].float().mean() > 0.65  # by chance a half


def test_the_chosen_rule_answers_right_where_the_generalist_alone_does_not() -> None:
    outputs, fresh = planted().at(torch.arange(500)), planted().at(torch.arange(500, 1000))
    operating = Operating(0.4, [1, 3])
    rule = choose_rule(outputs, GROUPS, operating)
    assert rule in fit_rules(outputs, GROUPS, operating)
    threshold = fit_threshold(outputs.confidence(), operating.escalation)

    answers, asked = apply(rule, threshold, fresh)
    figures = evaluate(rule, threshold, fresh, GROUPS)

    right = (answers == fresh.labels).float()
    alone = (fresh.edge.argmax(1) == fresh.labels).float()
    hits = (rule.choose(fresh.edge, GROUPS) == fresh.labels // 3).float()
    always = (apply(rule, 2.0, fresh)[0] == fresh.labels).float()
    assert figures == {
        "accuracy": pytest.approx(right.mean().item(), abs=1e-4),
        "escalated": pytest.approx(asked.float().mean().item(), abs=1e-4),
        "edgeAccuracy": pytest.approx(alone.mean().item(), abs=1e-4),
        "alwaysAskAccuracy": pytest.approx(always.mean().item(), abs=1e-4),
        "escalatedEdgeAccuracy": pytest.approx(alone[asked].mean().item(), abs=1e-4),
        "escalatedAccuracy": pytest.approx(right[asked].mean().item(), abs=1e-4),
        "routingHitRate": pytest.approx(hits[asked].mean().item(), abs=1e-4),
    }
    assert figures["accuracy"] > figures["edgeAccuracy"] + 0.1
    assert figures["escalated"] == pytest.approx(0.4, abs=0.06)


@pytest.mark.parametrize(("won", "lost", "chosen"), [(0, 0, "top-k-mass"), (4, 2, "top-k-mass"), (4, 0, "expected-gain"), (60, 40, "expected-gain")])
def test_the_learned_gain_is_chosen_only_if_clearly_better(monkeypatch: pytest.MonkeyPatch, won: int, lost: int, chosen: str) -> None:
    """By more than a standard error of the difference: the root of the pictures on which the two disagree."""
    outputs = planted()
    monkeypatch.setattr(calibrate, "FOLDS", 1)
    monkeypatch.setattr(calibrate, "fit_threshold", lambda *_: 0.5)

    def final_right(rule: Rule, part: Outputs, *_: object) -> torch.Tensor:
        right = torch.arange(len(part.labels)) < len(part.labels) // 2
        if rule.scoring == "expected-gain":
            right[:lost] = False
            right[-won or len(right):] = True
        return right

    monkeypatch.setattr(calibrate, "final_right", final_right)
    monkeypatch.setattr(calibrate, "fit_rules", lambda *_: [Rule(1, "top-k-mass", [], 0.5, 0.5), Rule(1, "expected-gain", [], 0.5, 0.5)])
    assert choose_rule(outputs, GROUPS, Operating(0.4, [1])).scoring == chosen


def test_where_nobody_is_asked_nothing_is_said_of_the_asked() -> None:
    outputs = planted()
    figures = evaluate(Rule(1, "top-k-mass", [], 0.5, 0.5), 0.0, outputs, GROUPS)
    assert figures.keys() == {"accuracy", "escalated", "edgeAccuracy", "alwaysAskAccuracy"}
    assert (figures["escalated"], figures["accuracy"]) == (0, figures["edgeAccuracy"])
