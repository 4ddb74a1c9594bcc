"""Calls of every form; functions, closures, classes, methods, descriptors."""

import functools
import traceback

from differential import compiled


def attempt(function, *arguments, **named):
    try:
        return function(*arguments, **named)
    except TypeError as error:
        return f"TypeError: {error}"


def plain(a, b):
    return a, b


def defaults(a, b=2, c=(3,)):
    return a, b, c


def keyword_only(a, *, b, c=3):
    return a, b, c


def positional_only(a, b=2, /, c=3):
    return a, b, c


def starred(a, *rest, b=1, **named):
    return a, rest, b, sorted(named.items())


def collected(*rest, **named):
    return rest, named


@compiled
def case_argument_forms():
    seen = []
    for i in range(4):
        seen.append(plain(i, 2))
        seen.append(plain(b=i, a=2))
        seen.append(plain(i, b=5))
        seen.append(defaults(i))
        seen.append(defaults(i, c=1))
        seen.append(defaults(i, 5, 6))
        seen.append(keyword_only(i, b=2))
        seen.append(keyword_only(i, c=7, b=2))
        seen.append(positional_only(i, 5))
        seen.append(positional_only(i, c=9))
        seen.append(starred(i))
        seen.append(starred(i, 1, 2, x=3, b=4))
        seen.append(collected())
        seen.append(collected(1, x=i))
        seen.append(plain(*[i, 3]))
        seen.append(plain(*(i, 3)))
        seen.append(plain(**{"a": 1, "b": i}))
        seen.append(starred(*range(i + 1), **{"y": i}))
        seen.append(starred(i, *[1, 2], b=3, **{"z": 1}))
        seen.append(collected(*[1], 2, *[3], k=1, **{"m": 2}))
    return seen


def case_wrong_arguments():
    seen = []
    for _ in range(3):
        seen.append(attempt(plain))
        seen.append(attempt(plain, 1))
        seen.append(attempt(plain, 1, 2, 3))
        seen.append(attempt(plain, 1, c=3))
        seen.append(attempt(plain, 1, a=3))
        seen.append(attempt(keyword_only, 1, 2))
        seen.append(attempt(keyword_only, 1))
        seen.append(attempt(positional_only, a=1))
        seen.append(attempt(starred))
        seen.append(attempt(plain, *[1], **{"b": 2, "c": 3}))
        seen.append(attempt(lambda: plain(*5)))
        seen.append(attempt(lambda: plain(**5)))
        seen.append(attempt(lambda: plain(1, **{"a": 1})))
        seen.append(attempt(lambda: plain(**{"a": 1}, **{"a": 2})))
        seen.append(attempt(5))
        seen.append(attempt(None, 1))
    return seen


def case_wrong_arguments_traceback():
    def run(n):
        if n == 3:
            return plain(n)
        return plain(n, n)

    print([run(n) for n in range(3)])
    return run(3)


class Base:
    kind = "base"

    def __init__(self, value=0):
        self.value = value

    def method(self, a, b=2):
        return type(self).__name__, self.value, a, b

    def over(self):
        return "Base.over"

    @classmethod
    def made(cls, value):
        return cls(value)

    @staticmethod
    def static(a):
        return ("static", a)

    @property
    def double(self):
        return self.value * 2

    @double.setter
    def double(self, value):
        self.value = value // 2

    @functools.cached_property
    def cached(self):
        return [self.value]

    def __call__(self, *arguments):
        return self.value, arguments

    def __repr__(self):
        return f"{type(self).__name__}({self.value})"


class Child(Base):
    def __init__(self, value=0):
        super().__init__(value)
        self.extra = value

    def over(self):
        return "Child." + super().over()

    @classmethod
    def made(cls, value):
        return super().made(value + 1)

    @property
    def double(self):
        return super().double + 1


@compiled
def case_methods():
    seen = []
    for i in range(5):
        for kind in (Base, Child):
            thing = kind(i)
            seen.append(thing.method(1))
            seen.append(thing.method(1, b=i))
            seen.append(thing.over())
            seen.append(kind.made(i))
            seen.append(thing.made(i))
            seen.append(thing.static(i))
            seen.append(kind.static(i))
            seen.append(thing.double)
            seen.append(thing.cached)
            seen.append(thing(1, 2))
            bound = thing.method
            seen.append(bound(i))
            seen.append(kind.method(thing, i))
            seen.append(thing.kind)
    return seen


def case_property_setter():
    seen = []
    for i in range(4):
        base = Base(i)
        base.double = 10 + i
        seen.append(base.value)
    child = Child(1)
    try:
        child.double = 5
    except AttributeError as error:
        seen.append(str(error))
    return seen


