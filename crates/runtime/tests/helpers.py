"""Runs inside an interpreter: each helper against the interpreter's own instruction.

    <interpreter> tests/helpers.py <path of libruntime_probe.so>
"""

import ctypes
import sys

probe = ctypes.PyDLL(sys.argv[1])
for name, count in (("helper", 1), ("frame", 0)):
    function = getattr(probe, f"probe_{name}")
    function.restype = ctypes.py_object
    function.argtypes = [ctypes.py_object] * count

NULL = object()
TYPES = {"O": [ctypes.py_object], "S": [ctypes.c_void_p], "N": [ctypes.c_void_p], "I": [ctypes.c_int64],
         "F": [ctypes.c_double], "V": [ctypes.c_void_p, ctypes.c_int64], "SV": [ctypes.c_void_p, ctypes.c_int64],
         "frame": [ctypes.c_void_p], "out": [ctypes.c_void_p]}
RESULTS = {"O": ctypes.c_void_p, "B": ctypes.c_int64, "U": ctypes.c_int64, "X": ctypes.c_int64, "I": ctypes.c_int64,
           "F": ctypes.c_double}
incref = ctypes.pythonapi.Py_IncRef
incref.argtypes = [ctypes.py_object]
steal = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p)  # only for its restype's conversion
tested = set()


def object_at(address):
    """The object of an owned reference."""
    value = ctypes.cast(address, ctypes.py_object).value
    ctypes.pythonapi.Py_DecRef(ctypes.py_object(value))
    return value


def call(name, *arguments, frame=None, outputs=0):
    """Calls a helper; raises what it raised; a result, or (result, outputs...)."""
    tested.add(name)
    address, kinds, result = probe.probe_helper(name).split("\t")
    kinds = kinds.split()
    types, values, keep = [], [], []
    given = list(arguments)
    out = (ctypes.c_void_p * max(outputs, 1))(*[0xdead] * max(outputs, 1))
    for kind in kinds:
        types += TYPES[kind]
        if kind == "frame":
            values.append(frame)
        elif kind == "out":
            values.append(ctypes.addressof(out))
        elif kind in ("V", "SV"):
            array = (ctypes.py_object * len(given))(*given)
            if kind == "SV":
                for value in given:
                    incref(value)
            keep.append(array)
            values += [ctypes.addressof(array), len(given)]
        elif kind in ("S", "N"):
            value = given.pop(0)
            if kind == "S":
                incref(value)
            keep.append(value)
            values.append(None if value is NULL else id(value))
        else:
            values.append(given.pop(0))
    # PYFUNCTYPE reports an exception that is set after the call.
    function = ctypes.PYFUNCTYPE(RESULTS[result], *types)(int(address))
    try:
        value = function(*values)
    except BaseException:
        assert not any(out[:outputs]), (name, out[:outputs])
        raise
    if result == "O":
        value = object_at(value)
    assert not (result in "BU" and value == -1), name
    if outputs:
        return (value, *(None if word is None else object_at(word) for word in out))
    return value


def outcome(function):
    try:
        return "value", function()
    except BaseException as error:
        return (type(error), str(error), getattr(error, "name", None), type(error.__cause__),
                repr(error.__context__))


def same(helper, interpreted):
    left, right = outcome(helper), outcome(interpreted)
    assert repr(left) == repr(right), (left, right)




NB = "+ & // << @ * % | ** >> - / ^".split()
for number, operator in enumerate(NB):
    for left, right in ((7, 3), (7.5, 2), ("a", 3), ([1], [2]), (1, "x"), ({1, 2}, {2}), (2, 0), (0.0, -1), (-8, 0.5)):
        same(lambda: call("BinaryOp", left, right, number), lambda: eval(f"left {operator} right"))
        space = {"left": left, "right": right}

        def inplace():
            exec(f"left {operator}= right", space)
            return space["left"]
        if not isinstance(left, (list, set)):
            same(lambda: call("BinaryOp", left, right, number + 13), inplace)
nan = float("nan")
for number, operator in enumerate("< <= == != > >=".split()):
    for left, right in ((1, 2), (2, 2), ("a", "b"), (1, "b"), (nan, nan), ([1], [1]), (None, None)):
        same(lambda: call("Compare", left, right, number), lambda: eval(f"left {operator} right"))
        same(lambda: bool(call("CompareBool", left, right, number)), lambda: bool(eval(f"left {operator} right")))


