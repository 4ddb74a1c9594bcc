"""What becomes of representative functions: Python in, IR out.

Each file of ``cases`` defines and calls a function that has the file's name; its first line says at which stage its IR is
looked at, by the name of the step (``built``, or a pass). The IR is expected in ``name.ir``, or where the versions of CPython
differ in ``name.3.14.ir`` and ``name.3.15.ir``. ``BLESS=1`` writes what comes out; look at the difference before you
commit it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

CASES = sorted((Path(__file__).parent / "cases").glob("*.py"))
OWN = f"{sys.version_info.major}.{sys.version_info.minor}"
OTHER = {"3.14": "3.15", "3.15": "3.14"}[OWN]


def compiled(path: Path) -> str:
    """The IR of the last version of the function, without what differs from run to run."""
    stage = path.read_text().splitlines()[0].removeprefix("# stage: ")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COLUBER")}
    with tempfile.TemporaryDirectory() as folder:
        environment |= {"COLUBER_DUMP": "ir", "COLUBER_DUMP_DIR": folder, "COLUBER_DUMP_FOR": path.stem}
        environment |= {"COLUBER_HOT": "call:40", "COLUBER_BACKGROUND": "0", "COLUBER_VERIFY": "1"}
        command = [sys.executable, "-m", "coluber", path.name]
        done = subprocess.run(
            command, env=environment, cwd=path.parent, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0 and not done.stderr, done.stderr
        found = sorted(Path(folder).glob(f"__main__.{path.stem}*/*-{stage}.ir"))
        assert found, f"no step {stage}: {sorted(each.name for each in Path(folder).rglob('*'))}"
        text = found[-1].read_text()
    text = text.replace(f"{path.parent}/", "")
    text = re.sub(r"\bversion \d+", "version _", text)
    text = re.sub(r" bases \[[^]]*\]", "", text)
    text = re.sub(r"\bkeys_version \d+", "keys_version _", text)
    text = re.sub(r"\b(GuardKeys c\d+), \d+", r"\1, _", text)
    text = re.sub(r"0x[0-9a-f]+", "0x_", text)
    # Offsets count inline caches, which differ between versions; their order does not.
    offsets: dict[str, list[int]] = {}
    for code, offset in sorted({(code, int(offset)) for code, offset in re.findall(r"(code\d+)@(\d+)", text)}):
        offsets.setdefault(code, []).append(offset)
    return re.sub(r"(code\d+)@(\d+)", lambda m: f"{m[1]}@{offsets[m[1]].index(int(m[2]))}", text)


def bless(path: Path, text: str) -> None:
    common, own, other = path.with_suffix(".ir"), path.with_suffix(f".{OWN}.ir"), path.with_suffix(f".{OTHER}.ir")
    if common.exists():
        if common.read_text() == text:
            return
        # True of the other version still, as far as is known here.
        common.rename(other)
    own.write_text(text)
    if other.exists() and other.read_text() == text:
        common.write_text(text)
        own.unlink()
        other.unlink()


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_is_compiled_as_before(path: Path) -> None:
    text = compiled(path)
    if os.environ.get("BLESS") == "1":
        bless(path, text)
    files = [path.with_suffix(".ir"), path.with_suffix(f".{OWN}.ir")]
    expected = next((file.read_text() for file in files if file.exists()), "")
    assert text == expected, "BLESS=1 writes what comes out now"
