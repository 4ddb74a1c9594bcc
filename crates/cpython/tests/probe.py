"""Runs inside an interpreter: compares what `examples/probe.rs` reads with `dis` and friends.

    <interpreter> tests/probe.py <path of libprobe.so>
"""

import ctypes
import dis
import importlib.util
import sys
import types

probe = ctypes.PyDLL(sys.argv[1])
for name, count in (("decode", 1), ("check", 0), ("snapshot", 2), ("open_door", 1), ("close_door", 0), ("hooks", 4),
                    ("frame_locals", 1)):
    function = getattr(probe, f"probe_{name}")
    function.restype = ctypes.py_object
    function.argtypes = [ctypes.py_object] * count

# Neutral name of every opcode whose name is not simply the CamelCase of CPython's.
RENAMED = {
    "NOT_TAKEN": "Nop", "CACHE": "Nop", "LOAD_FAST_BORROW": "LoadFast", "LOAD_SMALL_INT": "LoadConst",
    "LOAD_COMMON_CONSTANT": "LoadConst", "STORE_SUBSCR": "StoreSubscript", "DELETE_SUBSCR": "DeleteSubscript",
    "COMPARE_OP": "Compare", "IS_OP": "Is", "CONTAINS_OP": "Contains", "JUMP_FORWARD": "Jump",
    "JUMP_BACKWARD_NO_INTERRUPT": "JumpBackward", "RAISE_VARARGS": "Raise", "CALL_INTRINSIC_1": "CallIntrinsic1",
    "CALL_INTRINSIC_2": "CallIntrinsic2",
}


def decode(code):
    result = {"op": [], "handler": [], "object": []}
    for line in probe.probe_decode(code).splitlines():
        kind, *fields = line.split("\t")
        result.setdefault(kind, []).append(fields)
    assert "error" not in result, result
    return result


def neutral(instruction):
    name, argument = instruction.opname, instruction.arg
    if name in ("LOAD_FAST_LOAD_FAST", "LOAD_FAST_BORROW_LOAD_FAST_BORROW"):
        return ["LoadFast", "LoadFast"]
    if name == "STORE_FAST_LOAD_FAST":
        return ["StoreFast", "LoadFast"]
    if name == "STORE_FAST_STORE_FAST":
        return ["StoreFast", "StoreFast"]
    if name == "BINARY_OP":
        return ["BinarySubscript" if argument == 26 else "BinaryOp"]
    if name == "GET_ITER" and argument:
        return ["GetYieldFromIter"]
    if name == "IMPORT_NAME" and sys.version_info >= (3, 15) and not argument & 2:
        return ["Unsupported"]
    return [RENAMED.get(name) or "".join(word.capitalize() for word in name.split("_"))]


