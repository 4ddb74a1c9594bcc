"""Exceptions: handlers, finally, with, chains, tracebacks with lines and columns."""

import sys
import traceback

from differential import compiled


def fails(n):
    if n == 3:
        raise ValueError(f"n is {n}")
    return n


@compiled
def case_caught_in_loop():
    seen = []
    for i in range(8):
        try:
            seen.append(fails(i))
        except ValueError as error:
            seen.append(str(error))
        else:
            seen.append("else")
        finally:
            seen.append("finally")
    return seen


def case_kinds_of_handlers():
    def run(value):
        try:
            return [1, 2][value]
        except (TypeError, KeyError) as error:
            return f"first {error}"
        except IndexError as error:
            return f"second {error}"
        except Exception:
            return "third"
        finally:
            print("finally", value)

    return [run(value) for value in (0, 1, 2, "x", 0, 5, None, -1)]


def case_bare_raise():
    def run(value):
        try:
            return 10 // value
        except ZeroDivisionError:
            print("again")
            raise

    print(run(1), run(2), run(5))
    return run(0)


def case_raise_from():
    def run(value):
        try:
            return 10 // value
        except ZeroDivisionError as error:
            raise LookupError("chained") from error

    print(run(1), run(2), run(5))
    return run(0)


def case_raise_from_none():
    def run(value):
        try:
            return {}[value]
        except KeyError:
            raise LookupError("alone") from None

    for _ in range(3):
        try:
            run(1)
        except LookupError as error:
            print(error, error.__cause__, error.__context__, error.__suppress_context__)
    return run(0)


def case_context():
    def run(value):
        try:
            return {}[value]
        except KeyError:
            return 1 // 0

    for _ in range(3):
        try:
            run(1)
        except ZeroDivisionError as error:
            print(repr(error.__context__))
    return run(0)


def case_reraise_in_loop():
    seen = []
    for i in range(6):
        try:
            try:
                if i % 2:
                    raise KeyError(i)
                seen.append(i)
            except KeyError:
                seen.append("inner")
                raise
        except LookupError as error:
            seen.append((type(error).__name__, error.args, error.__traceback__.tb_lineno))
    return seen


def deep(n):
    if n == 0:
        return [][1]
    return deep(n - 1) + 1


def case_deep_traceback():
    for _ in range(3):
        try:
            deep(3)
        except IndexError:
            print(traceback.format_exc())
    return deep(4)


def case_columns():
    def run(table, key):
        value = table["a"] + table[key] * 2
        return (value +
                table[key]["x"])

    table = {"a": 1, "b": 2}
    for key in ("a", "b", "c", "b"):
        try:
            run(table, key)
        except Exception:
            print(traceback.format_exc())
    return run(table, "b")


def case_columns_of_operators():
    def run(a, b, c):
        return a + b * c - a // (b - c)

    for arguments in [(1, 2, 3), (4, 5, 6), (1, "x", 2), (1, 2, 2), (None, 1, 2), (1, 2.5, 2.5)]:
        try:
            print(run(*arguments))
        except Exception:
            print(traceback.format_exc())


def case_columns_of_attributes():
    class A:
        x = 1

    def run(a):
        a.x += 1
        return a.x.real, a.y.z

    for a in (A(), A()):
        try:
            print(run(a))
        except Exception:
            print(traceback.format_exc())
    return run(A())


def case_columns_of_calls():
    def callee(x, y):
        return x / y

    def run(x, y):
        return len([x]) + callee(x,
                                 y) + callee(y, x)

    for arguments in [(1, 2), (2, 1), (0, 1), (1, 0), ("a", 1)]:
        try:
            print(run(*arguments))
        except Exception:
            print(traceback.format_exc())


class Manager:
    def __init__(self, log, swallows=False):
        self.log = log
        self.swallows = swallows

    def __enter__(self):
        self.log.append("enter")
        return self

    def __exit__(self, kind, value, trace):
        self.log.append((kind and kind.__name__, str(value), trace and trace.tb_lineno))
        return self.swallows


@compiled
def case_with():
    log = []
    for i in range(5):
        with Manager(log, True) as manager:
            log.append(i)
            if i == 3:
                manager.missing
    return log


