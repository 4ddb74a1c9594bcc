"""``python run_modes.py [files...] [--modes a,b] [--only case]``: the differential tests without pytest, for working on one."""

import argparse
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from differential import MODES, PLAIN, PLAIN_FRESH, compare, run

HERE = Path(__file__).parent
parser = argparse.ArgumentParser()
parser.add_argument("files", nargs="*", type=Path)
parser.add_argument("--modes", default="")
parser.add_argument("--only", default="")
parser.add_argument("--lines", type=int, default=25)
chosen = parser.parse_args()
files = chosen.files or sorted([*(HERE / "cases").glob("*.py"), *(HERE.parent / "regressions" / "cases").glob("*.py")])
modes = [mode for mode in MODES if not chosen.modes or mode.name in chosen.modes.split(",")]
failed = 0
with ThreadPoolExecutor(os.cpu_count()) as pool:
    runs = {(path, mode.name): pool.submit(run, path, mode, 120, chosen.only)
            for path in files for mode in [PLAIN, PLAIN_FRESH, *modes]}
    for path in files:
        for mode in modes:
            plain = runs[path, (PLAIN_FRESH if mode.fresh else PLAIN).name].result()
            differences = compare(path, plain, runs[path, mode.name].result(), mode)
            print(f"{'FAILED' if differences else 'ok':7}{path.stem} {mode.name}", flush=True)
            failed += bool(differences)
            for paragraph in differences:
                lines = [line[:300] for line in paragraph.splitlines()]
                print("    " + "\n    ".join(lines[: chosen.lines]))
sys.exit(failed > 0)
