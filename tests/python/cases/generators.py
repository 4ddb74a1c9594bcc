"""Generators and coroutines: every way to resume, end and look at one."""

import gc
import sys
import weakref

from differential import compiled


def count(n):
    i = 0
    while i < n:
        yield i
        i += 1


def doubled(items):
    for x in items:
        y = yield x * 2
        if y is not None:
            yield ("sent", y)
    return len(items)


def delegating(items):
    result = yield from doubled(items)
    yield ("result", result)


def case_loop_over_generators():
    for function in (count, doubled):
        compiled(function)

    @compiled
    def run(n):
        total = 0
        for x in count(n):
            total += x
        seen = [x for x in doubled(list(range(n)))]
        return total, seen, list(delegating((1, 2.5, "x")))

    return [run(n) for n in range(9)]


def case_send_and_return():
    def run():
        seen = []
        generator = delegating([1, 2, 3])
        seen.append(next(generator))
        seen.append(generator.send("a"))
        seen.append(generator.send(None))
        try:
            while True:
                seen.append(generator.send(5))
        except StopIteration as stop:
            seen.append(("stop", stop.value))
        try:
            next(generator)
        except StopIteration as stop:
            seen.append(("again", stop.value))
        try:
            count(3).send(1)
        except TypeError as error:
            seen.append(str(error))
        return seen

    return [run() for _ in range(6)]


def guarded(log):
    for i in range(4):
        try:
            x = yield i
            log.append(("got", x))
        except KeyError as error:
            log.append(("caught", repr(error), repr(sys.exception())))
            yield "handled"
        finally:
            log.append(("finally", i))


def case_throw_at_each_yield():
    def run(at):
        log = []
        generator = guarded(log)
        try:
            for step in range(10):
                log.append(generator.throw(KeyError(step)) if step == at else next(generator))
        except (StopIteration, KeyError) as error:
            log.append(repr(error))
        return log

    return [run(at) for at in range(8)]


def case_throw_into_delegated():
    def inner():
        try:
            yield 1
        except ValueError as error:
            yield ("inner", str(error))
        return "end"

    def outer():
        got = yield from inner()
        yield got

    def run():
        generator = outer()
        seen = [next(generator), generator.throw(ValueError("x")), next(generator)]
        other = outer()
        next(other)
        try:
            other.throw(IndexError("y"))
        except IndexError as error:
            seen.append(repr(error))
        return seen

    return [run() for _ in range(6)]


def case_close():
    def body(log):
        try:
            yield 1
            yield 2
        except GeneratorExit:
            log.append("exit")
            raise
        finally:
            log.append("finally")

    def stubborn():
        try:
            yield 1
        except GeneratorExit:
            yield 2

    def run():
        log = []
        generator = body(log)
        next(generator)
        generator.close()
        log.append(list(generator))
        fresh = body(log)
        fresh.close()
        dropped = body(log)
        next(dropped)
        del dropped
        gc.collect()
        other = stubborn()
        next(other)
        try:
            other.close()
        except RuntimeError as error:
            log.append(str(error))
        return log

    return [run() for _ in range(6)]


def fails(n):
    for i in range(n):
        yield 10 // (n - 1 - i)


def case_raises_in_body():
    def run(n):
        seen = []
        try:
            for x in fails(n):
                seen.append(x)
        except ZeroDivisionError as error:
            trace = error.__traceback__
            while trace:
                seen.append((trace.tb_frame.f_code.co_name, trace.tb_lineno - trace.tb_frame.f_code.co_firstlineno))
                trace = trace.tb_next
        return seen

    return [run(n) for n in range(1, 7)]


def case_stop_iteration_inside():
    def body(n):
        yield n
        if n % 2:
            raise StopIteration(n)
        yield next(iter(()))

    def run(n):
        seen = []
        try:
            for x in body(n):
                seen.append(x)
        except RuntimeError as error:
            seen.append((str(error), repr(error.__cause__)))
        return seen

    return [run(n) for n in range(6)]


def looking(log):
    a = 1
    b = 2.5
    for i in range(3):
        frame = sys._getframe()
        log.append((sorted((k, repr(v)) for k, v in frame.f_locals.items() if k in "abi"), frame.f_code.co_name))
        log.append((frame.f_back.f_code.co_name, log[0][0].gi_running if isinstance(log[0], list) else None))
        del frame
        a += i
        b = b * 2
        yield a + b


def case_frames_of_generators():
    def run():
        log = []
        holder = [None]
        log.append(holder)
        generator = looking(log)
        holder[0] = generator
        seen = []
        for value in generator:
            frame = generator.gi_frame
            seen.append((value, generator.gi_running, generator.gi_suspended, generator.gi_yieldfrom))
            seen.append((sorted((k, repr(v)) for k, v in frame.f_locals.items() if k in "abi"), frame.f_lineno - frame.f_code.co_firstlineno))
            del frame
        seen.append((generator.gi_frame, generator.gi_running, generator.gi_suspended))
        holder[0] = None
        return seen, log[1:]

    return [run() for _ in range(6)]