def overs(thing):
    return thing.over()


def case_polymorphic_methods():
    class Third:
        def over(self):
            return "Third"

    class Instance:
        def __init__(self):
            self.over = lambda: "instance"

    things = [Base(), Base(), Child(), Base(), Third(), Instance(), Child(), Third(), Base()]
    seen = [overs(thing) for thing in things * 3]
    compiled(overs)
    return seen


@compiled
def case_closures():
    def counter():
        count = 0

        def step(by=1):
            nonlocal count
            count += by
            return count

        return step

    first, second = counter(), counter()
    seen = []
    for i in range(6):
        seen.append((first(), second(i), first(2)))
    return seen


@compiled
def case_cells_shared():
    functions = []
    total = 0
    for i in range(4):
        def add(n, i=i):
            nonlocal total
            total += n * i
            return total
        functions.append(add)
    return [function(2) for function in functions for _ in range(2)], total


def case_cell_deleted():
    def run(n):
        x = 1

        def inner():
            return x

        if n:
            del x
        return inner()

    print(run(0), run(0), run(0))
    return run(1)


@compiled
def case_lambdas():
    seen = []
    double = lambda x: x * 2
    for i in range(5):
        seen.append(double(i))
        seen.append((lambda a, b=i: a + b)(1))
        seen.append(list(map(lambda x: x + i, [1, 2])))
    return seen


def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)


def ackermann(m, n):
    if m == 0:
        return n + 1
    if n == 0:
        return ackermann(m - 1, 1)
    return ackermann(m - 1, ackermann(m, n - 1))


@compiled
def case_recursion():
    compiled(fib)
    return fib(12), ackermann(2, 3)


def even(n):
    return True if n == 0 else odd(n - 1)


def odd(n):
    return False if n == 0 else even(n - 1)


@compiled
def case_mutual_recursion():
    return [even(n) for n in range(10)], odd(50)


def doubled(function):
    @functools.wraps(function)
    def wrapper(*arguments, **named):
        return function(*arguments, **named) * 2

    return wrapper


@doubled
def decorated(a, b=3):
    return a + b


@compiled
def case_decorators():
    return [decorated(i, b=i) for i in range(5)], decorated(1)


@compiled
def case_builtins():
    seen = []
    for i in range(1, 5):
        seen.append((len([i]), abs(-i), max(i, 2), min([i, 2]), sum([i, 1]), sorted([3, i]), isinstance(i, int),
                     isinstance(i, (str, float)), issubclass(bool, int), str(i), repr(i), int("7"), float(i), list((i,)),
                     tuple([i]), bool(i), ord("a"), chr(97 + i), divmod(7, i), pow(2, i), pow(3, i, 5), round(2.567, i),
                     hash(i), id(i) == id(i), callable(len), type(i).__name__, getattr(i, "real"), getattr(i, "nope", 0),
                     hasattr(i, "real"), list(range(i)), all([i]), any([]), hex(i), bin(i), "x".join(["a"] * i),
                     set([i]), dict(a=i), complex(i), next(iter([i])), list(zip([1], [i])), bytes(i), slice(i).stop))
    return seen


def case_builtin_errors():
    seen = []
    for function, arguments in [(len, (5,)), (abs, ("x",)), (max, ([],)), (sum, (["a"],)), (isinstance, (1, 2)), (int, ("x",)),
                                (ord, ("ab",)), (chr, (-1,)), (next, (iter([]),)), (getattr, (1, "nope")), (range, (1, 2, 0)),
                                (len, ()), (len, (1, 2)), (divmod, (1, 0)), (pow, (2, -1, 0))]:
        for _ in range(2):
            try:
                seen.append(function(*arguments))
            except Exception as error:
                seen.append(f"{type(error).__name__}: {error}")
    return seen


def case_super_forms():
    class A:
        def name(self):
            return "A"

        @property
        def prop(self):
            return 1

    class B(A):
        def name(self):
            return "B" + super().name()

        @property
        def prop(self):
            return super().prop + 1

    class C(B):
        def name(self):
            return "C" + super(C, self).name()

        def missing(self):
            return super().nothing

        @property
        def prop(self):
            return super().prop + 1

    c = C()
    print([c.name() + str(c.prop) for _ in range(4)])
    return c.missing()


def case_slots():
    class Slotted:
        __slots__ = ("x", "y")

        def __init__(self, x):
            self.x = x

        def step(self):
            self.x += 1
            return self.x

    thing = Slotted(1)
    print([thing.step() for _ in range(5)])
    return thing.y