def case_with_not_swallowing():
    log = []

    def run(i):
        with Manager(log) as a, Manager(log, i == 2) as b:
            log.append(10 // (i - 2))
            return i
        return "swallowed"

    print([run(i) for i in (4, 3, 2, 1, 2)])
    print(log)
    with Manager(log):
        raise OSError(5, "text")


def case_with_control_flow():
    log = []

    def run(n):
        for i in range(n):
            with Manager(log):
                if i == 1:
                    continue
                if i == 3:
                    break
                if i == 2 and n == 3:
                    return "returned"
        return "ended"

    return [run(n) for n in (1, 2, 3, 4, 5)], log


def case_with_fails_to_enter():
    class Bad:
        def __enter__(self):
            raise RuntimeError("no entry")

        def __exit__(self, *details):
            print("never")

    def run(manager):
        with manager:
            return 1

    log = []
    print(run(Manager(log)), run(Manager(log)))
    return run(Bad())


def case_not_a_manager():
    def run(manager):
        with manager:
            return 1

    log = []
    print(run(Manager(log)), run(Manager(log)))
    return run(3)


def case_finally_order():
    log = []

    def run(n):
        try:
            try:
                log.append("try")
                if n == 1:
                    return "returned"
                if n == 2:
                    raise KeyError(n)
            finally:
                log.append("inner")
                if n == 3:
                    return "from finally"
        except KeyError:
            log.append("except")
            return "caught"
        finally:
            log.append("outer")
        return "end"

    return [run(n) for n in (0, 1, 2, 3, 2, 1)], log


def case_finally_swallows():
    def run(n):
        while True:
            try:
                1 // n
            finally:
                break
        return "swallowed"

    return [run(n) for n in (1, 2, 0, 0)]


def case_return_value_survives_finally():
    def run(n):
        x = [n]
        try:
            return x
        finally:
            x.append("later")
            x = None

    return [run(n) for n in range(4)]


def case_exception_name_is_deleted():
    def run(n):
        error = "before"
        try:
            if n:
                raise ValueError
        except ValueError as error:
            pass
        return error

    print(run(0), run(0), run(0))
    return run(1)


def case_sys_exception():
    def run(n):
        seen = [sys.exception()]
        try:
            raise ValueError(n)
        except ValueError:
            seen.append(repr(sys.exception()))
            try:
                raise KeyError(n)
            except KeyError:
                seen.append(repr(sys.exception()))
            seen.append(repr(sys.exception()))
        seen.append(sys.exception())
        return seen

    return [run(n) for n in range(4)]


def case_sys_exception_in_callee():
    def callee():
        return repr(sys.exception())

    def run(n):
        seen = [callee()]
        for i in range(3):
            try:
                raise ValueError(i)
            except ValueError:
                seen.append(callee())
        seen.append(callee())
        return seen

    return [run(n) for n in range(4)]


def case_assertions():
    def run(n):
        assert n < 3, f"too much: {n}"
        return n

    print([run(n) for n in (0, 1, 2)])
    return run(3)


def case_exception_group():
    def run(n):
        try:
            if n:
                raise ExceptionGroup("several", [ValueError(n), KeyError(n), TypeError(n)])
        except* ValueError as group:
            print("values", group.exceptions)
        except* KeyError as group:
            print("keys", group.exceptions)
        return n

    print([run(0), run(0), run(0)])
    return run(1)


def case_raise_odd_things():
    def run(thing):
        raise thing

    for thing in (ValueError, ValueError("x"), KeyError, 3, None, object, StopIteration(3)):
        try:
            run(thing)
        except BaseException as error:
            print(type(error).__name__, error, error.__traceback__.tb_next.tb_lineno)


def case_handler_expression_fails():
    def run(kind):
        try:
            1 // 0
        except kind:
            return "caught"

    print(run(ZeroDivisionError), run(ArithmeticError), run((KeyError, ZeroDivisionError)))
    return run(3)


def case_traceback_grows_when_reraised():
    def inner():
        raise ValueError("inner")

    def middle():
        try:
            inner()
        except ValueError as error:
            kept.append(error)
            raise

    def outer():
        try:
            middle()
        except ValueError as error:
            lines = []
            trace = error.__traceback__
            while trace:
                lines.append((trace.tb_frame.f_code.co_name, trace.tb_lineno, trace.tb_lasti >= 0))
                trace = trace.tb_next
            return lines

    kept = []
    return [outer() for _ in range(4)]


def case_traceback_frames_have_locals():
    def inner(a, b):
        c = a + b
        d = [c] * 2
        raise ValueError(d)

    def outer(n):
        try:
            inner(n, 2)
        except ValueError as error:
            trace = error.__traceback__
            return [sorted((key, repr(value)) for key, value in trace.tb_next.tb_frame.f_locals.items()),
                    sorted(trace.tb_frame.f_locals)]

    return [outer(n) for n in (1, 2, 2.5, 2**70, 3)]


def case_loop_raises_through_compiled_callers():
    def leaf(values):
        total = 0
        for value in values:
            total += value
        return total

    def middle(values):
        result = leaf(values)
        return result + 1

    def top(values):
        for _ in range(2):
            result = middle(values)
        return result

    print(top([1, 2]), top([3, 4]), top([5]))
    try:
        top([1, None])
    except TypeError:
        print(traceback.format_exc())
    return top([1, 2, "x"])


def case_stop_iteration_from_next():
    def run(iterator):
        return next(iterator)

    iterator = iter([1, 2, 3])
    print(run(iterator), run(iterator), run(iterator))
    return run(iterator)


def case_notes():
    def run(n):
        try:
            return 1 // n
        except ZeroDivisionError as error:
            error.add_note("a note")
            raise

    print(run(1), run(1))
    return run(0)


def case_keyboard_interrupt_type():
    def run(n):
        try:
            if n == 2:
                raise KeyboardInterrupt("typed")
        except Exception:
            return "never"
        return n

    print(run(0), run(1))
    return run(2)


def case_unbound_names():
    def local(n):
        if n:
            x = 1
        return x

    def free(n):
        def inner():
            return y

        if n:
            y = 1
        return inner()

    def name(n):
        return missing_name if not n else n

    def attribute(n):
        return n.missing

    for function in (local, free, name):
        print(function(1), function(2), function(3))
        try:
            function(0)
        except NameError:
            print(traceback.format_exc())
    return attribute(3)


def case_many_exceptions():
    count = 0
    for i in range(300):
        try:
            if i % 3 == 0:
                raise ValueError
            if i % 3 == 1:
                [][i]
            int("x")
        except ValueError:
            count += 1
        except IndexError:
            count += 1000
    return count
