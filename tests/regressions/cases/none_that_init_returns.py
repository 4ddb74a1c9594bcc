"""What an inlined ``__init__`` returns is dropped, also where it is an argument or the result of a call."""

from differential import compiled


class Argument:
    def __init__(self, value):
        self.value = value
        return value


class Called:
    def __init__(self, value):
        return self.set(value)

    def set(self, value):
        self.value = value


class Looped:
    def __init__(self, count):
        for _ in range(2):
            count = count
        if count is None:
            return count


class Items:
    def __init__(self):
        self.items = {}

    def __setitem__(self, key, value):
        return self.items.__setitem__(key, value)


@compiled
def case_argument():
    return [Argument(value).value for value in [None] * 12]


def case_argument_is_something():
    found = []
    for value in [None] * 8 + [[], 3, None]:
        try:
            found.append(Argument(value).value)
        except TypeError as error:
            found.append(str(error))
    return found


@compiled
def case_call():
    return [Called(value).value for value in ([i] for i in range(12))]


def case_after_a_loop():
    def make(count):
        return type(Looped(count)).__name__

    return [make(count) for count in [None, 1] * 6]


@compiled
def case_item_assignment():
    items = Items()
    for i in range(12):
        items[i] = [i]
    return items.items
