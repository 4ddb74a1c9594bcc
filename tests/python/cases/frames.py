"""What can be seen of frames and life times: locals, finalizers, weak references, tracing, signals, recursion, threads."""

import gc
import inspect
import os
import signal
import sys
import threading
import time
import weakref

from differential import compiled, known


def outer_locals():
    frame = sys._getframe(1)
    return sorted((name, repr(value)) for name, value in frame.f_locals.items()), frame.f_lineno - frame.f_code.co_firstlineno


def case_getframe_locals():
    def run(a, b):
        c = a + b
        first = outer_locals()
        d = c * 2
        second = outer_locals()
        del c
        return first, second, outer_locals()

    return [run(i, b) for i, b in enumerate((1, 2, 2.5, 2**70, "x" and 3, 4))]


def case_getframe_locals_in_loop():
    def run(n):
        total = 0
        seen = []
        for i in range(n):
            total += i
            if i % 3 == 0:
                seen.append(outer_locals())
        return seen

    return [run(n) for n in (4, 5, 6)]


def write_local(name, value):
    sys._getframe(1).f_locals[name] = value


def case_f_locals_write():
    def run(n):
        x = n
        total = 0
        for i in range(4):
            if i == 2:
                write_local("x", 100)
            total += x
        return x, total

    return [run(n) for n in range(5)]


def case_f_locals_write_other_type():
    def run(n):
        x = n
        y = x + 1
        write_local("x", "text")
        write_local("y", None)
        return x, y

    return [run(n) for n in range(5)]


def case_locals_builtin():
    def run(a):
        b = a * 2
        snapshot = locals()
        b = 5
        return sorted(snapshot.items()), sorted(vars()), sorted(dir())

    return [run(n) for n in (1, 2, 2.5, "x")]


def case_locals_through_alias():
    alias = locals
    evaluate = eval

    def run(a):
        b = a * 2
        return sorted(alias()), evaluate("a + b")

    return [run(n) for n in (1, 2, 2.5, "x")]


def case_kept_frame():
    kept = []

    def keep():
        kept.append(sys._getframe(1))

    def run(a):
        b = [a]
        keep()
        b.append(2)
        c = 5
        return a

    seen = [run(n) for n in range(5)]
    for frame in kept:
        seen.append((frame.f_code.co_name, sorted((k, repr(v)) for k, v in frame.f_locals.items() if k != "keep"),
                     frame.f_lineno - frame.f_code.co_firstlineno))
    return seen


def case_stack_summary():
    def inner():
        return [(frame.function, frame.lineno - frame.frame.f_code.co_firstlineno) for frame in inspect.stack()[:3]]

    def middle():
        x = inner()
        return x

    def outer():
        return [middle() for _ in range(2)]

    return [outer() for _ in range(3)]


class Noisy:
    def __init__(self, log, name):
        self.log = log
        self.name = name

    def __del__(self):
        self.log.append(self.name)


def case_del_order_of_locals():
    def run(log):
        a = Noisy(log, "a")
        b = Noisy(log, "b")
        c = Noisy(log, "c")
        log.append("end")

    seen = []
    for _ in range(5):
        log = []
        run(log)
        seen.append(log)
    return seen


def case_del_on_rebinding():
    def run(log):
        x = Noisy(log, 1)
        log.append("one")
        x = Noisy(log, 2)
        log.append("two")
        x = None
        log.append("none")
        for i in range(3):
            x = Noisy(log, ("loop", i))
            log.append(i)
        del x
        log.append("deleted")

    seen = []
    for _ in range(5):
        log = []
        run(log)
        seen.append(log)
    return seen


def takes(log, thing):
    log.append("in")
    thing = None
    log.append("out")
    return 1


def case_del_of_argument():
    def run(log):
        takes(log, Noisy(log, "argument"))
        log.append("after")

    seen = []
    for _ in range(5):
        log = []
        run(log)
        seen.append(log)
    return seen


def case_del_of_temporaries():
    def run(log):
        len([Noisy(log, "in list")])
        log.append("after len")
        Noisy(log, "dropped")
        log.append("after drop")
        (Noisy(log, "left"), Noisy(log, "right"))
        log.append("after tuple")
        {1: Noisy(log, "value")}[1].name
        log.append("after dict")
        [Noisy(log, i) for i in range(3)][1].log.append("picked")
        log.append("after comprehension")

    seen = []
    for _ in range(5):
        log = []
        run(log)
        seen.append(log)
    return seen


