"""What changes after the code was compiled: types, classes, globals, builtins, attributes, code objects."""

import builtins
import math
import sys

from differential import compiled, known


def square(x):
    return x * x


def case_argument_types_change():
    seen = [square(i) for i in range(6)]
    compiled(square)
    for value in (1.5, True, 2**40, -(2**62), 2**70, 3, "x", None, 4):
        try:
            seen.append(square(value))
        except TypeError as error:
            seen.append(str(error))
    return seen + [square(i) for i in range(3)]


class First:
    def __init__(self):
        self.x = 1

    def name(self):
        return "first"


class Second:
    def __init__(self):
        self.y = 0
        self.x = 2.5

    def name(self):
        return "second"


def names(thing):
    return thing.name(), thing.x


def case_class_changes():
    seen = []
    thing = First()
    for i in range(12):
        seen.append(names(thing))
        if i == 5:
            thing.__class__ = Second
        if i == 8:
            thing.__class__ = First
    compiled(names)
    return seen


def change_class(thing):
    thing.__class__ = Second
    return 1


def case_class_changes_in_callee():
    def run(thing, change):
        before = thing.name()
        change(thing)
        return before, thing.name(), thing.x

    seen = [run(First(), lambda thing: 0) for _ in range(5)]
    seen.append(run(First(), change_class))
    seen.append(run(First(), lambda thing: 0))
    return seen


def case_method_patched():
    class Thing:
        def name(self):
            return "old"

    def run(thing):
        return thing.name()

    thing = Thing()
    seen = [run(thing) for _ in range(5)]
    Thing.name = lambda self: "new"
    seen += [run(thing) for _ in range(3)]
    thing.name = lambda: "own"
    seen += [run(thing) for _ in range(3)]
    del thing.name
    del Thing.name
    try:
        run(thing)
    except AttributeError as error:
        seen.append(str(error))
    Thing.name = property(lambda self: lambda: "property")
    seen += [run(thing) for _ in range(3)]
    return seen


def case_method_patched_inside_loop():
    class Thing:
        def step(self, i):
            if i == 10:
                Thing.step = lambda self, i: -i
            return i

    thing = Thing()
    seen = []
    for i in range(20):
        seen.append(thing.step(i))
    return seen


def case_base_patched():
    class Top:
        def name(self):
            return "top"

    class Bottom(Top):
        pass

    def run(thing):
        return thing.name()

    thing = Bottom()
    seen = [run(thing) for _ in range(5)]
    Top.name = lambda self: "patched"
    seen += [run(thing) for _ in range(3)]
    Bottom.name = lambda self: "bottom"
    seen += [run(thing) for _ in range(3)]
    return seen


FACTOR = 3


def scaled(x):
    return x * FACTOR


def case_global_changes():
    global FACTOR
    FACTOR = 3
    seen = [scaled(i) for i in range(6)]
    compiled(scaled)
    FACTOR = 5
    seen += [scaled(i) for i in range(6)]
    FACTOR = 0.5
    seen += [scaled(i) for i in range(3)]
    del FACTOR
    try:
        scaled(1)
    except NameError as error:
        seen.append(str(error))
    globals()["FACTOR"] = 7
    seen += [scaled(i) for i in range(3)]
    return seen


def case_global_changes_inside_loop():
    global FACTOR
    FACTOR = 1
    total = 0
    for i in range(30):
        total += FACTOR
        if i == 12:
            bump()
    return total


def bump():
    global FACTOR
    FACTOR = 100


def case_global_changes_often():
    global FACTOR
    seen = []
    for i in range(40):
        FACTOR = i
        seen.append(scaled(2))
    return seen


def helper():
    return "old"


def calls_helper():
    return helper()


def case_global_function_replaced():
    global helper
    original = helper
    seen = [calls_helper() for _ in range(5)]
    helper = lambda: "new"
    seen += [calls_helper() for _ in range(5)]
    helper = original
    seen += [calls_helper() for _ in range(3)]
    return seen


def lengths(values):
    return [len(value) for value in values]


def case_builtin_shadowed():
    seen = [lengths(["a", "bb"]) for _ in range(5)]
    globals()["len"] = lambda value: "shadowed"
    seen += [lengths(["a", "bb"]) for _ in range(3)]
    del globals()["len"]
    seen += [lengths(["a", "bb"]) for _ in range(3)]
    return seen


