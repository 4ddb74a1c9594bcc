"""`__init__` raises where the call of its class is what makes the caller's operand stack deepest."""


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
