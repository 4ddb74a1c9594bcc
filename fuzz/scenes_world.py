"""The world of the programs that `scenes` makes, and what may happen in it."""

from __future__ import annotations

PRELUDE = '''\
import gc, math, sys

LOG = []
sys.unraisablehook = lambda lost: LOG.append(("lost", type(lost.exc_value).__name__, str(lost.exc_value)))
G0 = 5
G1 = 2.5
KEPT = []
TICKS = 0
FUEL = 3000
PLAN = {}

class Shape:
    limit = 3
    bias = 0.5
    def __init__(self, x, w=1.5):
        self.x = x
        self.w = w
    def get(self, k):
        return self.x + k
    def grow(self, by=1):
        self.x = (self.x + by) % 1000
        return self
    def scale(self, by):
        self.w *= by
        return self.w
    @property
    def area(self):
        return self.w * 2.0
    @classmethod
    def make(cls, x):
        return cls(x)
    @staticmethod
    def twice(k):
        return k + k
    def walk(self, n):
        for i in range(n):
            yield self.x + i
    def __call__(self, k):
        return k + self.limit
    def __repr__(self):
        return f"{type(self).__name__}({self.x!r}, {self.w!r})"

class Square(Shape):
    limit = 4
    def get(self, k):
        return super().get(k) + 1
    @property
    def area(self):
        return super().area + self.w
    def __add__(self, other):
        return Square(self.x + getattr(other, "x", other), self.w)
    def __eq__(self, other):
        return isinstance(other, Shape) and self.x == other.x
    def __hash__(self):
        return 7

class Circle(Shape):
    bias = 0.25
    def __init__(self, x, w=2.5):
        self.name = "c"
        super().__init__(x, w)
    def get(self, k):
        if k > 5:
            raise ValueError(k)
        return self.x * 2 - k
    def __iter__(self):
        yield self.x
        yield from range(3)
    def __len__(self):
        return 2

class Mixin:
    def get(self, k):
        return super().get(k) * 3
    def scale(self, by):
        try:
            return super().scale(by)
        finally:
            LOG.append("scaled") if len(LOG) < 9 else None

class Both(Mixin, Square):
    def grow(self, by=2):
        return super().grow(by + 1)
    def walk(self, n):
        yield from super().walk(n)
        yield -1

class Slotted:
    __slots__ = ("x", "w")
    limit = 8
    bias = 1.25
    def __init__(self, x, w=0.5):
        self.x = x
        self.w = w
    def get(self, k):
        return k - self.x
    def grow(self, by=1):
        self.x += 1
        return self
    def scale(self, by):
        self.w = self.w * by
        return by
    area = property(lambda self: self.w + 1.0)
    @classmethod
    def make(cls, x):
        return cls(x, 1.0)
    twice = staticmethod(lambda k: 2 * k)
    def walk(self, n):
        return iter(range(n))
    def __call__(self, k):
        return k * 2
    def __bool__(self):
        return self.x % 2 == 0
    def __repr__(self):
        return f"Slotted({self.x!r})"

class Lazy(Shape):
    def __getattr__(self, name):
        if name == "area2":
            return 4.5
        raise AttributeError(name)
    def __lt__(self, other):
        return self.x < other.x
    def __getitem__(self, i):
        if i > 3:
            raise IndexError(i)
        return self.x + i

class Noisy:
    def __init__(self, name):
        self.name = name
    def __del__(self):
        LOG.append(("del", self.name))

class Manager:
    def __init__(self, swallow):
        self.swallow = swallow
    def __enter__(self):
        return self
    def __exit__(self, kind, error, trace):
        LOG.append(kind and kind.__name__)
        return self.swallow and kind is not None and issubclass(kind, Exception)

class Stop(Exception):
    pass

CLASSES = [Shape, Square, Circle, Both, Slotted, Lazy]
OBJECT = Shape(3)
OTHER = Square(4, 2.0)
NUMBERS = [3, 1, 4, 1, 5]
FLOATS = [0.5, 1.5, 2.5]
TABLE = {"a": 1, "b": 2, "c": 3}
GUESTS = [object(), object(), Shape(1), "-".join(["a", "text"]), tuple([1, "x"]), [1]]

def inc(k, by=1):
    return k + by

def dec(k, by=2):
    return k - by

def pick(k, *, of=3):
    return k % of

def count(n):
    for i in range(n):
        yield i

def guarded(n, names=()):
    try:
        for i in range(n):
            try:
                yield i * 2
            except KeyError:
                yield -5
    finally:
        LOG.append(("closed", n))

def chained(n):
    got = yield from guarded(n)
    yield n
    return got

def talk(n):
    total = 0
    while n > 0:
        try:
            got = yield total
        except Stop as error:
            total += 100
            continue
        total += got if got is not None else 1
        n -= 1
    return total

def tick(x=0):
    global TICKS, FUEL
    TICKS += 1
    FUEL -= 1
    if FUEL < 0:
        raise Stop("fuel")
    action = PLAN.get(TICKS)
    if action is not None:
        action()
    return x

def raise_stop():
    raise Stop(TICKS)

def look():
    frame = sys._getframe(2)
    LOG.append((frame.f_code.co_name, frame.f_lineno, sorted(frame.f_locals)[:5], [type(v).__name__ for _, v in sorted(frame.f_locals.items())][:5]))

def write(name, value):
    def action():
        frame = sys._getframe(2)
        if name in frame.f_locals:
            frame.f_locals[name] = value
    return action

def become(thing, kind):
    def action():
        try:
            thing.__class__ = kind
        except TypeError as error:
            LOG.append(str(error))
    return action

def poke(method, *arguments):
    def action():
        if KEPT:
            try:
                LOG.append(("poked", show(getattr(KEPT[-1], method)(*arguments))))
            except BaseException as error:
                LOG.append(("poked", type(error).__name__, str(error)))
    return action

def patch(where, name, value):
    def action():
        setattr(where, name, value)
    return action

def unpatch(where, name):
    def action():
        if name in vars(where):
            delattr(where, name)
    return action

def bind(name, value):
    def action():
        globals()[name] = value
    return action

def unbind(name):
    def action():
        globals().pop(name, None)
    return action

def profile():
    def seen(frame, event, argument):
        if len(LOG) < 40:
            LOG.append((event, frame.f_code.co_name))
    sys.setprofile(None if sys.getprofile() else seen)

def trace():
    def seen(frame, event, argument):
        if len(LOG) < 40:
            LOG.append((event, frame.f_code.co_name, frame.f_lineno))
        return seen
    sys.settrace(None if sys.gettrace() else seen)

def keep(x):
    KEPT.append(x)
    del KEPT[:-3]
    return x

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

def attempt(name, function, arguments=lambda: ()):
    global FUEL
    FUEL = 3000
    try:
        result = function(*arguments())
        print(name, show(result))
    except RecursionError:
        print(name, "RecursionError")
    except Exception as error:
        trail, lines = error.__traceback__.tb_next, []
        while trail:
            lines.append(f"{trail.tb_frame.f_code.co_name}:{trail.tb_lineno}:{trail.tb_lasti}")
            trail = trail.tb_next
        print(name, type(error).__name__, error, lines, repr(error.__context__), repr(error.__cause__))
        del trail, error
    sys.settrace(None)
    sys.setprofile(None)
    if LOG:
        print(LOG)
        LOG.clear()

def consume(name, make, script):
    """Drives a generator by a script of what is done to it."""
    def run():
        it, said = make(), []
        for what in script:
            try:
                if what == "drop":
                    it = make()
                elif what == "for":
                    for item in it:
                        said.append(item)
                        if len(said) % 3 == 0:
                            break
                elif what == "list":
                    said.append(list(it))
                elif what == "sum":
                    said.append(sum(it))
                elif what == "next":
                    said.append(next(it, "end"))
                elif what == "send":
                    said.append(it.send(7))
                elif what == "throw":
                    said.append(it.throw(KeyError("thrown")))
                elif what == "stop":
                    said.append(it.throw(Stop))
                elif what == "close":
                    said.append(it.close())
                elif what == "keep":
                    keep(it)
                elif what == "frame":
                    said.append(it.gi_frame and (it.gi_frame.f_lineno, sorted(it.gi_frame.f_locals)[:6]))
            except Exception as error:
                said.append((what, type(error).__name__, str(error), repr(error.__context__)))
        return said
    attempt(name, run)

BEFORE = list(map(sys.getrefcount, GUESTS))

def finish():
    PLAN.clear()
    KEPT.clear()
    gc.collect()
    print(LOG)
    alive = {}
    for thing in gc.get_objects():
        name = type(thing).__name__
        if name in ("Shape", "Square", "Circle", "Both", "Lazy", "Noisy", "Manager", "generator", "frame", "traceback", "Stop"):
            alive[name] = alive.get(name, 0) + 1
    print(sorted(alive.items()))
    # By C code: compiled code may hold fewer references while it looks.
    AFTER = list(map(sys.getrefcount, GUESTS))
    print([after - before for after, before in zip(AFTER, BEFORE)])
'''

