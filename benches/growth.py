"""How compiling grows: time and memory over units of 10 to 10,000 bytecode instructions, and over programs with 10 to
10,000 hot functions. ``python growth.py [--plot growth.svg]`` prints two tables; the plot needs matplotlib.

Each row is a process of its own. Time is the processor time of compiling as Coluber counts it (``compile_cpu_ns``); *peak* is
how much the resident memory grew at most, *kept* what is left of that when the compiler has come to rest.
"""

import argparse
import json
import os
import subprocess
import sys
import time

SIZES = (10, 30, 100, 300, 1000, 3000, 10000)
# One of these in turn until a function is long enough; each is 5 to 20 instructions.
STATEMENTS = (
    "x = x + i * 3",
    "y = y * 0.5 + x",
    "if x > 1000:\n        x = x - 1000",
    "z = items[i & 7]",
    "x += z",
    "items[i & 3] = x & 255",
    "p.a = p.a + 1",
    "y += p.b",
    "x = add(x, 1)",
)


PREPARATION = """
def add(a, b):
    return a + b

class P:
    def __init__(self):
        self.a, self.b = 1, 2.5

def warm(i, items, p):
    return add(items[i & 7] * 0.5, p.a)
"""


def function_text(name, instructions):
    """A function of about so many bytecode instructions."""
    lines = [f"def {name}(i, items, p):", "    x = i", "    y = 1.0"]
    number = 0
    while True:
        lines += [f"    {STATEMENTS[number % len(STATEMENTS)]}"]
        number += 1
        text = "\n".join([*lines, "    return x + int(y)", ""])
        if number % 8 == 1 and count_instructions(text) >= instructions:
            return text


def count_instructions(text):
    import dis

    code = next(constant for constant in compile(text, "growth", "exec").co_consts if hasattr(constant, "co_code"))
    return sum(1 for _ in dis.get_instructions(code))


def memory_kb(field):
    with open("/proc/self/status") as file:
        return int(next(line for line in file if line.startswith(field)).split()[1])


def measure(functions, instructions):
    """In a fresh process: compiles so many functions of that size."""
    import coluber

    text = function_text("f", instructions)
    length = count_instructions(text)
    scope = {}
    exec(PREPARATION, scope)
    for number in range(functions):
        exec(text.replace("def f(", f"def f{number}("), scope)
    chosen = [scope[f"f{number}"] for number in range(functions)]
    items, p = list(range(8)), scope["P"]()
    coluber.enable(hot="call:20", background="0", prune="0")
    # The compiler's own code and tables are in memory before the measurement.
    for i in range(30):
        scope["warm"](i, items, p)
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    before, memory = coluber.stats(), memory_kb("VmRSS")
    for f in chosen:
        for i in range(30):
            f(i, items, p)
    after = coluber.stats()
    peak = memory_kb("VmHWM") - memory
    time.sleep(0.8)
    bytecodes = after["compiled_bytecodes"] - before["compiled_bytecodes"]
    seconds = (after["compile_cpu_ns"] - before["compile_cpu_ns"]) / 1e9
    return {
        "instructions": length,
        "functions": functions,
        "compiled": sum(coluber.is_compiled(f) for f in chosen),
        "us_per_bytecode": seconds * 1e6 / max(bytecodes, 1),
        "seconds": seconds,
        "code_kb": (after["code_bytes"] - before["code_bytes"]) // 1024,
        "peak_kb": peak,
        "kept_kb": memory_kb("VmRSS") - memory,
        "bailouts": {reason: count - before["bailouts"].get(reason, 0) for reason, count in after["bailouts"].items()},
    }


def row(functions, instructions):
    result = subprocess.run(
        [sys.executable, __file__, "--row", str(functions), str(instructions)], capture_output=True, text=True, env=os.environ
    )
    if result.returncode:
        sys.exit(result.stderr)
    return json.loads(result.stdout)


def table(title, rows):
    print(f"\n{title}\n")
    print("| functions | instructions each | compiled | us per bytecode | seconds | code KB | peak MB | kept MB | not compiled |")
    print("|---|---|---|---|---|---|---|---|---|")
    for r in rows:
        print(
            f"| {r['functions']} | {r['instructions']} | {r['compiled']} | {r['us_per_bytecode']:.1f} | {r['seconds']:.3f} "
            f"| {r['code_kb']} | {r['peak_kb'] / 1024:.1f} | {r['kept_kb'] / 1024:.1f} | {describe(r['bailouts'])} |",
            flush=True,
        )


def describe(bailouts):
    return ", ".join(f"{reason}: {count}" for reason, count in bailouts.items() if count)


def plot(path, units, programs):
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(10, 4))
    for axis, rows, over in ((axes[0], units, "instructions"), (axes[1], programs, "functions")):
        x = [r[over] for r in rows]
        axis.loglog(x, [r["seconds"] for r in rows], "o-", label="compiling, s")
        axis.loglog(x, [max(r["peak_kb"], 1) / 1024 for r in rows], "s-", label="peak memory, MB")
        axis.set_xlabel(over)
        axis.legend()
        axis.grid(True, alpha=0.3)
    figure.tight_layout()
    figure.savefig(path)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--row", nargs=2, type=int)
    parser.add_argument("--plot")
    parser.add_argument("--largest", type=int, default=10000)
    chosen = parser.parse_args()
    if chosen.row:
        print(json.dumps(measure(*chosen.row)))
        return
    sizes = [size for size in SIZES if size <= chosen.largest]
    units = [row(1, size) for size in sizes]
    table("One function", units)
    programs = [row(count, 60) for count in sizes]
    table("Functions of 60 instructions", programs)
    if chosen.plot:
        plot(chosen.plot, units, programs)


if __name__ == "__main__":
    main()
