"""Compares `coluber/_native.pyi` with the module, and both with what the package uses."""

import ast
import pathlib
import sys

import coluber
from coluber import _native

folder = pathlib.Path(coluber.__file__).parent
stub = ast.parse((folder / "_native.pyi").read_text())
declared = {node.name for node in stub.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
declared |= {node.target.id for node in stub.body if isinstance(node, ast.AnnAssign)}
present = {name for name in dir(_native) if not name.startswith("__")}
used = {
    node.attr
    for file in folder.glob("*.py")
    for node in ast.walk(ast.parse(file.read_text()))
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in ("_library", "library")
}
problems = [f"in the stub, not in the module: {name}" for name in sorted(declared - present)]
problems += [f"in the module, not in the stub: {name}" for name in sorted(present - declared)]
problems += [f"used by the package, not in the stub: {name}" for name in sorted(used - declared)]
problems += [f"in __all__, not in the package: {name}" for name in coluber.__all__ if not hasattr(coluber, name)]
for problem in problems:
    print(f"stub: {problem}", file=sys.stderr)
sys.exit(1 if problems else 0)
