"""Small files that appear whole or not at all."""

from __future__ import annotations

import os
from os import PathLike
from pathlib import Path


def write_whole(path: str | PathLike[str], content: bytes | str, *, sync: bool = True) -> None:
    """Write through a temporary file beside ``path`` that is synced and renamed; a failure leaves what was there.

    Without ``sync`` the file is whole for every reader, but a power cut soon after may lose it.
    """
    target = Path(path)
    # Not `tempfile`, whose import takes longer than baking a small genome; the mode is the user's umask's.
    temporary = target.with_name(f".{target.name}.{os.getpid()}-{os.urandom(4).hex()}")
    try:
        with temporary.open("xb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            if sync:
                os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename in (None, str(temporary)):
            raise OSError(error.errno, error.strerror, str(target)) from error
        raise
