"""Functions and methods written in C, called past their wrappers; attributes of instances of classes written in C."""

import io
import struct
import sys
import traceback
import weakref
from collections import OrderedDict, deque
from itertools import count

from differential import compiled


def attempt(function, *arguments):
    try:
        return function(*arguments)
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def put(file, data):
    return file.write(data)


def look(file):
    return file.tell(), file.getvalue(), bool(file)


@compiled
def case_methods_of_files():
    found = []
    for i in range(60):
        file = io.BytesIO()
        put(file, b"abc")
        put(file, bytes([i]))
        found.append(look(file))
    return found[-3:]


def case_methods_that_instances_hide():
    file = io.BytesIO()
    for i in range(50):
        put(file, b"x")
    written = []
    file.write = written.append
    for i in range(3):
        put(file, b"y")
    del file.write
    # The dict stays, empty.
    put(file, b"z")
    file.note = 1
    put(file, b"w")
    return file.getvalue()[-4:], written


def case_other_classes_at_the_same_call():
    class Loud(io.BytesIO):
        def write(self, data):
            return super().write(data + b"!")

    class Quiet(io.BytesIO):
        pass

    class Own:
        def write(self, data):
            return len(data) * 100

        def tell(self):
            return -1

        def getvalue(self):
            return None

        def __len__(self):
            return 0

    files = [io.BytesIO(), Loud(), Quiet(), Own(), io.StringIO()]
    found = []
    for i in range(150):
        found.append(attempt(put, files[0 if i < 60 else i % 5], b"ab"))
        found.append(attempt(look, files[0 if i < 60 else i % 5]))
    return found[-20:]


def case_methods_replaced():
    class Own(io.BytesIO):
        pass

    file = Own()
    found = [put(file, b"a") for _ in range(50)]
    Own.write = lambda self, data: "replaced"
    found += [put(file, b"a") for _ in range(5)]
    del Own.write
    found += [put(file, b"a") for _ in range(5)]
    file.__class__ = type("Other", (io.BytesIO,), {"write": lambda self, data: "other"})
    found += [put(file, b"a") for _ in range(5)]
    return found[-17:]


def pack_all(values):
    return [struct.pack("<i", value) for value in values]


def case_errors_of_functions():
    found = []
    for values in [range(40), [1, "x"], [2**40], [None], [True, 1.5]]:
        try:
            found.append(pack_all(values)[-1])
        except Exception:
            found.append(traceback.format_exc())
    return found


def wrong_counts(file, values):
    calls = (lambda: file.write(), lambda: file.write(1, 2), lambda: file.tell(1), lambda: file.read(1, 2),
             lambda: values.append(), lambda: len(), lambda: len(values, values), lambda: id(1, 2), lambda: ord("ab"))
    return [attempt(call) for call in calls]


def case_wrong_counts():
    return [wrong_counts(io.BytesIO(), [1]) for _ in range(6)][-1]


class Bad:
    def __index__(self):
        raise ValueError("index")

    def __len__(self):
        raise KeyError("length")


class Looks:
    def __index__(self):
        frame = sys._getframe(1)
        self.seen = frame.f_code.co_name, sorted(frame.f_locals), frame.f_lineno - frame.f_code.co_firstlineno
        return 2


def read(file, size):
    before = size
    file.seek(0)
    return file.read(size), before is size


@compiled
def case_python_code_in_c_functions():
    file = io.BytesIO(b"abcdef")
    for _ in range(40):
        read(file, 3)
    looks = Looks()
    found = [read(file, looks)[0], looks.seen]
    for size in (Bad(), 2.0, "x", 2**70, -1, None, True):
        try:
            found.append(read(file, size)[0])
        except Exception:
            found.append(traceback.format_exc())
    return found


def case_arguments_die_in_time():
    class Item:
        pass

    def keep(items, item):
        items.append(item)
        return items

    def died(items):
        item = Item()
        reference = weakref.ref(item)
        items.append(item)
        del item
        alive = reference() is not None
        items.clear()
        return alive, reference() is None

    values = deque()
    return [died(values) for _ in range(30)][-1], [died([]) for _ in range(30)][-1], len(keep(deque(), 1))


