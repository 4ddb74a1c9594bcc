"""Exception handlers in compiled code: loops, nesting, finally, with, chains, deaths, inlined callees."""

import gc
import sys
import traceback
import weakref

from differential import compiled


@compiled
def case_missing_keys():
    table = {1: 2, 3: 4}
    found = missing = 0
    for key in [1, 2, 3, 4, 5, 1, 3] * 5:
        try:
            found += table[key]
        except KeyError:
            missing += 1
    return found, missing


@compiled
def case_missing_items():
    items = [1, 2, 3]
    seen = []
    for index in [0, 5, 1, -1, -9, 2, 3] * 4:
        try:
            seen.append(items[index])
        except IndexError as error:
            seen.append(str(error))
    return seen


@compiled
def case_exhausted_iterators():
    total = 0
    for size in range(12):
        iterator = iter(range(size))
        while True:
            try:
                total += next(iterator)
            except StopIteration:
                total += 100
                break
    return total


class Sparse:
    def __init__(self, number):
        if number % 2:
            self.odd = number


@compiled
def case_missing_attributes():
    total = 0
    for number in range(20):
        thing = Sparse(number)
        try:
            total += thing.odd
        except AttributeError as error:
            total -= 1
            if number == 6:
                print(error, error.name, type(error.obj).__name__)
    return total


@compiled
def case_what_is_being_handled():
    seen = []
    for number in range(6):
        try:
            try:
                if number % 2:
                    raise KeyError(number)
            except KeyError as error:
                seen.append(sys.exception() is error)
                try:
                    1 // 0
                except ZeroDivisionError as inner:
                    seen.append((sys.exception() is inner, inner.__context__ is error))
                seen.append(sys.exception() is error)
                seen.append(sys.exc_info()[0].__name__)
            seen.append(sys.exception())
        finally:
            seen.append(sys.exc_info())
    return seen


@compiled
def case_name_is_deleted():
    seen = []
    for number in range(5):
        try:
            if number % 2:
                raise ValueError(number)
        except ValueError as error:
            seen.append(error.args)
        try:
            error
        except NameError as problem:
            seen.append(str(problem))
    return seen


@compiled
def case_break_and_continue():
    seen = []
    for number in range(20):
        try:
            if number % 3 == 0:
                raise KeyError(number)
            if number == 16:
                break
            seen.append(number)
        except KeyError:
            if number == 9:
                continue
            seen.append(-number)
        finally:
            seen.append("f")
    else:
        seen.append("else")
    return seen


def first_good(values):
    for value in values:
        try:
            return 10 // value
        except ZeroDivisionError:
            continue
        except TypeError:
            return "type"
    return None


@compiled
def case_return_in_handler():
    return [first_good(values) for values in ([0, 0, 5], [0], [0, "x"], [2], [], [0, 0, 0, 3]) * 3]


class Manager:
    def __init__(self, suppresses, log):
        self.suppresses = suppresses
        self.log = log

    def __enter__(self):
        self.log.append("enter")
        return len(self.log)

    def __exit__(self, kind, value, trace):
        self.log.append((kind and kind.__name__, str(value), trace and trace.tb_lineno))
        return self.suppresses


@compiled
def case_with():
    log = []
    for number in range(9):
        try:
            with Manager(number % 2, log) as place, Manager(number % 3 == 0, log):
                log.append(place)
                if number % 4:
                    raise LookupError(number)
        except LookupError as error:
            log.append(("out", error.args, len(traceback.extract_tb(error.__traceback__))))
    return log


@compiled
def case_finally_replaces():
    def run(number):
        try:
            if number % 2:
                raise ValueError(number)
            return "value"
        finally:
            if number % 3 == 0:
                return "finally"  # noqa: B012

    seen = []
    for number in range(8):
        try:
            seen.append(run(number))
        except ValueError as error:
            seen.append(error.args)
    return seen


