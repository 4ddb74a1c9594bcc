"""Objects of several classes at one access: shared paths, classes that change between two accesses."""

from differential import compiled, new_caller


class Shape:
    def __init__(self, number):
        self.left = number
        self.right = number * 2
        self.note = None

    def size(self):
        return self.left + self.right

    def grown(self, by):
        self.left += by
        self.note = by
        return self.size() + self.left

    def kind(self):
        return "shape"


class Round(Shape):
    def kind(self):
        return "round"


class Flat(Shape):
    def size(self):
        return self.left - self.right


class Reversed(Shape):
    """Its fields are at other places than those of the others."""

    def __init__(self, number):
        self.note = None
        self.right = number * 2
        self.left = number


class Slotted:
    __slots__ = ("left", "note", "right")

    def __init__(self, number):
        self.left, self.right, self.note = number, number * 2, None

    def size(self):
        return self.left * self.right

    def grown(self, by):
        return by

    def kind(self):
        return "slotted"


CLASSES = [Shape, Round, Flat]
ALL = [*CLASSES, Reversed, Slotted]


def use(shape, by):
    first = shape.left + shape.right
    grown = shape.grown(by)
    shape.note = first
    return first, grown, shape.kind(), shape.left, shape.right, shape.note


def meddle(shape, action):
    first = shape.left
    action(shape)
    shape.note = first
    return first, shape.left, shape.kind(), shape.size(), shape.note


def inlined(function, classes, other):
    """A new unit that has the function inlined, with what earlier ones learned of the classes at its accesses."""
    for _ in range(3):
        caller = new_caller(function)
        # So often that compiled code is looked at again.
        for number in range(200):
            for kind in classes:
                caller(kind(number), other)
    return new_caller(function)


@compiled
def case_shared_path():
    seen = []
    caller = inlined(use, CLASSES, 1)
    for number in range(5):
        for kind in ALL:
            seen.append(caller(kind(number), number))
    return seen


@compiled
def case_other_places():
    seen = []
    caller = inlined(use, [Round, Reversed, Flat, Slotted], 1)
    for number in range(5):
        for kind in ALL:
            seen.append(caller(kind(number), number))
    return seen


def nothing(shape):
    pass


def becomes_flat(shape):
    shape.__class__ = Flat


def hides_method(shape):
    shape.kind = lambda: "own"


def loses_field(shape):
    del shape.left


def has_dict(shape):
    shape.__dict__["left"] = "in the dict"


def gets_dict(shape):
    shape.__dict__ = {"left": "new", "right": " dict"}


def clears(shape):
    shape.__dict__.clear()
    shape.left, shape.right = "again", " and again"


ACTIONS = [nothing, becomes_flat, hides_method, loses_field, has_dict, gets_dict, clears]


def with_actions(function, actions):
    """What a function that knows the classes returns when the objects change meanwhile."""
    seen = []
    inlined(function, CLASSES, nothing)
    for action in actions:
        caller = new_caller(function)
        for kind in ALL:
            for _ in range(3):
                try:
                    seen.append(caller(kind(3), action))
                except (AttributeError, TypeError) as error:
                    seen.append(str(error))
    return seen


@compiled
def case_changes_between_accesses():
    compiled(with_actions)
    return with_actions(meddle, ACTIONS)


def with_loop(shape, action):
    total = []
    for number in range(3):
        total.append((shape.left, shape.size(), shape.kind()))
        action(shape)
        shape.right = number
    return total


@compiled
def case_loops():
    compiled(with_actions)
    return with_actions(with_loop, [nothing, becomes_flat, hides_method, has_dict])


class Watched(Shape):
    def __del__(self):
        for shape in LIVING:
            shape.__class__ = Flat


LIVING = []


def drops(shape, holder):
    first = shape.size()
    holder.note = None
    return first, shape.size(), shape.kind()


@compiled
def case_class_changed_by_a_finalizer():
    seen = []
    caller = inlined(drops, CLASSES, Shape(1))
    for kind in CLASSES:
        for _ in range(3):
            shape, holder = kind(5), Shape(0)
            LIVING[:] = [shape]
            holder.note = Watched(1)
            seen.append(caller(shape, holder))
    LIVING.clear()
    return seen
