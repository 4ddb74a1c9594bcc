"""Calls between compiled functions: whose the arguments are, what is seen on the way, and what changes under it."""

import gc
import sys
import threading
import traceback
import weakref

from differential import compiled


class Noisy:
    def __init__(self, log, name):
        self.log = log
        self.name = name

    def __del__(self):
        self.log.append(self.name)


# ---- arguments

def forgets(log, thing, more=None):
    # Large enough not to be inlined everywhere: it calls and loops.
    log.append("in")
    thing = None
    for word in ("a", "b"):
        log.append(word)
    more = None
    log.append("out")


def keeps(log, thing, other):
    log.append("in")
    for word in ("a", "b"):
        log.append(word)
    log.append("out")


def passes_on(log, thing):
    forgets(log, thing)
    log.append("passed")


def seen_of(run, *arguments):
    seen = []
    for _ in range(6):
        log = []
        run(log, *arguments)
        seen.append(log)
    return seen


def case_temporary_dies_in_callee():
    @compiled
    def run(log):
        forgets(log, Noisy(log, "first"), Noisy(log, "second"))
        log.append("after")
        keeps(log, Noisy(log, "third"), Noisy(log, "fourth"))
        log.append("after")

    return seen_of(run)


def case_local_outlives_the_call():
    @compiled
    def run(log):
        thing = Noisy(log, "local")
        forgets(log, thing, thing)
        log.append("after")
        passes_on(log, thing)
        log.append("after")
        passes_on(log, Noisy(log, "temporary"))

    return seen_of(run)


def case_one_temporary_twice():
    @compiled
    def run(log):
        forgets(log, thing := Noisy(log, "both"), thing)
        del thing
        log.append("after")
        keeps(log, *[Noisy(log, "starred")] * 2)
        log.append("after")

    return seen_of(run)


def case_handed_over_to_unknown_callees():
    def run(log, callee):
        callee(log, Noisy(log, "first"), Noisy(log, "second"))
        log.append("after")
        callee(log, thing=Noisy(log, "third"))
        log.append("after")

    class Class:
        def method(self, log, thing, more=None):
            forgets(log, thing, more)
            thing = None
            log.append("method")

    def star(log, *things, **names):
        things = None
        log.append("star")
        names = None
        log.append("end")

    seen = []
    for callee in [forgets, Class().method, star, lambda log, thing, more=None: forgets(log, thing, more)] * 3:
        log = []
        run(log, callee)
        seen.append(log)
    return seen


def case_c_functions_keep_arguments():
    def run(log, callee):
        callee(Noisy(log, "argument"))
        log.append("after")
        list((Noisy(log, "item"),))
        log.append("after list")
        isinstance(Noisy(log, "instance"), Noisy)
        log.append("after isinstance")

    def append(thing):
        things.append(1)
        thing = None

    things = []
    seen = []
    for callee in [id, bool, type, append, repr, str, things.append]:
        for _ in range(3):
            log = []
            run(log, callee)
            things.clear()
            seen.append(log)
    return seen


def case_arguments_of_calls_that_raise():
    def fails(log, thing, other=None):
        log.append("in")
        for word in ("a", "b"):
            log.append(word)
        raise ValueError(thing.name)

    def run(log):
        try:
            fails(log, Noisy(log, "dies"), Noisy(log, "too"))
        except ValueError as error:
            log.append(str(error))
        log.append("after")
        try:
            forgets(log)
        except TypeError as error:
            log.append(str(error))
        try:
            forgets(log, Noisy(log, "never"), Noisy(log, "bound"), Noisy(log, "to"))
        except TypeError as error:
            log.append(str(error))
        log.append("end")

    return seen_of(run)


def case_weak_references_in_callee():
    def looks(reference, thing):
        first = reference() is None
        thing = None
        for _ in range(2):
            second = reference() is None
        return first, second

    class Thing:
        pass

    references = []

    def made():
        thing = Thing()
        references.append(weakref.ref(thing))
        return thing

    def run():
        return looks(lambda: references[-1](), made())

    return [run() for _ in range(6)]


