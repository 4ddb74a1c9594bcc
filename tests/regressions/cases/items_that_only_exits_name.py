"""A field of an object that was never made, kept where compiled code is left for good."""

import sys

from differential import compiled


class Box:
    def __init__(self, value):
        self.value = value


def leaves(make, late):
    kept = Box(make()).value
    return kept, late, undefined  # noqa: F821


@compiled
def case_item_kept_until_the_exit():
    found = []
    for number in range(20):
        value = [number]
        try:
            leaves(lambda: value, number)
        except NameError as error:
            found.append(str(error))
        found.append(sys.getrefcount(value) <= 3)
    return found
