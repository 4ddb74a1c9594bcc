"""`__init__` raises where the call of its class is what makes the caller's operand stack deepest."""

from differential import compiled


class Refusing:
    def __init__(self, a, b, c, d, e):
        self.items = [item for item in (a, b, c, d, e) for _ in range(2)]
        self.table = {item: str(item) for item in self.items}
        try:
            self.first = self.table[a]
            self.rest = [self.table[key] for key in (b, c, d, e)]
        finally:
            self.items.clear()
        if e % 3 == 1:
            raise ValueError(e)


def make(a, b, c, d, e):
    try:
        made = Refusing(a, b, c, d, e)
        return made.rest
    except ValueError as error:
        return error.args


def case_constructors_that_raise_on_a_full_stack():
    return [make(1, 2, 3, 4, i) for i in range(40)]


class Keeping:
    """A function with a cell of its own is called, not inlined."""

    def __init__(self, a, b):
        self.get = lambda: a
        if b is None:
            raise ValueError(a)


@compiled
def keep(a, b):
    return Keeping(a, b)


def case_called_constructor_on_a_full_stack():
    seen = [keep(i, i).get() for i in range(30)]
    for i in range(30):
        try:
            keep(i, None)
        except ValueError as error:
            seen.append(error.args)
    return seen
