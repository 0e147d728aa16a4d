import os
import signal
import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file
from support import TRAINING

SCRIPT = Path(__file__).parent / "stage_process.py"


def stage(data: Path, folder: Path, *interruption: int) -> subprocess.CompletedProcess[str]:
    folder.mkdir(exist_ok=True)
    command = [sys.executable, str(SCRIPT), str(data), str(folder), *map(str, interruption)]
    return subprocess.run(command, env=os.environ | {"PYTHONPATH": str(TRAINING)}, capture_output=True, text=True, check=False)


def test_a_killed_stage_resumes_to_the_very_weights_of_an_uninterrupted_one(data: Path, tmp_path: Path) -> None:
    """15 steps over three epochs of two pools: killed in the second epoch, three steps after its last checkpoint."""
    whole = stage(data, tmp_path / "whole")
    assert (whole.returncode, whole.stdout) == (0, "15\n"), whole.stderr

    killed = stage(data, tmp_path / "cut", 6, 9)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert [entry.name for entry in (tmp_path / "cut").iterdir()] == ["checkpoint"]
    assert torch.load(tmp_path / "cut" / "checkpoint", weights_only=True)["step"] == 6

    resumed = stage(data, tmp_path / "cut")
    assert (resumed.returncode, resumed.stdout) == (0, "9\n"), resumed.stderr

    expected, weights = (load_file(tmp_path / name / "weights.safetensors") for name in ("whole", "cut"))
    assert expected.keys() == weights.keys()
    assert {name for name in expected if not torch.equal(expected[name], weights[name])} == set()