def case_f_locals_of_suspended_written():
    def body():
        x = 1
        while x < 1000:
            x += 1
            yield x

    def run():
        generator = body()
        seen = [next(generator), next(generator)]
        generator.gi_frame.f_locals["x"] = 500
        seen.append(next(generator))
        generator.gi_frame.f_locals["x"] = 998.5
        seen += list(generator)
        return seen

    return [run() for _ in range(6)]


def case_f_locals_of_running_written():
    def write():
        sys._getframe(1).f_locals["x"] = 100

    def body():
        x = 1
        for i in range(6):
            if i == 3:
                write()
            x += i
            yield x

    return [list(body()) for _ in range(6)]


def case_yieldfrom_attribute():
    def inner():
        yield 1
        yield 2

    def outer(iterable):
        yield from iterable
        yield 3

    def run():
        first = inner()
        generator = outer(first)
        seen = [generator.gi_yieldfrom is None]
        next(generator)
        seen.append(generator.gi_yieldfrom is first)
        seen += list(generator)
        seen += list(outer([5, 6])), list(outer((7,))), list(outer(iter("ab"))), list(outer(range(2))), list(outer("xy"))
        seen.append(list(outer({1: 2})))
        return seen

    return [run() for _ in range(6)]


def case_collected_while_running():
    class Node:
        pass

    def body(n):
        for i in range(n):
            node = Node()
            node.self = node
            other = [node, i]
            del node
            gc.collect()
            yield other[1]
            gc.collect()
            other = None

    return [list(body(4)) for _ in range(5)]


def case_references_held_by_suspended():
    class Thing:
        pass

    def body(thing):
        kept = thing
        thing = None
        yield 1
        kept = None
        yield 2

    def run():
        thing = Thing()
        reference = weakref.ref(thing)
        generator = body(thing)
        del thing
        seen = [reference() is not None]
        for _ in generator:
            seen.append(reference() is not None)
        other = Thing()
        reference = weakref.ref(other)
        generator = body(other)
        del other
        next(generator)
        seen.append(reference() is not None)
        del generator
        seen.append(reference() is not None)
        return seen

    return [run() for _ in range(6)]


def case_already_executing():
    def body(box):
        for _ in range(2):
            try:
                next(box[0])
            except ValueError as error:
                yield str(error)

    def run():
        box = []
        generator = body(box)
        box.append(generator)
        result = list(generator)
        box.clear()
        return result

    return [run() for _ in range(6)]


def case_shared_between_consumers():
    def run():
        generator = count(12)
        seen = [next(generator)]
        for x in generator:
            seen.append(x)
            if x == 4:
                break
        seen.append(sum([next(generator), next(generator)]))
        first, second, *rest = generator
        return seen, first, second, rest

    return [run() for _ in range(6)]


def case_exception_state():
    def body():
        for i in range(3):
            yield repr(sys.exception())
            try:
                raise KeyError(i)
            except KeyError:
                yield repr(sys.exception())
            yield repr(sys.exception())

    def run():
        seen = []
        generator = body()
        try:
            raise ValueError("outer")
        except ValueError:
            for _ in range(5):
                seen.append(next(generator))
            seen.append(repr(sys.exception()))
        seen += list(generator)
        return seen

    return [run() for _ in range(6)]


def case_context_of_exception_raised_in_generator():
    def body():
        yield 1
        raise KeyError("inside")

    def run():
        try:
            try:
                raise ValueError("outer")
            except ValueError:
                list(body())
        except KeyError as error:
            return repr(error), repr(error.__context__)

    return [run() for _ in range(6)]


def case_operands_on_the_stack():
    def body(f, a, b):
        r = f(a, (yield 1), b) + f(b, a, (yield 2))
        yield [r, a, (yield 3), f"{r}{(yield 4)}"]
        yield {a: (yield 5), b: [x for x in (a, b, r)]}

    def run():
        generator = body(lambda *items: len(items), "a", "b")
        seen = [next(generator)]
        for i in range(20):
            try:
                seen.append(generator.send(i))
            except StopIteration:
                break
        return seen

    return [run() for _ in range(6)]


def case_yield_in_nested_loops():
    def body(n):
        for i in range(n):
            for j in (1, 2.5, "x"):
                k = 0
                while k < i:
                    if k % 2:
                        yield i, j, k
                    k += 1
            if i == 2:
                continue
            for c in [i, i + 1]:
                if c == 4:
                    break
                yield c
        else:
            yield "else"

    return [list(body(n)) for n in range(7)]


def case_closures():
    def outer(n):
        total = 0

        def body():
            nonlocal total
            for i in range(n):
                total += i
                yield total, (lambda: i)()

        return list(body()), total, [f() for f in [lambda x=x: x + n for x in range(3)]]

    def capturing(items):
        for x in items:
            yield sum(y * x for y in items)

    return [(outer(n), list(capturing(range(n)))) for n in range(7)]


