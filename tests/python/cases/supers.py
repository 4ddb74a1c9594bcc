"""super() and super(Class, self) with one class and with several, and in the wrong place."""

from differential import compiled, new_caller


class Root:
    def __init__(self, x):
        self.x = x

    def name(self, suffix):
        return f"root{self.x}{suffix}"


class Left(Root):
    def __init__(self, x):
        super(Left, self).__init__(x + 1)
        self.left = True

    def name(self, suffix):
        return "left " + super(Left, self).name(suffix)


class Right(Root):
    def __init__(self, x):
        super().__init__(x + 2)

    def name(self, suffix):
        return "right " + super().name(suffix)


class Both(Left, Right):
    def name(self, suffix):
        return "both " + super(Both, self).name(suffix)


class Deeper(Left):
    pass


class Deepest(Deeper):
    def name(self, suffix):
        return super(Deeper, self).name(suffix)


CLASSES = [Left, Deeper, Both, Deepest, Right]


def use(kind, x):
    made = kind(x)
    return made.name("!"), made.x


@compiled
def case_supers_of_several_classes():
    seen = []
    for _ in range(3):
        caller = new_caller(use)
        for number in range(150):
            results = [caller(kind, number) for kind in CLASSES]
        seen.append(results)
    return seen


def make(x):
    return Left(x), Both(x), Right(x)


@compiled
def case_made_in_place():
    for number in range(40):
        made = make(number)
    return [(type(each).__name__, each.x, each.name("?")) for each in made]


class Wrong:
    def name(self, suffix):
        return super(Left, self).name(suffix)


@compiled
def case_not_an_instance():
    seen = []
    for thing in [Left(1)] * 30 + [Wrong(), Left(2)]:
        try:
            seen.append(Wrong.name(thing, "."))
        except TypeError as error:
            seen.append(str(error))
    return seen[-4:]


@compiled
def case_base_changed_later():
    class A:
        def hello(self):
            return "A"

    class B:
        def hello(self):
            return "B"

    class C(A):
        def hello(self):
            return "C" + super(C, self).hello()

    c = C()
    seen = [[c.hello() for _ in range(30)][-1]]
    A.hello = lambda self: "A2"
    seen.append(c.hello())
    C.__bases__ = (B,)
    seen += [c.hello() for _ in range(3)]
    A, C = C, B
    return seen