def compare(code):
    decoded = decode(code)
    expected = []
    start = None
    for instruction in dis.get_instructions(code):
        if start is None:
            start = instruction.offset
        if instruction.opname == "EXTENDED_ARG":
            continue
        for name in neutral(instruction):
            line = instruction.positions.lineno or 0
            expected.append((start // 2, instruction.offset // 2, line, name, instruction))
        start = None
    assert len(expected) == len(decoded["op"]), (code, len(expected), len(decoded["op"]))
    for (start, offset, line, name, instruction), fields in zip(expected, decoded["op"]):
        operation = fields[4]
        got = (int(fields[0]), int(fields[1]), int(fields[3]), operation.split(" ")[0])
        assert got == (start, offset, line, name), (code, got, (start, offset, line, name))
        if instruction.jump_target is not None and "arget" in operation:
            assert f"target: {instruction.jump_target // 2}" in operation, (code, operation, instruction)
        if name == "ForIter":
            assert f"exhausted: {instruction.jump_target // 2 + 1}" in operation, (code, operation, instruction)
    table = [(entry.start // 2, entry.end // 2, entry.target // 2, entry.depth, entry.lasti)
             for entry in dis._parse_exception_table(code)]
    got = [(int(a), int(b), int(c), int(d), e == "true") for a, b, c, d, e in decoded["handler"]]
    assert table == got, (code, table, got)
    return len(expected)


def every_code(code):
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from every_code(constant)


def offsets_agree_with_dis():
    count = codes = 0
    for name in ("ast", "argparse", "asyncio.events", "asyncio.tasks", "collections", "contextlib", "copy", "dataclasses",
                 "datetime", "decimal", "difflib", "doctest", "enum", "fractions", "functools", "heapq", "html.parser",
                 "inspect", "json.decoder", "json.encoder", "logging", "pickle", "platform", "random", "re._compiler",
                 "re._parser", "statistics", "string", "tarfile", "textwrap", "tokenize", "traceback", "typing",
                 "unittest.mock", "zipfile", "_pydecimal", "_pydatetime"):
        module = importlib.import_module(name)
        source = importlib.util.find_spec(name).loader.get_source(name)
        if source is None:
            continue
        for code in every_code(compile(source, module.__file__, "exec")):
            count += compare(code)
            codes += 1
    return f"{codes} codes, {count} instructions"


class Point:
    scale = 3

    def __init__(self, x, y):
        self.x = x
        self.y = y

    def norm(self):
        return self.x * self.x + self.y * self.y

    @property
    def twice(self):
        return self.x * 2


class Slotted:
    __slots__ = ("a",)

    def __init__(self):
        self.a = 1


def helper(a):
    return a


def exercise(n, floats, table, point):
    total = 0
    for i in range(n):
        total += i
        total = total * 1 - 0
        helper(i)
        len(floats)
        point.x = i
        point.norm()
        point.twice
        point.scale
        Point(i, i)
        Slotted().a
        table["k"]
        floats[0] + 1.5
        floats[0] * 2
        "a" + "b" * n
        i & 3
        i < n
        isinstance(i, int)
        floats.append(1.0)
        pair = (i, i)
        (a, b) = pair
        if not floats:
            pass
        table["k"] = i
        i in table
    return total


def feedback_is_read():
    exercise(200, [0.5], {"k": 1}, Point(1, 2))
    text = probe.probe_decode(exercise.__code__)
    wanted = ["Seen(Int)", "Seen(Range)", "Seen(Float)", "SeenPair(Float, Int)", "Seen(Dict)", "Seen(List)",
              "GlobalModule", "GlobalBuiltin", "Call(Python { version:", "function: Some(",
              "Attribute(Method { version:", "Attribute(Property {", "Attribute(NonDescriptor {", "Attribute(Slot {",
              "Attribute(InstanceValue {", "Call(ClassWithInit {", "Call(Len)", "Call(IsInstance)", "Call(ListAppend)",
              "Seen(TwoTuple)"]
    missing = [word for word in wanted if word not in text]
    assert not missing, (missing, text)


def instrumented_code_decodes_as_before():
    def victim(n):
        total = 0
        for i in range(n):
            if i > 3:
                total += i
        return total

    plain = [fields[:5] for fields in decode(victim.__code__)["op"]]
    victim(100)
    monitoring = sys.monitoring
    monitoring.use_tool_id(4, "probe")
    events = monitoring.events
    monitoring.set_local_events(4, victim.__code__, events.LINE | events.JUMP | events.CALL | events.PY_START)
    victim(100)
    hidden = [fields[:5] for fields in decode(victim.__code__)["op"]]
    compare(victim.__code__)
    monitoring.set_local_events(4, victim.__code__, 0)
    monitoring.free_tool_id(4)
    strip = lambda ops: [(a, b, c, d, e.split(" ")[0]) for a, b, c, d, e in ops]
    assert strip(plain) == strip(hidden), (plain, hidden)


def references_are_balanced():
    marker = Point(1, 2)
    exercise.__defaults__ = (1, [], {}, marker)
    before = sys.getrefcount(marker), sys.getrefcount(exercise), sys.getrefcount(exercise.__code__)
    for _ in range(20):
        probe.probe_decode(exercise.__code__)
    after = sys.getrefcount(marker), sys.getrefcount(exercise), sys.getrefcount(exercise.__code__)
    exercise.__defaults__ = None
    assert before == after, (before, after)


def layout_fits():
    assert probe.probe_check() is None, probe.probe_check()


class Vector:
    def __init__(self, x, y):
        self.x = x
        self.y = y

    def __add__(self, other):
        return Vector(self.x + other.x, self.y + other.y)

    def dot(self, other):
        return helper(self.x) * other.x + self.y * other.y


LIMIT = 10
CHANGED = 1


def unit(vectors, n):
    global CHANGED
    CHANGED = n
    total = Vector(0, 0)
    for vector in vectors:
        total = total + vector
        if len(vectors) < LIMIT and CHANGED:
            vector.dot(total)
    return total


def snapshot_gathers_callees_globals_and_classes():
    vectors = [Vector(1, 2), Vector(3, 4)] * 100
    unit(vectors, 1)
    unit(vectors[:5] * 20, 1)
    unit(vectors[:5], 1)
    unit(vectors[:5], 1)
    lines = [line.split("\t") for line in probe.probe_snapshot(unit, (vectors, 3)).splitlines()]
    of = lambda kind: [fields[1:] for fields in lines if fields[0] == kind]
    assert of("name")[0][0].startswith("__main__.unit ("), of("name")
    codes = [name for name, _ in of("code")]
    assert codes[0] == "unit" and {"Vector.__init__", "Vector.dot", "helper", "Vector.__add__"} <= set(codes), codes
    names = {name for name, _ in of("global")}
    assert {'"Vector"', '"LIMIT"', '"len"', '"helper"'} <= names and '"CHANGED"' not in names, names
    assert ["class Vector"] in [fields[1:] for fields in of("class")], of("class")
    assert of("live")[:2] == [["Kind(List)"], ["Kind(Int)"]], of("live")
    dependencies = {fields[0] for fields in of("dependency")}
    assert {"class Vector", "function helper", "function Vector.__init__", 'name dict "len"'} <= dependencies, dependencies
    facts = next(fields for fields in of("object") if fields[1] == "class Vector")[2]
    assert 'keys: ["x", "y"]' in facts and "init: Some(" in facts and '("dot",' in facts, facts
    assert "inline_values: true" in facts and "has_finalizer: false" in facts, facts
    function = next(fields for fields in of("object") if fields[1] == "function helper")[2]
    assert "code: Some(" in function, function
    before = sys.getrefcount(unit), sys.getrefcount(Vector), sys.getrefcount(helper)
    for _ in range(50):
        probe.probe_snapshot(unit, (vectors, 3))
    assert before == (sys.getrefcount(unit), sys.getrefcount(Vector), sys.getrefcount(helper))
    return f"{len(codes)} codes in {of('micros')[0][0]} us"


def doors_open_and_close():
    def target(a):
        return a

    def caller():
        return target(1)

    def make():
        def closure(a):
            return a
        return closure

    def calls_closure():
        return make()(1)

    for _ in range(200):
        assert caller() == 1 and calls_closure() == 1
    probe.probe_open_door(target)
    assert {caller() for _ in range(100)} == {4242}
    probe.probe_close_door()
    # Long enough for a call site that gave up to try again.
    assert {caller() for _ in range(20_000)} == {1} and target(7) == 7
    assert "CALL_PY_EXACT_ARGS" in str([i.opname for i in dis.get_instructions(caller, adaptive=True)])


def hooks_are_taken_and_given_back():
    namespace = {"a": 1}

    class Watched:
        x = 1

    def traced():
        return 1

    def action():
        namespace["a"] = 2
        namespace["b"] = 3
        del namespace["b"]
        Watched.x = 2
        traced()
        traced.__defaults__ = (1,)
        for _ in range(10):
            pass

    log = probe.probe_hooks(namespace, Watched, traced, action).splitlines()
    assert log[:6] == ["dict watched true", "class watched true", "Ok(())", "Ok(())", "action true", "Ok(())"], log
    events = [line.removeprefix("event ") for line in log[6:]]
    for wanted in ("dict 0", "dict 1", "dict 2", "class Watched", "start", "pending"):
        assert wanted in events, (wanted, events)
    assert any(event.startswith("function 3 ") and "traced" in event for event in events), events
    assert sys.monitoring.get_tool(5) is None
    # Everything can be taken again; another holder of the tool id is named.
    assert probe.probe_hooks(namespace, Watched, traced, action).startswith("dict watched true")
    sys.monitoring.use_tool_id(5, "rival")
    message = probe.probe_hooks(namespace, Watched, traced, action)
    sys.monitoring.free_tool_id(5)
    assert message == "sys.monitoring.OPTIMIZER_ID is in use by rival", message


def frame_locals_can_be_interposed():
    def action():
        value = 5
        assert sys._getframe().f_locals["value"] == 5

    assert probe.probe_frame_locals(action) == "1 true"
    action()


# The interpreter's table from function versions to functions is small: feedback comes before thousands of codes.
for test in (feedback_is_read, offsets_agree_with_dis, instrumented_code_decodes_as_before, references_are_balanced,
             layout_fits, snapshot_gathers_callees_globals_and_classes, doors_open_and_close,
             hooks_are_taken_and_given_back, frame_locals_can_be_interposed):
    print(test.__name__, test() or "ok")