class Untrue:
    def __bool__(self):
        raise KeyError("untrue")


for value in (0, 1, "", "x", [], [0], None, Untrue()):
    same(lambda: bool(call("IsTrue", value)), lambda: bool(value))
    if not isinstance(value, Untrue):
        same(lambda: bool(call("BuiltinIsTrue", value)), lambda: bool(value))
for value in (3, 2.5, "x", True):
    same(lambda: call("Negative", value), lambda: -value)
    if value is not True:
        same(lambda: call("Invert", value), lambda: ~value)
for container, key in (([1, 2], 0), ([1, 2], 5), ({"a": 1}, "a"), ({"a": 1}, "b"), ({}, []), ("abc", 1), (3, 1)):
    same(lambda: call("Subscript", container, key), lambda: container[key])
    if isinstance(container, dict):
        same(lambda: call("DictGet", container, key), lambda: container[key])
    same(lambda: bool(call("Contains", container, key)), lambda: key in container)


def statement(source, **names):
    exec(source, names)
    return names["x"]


for container, key in (([1, 2], 0), ([1, 2], 5), ({"a": 1}, "a"), ((1,), 0), (3, 1)):
    copy = container.copy if hasattr(container, "copy") else lambda: container

    def store():
        x = copy()
        call("StoreSubscript", x, key, 9)
        return x

    def delete():
        x = copy()
        call("DeleteSubscript", x, key)
        return x
    same(store, lambda: statement("x[key] = 9", x=copy(), key=key))
    same(delete, lambda: statement("del x[key]", x=copy(), key=key))
for container in ([1, 2, 3], "abc", 3, {}):
    same(lambda: call("Slice", container, 1, None), lambda: container[1:])

    def store():
        x = container.copy()
        call("StoreSlice", x, 0, 1, "xy")
        return x
    if container != "abc" and container != 3:
        same(store, lambda: statement("x[0:1] = 'xy'", x=container.copy()))


class Base:
    def method(self):
        return "method"

    @classmethod
    def make(cls):
        return cls

    @property
    def value(self):
        return "base"


class C(Base):
    __slots__ = ("slot",)


c = C()
for name in ("method", "make", "value", "absent", "slot", "__class__"):
    same(lambda: repr(call("LoadAttr", c, name)), lambda: repr(getattr(c, name)))

    def method():
        function, receiver = call("LoadMethod", c, name, outputs=1)
        return repr(function if receiver is None else function.__get__(receiver))
    if name != "slot":  # the interpreter's method look-up does not name it either
        same(method, lambda: repr(getattr(c, name)))

    if name == "__class__":
        continue  # never compiled to LOAD_SUPER_ATTR

    def super_method():
        function, receiver = call("LoadSuperMethod", super, C, c, name, 1, outputs=1)
        return repr(function if receiver is None else function.__get__(receiver))
    same(super_method, lambda: repr(getattr(super(C, c), name)))
    for kind in (super, type("Super", (super,), {})):
        same(lambda: repr(call("LoadSuperAttr", kind, C, c, name, 1)), lambda: repr(getattr(kind(C, c), name)))
assert call("LoadMethod", c, "method", outputs=1) == (Base.method, c)
assert call("LoadSuperMethod", super, C, c, "method", 1, outputs=1) == (Base.method, c)
same(lambda: call("LoadSuperAttr", super, C, 3, "method", 1), lambda: super(C, 3).method)
same(lambda: call("StoreAttr", c, "x", 1), lambda: setattr(c, "x", 1) or 0)
assert c.x == 1
call("DeleteAttr", c, "x")
same(lambda: call("DeleteAttr", c, "x"), lambda: statement("del c.x", c=c))
same(lambda: call("StoreAttr", 3, "x", 1), lambda: statement("c.x = 1", c=3))


class Manager:
    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None


class AsyncManager:
    async def __aenter__(self):
        pass

    async def __aexit__(self, *_):
        pass


m = Manager()
function, receiver = call("LoadSpecial", m, 0, outputs=1)
assert function is Manager.__enter__ and receiver is m
count = sys.getrefcount(m)
for _ in range(10):
    call("LoadSpecial", m, 1, outputs=1)
    outcome(lambda: call("LoadSpecial", m, 2, outputs=1))
