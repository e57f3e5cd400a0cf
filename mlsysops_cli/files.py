"""Files that are this user's alone, replaced in one step; light to import, since every command reads a context."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["replace_private", "write_private"]


@contextmanager
def replace_private(path: Path) -> Iterator[IO[bytes]]:
    """Yield a stream whose content takes a file's place when the block ends well; otherwise the file stays as it is.

    The new file has mode 0600 and is on disk before it is seen, so that no reader and no crash ever finds half of it.

    Args:
        path: The file; its directory has to exist.

    Raises:
        OSError: It cannot be written.
    """
    descriptor, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mkstemp makes it 0600
    try:
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        Path(partial).replace(path)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise


def write_private(path: Path, text: str) -> None:
    """Replace a file with a text, mode 0600; directories that are missing are made, mode 0700.

    Raises:
        OSError: It cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with replace_private(path) as stream:
        stream.write(text.encode())
