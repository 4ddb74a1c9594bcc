"""Writes what Coluber did to the file named by ``COLUBER_STATS_FILE`` when the process ends.

The file holds one JSON object, the answer of :func:`coluber.stats`. A forked child does not write. Subprocesses that
inherit the variable do; ``%p`` in the name stands for the process id and keeps their files apart.
"""

from __future__ import annotations

import atexit
import json
import os

import coluber

_registered = False


def write_at_exit(path: str) -> None:
    global _registered
    if not _registered:
        _registered = True
        atexit.register(_write, path.replace("%p", str(os.getpid())), os.getpid())


def _write(path: str, owner: int) -> None:
    if os.getpid() != owner:
        return
    try:
        with open(path, "w", encoding="utf-8") as file:
            json.dump(coluber.stats(), file, default=str, indent=1)
    except OSError as error:
        coluber._log(f"cannot write {path}: {error}")
