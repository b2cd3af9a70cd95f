"""One process per state: what keeps two daemons from spending one budget twice (design, invariant 1).

An flock on a file beside the state, held for the process's life. The kernel lets go of it however the process ends, so
kill -9 leaves nothing stale. A pid file that is looked at was considered: it needs a guess about pids that come again.
SQLite's own exclusive locking mode was considered too: it shuts out the readers that `export` and `alerts` are. The
file is never removed, since removing it while another process opens it would let both hold "the" lock.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from watcher.errors import StateLocked


class StateLock:
    """Held from construction to `release`. Raises `StateLocked`, and OSError where the file cannot be made."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(self._file)
            os.close(self._file)
            raise StateLocked(
                f"{path} is held by {holder}: stop that process, or give this one a state of its own"
            ) from None
        except OSError:
            os.close(self._file)
            raise
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let the next process in."""
        os.close(self._file)


def _holder(file: int) -> str:
    """The holder as it wrote itself down; it may have got the lock a moment ago and not written yet."""
    text = os.pread(file, 32, 0).decode("ascii", "replace").strip()
    return f"process {text}" if text.isdigit() else "another process"