def truths(values):
    return [bool(value) for value in values], [1 if value else 0 for value in values], [not value for value in values]


@compiled
def case_truth():
    class Never:
        def __bool__(self):
            return False

    class Counted:
        def __len__(self):
            return 0

    class Plain:
        pass

    found = []
    for group in ([b"", b"x"], [bytearray(), bytearray(b"x")], [io.BytesIO(), None], [(), (1,)], [{}, {1: 2}], [set(), {1}],
                  [Plain(), None, Plain()], [Never(), Counted(), Plain(), None, 1, "", frozenset(), 2.0, 0.0]):
        for _ in range(30):
            last = truths(group)
        found.append(last)
    return found


def lengths(values):
    return [len(value) for value in values]


@compiled
def case_lengths():
    found = []
    for group in ([b"", b"xy"], ["ä", "abc"], [{}, {1: 2}], [set(), {1}], [frozenset([1, 2])], [bytearray(3)], [(), [1]],
                  [deque([1]), OrderedDict(a=1), range(5), [1], b"x"]):
        for _ in range(30):
            last = lengths(group)
        found.append(last)
    return found, attempt(lengths, [3]), attempt(lengths, [Bad()]), attempt(lengths, [None])


class Asks(type):
    asked = 0

    def __instancecheck__(cls, instance):
        Asks.asked += 1
        return instance == 3


class Asked(metaclass=Asks):
    pass


KINDS = (bytes, bytearray)
MIXED = (Asked, int)


def kinds(values):
    return [isinstance(value, KINDS) for value in values], [isinstance(value, MIXED) for value in values]


def case_several_classes_asked_for():
    found = []
    for values in ([b"x", b""], [bytearray()], ["x", b"x"], [1, 2, 3], [None, 3.0], [type("B", (bytes,), {})(b"x")]):
        Asks.asked = 0
        for _ in range(30):
            last = kinds(values)
        found.append((last, Asks.asked))
    return found


def deep(function, depth):
    return function(depth) if depth == 0 else deep(function, depth - 1)


def sort_by(items, key):
    items.sort(key=key)
    return items


@compiled
def case_other_conventions():
    numbers = count(5)
    found = []
    for i in range(40):
        text = "a,b" if i % 2 else "c,d,e"
        last = (text.split(","), text.encode("utf-8", "strict"), text.replace(",", ";"), text.partition(","),
                int.from_bytes(b"\1\2", "big"), (5).to_bytes(2, "little"), {}.fromkeys("ab"), dict.fromkeys([1], 2),
                sort_by([3, 1, 2], lambda x: -x), max(1, 2, 3), min([4, 3]), round(2.5), divmod(7, 2), pow(2, 5, 7),
                getattr(text, "nothing", None), hasattr(text, "split"), next(numbers), deep(repr, 3), str.maketrans("a", "b"),
                bytes.fromhex("ff"), sys.intern("x"), callable(text), chr(66), hex(i), iter([i]).__length_hint__())
        found.append(last)
    return found[-2:]


def quiet_ones(text, number, data):
    file = io.BytesIO()
    file.write(b"abc")
    place = file.tell()
    if number > 3:
        file.close()
    try:
        written = file.write(b"de")
    except ValueError as error:
        written = str(error)
    return (place, written, text.split(","), text.strip(), text.replace("a", "b"), ord("x"), chr(65 + number), id(text) == id(text),
            text.startswith("a"), struct.pack("<Bi", number, 70000), (number + 5).bit_length(), text.partition(","), data[:1])


def overflows(number):
    before = "local"
    return struct.pack("<B", 250 + number), before


@compiled
def case_functions_that_run_no_python_code():
    found = [quiet_ones("a,b ", i % 5, b"data") for i in range(60)][-5:]
    for number in (5, 6, 2**70):
        try:
            found.append(overflows(number))
        except Exception:
            found.append(traceback.format_exc())
    for number in (-70, 2**40):
        found.append(attempt(quiet_ones, "x", number, b"y"))
    return found
