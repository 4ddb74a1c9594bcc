"""``python dead_code.py``: modules that nobody knows any more die, also when their functions were compiled.

2,000 modules are executed, their functions compiled at once and forgotten. Compiled code keeps a bounded number of
modules alive (the units that have not been used for longest are taken out of use), so memory reaches a plateau.
"""

import gc
import os
import weakref

import coluber

MODULES = 2_000
MAX_ALIVE = 250
MAX_GROWTH_BYTES = 16 << 20

SOURCE = """
K = 3
def helper(x): return x + K
def f(a, n=10):
    t = 0
    for i in range(n):
        t += helper(i) * a
    return t
for _ in range(20): f(2)
"""


def resident_bytes():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main():
    if not coluber.enable(hot="call:2", background=False):
        raise SystemExit("coluber is off")
    code = compile(SOURCE, "module.py", "exec")
    functions = []
    start = None
    for number in range(MODULES):
        namespace = {"__name__": f"module{number}"}
        exec(SOURCE if number % 2 else code, namespace)
        functions.append(weakref.ref(namespace["f"]))
        del namespace
        if number == MODULES // 2:
            gc.collect()
            start = resident_bytes()
    gc.collect()
    alive = sum(function() is not None for function in functions)
    growth = resident_bytes() - start
    print(f"{alive} modules alive, {growth / 1e6:.1f} MB more than at half-time")
    assert alive <= MAX_ALIVE, alive
    assert growth <= MAX_GROWTH_BYTES, growth


if __name__ == "__main__":
    main()