def case_del_on_exception():
    def inner(log):
        a = Noisy(log, "inner")
        raise ValueError

    def run(log):
        b = Noisy(log, "outer")
        try:
            inner(log)
        except ValueError:
            log.append("caught")
        log.append("after")

    seen = []
    for _ in range(5):
        log = []
        run(log)
        seen.append(log)
    return seen


def case_del_in_container_stores():
    class Box:
        pass

    def run(log):
        box = Box()
        box.x = Noisy(log, "attribute")
        box.x = 1
        log.append("replaced")
        items = [Noisy(log, "item"), 0]
        items[0] = 1
        log.append("item replaced")
        table = {"k": Noisy(log, "entry")}
        table["k"] = 1
        log.append("entry replaced")
        box.y = Noisy(log, "late")
        del box.y
        log.append("deleted")

    seen = []
    for _ in range(5):
        log = []
        run(log)
        seen.append(log)
    return seen


def case_weakref_callbacks():
    class Thing:
        pass

    def run(log):
        thing = Thing()
        reference = weakref.ref(thing, lambda _: log.append("gone"))
        log.append(reference() is thing)
        thing = None
        log.append(reference() is None)

    seen = []
    for _ in range(5):
        log = []
        run(log)
        seen.append(log)
    return seen


def case_refcounts():
    """Seen from outside: which of its own references a function has meanwhile is the compiler's business."""

    def run(x):
        y = x
        z = [x, y]
        del y
        z = None
        return x

    def stores(x, into):
        into.append(x)
        return [x for _ in into]

    seen = []
    for _ in range(5):
        thing, into = object(), []
        result = run(thing)
        result = None
        seen.append(sys.getrefcount(thing))
        copies = stores(thing, into)
        seen.append(sys.getrefcount(thing))
        copies = into = None
        seen.append(sys.getrefcount(thing))
    return [count - seen[0] for count in seen]


def descend(n):
    return 0 if n == 0 else 1 + descend(n - 1)


def endless(n):
    return endless(n + 1) + 1


def case_recursion_limit():
    print(descend(50), descend(500))
    for _ in range(3):
        try:
            endless(0)
        except RecursionError as error:
            print(error)
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(5000)
    try:
        return descend(4000)
    finally:
        sys.setrecursionlimit(limit)


def case_deep_recursion():
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(60_000)
    try:
        return descend(50_000), descend(10)
    finally:
        sys.setrecursionlimit(limit)


def case_recursion_depth_is_exact():
    def depth(n):
        try:
            return depth(n + 1)
        except RecursionError:
            return n

    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(200)
    try:
        found = [depth(0) for _ in range(4)]
    finally:
        sys.setrecursionlimit(limit)
    return found


def spin(seconds):
    end = time.monotonic() + seconds
    n = 0
    while time.monotonic() < end:
        n += 1
    return n > 0


def forever():
    n = 0
    while True:
        n += 1


def case_keyboard_interrupt():
    # A shell starts what runs in the background with SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    spin(0.001)
    seen = []
    for _ in range(2):
        before = signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            forever()
        except KeyboardInterrupt:
            seen.append("interrupted")
        finally:
            signal.signal(signal.SIGALRM, before)
    return seen


def case_signal_handler_changes_world():
    state = {"stop": False}

    def handler(*_):
        state["stop"] = True

    def loop():
        n = 0
        while not state["stop"]:
            n += 1
        return n > 0

    seen = []
    before = signal.signal(signal.SIGALRM, handler)
    try:
        for _ in range(3):
            state["stop"] = False
            signal.setitimer(signal.ITIMER_REAL, 0.03)
            seen.append(loop())
    finally:
        signal.signal(signal.SIGALRM, before)
    return seen


def traced(n):
    total = 0
    for i in range(n):
        total += i
        if i == 3:
            switch()
        total += 1
    return total


def called(x):
    return x + 1


def calls_called(n):
    total = 0
    for i in range(n):
        total += called(i)
        if i == 3:
            switch()
    return total


switch = int


def case_settrace_in_mid_loop():
    global switch
    events = []

    def trace(frame, event, argument):
        if frame.f_code.co_name in ("traced", "called", "calls_called"):
            events.append((frame.f_code.co_name, event, frame.f_lineno - frame.f_code.co_firstlineno))
        return trace

    def on():
        sys.settrace(trace)
        sys._getframe(1).f_trace = trace

    switch = int
    seen = [traced(6), traced(6), traced(6), calls_called(6), calls_called(6)]
    for function in (traced, calls_called):
        switch = on
        seen.append(function(6))
        sys.settrace(None)
        switch = int
        seen.append(function(6))
    return seen, events


