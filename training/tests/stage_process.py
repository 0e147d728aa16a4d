"""One training stage in a process of its own: ``stage_process.py DATA FOLDER [SAVED KILLED]``.

With SAVED and KILLED it writes a checkpoint after each of the first SAVED steps, none later, and gets SIGKILL as step
KILLED begins. Otherwise it goes on from FOLDER/checkpoint if there is one, writes FOLDER/weights.safetensors and prints
the number of steps it took and the stage's figures. Blocks are frozen for a part of the time, and a teacher teaches.
"""

import json
import math
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from support import STAGE
from torch import Tensor

from ask_training.data.pictures import Pictures
from ask_training.data.sources import read_source
from ask_training.experiment.stage import Distillation
from ask_training.models.vit import VisionTransformer
from ask_training.train import engine
from ask_training.train.distil import StoredTeacher


class Interrupted(Pictures):
    steps = 0
    saved = killed = -1

    def at(self, indices: Tensor) -> Pictures:
        """Called once at the start of each step."""
        if Interrupted.steps == Interrupted.saved:
            engine.CHECKPOINT_SECONDS = math.inf
        if Interrupted.steps == Interrupted.killed:
            os.kill(os.getpid(), signal.SIGKILL)
        Interrupted.steps += 1
        return super().at(indices)


data, folder = Path(sys.argv[1]), Path(sys.argv[2])
if sys.argv[3:]:
    Interrupted.saved, Interrupted.killed = map(int, sys.argv[3:])
    engine.CHECKPOINT_SECONDS = -1
torch.set_num_threads(1)
pictures = read_source(data, 32).pictures
pools = [torch.arange(0, 100), torch.arange(60, 160), torch.arange(20, 120)]  # five steps each
stage = replace(STAGE, epochs=3, freeze=[1, 0, 2], teachers=["teacher"], distillation=Distillation(0.5))
teacher = torch.randn(len(pictures), 6, generator=torch.Generator().manual_seed(4))
torch.manual_seed(0)
model = VisionTransformer(32, 6, width=48, depth=2, heads=3, drop_path=0.2)
figures = engine.train_stage(
    model, Interrupted(pictures.pixels, pictures.labels), pools, stage, 11, folder / "checkpoint", "stage",
    StoredTeacher(teacher),
)
save_file(model.state_dict(), folder / "weights.safetensors")
print(Interrupted.steps, json.dumps({name: figures[name] for name in ("steps", "pictures", "finalLoss")}))