def case_defaults_and_names():
    def callee(a, b=2, /, c=3, *, d, e=5):
        total = 0
        for value in (a, b, c, d, e):
            total = total * 10 + value
        return total

    @compiled
    def run(x):
        return (callee(x, d=4), callee(x, 1, d=4), callee(x, 1, d=x, c=7), callee(x, e=1, d=2), callee(x, 1, 2, d=3, e=4))

    seen = [run(x) for x in range(6)]
    callee.__defaults__ = (8, 9)
    seen += [run(x) for x in range(3)]
    callee.__kwdefaults__ = {"e": 0}
    seen += [run(x) for x in range(3)]
    callee.__kwdefaults__["e"] = 6
    seen += [run(x) for x in range(3)]
    return seen


def case_names_that_do_not_fit():
    def callee(a, /, b, *, c):
        for _ in range(2):
            pass
        return a, b, c

    def run(which):
        if which == 0:
            return callee(1, 2, c=3)
        if which == 1:
            return callee(1, a=2, b=3, c=4)
        if which == 2:
            return callee(1, 2, b=3, c=4)
        if which == 3:
            return callee(1, 2, d=4)
        return callee(1, 2)

    seen = []
    for which in [0, 1, 2, 3, 4] * 4:
        try:
            seen.append(run(which))
        except TypeError as error:
            seen.append(str(error))
    return seen


# ---- recursion

def fib(n):
    if n < 2:
        return n
    return fib(n - 1) + fib(n - 2)


def ackermann(m, n):
    if m == 0:
        return n + 1
    if n == 0:
        return ackermann(m - 1, 1)
    return ackermann(m - 1, ackermann(m, n - 1))


def is_even(n):
    if n == 0:
        return True
    return is_odd(n - 1)


def is_odd(n):
    if n == 0:
        return False
    return is_even(n - 1)


def depth_of(n, *rest):
    try:
        return depth(n)
    except RecursionError as error:
        return str(error)


def depth(n):
    if n == 0:
        return 0
    return depth(n - 1) + 1


def case_recursion():
    compiled(fib)
    compiled(ackermann)
    return fib(15), ackermann(2, 30), is_even(60), is_odd(61), depth(300)


def at_limit(limit, work):
    old = sys.getrecursionlimit()
    sys.setrecursionlimit(limit)
    try:
        return work()
    finally:
        sys.setrecursionlimit(old)


def count_until_it_fails(counter):
    counter[0] += 1
    count_until_it_fails(counter)


def levels():
    counter = [0]
    try:
        count_until_it_fails(counter)
    except RecursionError as error:
        # Inlined calls are counted where somebody looks only.
        return str(error), (counter[0] + 20) // 50


def case_recursion_limit():
    return at_limit(150, levels), at_limit(400, levels), at_limit(800, levels)


def case_recursion_near_the_limit():
    return at_limit(300, lambda: (depth_of(240), depth_of(360), depth_of(10)))


def case_deep_recursion():
    old = sys.getrecursionlimit()
    sys.setrecursionlimit(60_000)
    try:
        return depth(20_000), is_even(15_000), depth(500), depth(30_000)
    finally:
        sys.setrecursionlimit(old)


class Node:
    def __init__(self, next):
        self.next = next

    def length(self):
        if self.next is None:
            return 1
        return self.next.length() + 1


def case_deep_recursion_with_objects():
    def length(node, log):
        if node is None:
            return 0
        return length(node.next, log) + 1

    old = sys.getrecursionlimit()
    sys.setrecursionlimit(60_000)
    try:
        node = None
        for _ in range(10_000):
            node = Node(node)
        seen = [length(node, []), node.length(), length(node, [])]
        # Freed one by one, or the C stack of the deallocation is measured here.
        while node is not None:
            node = node.next
        return seen
    finally:
        sys.setrecursionlimit(old)


