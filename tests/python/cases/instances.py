"""isinstance: exact classes, subclasses, classes with opinions of their own, objects that lie."""

import abc
import numbers

from differential import compiled


class Base:
    def __init__(self, x=1):
        self.x = x


class Child(Base):
    pass


class Meta(type):
    def __instancecheck__(cls, instance):
        return ("asked", cls.__name__)[0] == "asked" and not isinstance(instance, str)


class Opinionated(metaclass=Meta):
    pass


class Sub(Opinionated):
    pass


class Raising(type):
    def __instancecheck__(cls, instance):
        raise ValueError("no opinion")


class Refuses(metaclass=Raising):
    pass


class Liar:
    @property
    def __class__(self):
        return Base


class Sized(abc.ABC):
    @classmethod
    def __subclasshook__(cls, other):
        return hasattr(other, "__len__")


class MyInt(int):
    pass


VALUES = [1, True, 1 << 70, 1.5, "a", b"b", [1], (1,), {1: 2}, {1}, None, MyInt(3), Base(), Child(), Opinionated(), Sub(),
          Refuses(), Liar(), int, Base]


def is_int(x):
    return isinstance(x, int)


def is_bool(x):
    return isinstance(x, bool)


def is_float(x):
    return 1 if isinstance(x, float) else 2


def is_str(x):
    if isinstance(x, str):
        return x + "!"
    return x


def is_list(x):
    return isinstance(x, list) and len(x)


def is_base(x):
    if isinstance(x, Base):
        return x.x if hasattr(x, "x") else "no x"
    return isinstance(x, object)


def is_opinionated(x):
    return isinstance(x, Opinionated)


def is_refused(x):
    try:
        return isinstance(x, Refuses)
    except ValueError as error:
        return str(error)


def is_sized(x):
    return isinstance(x, Sized), isinstance(x, numbers.Number), isinstance(x, (int, str)), isinstance(x, int | str)


def exact(x):
    y = x + 1
    return isinstance(y, int), isinstance(y, float), isinstance(y == 2, int)


@compiled
def case_isinstance():
    seen = []
    for function in [is_int, is_bool, is_float, is_str, is_list, is_base, is_opinionated, is_refused, is_sized]:
        for _ in range(25):
            results = [function(value) for value in VALUES]
        seen.append(results[:-2])
    for value in [1, 2.5, True, 1 << 64] * 5:
        seen.append(exact(value))
    return [str(each).split(" object at")[0] for each in seen]


@compiled
def case_class_rebound():
    class Own:
        pass

    def check(x):
        return isinstance(x, Own)

    first = Own()
    seen = [check(first) for _ in range(30)][-1:]
    other = Own

    class Own:
        pass

    seen += [check(first), check(Own()), check(other())]
    first.__class__ = Own
    seen.append(check(first))
    return seen


@compiled
def case_noted_classes():
    """Classes that an earlier version met: subclasses and strangers, until they change."""

    class Top:
        pass

    class Middle(Top):
        pass

    class Bottom(Middle):
        pass

    class Stranger:
        pass

    class Changed(Stranger):
        pass

    def is_top(x):
        return isinstance(x, Top)

    seen = []
    for kind in [Bottom, Stranger, Changed, int, Bottom, Changed]:
        thing = kind()
        seen.append([is_top(thing) for _ in range(40)][-1])
    things = [Bottom(), Changed(), Stranger()]
    Changed.__bases__ = (Top,)
    seen.append([is_top(thing) for thing in things])
    Bottom.__bases__ = (Stranger,)
    seen.append([is_top(thing) for thing in things])
    Stranger.__class__ = property(lambda self: Top)
    seen.append([is_top(thing) for thing in things * 10])
    del Stranger.__class__
    seen.append([is_top(thing) for thing in things * 10])
    return seen


def bad(x, y):
    return isinstance(x, y)


@compiled
def case_errors():
    for _ in range(30):
        bad(1, int)
    seen = []
    for kind in [3, (int, 3), None, [int]]:
        try:
            seen.append(bad("a", kind))
        except TypeError as error:
            seen.append(str(error))
    return seen
