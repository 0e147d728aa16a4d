import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support import STAGE, lively_model, noise

from ask_training.data.files import write_atomically, write_json
from ask_training.data.pictures import Pictures
from ask_training.data.resample import resize_matrix
from ask_training.data.sources import read_source
from ask_training.models.forward import compile_blocks, normalise, predict
from ask_training.models.vit import VisionTransformer
from ask_training.train import engine
from ask_training.train.engine import learning_rate, parameter_groups, train_stage


def test_the_learning_rate_warms_up_then_falls_along_a_cosine_to_zero() -> None:
    rates = [learning_rate(step, 100, 8e-4) for step in range(101)]
    torch.testing.assert_close(torch.tensor(rates[:5]), 8e-4 * torch.tensor([0.2, 0.4, 0.6, 0.8, 1.0]))
    falling = [4e-4 * (1 + math.cos(math.pi * i / 95)) for i in range(96)]
    torch.testing.assert_close(torch.tensor(rates[5:]), torch.tensor(falling))
    assert rates[100] == 0
    assert 0 < rates[99] < 1e-6


def test_the_learning_rate_of_a_single_step_is_the_peak() -> None:
    assert learning_rate(0, 1, 3e-4) == 3e-4


def test_every_parameter_is_in_one_group_with_its_layers_rate_and_decay() -> None:
    model = lively_model(depth=2)
    stage = replace(STAGE, layer_decay=0.5, weight_decay=0.05)
    found = {}
    for group in parameter_groups(model, stage):
        for parameter in group["params"]:
            assert id(parameter) not in found
            found[id(parameter)] = (group["scale"], group["weight_decay"])

    expected = {"cls_token": (0.125, 0.0), "pos_embed": (0.125, 0.0)}
    layers = {"patch_embed.proj": 0.125, "norm": 1.0, "head": 1.0}
    for block, scale in enumerate((0.25, 0.5)):
        layers |= {f"blocks.{block}.{part}": scale for part in ("norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2")}
    for layer, scale in layers.items():
        expected[f"{layer}.weight"] = (scale, 0.0 if "norm" in layer else 0.05)
        expected[f"{layer}.bias"] = (scale, 0.0)
    assert {name: found.pop(id(parameter)) for name, parameter in model.named_parameters()} == expected
    assert not found


def test_a_writer_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    write_json(path, {"old": 1})

    def half(to: Path) -> None:
        to.write_text('{"new"')
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, half)
    with pytest.raises(TypeError, match="not JSON serializable"):
        write_json(path, {"new": object()})

    assert {entry.name: entry.read_text() for entry in tmp_path.iterdir()} == {"result.json": '{\n "old": 1\n}\n'}


def test_prediction_is_the_plain_resize_whatever_the_batch() -> None:
    model, pixels = lively_model(), noise(7)
    matrix = resize_matrix(32, 48)
    x = torch.einsum("ih,bchw,jw->bcij", matrix, pixels / 255, matrix)
    x = (x - torch.tensor([0.485, 0.456, 0.406])[:, None, None]) / torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    with torch.no_grad():
        expected = model(x)
    for batch in (1, 3, 250):
        torch.testing.assert_close(predict(model, pixels, torch.device("cpu"), batch), expected, rtol=1e-4, atol=1e-3)


@pytest.fixture
def pictures(data: Path) -> Pictures:
    return read_source(data, 32).pictures


@pytest.fixture
def every_step_saves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "CHECKPOINT_SECONDS", -1)


def everything(pictures: Pictures, epochs: int = 1) -> list[torch.Tensor]:
    return [torch.arange(len(pictures))] * epochs