def case_small_stack_thread():
    results = []

    def work():
        results.append(depth(900))
        results.append(fib(12))
        results.append(is_even(700))

    old = threading.stack_size(512 * 1024)
    try:
        for _ in range(3):
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
    finally:
        threading.stack_size(old)
    return results


# ---- what is seen on the way

def frames_above(count):
    frame = sys._getframe(1)
    seen = []
    for _ in range(count):
        seen.append((frame.f_code.co_name, frame.f_lineno - frame.f_code.co_firstlineno, sorted(frame.f_locals)))
        frame = frame.f_back
    return seen


def inner(a, b):
    for _ in range(2):
        c = a + b
    return frames_above(3), c


def middle(x):
    y = x * 2
    result = inner(x, y)
    for _ in range(2):
        y += 1
    return result, y


def outer(x):
    z = str(x)
    result = middle(x)
    for _ in range(2):
        z += "."
    return result, z


def case_callers_seen_by_callee():
    return [outer(x) for x in range(6)]


def case_tracebacks():
    def third(x):
        for _ in range(2):
            pass
        return 1 // x

    def second(x):
        for _ in range(2):
            pass
        return third(x) + 1

    def first(x):
        for _ in range(2):
            pass
        try:
            return second(x)
        finally:
            x = None

    seen = []
    for x in [1, 1, 0, 2, 0, 0]:
        try:
            seen.append(first(x))
        except ZeroDivisionError as error:
            lines = traceback.extract_tb(error.__traceback__)
            start = first.__code__.co_firstlineno
            seen.append([(entry.name, entry.lineno - start, entry.colno, entry.end_colno) for entry in lines])
    return seen


def case_callers_locals_change():
    def changes():
        frame = sys._getframe(1)
        frame.f_locals["x"] = 100
        for _ in range(2):
            pass

    def run():
        x = 1
        y = 2
        changes()
        return x, y

    return [run() for _ in range(6)]


def case_frame_is_kept():
    kept = []

    def keeps_it(thing):
        kept.append(sys._getframe(0))
        kept.append(sys._getframe(1))
        for _ in range(2):
            thing += 1
        return thing

    def run(x):
        y = keeps_it(x)
        return x + y

    seen = [run(x) for x in range(6)]
    for frame in kept:
        seen.append((frame.f_code.co_name, [frame.f_locals.get(name) for name in ("x", "y", "thing")]))
    kept.clear()
    return seen


# ---- what changes under it

def case_code_changes_in_callee():
    def other(n):
        return n * 100

    def callee(n):
        if n == 3:
            callee.__code__ = other_code
        for _ in range(2):
            pass
        return n + 1

    def run(n):
        a = callee(n)
        b = callee(n)
        return a, b

    # The same free variables, so that the code fits.
    def replacement(n):
        if n < 0:
            callee(n)
            return other_code
        return n * 100

    other_code = replacement.__code__
    before = callee.__code__
    seen = []
    for _ in range(2):
        seen += [run(n) for n in range(6)]
        callee.__code__ = before
    return seen


def case_global_callee_changes():
    global changing

    def first(n):
        for _ in range(2):
            pass
        return "first", n

    def second(n):
        for _ in range(2):
            pass
        return "second", n

    def swaps(n):
        global changing
        for _ in range(2):
            pass
        changing = second if n % 2 else first
        return n

    def run(n):
        a = changing(n)
        b = changing(swaps(n))
        return a, b, changing(n)

    changing = first
    return [run(n) for n in range(8)]


def case_callee_is_freed():
    def run(n):
        def callee(n):
            for _ in range(2):
                pass
            return n + 1

        def drops(n):
            nonlocal callee
            callee = None
            gc.collect()
            for _ in range(2):
                pass
            return n

        a = callee(n)
        return a, drops(a), callee

    return [run(n) for n in range(6)]