def case_setprofile_in_mid_loop():
    global switch
    events = []

    def profile(frame, event, argument):
        if frame.f_code.co_name in ("traced", "called", "calls_called"):
            events.append((frame.f_code.co_name, event))

    switch = int
    seen = [calls_called(6), calls_called(6), calls_called(6)]
    switch = lambda: sys.setprofile(profile)
    seen.append(calls_called(6))
    sys.setprofile(None)
    switch = int
    seen.append(calls_called(6))
    return seen, events


def case_monitoring_in_mid_loop():
    global switch
    events = []
    tool = sys.monitoring.PROFILER_ID
    monitoring = sys.monitoring

    def line(code, number):
        if code.co_name in ("called", "calls_called"):
            events.append((code.co_name, number - code.co_firstlineno))

    def on():
        monitoring.use_tool_id(tool, "test")
        monitoring.register_callback(tool, monitoring.events.LINE, line)
        monitoring.set_events(tool, monitoring.events.LINE)

    switch = int
    seen = [calls_called(6), calls_called(6), calls_called(6)]
    switch = on
    seen.append(calls_called(6))
    monitoring.set_events(tool, 0)
    monitoring.free_tool_id(tool)
    switch = int
    seen.append(calls_called(6))
    return seen, events


def case_local_monitoring_in_mid_loop():
    global switch
    events = []
    tool = sys.monitoring.DEBUGGER_ID
    monitoring = sys.monitoring

    def line(code, number):
        events.append((code.co_name, number - code.co_firstlineno))

    def on():
        monitoring.use_tool_id(tool, "test")
        monitoring.register_callback(tool, monitoring.events.LINE, line)
        monitoring.set_local_events(tool, calls_called.__code__, monitoring.events.LINE)

    switch = int
    seen = [calls_called(6), calls_called(6), calls_called(6)]
    switch = on
    seen.append(calls_called(6))
    monitoring.set_local_events(tool, calls_called.__code__, 0)
    monitoring.free_tool_id(tool)
    switch = int
    seen.append(calls_called(6))
    return seen, events


def work(n, results):
    total = 0
    for i in range(n):
        total += i % 7
    results.append(total)


def case_threads():
    results = []
    work(100, results)
    threads = [threading.Thread(target=work, args=(20000, results)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def case_thread_with_small_stack():
    results = []
    before = threading.stack_size(256 * 1024)
    try:
        thread = threading.Thread(target=lambda: results.append(descend(300)))
        thread.start()
        thread.join()
    finally:
        threading.stack_size(before)
    return results


def case_thread_changes_global():
    global STOP
    STOP = False

    def set_later():
        global STOP
        time.sleep(0.02)
        STOP = True

    thread = threading.Thread(target=set_later)
    thread.start()
    n = 0
    while not STOP:
        n += 1
    thread.join()
    return n >= 0


STOP = False


def case_fork():
    results = []
    work(100, results)
    work(100, results)
    child = os.fork()
    if child == 0:
        work(100, results)
        os._exit(descend(20) + len(results))
    _, status = os.waitpid(child, 0)
    work(100, results)
    return os.waitstatus_to_exitcode(status), results


def case_gc_in_loop():
    class Node:
        def __init__(self, other):
            self.other = other
            self.me = self

    def run(n):
        count = 0
        for i in range(n):
            node = Node(i)
            if i % 50 == 0:
                gc.collect()
            count += node.other
        return count

    return [run(n) for n in (10, 60, 200)]


def case_generator_running_while_collected():
    def produce(n):
        things = [object()]
        for i in range(n):
            gc.collect()
            yield i, len(things)

    return [list(produce(3)) for _ in range(4)]


def case_current_frames():
    def run():
        x = 1
        frames = sys._current_frames()
        return any(frame.f_code.co_name == "run" for frame in frames.values())

    return [run() for _ in range(5)]


def case_sys_getframe_depths():
    def inner(depth):
        return sys._getframe(depth).f_code.co_name

    def outer(depth):
        return inner(depth)

    return [outer(depth) for depth in (0, 1, 2, 0, 1, 2)]


def case_function_attributes():
    def run(x):
        return x

    code, kind, identity = run.__code__, type(run), id(run)
    for i in range(5):
        run(i)
    return run.__code__ is code, type(run) is kind, id(run) == identity, run.__name__, run.__code__.co_code == code.co_code


@compiled
def case_line_numbers():
    seen = []
    for i in range(3):
        seen.append(sys._getframe().f_lineno - sys._getframe().f_code.co_firstlineno)
        seen.append(
            sys._getframe().f_lineno - sys._getframe().f_code.co_firstlineno
        )
    return seen
