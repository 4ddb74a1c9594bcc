"""What compiled code takes for granted about the interpreter, where no header says it."""

import ctypes


class First:
    def __init__(self):
        self.x = 1


class Second(First):
    pass


def values_are_valid(instance: object) -> bool:
    """The `valid` byte of the inline values, which lie behind the instance (`struct _dictvalues`, pycore_dict.h)."""
    header = (ctypes.c_uint8 * 4).from_address(id(instance) + type(instance).__basicsize__)
    return bool(header[3])


def test_inline_values_of_an_object_that_changed_its_class_are_invalid_for_good() -> None:
    instance = First()
    assert values_are_valid(instance)
    instance.__class__ = Second
    assert not values_are_valid(instance)
    instance.__class__ = First
    instance.__dict__.clear()
    instance.x = 2
    assert not values_are_valid(instance)
    del instance.__dict__
    instance.x = 3
    assert not values_are_valid(instance)