def case_generator_expressions():
    def run(items, k):
        return (
            tuple(x + k for x in items),
            list(x * k for x in items if x != 3),
            sum(x for x in items),
            any(x == k for x in items),
            all(x >= 0 for x in items),
            max((x * x for x in items), default=None),
            sorted(-x for x in items),
            set(x % 3 for x in items),
            {x: y for x, y in ((x, x + 1) for x in items)},
            ",".join(str(x) for x in items),
            [a for a in ((x, y) for x in items for y in (1, k) if x > y)],
        )

    return [run(items, k) for k, items in enumerate([[], [1], (1, 2, 3), range(5), {4, 2}, iter([7, 8]), [1.5, 2]])]


def case_recursive_generators():
    class Tree:
        def __init__(self, left, value, right):
            self.left, self.value, self.right = left, value, right

        def __iter__(self):
            if self.left:
                yield from self.left
            yield self.value
            if self.right:
                yield from self.right

    def build(low, high):
        if low >= high:
            return None
        middle = (low + high) // 2
        return Tree(build(low, middle), middle, build(middle + 1, high))

    def permute(items):
        if len(items) <= 1:
            yield items
            return
        for i, x in enumerate(items):
            for rest in permute(items[:i] + items[i + 1 :]):
                yield [x, *rest]

    return [(list(build(0, n)), list(permute(list(range(min(n, 4)))))) for n in range(1, 9)]


def case_deep_delegation():
    def body(n):
        if n:
            yield from body(n - 1)
        yield n

    def endless(n):
        yield n
        yield from endless(n + 1)

    def run():
        try:
            for depth in endless(0):
                pass
        except RecursionError as error:
            return str(error), 100 < depth < 1000

    return [sum(body(60)) for _ in range(5)], [run() for _ in range(3)]


def case_big_and_changing_numbers():
    def body():
        i = 2**62 - 3
        x = 0.5
        for step in range(8):
            yield i, x
            i += 1
            x = x * 2 if step < 4 else int(x)

    return [list(body()) for _ in range(6)]


def case_many_yields():
    def body(a):
        yield 1
        yield a
        if a:
            yield 3
            yield 4
        else:
            yield 5
        yield 6
        yield 7
        yield 8
        yield 9
        yield 10
        yield 11
        return 12

    return [list(body(n)) for n in range(6)]


# ---- coroutines


class Ready:
    def __init__(self, value):
        self.value = value

    def __await__(self):
        got = yield self.value
        return (self.value, got)


async def fibonacci(n):
    if n <= 1:
        return n
    return await fibonacci(n - 1) + await fibonacci(n - 2)


async def waits(values):
    result = []
    for value in values:
        result.append(await Ready(value))
    return result


def drive(coroutine):
    seen = []
    send = None
    try:
        while True:
            send = coroutine.send(send)
            seen.append(send)
    except StopIteration as stop:
        return seen, stop.value
    except Exception as error:
        return seen, repr(error)


def case_coroutines():
    compiled(fibonacci)
    compiled(waits)
    return [(drive(fibonacci(n)), drive(waits(range(n)))) for n in range(9)]


def case_coroutine_errors():
    async def fails(n):
        await Ready(n)
        raise ValueError(n)

    async def catches(n):
        try:
            await fails(n)
        except ValueError as error:
            return ("caught", repr(error), await Ready(3))

    async def wrong():
        await 5

    def yields_from_coroutine():
        coroutine = catches(1)
        try:
            yield from coroutine
        finally:
            coroutine.close()

    def reused():
        coroutine = fibonacci(3)
        drive(coroutine)
        return drive(coroutine)

    def run(n):
        try:
            list(yields_from_coroutine())
        except TypeError as error:
            text = str(error)
        return drive(fails(n)), drive(catches(n)), drive(wrong()), text, reused()

    return [run(n) for n in range(6)]


def case_async_for_and_with():
    class Context:
        async def __aenter__(self):
            return await Ready("enter")

        async def __aexit__(self, *exc):
            await Ready("exit")
            return False

    async def produce(n):
        for i in range(n):
            yield await Ready(i)

    async def consume(n):
        seen = []
        async with Context() as entered:
            seen.append(entered)
            async for item in produce(n):
                seen.append(item)
        return seen, [x async for x in produce(2)]

    return [drive(consume(n)) for n in range(6)]


def case_asyncio():
    import asyncio

    async def worker(n, log):
        for i in range(n):
            log.append((n, i))
            await asyncio.sleep(0)
        return n

    async def main():
        log = []
        results = await asyncio.gather(*(worker(n, log) for n in range(4)))
        return results, log

    return [asyncio.run(main()) for _ in range(4)]


def case_traced():
    events = []

    def body(n):
        for i in range(n):
            if i == 2:
                sys.settrace(trace)
            if i == 4:
                sys.settrace(None)
            yield i

    def trace(frame, event, argument):
        if frame.f_code.co_name == "body":
            events.append((event, frame.f_lineno - frame.f_code.co_firstlineno))
            return trace

    def run():
        events.clear()
        try:
            for x in body(6):
                pass
            list(body(6))
        finally:
            sys.settrace(None)
        return list(events)

    return [run() for _ in range(5)]
