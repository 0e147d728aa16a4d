"""Result files that are there whole or not at all."""

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

from safetensors import SafetensorError


def write_atomically(path: Path, write: Any) -> None:
    """Calls ``write(temporary_path)`` and renames. A reader sees the old file or the new one, never a part."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.partial")  # stages may run side by side
    try:
        write(temporary)
    except (RuntimeError, SafetensorError) as error:  # what PyTorch and safetensors make of a full disk
        temporary.unlink(missing_ok=True)
        raise OSError(f"{path} cannot be written: {error}") from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    os.replace(temporary, path)


def write_json(path: Path, value: Any) -> None:
    write_atomically(path, lambda to: to.write_text(json.dumps(value, indent=1) + "\n"))


def write_folder(target: Path, write: Any, last: str) -> None:
    """Calls ``write(temporary_folder)`` and moves what it wrote into ``target``, the file ``last`` at the end. A
    failure while writing leaves ``target`` as it was. Other files there stay."""
    temporary = target.with_name(target.name + ".partial")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        write(temporary)
        target.mkdir(exist_ok=True)
        for path in sorted(temporary.iterdir(), key=lambda path: path.name == last):
            os.replace(path, target / path.name)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def digest(path: Path) -> str:
    """The file's sha256."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
