"""Result files that are there whole or not at all."""

import json
import os
from pathlib import Path
from typing import Any

from safetensors import SafetensorError


def write_atomically(path: Path, write: Any) -> None:
    """Calls ``write(temporary_path)`` and renames: a reader sees the old file or the new one, never a part."""
    temporary = path.with_name(path.name + ".partial")
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
