"""Checks that every function that src/ffi.rs declares is a dynamic symbol of each interpreter given.

    python3 regen/exports.py INTERPRETER...
"""

import pathlib
import re
import subprocess
import sys

TEXT = (pathlib.Path(__file__).resolve().parent.parent / "src" / "ffi.rs").read_text()
DECLARATION = re.compile(r"((?:#\[cfg\(.*?\)\]\s*)?)pub (?:fn|static(?: mut)?) (\w+)", re.DOTALL)

failed = False
for interpreter in sys.argv[1:]:
    is_3_15 = "3.15" in pathlib.Path(interpreter).name
    symbols = {line.split()[-1].partition("@")[0]
               for line in subprocess.run(["nm", "-D", "--defined-only", interpreter], check=True, capture_output=True,
                                          text=True).stdout.splitlines()}
    for attribute, name in DECLARATION.findall(TEXT[TEXT.index('unsafe extern "C"'):]):
        if "not(Py_3_15)" in attribute and is_3_15 or attribute.startswith("#[cfg(Py_3_15") and not is_3_15:
            continue
        if name not in symbols:
            failed = True
            print(f"{interpreter}: no symbol {name}")
sys.exit(failed)
