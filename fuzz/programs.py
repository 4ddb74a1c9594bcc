"""Generated Python programs, run without Coluber and in several of its modes; the outputs must be equal.

    python fuzz/programs.py --minutes 5               # seeds from the clock
    python fuzz/programs.py --seed 17                 # one program
    python fuzz/programs.py --minimize failure.py --mode eager

A program is made of functions over values whose types are mixed on purpose, called until they are compiled and then with
something else: other types, patched classes and globals, exceptions. A failing program is written to the folder `--out`
(default `target/fuzz`), made smaller by leaving out lines as long as it fails in the same way.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path

from scenes import Scenes

MODES = {
    "eager": {"COLUBER_HOT": "call:2"},
    "later": {"COLUBER_HOT": "call:6"},
    "baseline": {"COLUBER_HOT": "call:2", "COLUBER_STRATEGY": "baseline"},
    "handlers": {"COLUBER_HOT": "call:2", "COLUBER_PRUNE": "0", "COLUBER_ALL_HANDLERS": "1"},
    "exits-few": {"COLUBER_HOT": "call:2", "COLUBER_EXITS": "random:{seed}:50"},
    "exits-many": {"COLUBER_HOT": "call:3", "COLUBER_EXITS": "random:{seed}:400", "COLUBER_PRUNE": "0", "COLUBER_ALL_HANDLERS": "1"},
}
TIMEOUT_S = 20

# ---- making programs

PRELUDE = '''\
import sys

class A:
    limit = 3
    def __init__(self, x, y=1):
        self.x = x
        self.y = y
    def get(self, k):
        return self.x + k
    def bump(self, k=1):
        self.x = self.x + k
        return self.y
    @property
    def both(self):
        return (self.x, self.y)
    def __repr__(self):
        return f"{type(self).__name__}({self.x!r}, {self.y!r})"

class B(A):
    limit = 5
    def get(self, k):
        return super().get(k) * 2
    def __add__(self, other):
        return B(self.x, other)
    def __eq__(self, other):
        return isinstance(other, A) and self.x == other.x
    __hash__ = None
    def __len__(self):
        return 2

class C:
    __slots__ = ("x", "y")
    limit = 7
    def __init__(self, x, y=0):
        self.x = x
        self.y = y
    def get(self, k):
        return k
    def bump(self, k=2):
        self.y += 1
        return self.x
    def __iter__(self):
        yield self.x
        yield self.y
    def __getitem__(self, index):
        return (self.x, self.y)[index]
    def __repr__(self):
        return f"C({self.x!r})"

class Noisy:
    def __init__(self, name):
        self.name = name
    def __del__(self):
        global G0
        LOG.append(("del", self.name))
        if self.name == "bomb":
            G0 = 99
    def __repr__(self):
        return f"Noisy({self.name})"

G0 = 5
G1 = 2.5
G2 = [1, 2, 3]
LOG = []
calls = 0

def show(x, depth=0):
    if isinstance(x, float):
        return repr(x)
    if depth > 3:
        return "..."
    if isinstance(x, (list, tuple)):
        return type(x).__name__ + str([show(y, depth + 1) for y in x[:20]])
    if isinstance(x, dict):
        return "{" + ", ".join(f"{show(k)}: {show(v, depth + 1)}" for k, v in list(x.items())[:20]) + "}"
    if isinstance(x, (set, frozenset)):
        return "set" + str(sorted(map(repr, x)))
    if isinstance(x, int) and x.bit_length() > 200:
        return f"int of {x.bit_length()} bits {x % 1000003}"
    text = repr(x)
    return text if " at 0x" not in text else type(x).__name__

def attempt(name, function, *arguments):
    try:
        result = function(*arguments)
    except RecursionError:
        print(name, "RecursionError")
    except Exception as error:
        trace, lines = error.__traceback__.tb_next, []
        while trace:
            lines.append(f"{trace.tb_frame.f_code.co_name}:{trace.tb_lineno}")
            trace = trace.tb_next
        print(name, type(error).__name__, error, lines, repr(error.__context__))
    else:
        print(name, show(result))
    if LOG:
        print(LOG)
        LOG.clear()
'''

CONSTANTS = ["0", "1", "2", "-1", "3", "7", "100", "1.5", "-0.5", "2.0", "0.0", "True", "False", "None", "'ab'", "''", "2**30", "2**62",
             "-2**63", "10**20", "()", "(1, 2)", "(1, 'x', 2.5)", "float('nan')", "1e300", "b'xy'"]
NUMBERS = ["0", "1", "2", "-1", "3", "5", "17", "1.5", "0.25", "-2.0", "True", "2**31", "2**61", "-2**62", "10**19"]
ARGUMENTS = [
    ["1", "2", "3"], ["5", "-3", "7"], ["1.5", "2.5", "-1.0"], ["1", "2.5", "3"], ["True", "2", "False"],
    ["2**62", "2**62", "3"], ["10**20", "3", "-7"], ["[1, 2, 3]", "1", "2"], ["[1.5, 2.5]", "0", "1.0"], ["(4, 5, 6)", "2", "1"],
    ["'hello'", "1", "'l'"], ["{'a': 1, 'b': 2}", "'a'", "3"], ["A(1)", "2", "3"], ["B(4, 5)", "A(4)", "2"], ["C(7)", "1", "0"],
    ["range(5)", "2", "3"], ["None", "1", "2"], ["[A(1), B(2), C(3)]", "1", "2"], ["[[1, 2], [3, 4]]", "1", "0"],
    ["{1, 2, 3}", "2", "4"], ["0", "0", "0"], ["iter([1, 2, 3])", "2", "1"], ["Noisy('bomb')", "Noisy('b')", "3"], ["[1, 'x', None, 2.5]", "2", "3"],
]


class Maker:
    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.lines: list[str] = []
        self.functions: list[str] = []

    def pick(self, options):
        return self.random.choice(options)

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def emit(self, indent: int, text: str) -> None:
        self.lines.append("    " * indent + text)

    # expressions

    def expression(self, names: list[str], depth: int = 2) -> str:
        r = self.random.random()
        if depth <= 0 or r < 0.28:
            return self.pick(names) if names and self.chance(0.75) else self.pick(CONSTANTS)
        sub = lambda: self.expression(names, depth - 1)
        if r < 0.52:
            return f"({sub()} {self.pick(['+', '-', '*', '//', '%', '/', '&', '|', '^', '<<', '>>', '+', '-', '*'])} {self.small(names)})"
        if r < 0.60:
            return f"({sub()} {self.pick(['<', '<=', '==', '!=', '>', '>=', 'is', 'is not'])} {sub()})"
        if r < 0.64:
            return f"({sub()} if {sub()} else {sub()})"
        if r < 0.68:
            return f"({sub()} {self.pick(['and', 'or'])} {sub()})"
        if r < 0.71:
            return f"({self.pick(['-', 'not ', '~', '+'])}{sub()})"
        if r < 0.76:
            return f"{self.name(names)}[{self.pick(['0', '1', '-1', 'i', ':2', '1:', '::-1', '5'] if 'i' in names else ['0', '1', '-1', ':2', '1:'])}]"
        if r < 0.81:
            return f"{self.name(names)}.{self.pick(['x', 'y', 'limit', 'both', 'get(1)', 'bump()', 'bump(2)', 'get(k=1)'])}"
        if r < 0.84:
            return f"[{sub()} for {self.pick(['q', 'w'])} in {self.iterable(names)}]"
        if r < 0.87:
            return self.pick([f"[{sub()}, {sub()}]", f"({sub()}, {sub()})", f"{{'k': {sub()}}}", f"f'{{{self.name(names)}}}|{{{self.name(names)}!r}}'"])
        if r < 0.93 and self.functions:
            name = self.pick(self.functions)
            return self.pick([f"{name}({sub()}, {self.small(names)})", f"{name}({sub()}, c={self.small(names)})", f"{name}(*({sub()}, 1))"])
        return self.pick([f"len({self.name(names)})", f"abs({sub()})", f"isinstance({self.name(names)}, {self.pick(['int', 'A', 'list', '(int, float)'])})",
                          f"str({self.name(names)})", f"int({sub()})", f"float({sub()})", f"min({sub()}, {sub()})", f"max(1, {sub()})",
                          f"sum({self.iterable(names)})", f"sorted({self.iterable(names)})", f"list({self.iterable(names)})", f"type({self.name(names)}).__name__",
                          "G0", "G1", "len(G2)", f"A({sub()})", f"B({sub()})", f"C({sub()}).x", f"(lambda z: z + {self.small(names)})({sub()})",
                          f"({sub()} in {self.iterable(names)})", f"getattr({self.name(names)}, 'x', 3)", f"any(v for v in {self.iterable(names)})"])

    def small(self, names: list[str]) -> str:
        return self.pick(NUMBERS) if self.chance(0.6) else (self.pick(names) if names else "1")

    def name(self, names: list[str]) -> str:
        return self.pick(names) if names else "G2"

    def iterable(self, names: list[str]) -> str:
        return self.pick([f"range({self.pick(['3', '5', '0', '1', '7'])})", "range(5, 0, -2)", "G2", "[1, 2.5, 3]", "(1, 2, 3)", "'xyz'",
                          self.name(names), self.name(names), "[A(1), A(2)]", "{'p': 1, 'q': 2}", "[1, 2, 3][::-1]"])

    # statements

    def block(self, indent: int, names: list[str], depth: int, loops: int, budget: list[int]) -> None:
        start = len(self.lines)
        for _ in range(self.random.randint(1, 4)):
            if budget[0] <= 0:
                break
            self.statement(indent, names, depth, loops, budget)
        if len(self.lines) == start:
            self.emit(indent, "pass")

    def statement(self, indent: int, names: list[str], depth: int, loops: int, budget: list[int]) -> None:
        budget[0] -= 1
        r = self.random.random()
        target = self.pick(["a", "b", "c", "t", "u", "v"])
        inner = lambda: (indent + 1, list(names), depth - 1)
        if depth <= 0 or r < 0.34:
            value = self.expression(names)
            self.emit(indent, f"{target} = {value}")
        elif r < 0.46:
            if target in names:
                self.emit(indent, f"{target} {self.pick(['+=', '-=', '*=', '+=', '//=', '|='])} {self.small(names)}")
            else:
                self.emit(indent, f"{target} = {self.small(names)}")
        elif r < 0.58 and loops < 3:
            variable = self.pick(["i", "j", "k"])
            iterable = self.iterable(names)
            kind = self.random.random()
            if kind < 0.12:
                self.emit(indent, f"for {variable}, {target} in enumerate({iterable}):")
                names = [*names, target]
            elif kind < 0.2:
                self.emit(indent, f"for {variable}, {target} in zip({iterable}, range(4)):")
                names = [*names, target]
            else:
                self.emit(indent, f"for {variable} in {iterable}:")
            self.block(indent + 1, [*names, variable], depth - 1, loops + 1, budget)
            if self.chance(0.25):
                self.emit(indent + 1, f"if {self.expression([*names, variable], 1)}:")
                self.emit(indent + 2, self.pick(["break", "continue", "break"]))
            if self.chance(0.15):
                self.emit(indent, "else:")
                self.block(indent + 1, list(names), depth - 1, loops, budget)
            return
        elif r < 0.63 and loops < 2:
            counter = f"w{len(self.lines)}"
            self.emit(indent, f"{counter} = 0")
            self.emit(indent, f"while {counter} < {self.pick(['3', '5', '8'])}:")
            self.emit(indent + 1, f"{counter} += 1")
            self.block(indent + 1, [*names, counter], depth - 1, loops + 1, budget)
            return
        elif r < 0.73:
            self.emit(indent, f"if {self.expression(names)}:")
            self.block(*inner(), loops, budget)
            if self.chance(0.5):
                self.emit(indent, "else:")
                self.block(*inner(), loops, budget)
            return
        elif r < 0.80:
            self.emit(indent, "try:")
            self.block(*inner(), loops, budget)
            self.emit(indent, f"except {self.pick(['TypeError', 'ZeroDivisionError', '(TypeError, AttributeError)', 'Exception', 'LookupError'])} as e:")
            self.emit(indent + 1, f"LOG.append(type(e).__name__)")
            if self.chance(0.3):
                self.emit(indent + 1, self.pick(["raise", "raise ValueError(str(e)) from None", "raise KeyError('again')"]))
            if self.chance(0.3):
                self.emit(indent, "finally:")
                self.emit(indent + 1, f"LOG.append({self.pick(CONSTANTS)})")
            return
        elif r < 0.84:
            self.emit(indent, self.pick([f"LOG.append(show({self.expression(names, 1)}))", f"G2.append({self.small(names)})", "del G2[3:]",
                                         f"{self.name(names)}.x = {self.expression(names, 1)}", f"{self.name(names)}.append({self.small(names)})",
                                         f"{self.name(names)}[0] = {self.expression(names, 1)}", f"{self.name(names)}['z'] = {self.small(names)}",
                                         f"{self.name(names)}.y += {self.small(names)}"]))
            return
        elif r < 0.87:
            self.emit(indent, f"a, b = {self.pick(['b, a', '(1, c)', self.name(names), '[c, 2]'])}")
            target = "a"
        elif r < 0.90:
            self.emit(indent, f"{target} = Noisy({self.random.randint(0, 99)})")
        elif r < 0.92:
            self.emit(indent, f"def g(z, n={self.small(names)}):")
            self.emit(indent + 1, f"return ({self.expression([*names, 'z', 'n'], 1)}, {self.name(names)})")
            self.emit(indent, f"{target} = g({self.expression(names, 1)})")
        elif r < 0.94:
            self.emit(indent, f"global calls")if indent == 1 and "    global calls" not in self.lines[-30:] and False else self.emit(indent, f"{target} = locals().get('b')")
        elif r < 0.97:
            self.emit(indent, f"return {self.expression(names)}")
            return
        else:
            self.emit(indent, f"if {self.expression(names, 1)}: raise {self.pick(['ValueError(1)', 'KeyError', 'IndexError(a)'])}")
            return
        if target not in names:
            names.append(target)

    def function(self, number: int) -> None:
        name = f"f{number}"
        self.emit(0, "")
        self.emit(0, f"def {name}(a, b=1, c=2):")
        names = ["a", "b", "c"]
        if self.chance(0.2):
            self.emit(1, "global G0")
            self.emit(1, f"G0 = G0 + {self.pick(['0', '1', '0.5'])}")
        budget = [self.random.randint(6, 22)]
        while budget[0] > 0:
            self.statement(1, names, 3, 0, budget)
        self.emit(1, f"return ({', '.join(self.random.sample(names, min(3, len(names))))},)")
        self.functions.append(name)

    def driver(self) -> None:
        self.emit(0, "")
        for name in self.functions:
            warm = self.pick(ARGUMENTS)
            for _ in range(self.random.randint(3, 5)):
                self.emit(0, f"attempt('{name} warm', {name}, {', '.join(warm)})")
        changes = ["G0 = 7", "G0 = 1.25", "G0 = 'text'", "G1 = 3", "A.limit = 11", "A.get = lambda self, k: k * 3", "B.get = A.get", "G2 = (1, 2)",
                   "G2 = [1.5, 'x']", "del B.__len__ if hasattr(B, '__len__') else G1", "len = lambda x: 42", "A.x = 5", "B.bump = lambda self, k=1: k"]
        for _ in range(self.random.randint(8, 18)):
            if self.chance(0.3):
                change = self.pick(changes)
                if not change.startswith("del"):
                    self.emit(0, change)
            name = self.pick(self.functions)
            self.emit(0, f"attempt('{name}', {name}, {', '.join(self.pick(ARGUMENTS))})")
        self.emit(0, "for number in range(4):")
        for name in self.functions[-2:]:
            self.emit(1, f"attempt('{name} loop', {name}, {', '.join(self.pick(ARGUMENTS))})")

    def program(self) -> str:
        for number in range(self.random.randint(2, 4)):
            self.function(number)
        self.driver()
        return PRELUDE + "\n".join(self.lines) + "\n"


def make(seed: int) -> str:
    """A program that compiles, of one of the two kinds; what it does is its own business."""
    while True:
        text = (Scenes(seed) if seed % 3 else Maker(seed)).program()
        try:
            compile(text, "program", "exec")
        except SyntaxError:
            seed += 1_000_003
            continue
        return text


# ---- running them


def run(path: Path, mode: str, seed: int, timeout: float = TIMEOUT_S) -> tuple[int, str, str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COLUBER")}
    environment |= {"PYTHONHASHSEED": "0", "PYTHONFAULTHANDLER": "1", "PYTHON_COLORS": "0"}
    if mode == "plain":
        command = [sys.executable, "-W", "ignore", str(path)]
        environment["COLUBER"] = "0"
    else:
        environment |= {"COLUBER_BACKGROUND": "0", "COLUBER_VERIFY": "1"}
        environment |= {name: value.format(seed=seed) for name, value in MODES[mode].items()}
        command = [sys.executable, "-W", "ignore", "-m", "coluber", str(path)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=environment, errors="replace")
    except subprocess.TimeoutExpired:
        return 124, "", "no end"
    # Addresses differ from run to run.
    return done.returncode, re.sub(r"0x[0-9a-f]{6,}", "0x", done.stdout), done.stderr


def verdict(path: Path, mode: str, seed: int, expected: tuple[int, str, str]) -> str:
    """How the mode differs: a word that stays the same while a program is made smaller, or nothing."""
    status, output, errors = run(path, mode, seed)
    if status == 124:
        # Busy machines are slow at times.
        status, output, errors = run(path, mode, seed, 4 * TIMEOUT_S)
    if status < 0 or status == 134:
        return f"signal {-status}"
    if "panicked" in errors or "internal error" in errors or "a bug in Coluber" in errors:
        return "panic or verifier"
    if status == 124:
        return "no end"
    return "" if (status, output) == expected[:2] else "other output"


def check(text: str, seed: int, modes: list[str]) -> dict[str, str]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "program.py"
        path.write_text(text)
        expected = run(path, "plain", seed)
        if expected[0] != 0:
            return {}
        found = {mode: verdict(path, mode, seed, expected) for mode in modes}
        return {mode: what for mode, what in found.items() if what}


def minimize(text: str, seed: int, mode: str, minutes: float = 3) -> str:
    """Leaves out runs of lines, longest first, as long as the failure stays the same."""
    wanted = check(text, seed, [mode]).get(mode)
    if not wanted:
        return text
    lines = text.splitlines()
    end = time.monotonic() + 60 * minutes
    size = max(1, len(lines) // 4)
    while size >= 1 and time.monotonic() < end:
        start, changed = 0, False
        while start < len(lines) and time.monotonic() < end:
            candidate = lines[:start] + lines[start + size:]
            source = "\n".join(candidate) + "\n"
            try:
                compile(source, "program", "exec")
            except SyntaxError:
                start += size
                continue
            if check(source, seed, [mode]).get(mode) == wanted:
                lines, changed = candidate, True
            else:
                start += size
        if not changed or size > 1:
            size //= 2
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=1)
    parser.add_argument("--seed", type=int, help="only this program")
    parser.add_argument("--first", type=int, default=None, help="first of the seeds")
    parser.add_argument("--mode", default="", help=f"only these, of {', '.join(MODES)}")
    parser.add_argument("--out", type=Path, default=Path("target/fuzz"))
    parser.add_argument("--minimize", type=Path, help="make this program smaller")
    parser.add_argument("--no-minimize", action="store_true")
    parser.add_argument("--stop-after", type=int, default=5, help="failures")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    chosen = parser.parse_args()
    modes = chosen.mode.split(",") if chosen.mode else list(MODES)
    if chosen.minimize:
        print(minimize(chosen.minimize.read_text(), chosen.seed or 0, modes[0], 10), end="")
        return 0
    if chosen.seed is not None:
        text = make(chosen.seed)
        found = check(text, chosen.seed, modes)
        print(text, found, sep="\n")
        return 1 if found else 0
    seed = chosen.first if chosen.first is not None else int(time.time())
    end = time.monotonic() + 60 * chosen.minutes
    programs = failures = 0
    chosen.out.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(chosen.jobs) as pool:
        running = {}
        while running or time.monotonic() < end and failures < chosen.stop_after:
            while len(running) < chosen.jobs and time.monotonic() < end and failures < chosen.stop_after:
                running[pool.submit(lambda seed: (seed, check(make(seed), seed, modes)), seed)] = seed
                seed += 1
            if not running:
                break
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                del running[future]
                own, found = future.result()
                programs += 1
                if not found:
                    continue
                failures += 1
                mode = next(iter(found))
                print(f"seed {own}: {found}", flush=True)
                text = make(own)
                if not chosen.no_minimize:
                    text = minimize(text, own, mode)
                path = chosen.out / f"{own}-{mode}.py"
                path.write_text(text)
                print(f"    written to {path}", flush=True)
    print(f"{programs} programs, {failures} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