assert sys.getrefcount(m) == count
for value in (3, AsyncManager()):
    def interpreted():
        with value:
            pass

    def helper():
        # 3.15 asks for __exit__ first, 3.14 too.
        call("LoadSpecial", value, 1, outputs=1)
    same(helper, interpreted)


class Items:
    def __iter__(self):
        raise ValueError("no items")


for iterable in ([1, 2], (1,), "ab", {1: 2}, 3, Items(), range(2), iter([1])):
    same(lambda: type(call("GetIter", iterable)), lambda: type(iter(iterable)))


def fails():
    yield 1
    raise KeyError("inside")


mark = probe.probe_frame()[1]
address = int(probe.probe_helper("IterNext").split("\t")[0])
iter_next = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object)(address)
tested.add("IterNext")
iterator = iter([5])
assert object_at(iter_next(iterator)) == 5
assert iter_next(iterator) == mark == iter_next(iter(()))
generator = fails()
assert object_at(iter_next(generator)) == 1
same(lambda: iter_next(generator), lambda: list(fails()))
assert iter_next(generator) == mark


class Stops:
    def __next__(self):
        raise StopIteration(3)


assert iter_next(Stops()) == mark
for value in ("a", 3, 2.5, "é"):
    for number, function in enumerate((str, repr, ascii), 1):
        same(lambda: call("ConvertValue", value, number), lambda: function(value))
    same(lambda: call("FormatSimple", value), lambda: f"{value}")
    same(lambda: call("FormatWithSpec", value, ">5"), lambda: f"{value:>5}")
    same(lambda: call("FormatWithSpec", value, "%"), lambda: f"{value:%}")


def target(*args, **kwargs):
    return args, kwargs


for args, kwargs in (((1,), {"a": 2}), ([1, 2], {}), (3, {}), ("ab", {"x": 1})):
    same(lambda: call("CallFunctionEx", target, args, kwargs), lambda: target(*args, **kwargs))
same(lambda: call("CallFunctionEx", target, (1,), NULL), lambda: target(*(1,)))
same(lambda: call("CallFunctionEx", 3, (1,), NULL), lambda: eval('(3)(*(1,))'))
same(lambda: call("CallIntrinsic1", [1, 2], 6), lambda: (1, 2))  # list to tuple
same(lambda: call("CallIntrinsic1", 5, 5), lambda: +5)
same(lambda: call("CallIntrinsic1", "x", 5), lambda: +"x")
for value in ([1], 3, "ab"):
    same(lambda: call("GetLen", value), lambda: len(value))
    assert call("MatchMapping", value) == 0
assert call("MatchSequence", [1]) == 1 and call("MatchSequence", "ab") == 0 and call("MatchMapping", {}) == 1
assert call("MatchKeys", {"a": 1, "b": 2}, ("a", "b")) == (1, 2) and call("MatchKeys", {"a": 1}, ("b",)) is None


class Point:
    __match_args__ = ("x", "y")
    x, y, z = 1, 2, 3


assert call("MatchClass", Point(), Point, ("z",), 2) == (1, 2, 3)
assert call("MatchClass", 3, Point, ("z",), 2) is None


def too_many():
    match Point():
        case Point(1, 2, 3):
            pass


same(lambda: call("MatchClass", Point(), Point, (), 3), too_many)


class BadInit:
    def __init__(self):
        return 3


same(lambda: call("RaiseInitResult", 3), BadInit)
assert type(call("NewInstance", C)) is C
for exception, cause in ((ValueError, NULL), (ValueError("x"), NULL), (3, NULL), (ValueError, KeyError), (ValueError, None),
                         (ValueError("x"), KeyError("y")), (ValueError, 3), (NULL, NULL),
                         (type("Odd", (Exception,), {"__new__": lambda cls: 3}), NULL)):
    def interpreted():
        if cause is not NULL:
            raise exception from cause
        if exception is not NULL:
            raise exception
        raise
    same(lambda: call("Raise", exception, cause), interpreted)


def reraised():
    try:
        1 / 0
    except ZeroDivisionError:
        call("Raise", NULL, NULL)