def case_builtin_patched():
    def run(x):
        return abs(x)

    seen = [run(-i) for i in range(5)]
    original = builtins.abs
    try:
        builtins.abs = lambda x: "patched"
        seen += [run(-i) for i in range(3)]
    finally:
        builtins.abs = original
    return seen + [run(-i) for i in range(3)]


def case_module_attribute_patched():
    def run(x):
        return math.floor(x)

    seen = [run(i + 0.5) for i in range(5)]
    original = math.floor
    try:
        math.floor = lambda x: "patched"
        seen += [run(i + 0.5) for i in range(3)]
    finally:
        math.floor = original
    return seen + [run(1.5)]


def case_code_replaced():
    def first(x):
        return x + 1

    def second(x):
        return x * 100

    def run(x):
        return first(x)

    seen = [run(i) for i in range(5)]
    first.__code__ = second.__code__
    seen += [run(i) for i in range(5)]
    return seen


def other_code(n):
    return "other"


def replaces_code(n):
    if n == 4:
        replaces_code.__code__ = other_code.__code__
    total = 0
    for i in range(n):
        total += i
    return total


def case_code_replaced_inside():
    original = replaces_code.__code__
    seen = [replaces_code(n) for n in range(7)]
    replaces_code.__code__ = original
    return seen


def case_defaults_replaced():
    def run(x, y=1):
        return x + y

    def keyword(x, *, y=1):
        return x + y

    def calls(x):
        return run(x), keyword(x)

    seen = [calls(i) for i in range(5)]
    run.__defaults__ = (10,)
    keyword.__kwdefaults__ = {"y": 20}
    seen += [calls(i) for i in range(3)]
    run.__defaults__ = None
    try:
        calls(1)
    except TypeError as error:
        seen.append(str(error))
    return seen


def case_cell_changes():
    def make(factor):
        def run(x):
            return x * factor

        def change(value):
            nonlocal factor
            factor = value

        return run, change

    run, change = make(2)
    seen = [run(i) for i in range(5)]
    change(3)
    seen += [run(i) for i in range(3)]
    change(0.5)
    seen += [run(i) for i in range(3)]
    change("x")
    seen += [run(i) for i in range(3)]
    other, _ = make([1])
    seen += [other(2), run(2)]
    return seen


def case_attribute_types_change():
    class Thing:
        pass

    def run(thing):
        thing.x += 1
        return thing.x

    thing = Thing()
    thing.x = 0
    seen = [run(thing) for _ in range(5)]
    thing.x = 0.5
    seen += [run(thing) for _ in range(3)]
    thing.x = 2**62
    seen += [run(thing) for _ in range(3)]
    other = Thing()
    other.y = 1
    other.x = 1
    seen.append(run(other))
    del thing.x
    try:
        run(thing)
    except AttributeError as error:
        seen.append(str(error))
    return seen


def case_dict_materialised():
    class Thing:
        def __init__(self):
            self.a = 1
            self.b = 2

    def run(thing, value):
        thing.b = value
        return thing.a, thing.b

    thing = Thing()
    seen = [run(thing, i) for i in range(5)]
    table = thing.__dict__
    table["a"] = "through dict"
    seen += [run(thing, i) for i in range(3)]
    table["c"] = 3
    del table["a"]
    table["a"] = "again"
    seen += [run(thing, i) for i in range(3)]
    seen.append(list(table.items()))
    thing.__dict__ = {"a": "fresh"}
    seen += [run(thing, i) for i in range(3)]
    return seen


def case_insertion_order():
    class Thing:
        pass

    def fill(first):
        thing = Thing()
        if first:
            thing.a = 1
            thing.b = 2
        else:
            thing.b = 2
            thing.a = 1
        thing.c = 3
        return list(thing.__dict__)

    return [fill(i % 3) for i in range(9)]


def case_many_attributes():
    class Thing:
        pass

    def fill(thing, n):
        for i in range(n):
            setattr(thing, f"x{i}", i)
        thing.last = n
        return thing.last, thing.x0

    return [fill(Thing(), n) for n in (1, 2, 3, 40, 5, 60)]


def case_class_attribute_shadowed():
    class Thing:
        x = "class"

    def run(thing):
        return thing.x

    thing = Thing()
    seen = [run(thing) for _ in range(5)]
    thing.x = "instance"
    seen += [run(thing) for _ in range(2)]
    other = Thing()
    seen += [run(other) for _ in range(2)]
    Thing.x = property(lambda self: "property")
    seen += [run(thing), run(other)]
    return seen