def case_getattr_hooks():
    class Hooked:
        def __init__(self):
            self.log = []

        def __getattr__(self, name):
            return f"hooked {name}"

        def __setattr__(self, name, value):
            object.__setattr__(self, name, value)
            if name != "log":
                self.log.append(name)

        def __delattr__(self, name):
            self.log.append(f"del {name}")
            object.__delattr__(self, name)

    def run(thing, i):
        thing.x = i
        del thing.x
        thing.x = i
        return thing.x, thing.nothing

    thing = Hooked()
    return [run(thing, i) for i in range(4)], thing.log


def case_getattribute():
    class Strange:
        def __getattribute__(self, name):
            if name == "bad":
                raise AttributeError("strange")
            return name

    def run(thing):
        return thing.anything, thing.real

    print([run(Strange()) if i % 2 else run(Base(i).value.__class__ and Strange()) for i in range(4)])
    return Strange().bad


def case_descriptors():
    class Data:
        def __get__(self, instance, owner):
            return ("get", instance is None)

        def __set__(self, instance, value):
            instance.__dict__["log"] = value

    class Plain:
        def __get__(self, instance, owner):
            return "plain"

    class Holder:
        data = Data()
        plain = Plain()

    def run(holder, i):
        holder.data = i
        before = holder.plain
        holder.plain = "own"
        after = holder.plain
        del holder.plain
        return holder.data, before, after, holder.log, Holder.data

    return [run(Holder(), i) for i in range(4)]


def case_class_bodies():
    def make(n):
        class Made:
            x = n
            y = [i * 2 for i in range(x)]

            def method(self):
                return self.x, __class__.__name__

            class Inner:
                z = n + 1

        return Made

    seen = []
    for i in range(4):
        made = make(i)
        seen.append((made.x, made.y, made().method(), made.Inner.z, made.__qualname__))
    return seen


def case_metaclass():
    class Meta(type):
        def __call__(cls, *arguments):
            return ("made", super().__call__(*arguments).v)

        @property
        def flag(cls):
            return "flag"

    class Thing(metaclass=Meta):
        def __init__(self, v):
            self.v = v

        def __init_subclass__(cls, **named):
            cls.named = named

    class Sub(Thing, option=3):
        pass

    return [(Thing(i), Sub(i), Sub.named, Thing.flag) for i in range(4)]


def case_new():
    class Single:
        made = 0

        def __new__(cls, *arguments):
            cls.made += 1
            return super().__new__(cls)

        def __init__(self, x):
            self.x = x

    class Other:
        def __new__(cls):
            return 5

    def run(i):
        return Single(i).x, Other()

    return [run(i) for i in range(4)], Single.made


def case_init_fails():
    class Thing:
        def __init__(self, n):
            self.n = 10 // n

    class Wrong:
        def __init__(self, n):
            return n

    def run(n):
        return Thing(n).n

    print(run(1), run(2), run(3))
    print(attempt(Wrong, None) is not None, attempt(Wrong, 3))
    return run(0)


def case_partial_and_methods_as_values():
    seen = []
    add = functools.partial(plain, 1)
    append = seen.append
    upper = str.upper
    for i in range(4):
        append(add(i))
        append(upper("x"))
        append(functools.reduce(lambda a, b: a + b, [1, 2, i]))
        append([].append(i))
        append("a-b".split("-", 1))
        append("{} {x}".format(i, x=2))
    return seen


def nothing():
    pass


def case_call_result_types():
    return [nothing() for _ in range(4)]


def many(a, b, c, d, e, f, g, h, i, j, k, l):
    return a + b * c - d + e * f - g + h * i - j + k * l


@compiled
def case_many_arguments():
    compiled(many)
    return [many(n, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, n) for n in range(5)]


def case_generators():
    def counted(n):
        received = 0
        for i in range(n):
            sent = yield i + received
            if sent:
                received += sent
        return "end"

    def delegating(n):
        result = yield from counted(n)
        yield result

    seen = []
    for _ in range(4):
        seen.append(list(delegating(3)))
        generator = counted(5)
        next(generator)
        seen.append(generator.send(10))
        try:
            generator.throw(ValueError("thrown"))
        except ValueError:
            seen.append(len(traceback.format_exc().splitlines()))
        generator.close()
    return seen


def case_coroutines():
    async def inner(n):
        return n + 1

    async def outer(n):
        total = 0
        for i in range(n):
            total += await inner(i)
        return total

    def run(coroutine):
        try:
            coroutine.send(None)
        except StopIteration as stop:
            return stop.value

    return [run(outer(n)) for n in range(5)]