def test_a_stage_learns_and_reports_what_it_did(pictures: Pictures, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = VisionTransformer(32, 6, width=48, depth=2, heads=3)
    before = (predict(model, pictures.pixels, torch.device("cpu")).argmax(1) == pictures.labels).float().mean()

    figures = train_stage(model, pictures, everything(pictures, 3), STAGE, 1, tmp_path / "checkpoint", "learner")

    after = (predict(model, pictures.pixels, torch.device("cpu")).argmax(1) == pictures.labels).float().mean()
    assert before < 0.4
    assert after > 0.6
    assert {key: figures[key] for key in ("steps", "pictures", "device")} == {"steps": 36, "pictures": 720, "device": "cpu"}


def test_layers_learn_at_their_own_rates(pictures: Pictures, tmp_path: Path) -> None:
    """With a layer decay of nothing only the final norm and the head are left to learn."""
    model, before = lively_model(), lively_model().state_dict()
    train_stage(model, pictures, [torch.arange(60)], replace(STAGE, layer_decay=0.0), 1, tmp_path / "c", "head")
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {"norm.weight", "norm.bias", "head.weight", "head.bias"}


@pytest.mark.usefixtures("every_step_saves")
def test_a_loss_that_is_not_finite_stops_the_stage_and_keeps_the_last_checkpoint(pictures: Pictures, tmp_path: Path) -> None:
    model, path = lively_model(), tmp_path / "checkpoint"
    diverging = replace(STAGE, lr=1e37)
    with pytest.raises(FloatingPointError, match=f"diverging: loss is (nan|inf) at step 1; the last good state is {path}"):
        train_stage(model, pictures, everything(pictures), diverging, 1, path, "diverging")

    state = torch.load(path, weights_only=True)
    assert state["step"] == 1
    lively_model().load_state_dict(state["model"])
    assert all(tensor.isfinite().all() for tensor in state["model"].values())
    assert [entry.name for entry in tmp_path.iterdir()] == ["checkpoint"]


@pytest.mark.usefixtures("every_step_saves")
def test_a_gradient_that_is_not_finite_reaches_neither_weights_nor_checkpoint(pictures: Pictures, tmp_path: Path) -> None:
    """The loss of such a step is still finite: only the backward pass multiplies the large numbers."""
    model = lively_model()
    with torch.no_grad():
        model.norm.weight.fill_(1e-37)
        model.norm.bias.zero_()
        model.head.weight.copy_(3e38 * model.head.weight.sign())
    with pytest.raises(FloatingPointError, match="steep: gradient is (nan|inf) at step 0; no state was saved yet. Lower the stage's lr"):
        train_stage(model, pictures, everything(pictures), replace(STAGE, batch=2), 1, tmp_path / "checkpoint", "steep")
    assert all(parameter.isfinite().all() for parameter in model.parameters())
    assert not list(tmp_path.iterdir())


class Counted(Pictures):
    """Notes the indices of every batch."""

    def at(self, indices: torch.Tensor) -> Pictures:
        self.__dict__.setdefault("batches", []).append(indices.tolist())
        return super().at(indices)


def test_an_epoch_is_its_own_pool_in_another_order_each_time(pictures: Pictures, tmp_path: Path) -> None:
    watched = Counted(pictures.pixels, pictures.labels)
    pools = [torch.arange(0, 40), torch.arange(0, 40), torch.arange(100, 140)]

    figures = train_stage(lively_model(), watched, pools, STAGE, 1, tmp_path / "checkpoint", "stage")

    batches = watched.batches
    assert [len(batch) for batch in batches] == [20] * 6
    first, second, third = (batches[i] + batches[i + 1] for i in (0, 2, 4))
    for seen, pool in ((first, pools[0]), (second, pools[1]), (third, pools[2])):
        assert set(seen) == set(pool.tolist())
    assert first != second
    assert (figures["steps"], figures["pictures"]) == (6, 120)


@pytest.mark.parametrize(("count", "batches"), [(50, [20, 20, 10]), (49, [20, 20]), (58, [20, 20, 18])])
def test_only_a_rest_of_less_than_half_a_batch_is_left_out(
    pictures: Pictures, tmp_path: Path, count: int, batches: list[int]
) -> None:
    watched = Counted(pictures.pixels, pictures.labels)
    train_stage(lively_model(), watched, [torch.arange(count)], STAGE, 1, tmp_path / "checkpoint", "stage")
    assert [len(batch) for batch in watched.batches] == batches
    seen = [index for batch in watched.batches for index in batch]
    assert len(set(seen)) == len(seen)


def test_a_pool_smaller_than_a_batch_is_one_batch(pictures: Pictures, tmp_path: Path) -> None:
    watched = Counted(pictures.pixels, pictures.labels)
    pools = [torch.arange(19), torch.arange(7)]
    figures = train_stage(lively_model(), watched, pools, STAGE, 1, tmp_path / "checkpoint", "small")
    assert [sorted(batch) for batch in watched.batches] == [list(range(19)), list(range(7))]
    assert (figures["steps"], figures["pictures"]) == (2, 26)


@pytest.mark.usefixtures("every_step_saves")
def test_a_checkpoint_holds_what_the_figures_need(pictures: Pictures, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    figures = train_stage(lively_model(), pictures, [torch.arange(60)], STAGE, 1, path, "stage")
    state = torch.load(path, weights_only=True)
    assert (state["step"], state["pictures"], state["loss"]) == (3, 60, figures["finalLoss"])


def test_a_stage_whose_checkpoint_is_complete_takes_no_more_steps(pictures: Pictures, tmp_path: Path) -> None:
    """Killed after the last step, before the result was stored."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "CHECKPOINT_SECONDS", -1)
        trained = lively_model()
        figures = train_stage(trained, pictures, [torch.arange(60)], STAGE, 1, tmp_path / "checkpoint", "stage")
    watched, again = Counted(pictures.pixels, pictures.labels), lively_model()
    resumed = train_stage(again, watched, [torch.arange(60)], STAGE, 1, tmp_path / "checkpoint", "stage")
    assert resumed | {"seconds": 0} == figures | {"seconds": 0}
    assert "batches" not in watched.__dict__
    for name, tensor in trained.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name


@pytest.mark.usefixtures("every_step_saves")
def test_a_checkpoint_of_other_settings_is_not_gone_on_from(pictures: Pictures, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    pools = [torch.arange(20)]
    train_stage(lively_model(), pictures, pools, STAGE, 1, path, "first")
    with pytest.raises(ValueError, match="checkpoint was made with other settings: remove it to begin anew"):
        train_stage(lively_model(), pictures, pools, replace(STAGE, lr=1e-3), 1, path, "second")


def test_a_broken_checkpoint_is_refused_by_its_name(pictures: Pictures, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    for content in (b"", b"PK\x03\x04 and no more", b"no checkpoint at all"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"{path} is broken, remove it to begin anew"):
            train_stage(lively_model(), pictures, [torch.arange(40)], STAGE, 1, path, "stage")
        assert path.read_bytes() == content


def test_compiled_blocks_are_the_same_network_and_predict_as_they_are() -> None:
    model, pixels = lively_model(), noise(4)
    names, expected = list(model.state_dict()), predict(model, pixels, torch.device("cpu"))
    compiled = []

    def backend(graph: torch.fx.GraphModule, _: list) -> torch.fx.GraphModule:
        compiled.append(graph)
        return graph

    compile_blocks(model, backend)

    assert list(model.state_dict()) == names
    assert torch.equal(predict(model, pixels, torch.device("cpu")), expected)
    assert not compiled
    x = normalise(torch.rand(4, 3, 48, 48))
    plain = lively_model()
    torch.testing.assert_close(model(x), plain(x))
    assert len(compiled) == 2, "the last block, of whose output one token is read, and the others"


def test_compiled_blocks_do_not_fall_back_after_many_variants() -> None:
    model, compiled = lively_model(), []
    compile_blocks(model, lambda graph, _: compiled.append(graph) or graph)
    for count in range(1, 13):
        with torch.no_grad():
            model(torch.zeros(count, 3, 48, 48))
    assert len(compiled) == 24