same(reraised, lambda: 1 / 0)
items = [object() for _ in range(3)]
counts = [sys.getrefcount(item) for item in items]
for _ in range(5):
    assert call("BuildTuple", *items) == tuple(items) and call("BuildList", *items) == items
    assert call("BuildSet", *items) == set(items) and call("BuildMap", *items, 1) == {items[0]: items[1], items[2]: 1}
    assert call("MakePair", items[0], items[1]) == (items[0], items[1])
    assert call("BuildSlice", 1, items[0]) == slice(1, items[0]) and call("BuildSlice", 1, 2, 3) == slice(1, 2, 3)
    x = [1]
    for _ in range(20):
        call("ListAppend", x, items[0])
    assert x == [1] + [items[0]] * 20
    s = set()
    call("SetAdd", s, items[0]), call("SetUpdate", s, items[1:])
    assert s == set(items)
    d = {}
    call("DictSet", d, items[0], items[1])
    assert d == {items[0]: items[1]}
    assert call("UnpackSequence", items, 3, outputs=3)[1:] == tuple(items)
    assert call("UnpackSequence", tuple(items), 3, outputs=3)[1:] == tuple(items)
    assert call("UnpackSequence", iter(items), 3, outputs=3)[1:] == tuple(items)
    assert call("UnpackEx", items, 1, 1, outputs=3)[1:] == (items[0], [items[1]], items[2])
    x = s = d = None
assert [sys.getrefcount(item) for item in items] == counts
assert call("BuildTuple") == () and call("BuildList") == [] and call("BuildSet") == set() and call("BuildMap") == {}
assert call("BuildString", "a", "bc", "") == "abc" and call("BuildString") == ""
same(lambda: call("BuildSet", 1, []), lambda: {1, []})
same(lambda: call("BuildMap", [], 1), lambda: {[]: 1})
same(lambda: call("SetAdd", set(), []), lambda: {*[1], *[[]]} and 0)
for value in ([3], 3, Items(), "ab"):
    x = [1]
    same(lambda: call("ListExtend", x, value) or 0, lambda: [*[1], *value] and 0)
    same(lambda: call("SetUpdate", {1}, value), lambda: {*[1], *value} and 0)


class Mapping:
    def keys(self):
        raise AttributeError("inside")


for value in ({"a": 1}, 3, [1], Mapping()):
    same(lambda: call("DictUpdate", {}, value), lambda: {**value} and 0)
    same(lambda: call("DictMerge", {}, value, target), lambda: target(**value) and 0)
    same(lambda: call("DictMerge", {"a": 3}, value, target), lambda: target(a=3, **value) and 0)
for value in ([1], [1, 2], [1, 2, 3], (1,), 3, iter([1, 2, 3]), "ab"):
    copy = list(value) if hasattr(value, "__next__") else value

    def unpack():
        a, b = copy
        return a, b

    def unpack_ex():
        a, *b, d = copy
        return a, b, d
    same(lambda: call("UnpackSequence", copy, 2, outputs=2)[1:], unpack)
    same(lambda: call("UnpackEx", copy, 1, 1, outputs=3)[1:], unpack_ex)
assert call("StrEqual", "ab", "a" + "b") == 1 and call("StrEqual", "ab", "ac") == 0
assert call("StrGet", "aé€", 0) == "a" and call("StrGet", "aé€", 1) == "é" and call("StrGet", "aé€", 2) == "€"
assert call("StrGet", "aé€", 1) is chr(233)
for value in ("aé€", {1: 2}, {1, 2}, b"abc", bytearray(b"ab")):
    assert call("BuiltinLength", value) == len(value)
