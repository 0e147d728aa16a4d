import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from support import TRAINING

SCRIPT = Path(__file__).parents[1] / "stage_process.py"


def stage(data: Path, folder: Path, *interruption: int) -> subprocess.CompletedProcess[str]:
    folder.mkdir(exist_ok=True)
    command = [sys.executable, str(SCRIPT), str(data), str(folder), *map(str, interruption)]
    return subprocess.run(command, env=os.environ | {"PYTHONPATH": str(TRAINING)}, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The weights and figures of an uninterrupted stage: three epochs of five steps."""
    folder = tmp_path_factory.mktemp("whole")
    done = stage(data, folder)
    assert (done.returncode, done.stdout[:3]) == (0, "15 "), done.stderr
    return folder / "weights.safetensors", done.stdout[3:]


@pytest.mark.parametrize(
    ("saved", "killed"), [(7, 9), (5, 5), (3, 12)], ids=["within an epoch", "between two epochs", "across two boundaries"]
)
def test_a_killed_stage_resumes_to_the_very_weights_and_figures_of_an_uninterrupted_one(
    data: Path, whole: tuple[Path, str], tmp_path: Path, saved: int, killed: int
) -> None:
    cut = stage(data, tmp_path, saved, killed)
    assert cut.returncode == -signal.SIGKILL, cut.stderr
    assert [entry.name for entry in tmp_path.iterdir()] == ["checkpoint"]
    assert torch.load(tmp_path / "checkpoint", weights_only=True)["step"] == saved

    resumed = stage(data, tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert resumed.stdout == f"{15 - saved} {whole[1]}"

    expected, weights = load_file(whole[0]), load_file(tmp_path / "weights.safetensors")
    assert expected.keys() == weights.keys()
    assert {name for name in expected if not torch.equal(expected[name], weights[name])} == set()