def case_del_changes_global():
    global FACTOR

    class Bomb:
        def __del__(self):
            global FACTOR
            FACTOR = 1000

    def run(bomb):
        holder = [bomb]
        bomb = None
        before = scaled(1)
        holder = None
        return before, scaled(1), FACTOR

    FACTOR = 2
    seen = [run(None) for _ in range(5)]
    seen.append(run(Bomb()))
    FACTOR = 2
    return seen


def case_del_changes_class():
    thing = First()

    class Bomb:
        def __del__(self):
            thing.__class__ = Second

    def run(thing, bomb):
        a = thing.name()
        bomb = None
        return a, thing.name()

    seen = [run(thing, None) for _ in range(5)]
    seen.append(run(thing, Bomb()))
    return seen


def case_del_changes_list():
    values = [1, 2, 3, 4, 5, 6]

    class Bomb:
        def __del__(self):
            values.clear()

    def run(values, bombs):
        total = 0
        for value in values:
            total += value
            bombs[value] = None
        return total

    seen = [run([1, 2, 3], [None] * 7) for _ in range(5)]
    bombs = [None, None, None, Bomb(), None, None, None]
    seen.append(run(values, bombs))
    return seen


def case_equality_changes_list():
    class Evil:
        def __eq__(self, other):
            values.clear()
            return False

    def run(values):
        total = 0
        for value in values:
            if value == 3:
                total += 1
            total += 1
        return total

    values = [1, 2, 3]
    seen = [run(values) for _ in range(5)]
    values = [1, Evil(), 3, 4]
    seen.append(run(values))
    return seen


def case_two_worlds():
    source = "def f(x):\n    return x + K\n"
    code = compile(source, "world", "exec")
    seen = []
    for k in (1, 2.5, "s"):
        world = {"K": k}
        exec(code, world)
        for _ in range(4):
            seen.append(world["f"](k))
    return seen


def case_own_builtins():
    source = "def f(x):\n    return len(x)\n"
    seen = []
    for table in ({"len": lambda x: "mine"}, vars(builtins), {"len": len}):
        world = {"__builtins__": table}
        exec(source, world)
        for _ in range(4):
            seen.append(world["f"]([1, 2]))
    return seen


def case_globals_subclass():
    class Globals(dict):
        def __missing__(self, name):
            return f"missing {name}"

    world = Globals()
    exec("def f():\n    return 5\n", world)
    seen = [world["f"]() for _ in range(4)]
    return seen, [eval("x + y", {}, Globals()) for _ in range(3)]


def case_type_attribute_loop():
    class Config:
        limit = 5

    seen = []
    for i in range(20):
        if i == 10:
            Config.limit = 3
        seen.append(i % Config.limit)
    return seen


def case_operators_patched():
    class Vector:
        def __init__(self, x):
            self.x = x

        def __add__(self, other):
            return Vector(self.x + other.x)

    def run(a, b):
        return (a + b).x

    seen = [run(Vector(i), Vector(1)) for i in range(5)]
    Vector.__add__ = lambda self, other: Vector(-1)
    seen += [run(Vector(i), Vector(1)) for i in range(3)]
    Vector.__radd__ = lambda self, other: Vector(-2)
    Vector.__add__ = lambda self, other: NotImplemented
    seen.append(type(attempt(run, Vector(1), Vector(2))).__name__)
    return seen


def attempt(function, *arguments):
    try:
        return function(*arguments)
    except Exception as error:
        return error


def case_imports():
    def run(n):
        import os.path
        from math import floor as down, pi

        if n > 2:
            import json as j

            return j.dumps([n]), down(pi), os.path.sep
        return down(n + 0.5)

    seen = [run(n) for n in range(5)]

    def fails(n):
        if n > 3:
            from math import nothing_there
        return n

    print([fails(n) for n in range(4)])
    return seen, str(attempt(fails, 5)), type(attempt(fails, 5)).__name__


def case_eval_and_exec():
    def run(n):
        x = n
        y = eval("x * 2")
        scope = {}
        exec("z = 5", {}, scope)
        return y, scope, sorted(locals())

    return [run(n) for n in range(4)]


def case_version_counters():
    def run(x):
        return x + 1

    for _ in range(5):
        run(1)
    run.__defaults__ = (1,)
    seen = [run(), run(2)]
    run.marker = 1
    return seen + [run(3), run.marker, sys.getrefcount(run) > 0]