for left in (7.5, -7.5, 0.0, -0.0, 1e300, float("inf"), nan):
    for right in (2.0, -2.0, 0.3, float("inf")):
        same(lambda: call("FloatRemainder", left, right), lambda: left % right)
        same(lambda: call("FloatFloorDivide", left, right), lambda: left // right)
assert call("MathUnary", 0.5, 0) == __import__("math").sin(0.5)

# -- with the frame
some_global = "global"


def names():
    here = probe.probe_frame()[0]
    assert call("LoadGlobal", "some_global", frame=here) == "global" and call("LoadGlobal", "len", frame=here) is len
    same(lambda: call("LoadGlobal", "no_such_name", frame=probe.probe_frame()[0]), lambda: no_such_name)  # noqa: F821
    call("StoreGlobal", "stored", 3, frame=here)
    assert stored == 3  # noqa: F821
    call("DeleteGlobal", "stored", frame=here)
    same(lambda: call("DeleteGlobal", "stored", frame=probe.probe_frame()[0]), lambda: exec("global stored; del stored", globals()))
    assert call("LoadFromDictOrGlobals", {"a": 1}, "a", frame=here) == 1
    assert call("LoadFromDictOrGlobals", {"a": 1}, "len", frame=here) is len
    same(lambda: call("LoadFromDictOrGlobals", {}, "no_such_name", frame=probe.probe_frame()[0]), lambda: no_such_name)  # noqa: F821
    assert call("LoadBuildClass", frame=here) is __build_class__
    assert call("ImportName", "os.path", ("join",), 0, frame=here) is __import__("os").path
    same(lambda: call("ImportName", "no_such_module", None, 0, frame=probe.probe_frame()[0]), lambda: __import__("no_such_module"))
    assert call("ImportFrom", sys, "version", frame=here) == sys.version

    def missing():
        from sys import no_such_name  # noqa: F401
    same(lambda: call("ImportFrom", sys, "no_such_name", frame=probe.probe_frame()[0]), missing)
    made = call("MakeFunction", names.__code__, frame=here)
    assert made.__code__ is names.__code__ and made.__globals__ is globals()
    defaults = (object(),)
    count = sys.getrefcount(defaults)
    call("SetFunctionAttribute", made, defaults, 1)
    assert sys.getrefcount(defaults) == count + 1
    del made
    assert sys.getrefcount(defaults) == count
    same(lambda: call("LoadLocals", frame=probe.probe_frame()[0]), lambda: (_ for _ in ()).throw(SystemError("no locals")))


names()


def unbound():
    def helper():
        call("RaiseUnboundLocal", 0, frame=probe.probe_frame()[0])
        late = 1
        return late

    def interpreted():
        if sys is None:
            late = 1
        return late
    same(helper, interpreted)

    def helper():
        call("RaiseUnboundCell", 0, frame=probe.probe_frame()[0])
        return lambda: late  # noqa: F821

    def interpreted():
        del late_cell
        return late_cell

    def outer():
        if sys is None:
            late = 1

        def cell_helper():
            call("RaiseUnboundCell", 0, frame=probe.probe_frame()[0])
            return late

        def cell():
            return late
        same(cell_helper, cell)
    outer()


unbound()
cell = call("MakeCell", 5)
assert cell.cell_contents == 5 and repr(call("MakeCell", NULL)).endswith("empty>")


def closure():
    value = "in the cell"

    def inner():
        value
        assert call("LoadClosureCell", 0, frame=probe.probe_frame()[0]).cell_contents == "in the cell"
        here = probe.probe_frame()[0]
        assert call("LoadFromDictOrDeref", {}, call("MakeCell", 7), 1, frame=here) == 7
        assert call("LoadFromDictOrDeref", {"value": 8}, call("MakeCell", 7), 1, frame=here) == 8
        same(lambda: call("LoadFromDictOrDeref", {}, call("MakeCell", NULL), 1, frame=here), unset)
    inner()


def unset():
    if sys is None:
        value = 1

    def inner():
        return value
    return inner()


closure()


class Body:
    here = probe.probe_frame()[0]
    a = 1
    assert call("LoadName", "a", frame=here) == 1 and call("LoadName", "some_global", frame=here) == "global"
    call("StoreName", "b", 2, frame=here)
    assert b == 2  # noqa: F821
    call("DeleteName", "b", frame=here)
    assert "b" not in locals() and call("LoadLocals", frame=here)["a"] == 1
    call("SetupAnnotations", frame=here)
    assert locals()["__annotations__"] == {}
    for name in ("LoadName", "DeleteName"):
        try:
            call(name, "no_such_name", frame=here)
        except NameError as error:
            assert str(error) == "name 'no_such_name' is not defined" and error.name == "no_such_name"
        else:
            raise AssertionError

print(f"{len(tested)} helpers agree on {sys.version.split()[0]}")