@compiled
def case_chains():
    def run(number):
        try:
            try:
                return {0: 1}[number]
            except KeyError as error:
                if number == 1:
                    raise LookupError("from") from error
                if number == 2:
                    raise LookupError("alone") from None
                if number == 3:
                    raise
                raise LookupError("context")
        finally:
            number = None

    for number in [0, 1, 2, 3, 4] * 3:
        try:
            run(number)
        except LookupError:
            print(traceback.format_exc())


@compiled
def case_lines_of_frames():
    def run(number):
        try:
            if number:
                raise ValueError(
                    number)
        except KeyError:
            pass
        finally:
            number = 5

    seen = []
    for number in [0, 1, 2, 1]:
        try:
            run(number)
        except ValueError as error:
            trace = error.__traceback__
            while trace:
                seen.append((trace.tb_lineno - trace.tb_frame.f_code.co_firstlineno, trace.tb_frame.f_lineno - trace.tb_lineno,
                             trace.tb_lasti == trace.tb_frame.f_lasti, sorted(trace.tb_frame.f_locals)))
                trace = trace.tb_next
    return seen


def halve(number):
    if number % 2:
        raise ValueError(f"{number} is odd")
    return number // 2


def quarter(number):
    part = halve(number)
    return halve(part)


@compiled
def case_out_of_inlined_callees():
    seen = []
    for number in range(24):
        try:
            seen.append(quarter(number))
        except ValueError as error:
            frames = []
            trace = error.__traceback__
            while trace:
                frames.append((trace.tb_frame.f_code.co_name, trace.tb_lineno - trace.tb_frame.f_code.co_firstlineno,
                               trace.tb_frame.f_locals.get("number"), trace.tb_frame.f_locals.get("part")))
                trace = trace.tb_next
            seen.append((str(error), frames[1:], frames[0][:2]))
    return seen


def safe_half(number):
    try:
        return halve(number)
    except ValueError as error:
        return str(error)


@compiled
def case_caught_in_callee():
    seen = []
    for number in range(24):
        try:
            seen.append(safe_half(number))
            seen.append(safe_half(None))
        except TypeError as error:
            seen.append(str(error))
    return seen


class Noisy:
    def __init__(self, name, log):
        self.name = name
        self.log = log

    def __del__(self):
        self.log.append((self.name, sys.exception() and type(sys.exception()).__name__))


def consume(first, second):
    raise KeyError(first.name)


