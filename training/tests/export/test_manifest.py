from ask_training.export.manifest import routing_of
from ask_training.policy.calibrate import Rule
from ask_training.policy.gain import FEATURES


def test_the_routing_names_the_rules_numbers() -> None:
    weights = [0.5 * i for i in range(len(FEATURES) + 2)]
    by_gain = routing_of(Rule(2, "expected-gain", weights, 0.3, 0.7), ["expert-1", "expert-2"])
    merge = {"method": "log-linear", "generalistWeight": 0.3, "expertWeight": 0.7}
    assert by_gain == {
        "k": 2, "merge": merge,
        "scoring": {
            "method": "expected-gain", "weights": dict(zip(FEATURES, weights)),
            "intercepts": {"expert-1": weights[-2], "expert-2": weights[-1]},
        },
    }
    by_mass = routing_of(Rule(2, "top-k-mass", [], 0.3, 0.7), ["expert-1", "expert-2"])
    assert by_mass == {"k": 2, "merge": merge, "scoring": {"method": "top-k-mass"}}
