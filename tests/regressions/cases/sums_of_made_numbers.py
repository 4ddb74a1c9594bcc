"""A generator expression whose items come as objects and are added as registers: the object goes once."""


def total(text):
    return sum(int(part) for part in text.split("."))


def distinct(text):
    return set(int(part) for part in text.split("."))


def tuple_of(text):
    return tuple(int(part) for part in text.split("."))


def case_sums_of_made_numbers():
    big = "99999999999999999999"
    return [(total(text), distinct(text), tuple_of(text)) for text in ["6.170.15", "1.2.3.4.5", f"7.{big}.8", "1.300.-2"]]


def case_items_that_are_no_numbers():
    seen = []
    for _ in range(4):
        try:
            total("1.2.x.4")
        except ValueError as error:
            seen.append(str(error))
    return seen
