"""Globals that change, and names of module-level code: read and set where their dict keeps them."""

import weakref

from differential import compiled

COUNT = 0
LAST = None
FLAG = True


def bump(n):
    global COUNT, LAST
    for i in range(n):
        COUNT += i
        LAST = (i, COUNT)
    return COUNT


def read():
    return COUNT, LAST


def made(source):
    space = {"__builtins__": __builtins__}
    exec(source, space)
    return space


GROWING = made("""
value = 1
def run(i):
    global value
    value += i
    if i % 10 == 0:
        for k in range(i): globals()[f"name{i}_{k}"] = k
    if i == 150:
        for name in [name for name in globals() if name.startswith("name")]: del globals()[name]
        globals()[3] = 4
    return value
""")
HOLDING = made("""
held = None
def run(i):
    global held
    held = Item(i)
    held = None
    return i
""")
LIMITED = made("""
LIMIT = 5
def reads(n):
    total = 0
    for i in range(n):
        total += LIMIT
    return total
def sets(i):
    global LIMIT
    LIMIT = i
    LIMIT = i + 1
    return LIMIT
""")


@compiled
def case_counter():
    global COUNT, LAST
    COUNT, LAST = 0, None
    found = []
    for i in range(40):
        found.append((bump(i), read()))
    return found[-2:]


@compiled
def case_deleted_and_made_again():
    def run(i):
        global FLAG
        if i % 7 == 3:
            del FLAG
        try:
            found = FLAG
        except NameError as error:
            found = str(error)
        if i % 7 == 5:
            FLAG = i
        else:
            globals()["FLAG"] = -i
        return found

    return [run(i) for i in range(80)][-14:]


@compiled
def case_dict_grows_and_shrinks():
    space = GROWING
    space["value"] = 1
    found = [space["run"](i) for i in range(200)]
    for name in [name for name in space if name == 3 or name.startswith("name")]:
        del space[name]
    return found[-3:], len(space), space["value"]


@compiled
def case_set_name_dies():
    class Item:
        def __init__(self, name):
            self.name = name

        def __del__(self):
            log.append((self.name, space.get("held") is None))

    log = []
    space = HOLDING
    space["Item"] = Item
    for i in range(60):
        space["run"](i)
    return log[-3:], len(log)


@compiled
def case_constant_of_another_function_is_set():
    space = LIMITED
    space["LIMIT"] = 5
    found = [space["reads"](30) for _ in range(30)]
    for i in range(60):
        found.append((space["sets"](i), space["reads"](3)))
    return found[-3:]


MODULE = """
import weakref
total = 0
names = []
for i in range(300):
    total += i & 7
    square = i * i
    if i == 100:
        late = "new name"
    if i == 120:
        del square
        square = 0
    if i % 50 == 0:
        names.append((i, total, square, "late" in globals()))
    try:
        if i % 60 == 30:
            missing
    except NameError as error:
        names.append(str(error))
"""


MODULE_CODE = compile(MODULE, "module", "exec")
SUM_CODE = compile("x = 0\nfor i in range(40):\n    x += i\n", "module", "exec")
OUTER, INNER, SPACES = {"__name__": "outer"}, {}, [{"__name__": "module"} for _ in range(2)]


@compiled
def case_module_level():
    found = []
    code = MODULE_CODE
    for i in range(6):
        space = SPACES[i % 2]
        space.pop("late", None)
        exec(code, space)
        found.append((space["names"], space["total"]))
        OUTER["total"] = 1000
        INNER.clear()
        try:
            exec(code, OUTER, INNER)
            found.append((INNER["names"], OUTER["total"]))
        except NameError as error:
            found.append(str(error))
    return found


@compiled
def case_module_level_in_other_mappings():
    class Space(dict):
        def __getitem__(self, name):
            log.append(name)
            return super().__getitem__(name)

        def __setitem__(self, name, value):
            log.append("=" + name)
            super().__setitem__(name, value)

    log = []
    code = SUM_CODE
    space = Space()
    for _ in range(4):
        exec(code, OUTER, space)
    return len(log), log[-3:], space["x"]


@compiled
def case_class_body_loop():
    def run(n):
        class Body:
            total = 0
            for i in range(n):
                total += i
                last = weakref.ref(case_counter) if i % 2 else total
        return Body.total, type(Body.last).__name__

    return [run(i * 7) for i in range(1, 20)][-2:]
