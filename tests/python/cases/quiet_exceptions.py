"""Exceptions that nobody can see are not made; those that somebody looks at are."""

import sys
import traceback

from differential import compiled


@compiled
def case_counts_missing_keys():
    table = {1: 2, "a": 4, 2.5: 6}
    found = missing = 0
    for key in [1, 2, "a", "b", 2.5, 3.5, None, True, 10**30, (1, 2)] * 30:
        try:
            found += table[key]
        except KeyError:
            missing += 1
    return found, missing


@compiled
def case_keys_of_one_kind():
    numbers = {number: -number for number in range(0, 400, 3)}
    words = {str(number): number for number in range(0, 400, 3)}
    seen = missing = 0
    for number in range(400):
        try:
            seen += numbers[number]
        except KeyError:
            missing += 1
        try:
            seen += words[str(number)]
        except LookupError:
            missing += 2
        try:
            seen += words[number]
        except (IndexError, KeyError):
            missing += 3
    return seen, missing


@compiled
def case_tables_of_all_sizes():
    missing = 0
    for size in (0, 1, 5, 100, 300, 70000):
        table = {number * 7919: number for number in range(size)}
        for number in range(0, 7919 * min(size, 300) + 10, 7919 // 2):
            try:
                missing += table[number] & 1
            except KeyError:
                missing += 2
            table.pop(number, None)
    return missing


@compiled
def case_attributes_as_keys():
    class Thing:
        pass

    missing = 0
    for number in range(100):
        thing = Thing()
        thing.a = number
        if number % 2:
            thing.b = number
        try:
            missing += thing.__dict__["b"]
        except KeyError:
            missing -= 1
    return missing


class Odd:
    def __init__(self, number, log):
        self.number = number
        self.log = log

    def __hash__(self):
        return hash(self.number)

    def __eq__(self, other):
        self.log.append(sys.exception())
        return self.number == other


@compiled
def case_keys_with_python_code():
    log = []
    table = {Odd(number, log): number for number in range(0, 60, 2)}
    missing = 0
    for number in range(60):
        try:
            missing += table[number]
        except KeyError:
            missing -= 1
    return missing, log


@compiled
def case_counts_indices():
    items = list(range(10))
    total = outside = 0
    for _ in range(6):
        for index in range(-15, 15):
            try:
                total += items[index]
            except IndexError:
                outside += 1
    for index in (2**62, -2**62, 2**70, -2**70) * 10:
        try:
            total += items[index]
        except IndexError:
            outside += 1
    return total, outside


@compiled
def case_assigns_and_goes_on():
    items, table = [1, 2, 3], {"a": 1.5}
    seen = []
    for number in range(60):
        try:
            value = items[number % 5]
        except IndexError:
            value = None
        seen.append(value)
        try:
            ratio = table["ab"[number % 2]]
        except KeyError:
            ratio = 0.5
            text = "missing"
        else:
            text = "there"
        seen.append((ratio, text))
        try:
            items[number % 4]
        except IndexError:
            continue
        seen.append(number)
    return seen


def find(table, key):
    try:
        return table[key]
    except KeyError:
        return None


def find_or_self(table, key):
    try:
        value = table[key]
    except KeyError:
        return key
    return value + 1


@compiled
def case_returns():
    table = {number: number for number in range(0, 100, 3)}
    return [(find(table, number), find_or_self(table, number)) for number in range(100)]


@compiled
def case_iterators():
    total = 0
    for size in range(80):
        for iterator in (iter(range(size % 3)), iter([1] * (size % 2)), (each for each in "ab"[: size % 3])):
            while True:
                try:
                    item = next(iterator)
                except StopIteration:
                    break
                total += len(str(item))
    return total


class Counter:
    def __init__(self, end):
        self.number = 0
        self.end = end

    def __iter__(self):
        return self

    def __next__(self):
        if self.number == self.end:
            if self.end % 3 == 0:
                raise ValueError(self.end)
            raise StopIteration("value")
        self.number += 1
        return self.number


@compiled
def case_iterators_in_python():
    seen = []
    for end in range(60):
        iterator = Counter(end % 7)
        done = None
        while done is None:
            try:
                seen.append(next(iterator))
            except StopIteration:
                done = True
            except ValueError as error:
                done = str(error)
        seen.append(done)
    try:
        next(5)
    except TypeError as error:
        seen.append(str(error))
    return seen


@compiled
def case_sums_overflow():
    table = {}
    total = 2**62 - 40
    for _ in range(100):
        try:
            total += table[1]
        except KeyError:
            total += 2**56
    return total


@compiled
def case_values_of_other_types():
    table = {1: 1}
    count = 0
    for number in range(120):
        if number == 90:
            count = 0.5
        if number == 100:
            count = "text"
        try:
            table[number % 2]
        except KeyError:
            count += count
    return count if isinstance(count, str) else repr(count)


def keeps_exceptions_that_are_looked_at(table, keys):
    seen = []
    for key in keys:
        try:
            seen.append(table[key])
        except KeyError as error:
            seen.append((error.args, error.__traceback__.tb_lineno - error.__traceback__.tb_frame.f_code.co_firstlineno))
    return seen


def keeps_what_is_being_handled(table, keys):
    seen = []
    for key in keys:
        try:
            seen.append(table[key])
        except KeyError:
            seen.append(repr(sys.exception()))
        seen.append(sys.exception())
    return seen


def keeps_contexts(table, keys):
    seen = []
    for key in keys:
        try:
            try:
                seen.append(table[key])
            except KeyError:
                seen.append([][key])
        except IndexError as error:
            seen.append(repr(error.__context__))
    return seen


def keeps_exceptions_that_pass(table, keys):
    count = 0
    for key in keys:
        try:
            count += table[key]
        except IndexError:
            count += 1
    return count


@compiled
def case_looked_at():
    table, keys = {1: 2}, [1, 2, 3, 1] * 30
    seen = keeps_exceptions_that_are_looked_at(table, keys)
    seen += keeps_what_is_being_handled(table, keys)
    seen += keeps_contexts(table, keys)
    for _ in range(30):
        try:
            keeps_exceptions_that_pass(table, keys)
        except KeyError:
            seen.append(traceback.format_exc())
    return seen


class Noisy:
    def __init__(self, name, log):
        self.name = name
        self.log = log

    def __del__(self):
        self.log.append((self.name, sys.exception()))


@compiled
def case_deaths_of_operands():
    log = []
    for number in range(60):
        held = Noisy(number, log)
        try:
            {number: held, -number: Noisy("key", log)}[5]
        except KeyError:
            held = None
        log.append("behind")
    return log


BUILTIN = KeyError


@compiled
def case_class_is_replaced():
    global BUILTIN
    seen = []
    for kind in (KeyError, IndexError, KeyError):
        BUILTIN = kind
        missing = 0
        try:
            for number in range(60):
                try:
                    {}[number]
                except BUILTIN:
                    missing += 1
        except KeyError as error:
            missing = repr(error)
        seen.append(missing)
    return seen