def case_tracing_begins_in_callee():
    events = []

    def tracer(frame, event, argument):
        if frame.f_code.co_name in ("begins", "callee", "run", "traced"):
            events.append((frame.f_code.co_name, event, frame.f_lineno - frame.f_code.co_firstlineno))
        return tracer

    def begins(n):
        for _ in range(2):
            pass
        if n == 4:
            sys.settrace(tracer)
        return n

    def callee(n):
        for _ in range(2):
            pass
        return n

    def traced(n):
        x = begins(n)
        y = callee(x)
        return x + y

    def run(n):
        z = traced(n)
        z += callee(z)
        sys.settrace(None)
        return z

    return [run(n) for n in range(6)], events


def case_class_changes_in_callee():
    class Thing:
        def name(self, n):
            for _ in range(2):
                pass
            return "first", n

    def second(self, n):
        return "second", n

    def swaps(n):
        for _ in range(2):
            pass
        if n == 4:
            Thing.name = second
        return n

    def run(thing, n):
        return thing.name(n), thing.name(swaps(n)), thing.name(n)

    thing = Thing()
    return [run(thing, n) for n in range(7)]


def case_finalizer_changes_callee():
    global changing

    class Bomb:
        def __del__(self):
            global changing
            changing = after

    def before(thing, n):
        thing = None
        for _ in range(2):
            n += 1
        return "before", n

    def after(thing, n):
        return "after", n

    def run(thing, n):
        return changing(thing, n), changing(None, n)

    changing = before
    seen = [run(None, n) for n in range(5)]
    seen.append(run(Bomb(), 5))
    seen.append(run(None, 6))
    return seen


def case_callee_leaves_often():
    def callee(x):
        for _ in range(2):
            y = x + x
        return y

    def run(x):
        return callee(x), callee(x)

    return [run(x) for x in [1, 2, 3, 1.5, "a", (1,), 10**30, [2], 4, 2.5] * 3]


def case_generator_and_star_callees():
    def generator(log, thing):
        log.append("start")
        yield thing.name
        thing = None
        log.append("end")

    def run(log):
        for name in generator(log, Noisy(log, "in generator")):
            log.append(name)
        generator(log, Noisy(log, "never started"))
        log.append("after")

    return seen_of(run)


# ---- constructors

class Built:
    def __init__(self, log, thing, more=2):
        log.append("init")
        thing = None
        for word in ("a", "b"):
            log.append(word)
        self.more = more


class Returns:
    def __init__(self, n):
        for _ in range(2):
            n += 0
        if n == 4:
            return n


class Raises:
    def __init__(self, log, n):
        self.noisy = Noisy(log, "of instance")
        for _ in range(2):
            n += 0
        if n == 4:
            raise ValueError(n)


def case_arguments_of_constructors():
    # When the temporaries die depends on how far the interpreter has specialised the call.
    @compiled
    def run(log):
        first = Built(log, [])
        second = Built(log, more=Noisy(log, "named"), thing=1)
        log.append("after")
        second = Built(log, 1, Noisy(log, "kept"))
        log.append("after")
        first = second
        return first.more

    return seen_of(run)


def case_constructor_returns_something():
    def run(n):
        return type(Returns(n)).__name__

    seen = []
    for n in [0, 1, 2, 3, 4, 5, 4]:
        try:
            seen.append(run(n))
        except TypeError as error:
            entry = traceback.extract_tb(error.__traceback__)[-1]
            seen.append((str(error), entry.name, entry.colno, entry.end_colno))
    return seen


def case_constructor_raises():
    def run(log, n):
        log.append(type(Raises(log, n)).__name__)
        log.append("after")

    seen = []
    for n in [0, 1, 2, 3, 4, 5, 4]:
        log = []
        try:
            run(log, n)
        except ValueError as error:
            log.append([entry.name for entry in traceback.extract_tb(error.__traceback__)])
            del error
        seen.append(log)
    return seen


def case_class_changes_in_constructor():
    class Thing:
        def __init__(self, n):
            for _ in range(2):
                n += 0
            if n == 4:
                Thing.__init__ = other
            self.n = n

    def other(self, n):
        self.n = -n

    def run(n):
        return Thing(n).n, Thing(n).n

    return [run(n) for n in range(7)]
