"""`self.__class__` and `type(self)`: exact, of subclasses, overridden, changed, dying."""

import gc
import itertools
import weakref

from differential import compiled

NUMBERS = itertools.count()


class Base:
    LEVEL = 1

    def __init__(self):
        self.x = 3

    @classmethod
    def make(cls):
        return cls()

    def level(self):
        return self.__class__.LEVEL + self.x

    def is_base(self):
        return type(self) is Base, self.__class__ is Base, type(self).__name__

    def another(self):
        return type(self.__class__.make()).__name__

    def kept(self):
        kind = self.__class__
        return kind, type(self)


class Child(Base):
    LEVEL = 2


class Liar(Base):
    @property
    def __class__(self):
        return Child


class Hidden(Base):
    def __init__(self):
        self.x = 1
        self.__dict__["__class__"] = "hidden"


CLASSES = [Base, Child, Liar, Hidden]


def use(thing):
    return thing.level(), thing.is_base(), thing.another(), [kind.__name__ for kind in thing.kept()]


@compiled
def case_own_class():
    def run(kinds):
        return [use(kind()) for kind in kinds]

    seen = [run([Base] * 30)[-1]]
    for kind in CLASSES:
        seen.append(run([kind] * 30)[-1])
    return seen


def case_changed_between():
    def run(thing, change):
        first = thing.x, type(thing) is Base
        change(thing)
        return first, thing.__class__.LEVEL, type(thing) is Base, type(thing).LEVEL

    def stay(thing):
        pass

    def become_child(thing):
        thing.__class__ = Child

    seen = [[run(Base(), stay) for _ in range(30)][-1]]
    seen.append(run(Base(), become_child))
    Base.LEVEL = 7
    seen.append(run(Base(), stay))
    Base.LEVEL = 1
    return seen


@compiled
def case_class_that_only_its_instances_hold():
    def make():
        class Local:
            LEVEL = "local"

            def __init__(self):
                self.y = 1

        return Local()

    def run(thing, things):
        first = thing.y
        level = thing.__class__.LEVEL
        kind = type(thing)
        things.clear()
        thing = None
        gc.collect()
        return first, level, kind.LEVEL, kind.__name__

    seen = []
    for _ in range(12):
        thing = make()
        reference = weakref.ref(type(thing))
        things = [thing]
        thing = None
        seen.append(run(things[0], things))
        gc.collect()
        seen.append(reference() is None)
    return seen
