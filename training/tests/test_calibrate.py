import pytest
import torch
from torch import Tensor

from ask_training.calibrate import Policy, choose_policy, fit_merge, fit_temperature, rank_experts
from ask_training.config import Operating

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


def test_the_merge_adds_what_two_independent_models_know() -> None:
    one, other = scores(3000, 1), scores(3000, 2)
    labels = draw((one + other).softmax(1), 3)
    assert fit_merge(one.log_softmax(1), other.log_softmax(1), labels) == pytest.approx((1.0, 1.0), abs=0.11)


def planted(count: int = 1000) -> tuple[Tensor, list[Tensor], Tensor]:
    """A generalist that guesses on the last 30 % of the pictures and knows it, and experts that know their own classes."""
    labels = torch.arange(count) % 6
    sure = 8.0 * torch.nn.functional.one_hot(labels, 6)
    edge = sure.clone()
    unsure = torch.arange(count) >= 0.7 * count
    wrong = labels // 3 * 3 + (labels + 1) % 3  # of the same expert
    edge[unsure] = 1.0 * torch.nn.functional.one_hot(wrong, 6)[unsure]
    edge += 0.2 * scores(count, 4)
    experts = [torch.where(torch.isin(labels, torch.tensor(group))[:, None], sure, scores(count, 5)) for group in GROUPS]
    return edge.log_softmax(1), [expert.log_softmax(1) for expert in experts], labels


def apply(policy: Policy, edge: Tensor, experts: list[Tensor]) -> tuple[Tensor, Tensor]:
    """What the services do: answers [N], and who was asked."""
    asked = edge.exp().amax(1) < policy.threshold
    chosen = rank_experts(edge.exp(), policy.k, GROUPS)
    answers = torch.stack(experts)[chosen, torch.arange(len(edge))]
    merged = policy.generalist_weight * edge + policy.expert_weight * answers
    return torch.where(asked, merged.argmax(1), edge.argmax(1)), asked


def test_a_policy_asks_the_experts_where_they_are_right() -> None:
    edge, experts, labels = planted()
    policy = choose_policy(edge, experts, GROUPS, labels, Operating(0.4, 0.0, [1, 3]))

    answers, asked = apply(policy, edge, experts)
    right = (answers == labels).float()
    assert policy.accuracy == pytest.approx(right.mean().item(), abs=1e-4)
    assert policy.escalated == pytest.approx(asked.float().mean().item(), abs=1e-4)
    assert policy.escalated_accuracy == pytest.approx(right[asked].mean().item(), abs=1e-4)
    assert policy.escalated_edge_accuracy == pytest.approx((edge.argmax(1) == labels)[asked].float().mean().item(), abs=1e-4)
    hits = (rank_experts(edge.exp(), policy.k, GROUPS) == labels // 3).float()
    assert policy.routing_hit_rate == pytest.approx(hits[asked].mean().item(), abs=1e-4)
    assert policy.accuracy > 0.9
    assert policy.escalated == pytest.approx(0.3, abs=0.021)
    assert policy.escalated_edge_accuracy < 0.15
    assert 0.7 < policy.routing_hit_rate < hits.mean()


@pytest.mark.parametrize("cap", [0.02, 0.14, 0.42, 0.58])
def test_a_policy_escalates_as_much_as_it_may_and_no_more(cap: float) -> None:
    """Every escalation helps here. 0.58 / 0.02 is a little less than 29 in floating point, and is 29 all the same."""
    labels = torch.arange(1000) % 6
    wrong = (labels + 1) % 6
    edge = (torch.linspace(0.5, 3, 1000)[:, None] * torch.nn.functional.one_hot(wrong, 6)).log_softmax(1)
    oracle = (20.0 * torch.nn.functional.one_hot(labels, 6)).log_softmax(1)

    policy = choose_policy(edge, [oracle, oracle], GROUPS, labels, Operating(cap, 0.0, [1]))

    assert cap - 0.002 <= policy.escalated <= cap
    assert policy.accuracy == pytest.approx(policy.escalated, abs=1e-4)


def test_a_threshold_that_would_let_too_many_through_is_passed_over() -> None:
    """Six of ten pictures share a confidence up to the fifth digit, and a threshold has four: all of them or none."""
    labels = torch.arange(1000) % 6
    confidence = torch.cat([torch.linspace(0.30, 0.40, 100), torch.linspace(0.50006, 0.50009, 600), torch.full((300,), 0.9)])
    edge = ((1 - confidence) / 5)[:, None].repeat(1, 6)
    edge[torch.arange(1000), (labels + 1) % 6] = confidence
    oracle = (20.0 * torch.nn.functional.one_hot(labels, 6)).log_softmax(1)

    policy = choose_policy(edge.log(), [oracle, oracle], GROUPS, labels, Operating(0.5, 0.0, [1]))

    assert policy.escalated == pytest.approx(0.1, abs=0.001)
    assert policy.threshold < 0.5001


def test_of_equal_policies_the_one_that_asks_less_wins() -> None:
    labels = torch.arange(1000) % 6
    edge = (torch.linspace(0.5, 3, 1000)[:, None] * torch.nn.functional.one_hot(labels, 6)).log_softmax(1)
    policy = choose_policy(edge, [edge, edge], GROUPS, labels, Operating(0.5, 0.0, [1]))
    assert policy.accuracy == 1
    assert policy.escalated == pytest.approx(0.02, abs=0.001)


@pytest.mark.parametrize(("tolerance", "escalated"), [(0.0, 0.4), (0.101, 0.3), (1.0, 0.02)])
def test_accuracy_within_the_tolerance_is_given_up_for_fewer_escalations(tolerance: float, escalated: float) -> None:
    labels = torch.arange(1000) % 6
    wrong = (labels + 1) % 6
    edge = (torch.linspace(0.5, 3, 1000)[:, None] * torch.nn.functional.one_hot(wrong, 6)).log_softmax(1)
    oracle = (20.0 * torch.nn.functional.one_hot(labels, 6)).log_softmax(1)
    policy = choose_policy(edge, [oracle, oracle], GROUPS, labels, Operating(0.4, tolerance, [1]))
    assert policy.escalated == pytest.approx(escalated, abs=0.001)


def test_a_generalist_that_is_always_sure_leaves_no_policy() -> None:
    edge = (100.0 * torch.eye(6)).log_softmax(1)
    with pytest.raises(ValueError, match="no threshold escalates some pictures but at most 50% of 6"):
        choose_policy(edge, [edge, edge], GROUPS, torch.arange(6), Operating(0.5, 0.0, [1]))