ACTIONS = [
    ("patch(Square, 'get', lambda self, k: k * 2)", 2), ("patch(Shape, 'get', lambda self, k: self.x - k)", 2), ("unpatch(Square, 'get')", 2),
    ("patch(Circle, 'area', property(lambda self: 3.25))", 2), ("unpatch(Square, 'area')", 1), ("patch(Shape, 'limit', 11)", 2),
    ("patch(Shape, 'limit', 'text')", 1), ("patch(Both, 'limit', 1)", 1), ("patch(Slotted, '__bool__', lambda self: True)", 1),
    ("patch(Shape, '__getattribute__', lambda self, name: object.__getattribute__(self, name))", 1), ("unpatch(Shape, '__getattribute__')", 1),
    ("patch(Shape, '__del__', lambda self: LOG.append('gone') if len(LOG) < 30 else None)", 1), ("unpatch(Shape, '__del__')", 1),
    ("become(OBJECT, Square)", 2), ("become(OBJECT, Circle)", 1), ("become(OBJECT, Both)", 1), ("become(OTHER, Lazy)", 1), ("become(OTHER, Slotted)", 1),
    ("bind('inc', dec)", 2), ("bind('inc', lambda k, by=0: k + 10)", 2), ("bind('inc', OBJECT)", 1), ("bind('inc', OBJECT.get)", 1), ("bind('inc', abs)", 1),
    ("patch(inc, '__code__', dec.__code__)", 2), ("patch(inc, '__defaults__', (9,))", 2), ("patch(pick, '__kwdefaults__', {'of': 4})", 1),
    ("bind('len', lambda x: 42)", 1), ("unbind('len')", 1), ("bind('sum', lambda x, *more: -1)", 1), ("unbind('sum')", 1), ("bind('range', lambda *x: (1, 2))", 1),
    ("unbind('range')", 1), ("bind('any', lambda x: 'any')", 1), ("unbind('any')", 1), ("bind('isinstance', lambda a, b: True)", 1), ("unbind('isinstance')", 1),
    ("bind('G0', 7)", 2), ("bind('G0', 1.5)", 1), ("bind('G0', 'global')", 1), ("bind('G1', 3)", 1), ("unbind('G1')", 1), ("bind('count', guarded)", 1),
    ("gc.collect", 2), ("raise_stop", 6), ("look", 4), ("trace", 1), ("profile", 1),
    ("write('n', 2)", 1), ("write('i', 40)", 1), ("write('a', 3)", 2), ("write('u', 1.25)", 2), ("write('o', OTHER)", 1), ("write('it', None)", 1),
    ("lambda: NUMBERS[9:] or NUMBERS.append(9)", 2), ("NUMBERS.clear", 1), ("lambda: NUMBERS[9:] or NUMBERS.extend([1, 2])", 1), ("lambda: NUMBERS[9:] or NUMBERS.append(2.5)", 1), ("lambda: NUMBERS.pop() if NUMBERS else 0", 2),
    ("lambda: FLOATS[9:] or FLOATS.append(1)", 1), ("lambda: FLOATS[9:] or FLOATS.append(3.5)", 1), ("lambda: TABLE.update(z=4)", 2), ("lambda: TABLE.pop('a', 0)", 1), ("lambda: TABLE.update(a=1.5)", 1),
    ("lambda: setattr(OBJECT, 'x', 2.5)", 1), ("lambda: setattr(OBJECT, 'x', 'str')", 1), ("lambda: vars(OBJECT).pop('w', 0)", 1), ("lambda: setattr(OBJECT, 'extra', 1)", 1),
    ("lambda: vars(OBJECT)", 1), ("lambda: setattr(OBJECT, '__dict__', {'x': 6, 'w': 0.5})", 1), ("lambda: setattr(OBJECT, 'get', lambda k: 77)", 1), ("lambda: setattr(OBJECT, 'w', 1)", 1),
    ("poke('__next__')", 3), ("poke('close')", 2), ("poke('throw', Stop)", 2), ("poke('throw', KeyError)", 1), ("poke('send', 5)", 1), ("KEPT.clear", 2),
]