@compiled
def case_deaths():
    log = []
    for number in range(6):
        kept = Noisy(f"kept {number}", log)
        try:
            consume(Noisy("operand", log), [Noisy("item", log), 1 // (number % 2)])
        except ZeroDivisionError:
            log.append("zero")
        except KeyError as error:
            log.append(error.args)
            error = None
        log.append("behind")
        del kept
        log.append("end")
    return log


@compiled
def case_exceptions_die():
    alive = []
    for number in range(6):
        try:
            raise Special(number)
        except Special as error:
            reference = weakref.ref(error)
            alive.append(reference() is error)
        alive.append(reference() is None)
    return alive


class Special(Exception):
    pass


@compiled
def case_kept_tracebacks():
    kept = []

    def run(number):
        local = [number]
        try:
            local.append(1 // (number % 2))
        except ZeroDivisionError as error:
            kept.append(error)
            local.append("handled")
        return local

    for number in range(6):
        run(number)
    return [sorted((name, repr(value)) for name, value in error.__traceback__.tb_frame.f_locals.items() if name != "kept")
            for error in kept]


@compiled
def case_not_a_class():
    seen = []
    for number in range(6):
        try:
            try:
                if number % 2:
                    raise ValueError
            except "nothing":
                pass
        except TypeError as error:
            seen.append((str(error), type(error.__context__).__name__))
    return seen


@compiled
def case_tuples_of_classes():
    kinds = (KeyError, (TypeError, ZeroDivisionError))
    seen = []
    for value in [0, "x", 3, None, 1.5, 0]:
        try:
            seen.append(12 // value)
        except kinds as error:
            seen.append(type(error).__name__)
    return seen


@compiled
def case_groups():
    seen = []
    for number in range(6):
        try:
            if number % 2:
                raise ExceptionGroup("several", [ValueError(number), KeyError(number), TypeError("x")])
            if number == 4:
                raise ValueError(4)
        except* ValueError as group:
            seen.append(("value", [str(each) for each in group.exceptions]))
        except* (KeyError, TypeError) as group:
            seen.append(("other", len(group.exceptions)))
    return seen


@compiled
def case_numbers_in_registers():
    total, part, ratio = 0, 1, 0.5
    for number in range(60):
        try:
            part = part * 3 % 1000
            ratio = ratio * 1.5 - number
            total += part // (number % 5)
        except ZeroDivisionError:
            total -= part
            ratio = 0.25
        else:
            total += 1
    return total, part, ratio


@compiled
def case_iterators_stay():
    seen = []
    rows = [[1, 2, 0, 4], (5, 0), [], range(3)]
    for row in rows:
        for place, value in enumerate(row):
            try:
                seen.append(12 // value)
            except ZeroDivisionError:
                seen.append((place, "zero"))
        for value in row:
            try:
                seen.append([10, 20][value])
            except IndexError:
                continue
    return seen


@compiled
def case_loops_in_handlers():
    seen = []
    for number in range(6):
        try:
            seen.append(12 // (number % 2))
        except ZeroDivisionError as error:
            for again in range(3):
                try:
                    seen.append([again][again])
                except IndexError as inner:
                    seen.append((again, inner.__context__ is error))
            while number > 3:
                number -= 1
                seen.append(number)
    return seen


def case_uncaught():
    def run(number):
        for step in range(4):
            try:
                if step == number:
                    raise KeyError(step)
            except ValueError:
                print("never")
            finally:
                print("step", step)
        return "through"

    print(run(9), run(9))
    return run(2)


def case_uncaught_in_handler():
    def run(table, keys):
        count = 0
        for key in keys:
            try:
                count += table[key]
            except KeyError:
                count += table["default"][key]
        return count

    print(run({1: 1, "default": {2: 2}}, [1, 2, 1, 2]))
    return run({1: 1, "default": {2: 2}}, [1, 2, 3])


@compiled
def case_generators_around():
    def numbers():
        for number in range(6):
            try:
                yield number
            except ValueError:
                yield -number

    seen = []
    iterator = numbers()
    for _ in range(4):
        try:
            seen.append(next(iterator))
            seen.append(iterator.throw(ValueError("in")))
            seen.append(iterator.throw(KeyError("out")))
        except (KeyError, StopIteration) as error:
            seen.append(type(error).__name__)
    return seen


@compiled
def case_recursion():
    def depth(number):
        try:
            return depth(number + 1)
        except RecursionError:
            return number > 50

    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(400)
    try:
        return depth(0)
    finally:
        sys.setrecursionlimit(limit)


@compiled
def case_memory_is_given_back():
    for number in range(30):
        try:
            try:
                raise Special([number])
            except Special as error:
                raise ValueError(error.args) from error
        except ValueError:
            pass
    return sum(isinstance(each, Special) for each in gc.get_objects())


@compiled
def case_unbound_in_handler():
    seen = []
    for number in range(5):
        try:
            value = 6 // number
            if number == 2:
                del value
            seen.append(value)
        except ZeroDivisionError:
            seen.append("zero")
        except UnboundLocalError as error:
            seen.append(str(error))
    return seen


def frame_of_handler():
    frame = sys._getframe(1)
    return frame.f_lineno - frame.f_code.co_firstlineno, sorted(frame.f_locals)


@compiled
def case_frames_seen_from_handlers():
    seen = []
    for number in range(5):
        try:
            half = 12 // (number % 2)
        except ZeroDivisionError as error:
            seen.append(frame_of_handler())
            seen.append(error.__traceback__.tb_frame.f_locals["number"])
    return seen
