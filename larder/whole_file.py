"""Writing a small file whole or not at all, so that no reader ever sees half of it."""

import os
from pathlib import Path


def write_whole(path: Path, data: bytes) -> None:
    """Replace `path` in one step, its folder made; not forced to disk, so that a power cut may undo it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(data)
    os.replace(partial, path)
