"""Every case file of this folder, under every mode; see ``differential``."""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path

import pytest
from differential import MODES, PLAIN, PLAIN_FRESH, Mode, Run, compare, run

HERE = Path(__file__).parent
FILES = sorted((HERE / "cases").glob("*.py")) + sorted((HERE.parent / "regressions" / "cases").glob("*.py"))

_pool = ThreadPoolExecutor(os.cpu_count())


@cache
def _runs(path: Path) -> dict[str, Future[Run]]:
    return {mode.name: _pool.submit(run, path, mode) for mode in [PLAIN, PLAIN_FRESH, *MODES]}


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_behaves_as_plain_python(path: Path, mode: Mode) -> None:
    runs = _runs(path)
    plain = runs[(PLAIN_FRESH if mode.fresh else PLAIN).name].result()
    differences = compare(path, plain, runs[mode.name].result(), mode)
    assert not differences, "\n\n".join(differences)


def test_known_defects_are_still_there() -> None:
    gone = []
    for path in FILES:
        runs = _runs(path)
        marked = [name for name, record in runs[PLAIN.name].result().cases.items() if record["known"]]
        for name in marked:
            fails = False
            for mode in MODES:
                plain = runs[(PLAIN_FRESH if mode.fresh else PLAIN).name].result()
                only = Run({name: plain.cases[name]}, 0, "")
                fails = fails or bool(compare(path, only, runs[mode.name].result(), mode, known=True))
            if not fails:
                gone.append(name)
    assert not gone, f"take away @known of {gone}"
