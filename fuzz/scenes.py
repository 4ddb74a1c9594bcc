"""The second kind of generated programs: hot code whose world changes while it runs.

Expressions know the kind of value they make, so loops mostly run to their end; what goes wrong does so on purpose. Functions
call `tick` in the middle of expressions; at numbers chosen when the program is made, a tick changes something: a class, a
global, a function, the container that is being iterated, a generator that waits, the locals of its caller; or it raises.
At the end the objects that are still alive are counted, and the references to a few objects.
"""

from __future__ import annotations

import random

from scenes_world import ACTIONS, PRELUDE

EXCEPTIONS = ["Stop", "ValueError", "KeyError", "IndexError", "TypeError", "ZeroDivisionError", "AttributeError", "StopIteration", "LookupError", "Exception",
              "(ValueError, KeyError)", "(Stop, TypeError)", "ArithmeticError", "NameError"]
VARIABLES = {"i": ["a", "b", "c"], "f": ["u", "v"], "o": ["o", "p"], "s": ["s"], "L": ["xs"], "F": ["fs"], "g": ["it"]}


class Scenes:
    """Makes one program."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.lines: list[str] = []
        self.functions: list[tuple[str, str]] = []
        self.generators: list[tuple[str, str]] = []
        self.number = 0
        self.is_generator = False
        self.ticks = 0
        self.level = 0

    def pick(self, options):
        return self.random.choice(options)

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def emit(self, indent: int, text: str) -> None:
        self.lines.append("    " * indent + text)

    def fresh(self, prefix: str) -> str:
        self.number += 1
        return f"{prefix}{self.number}"

    # ---- expressions: `names` maps a name to its kind

    def of_kind(self, names: dict[str, str], kind: str) -> list[str]:
        return [name for name, own in names.items() if own == kind]

    def one(self, *choices) -> str:
        """One of the texts, or of the functions that make one; behind some nesting only what needs no more of it."""
        self.level += 1
        if self.level > MOST_LEVELS:
            choices = [choice for choice in choices if isinstance(choice, str)] or choices
        choice = self.random.choice(choices)
        text = choice if isinstance(choice, str) else choice()
        self.level -= 1
        return text

    def tick(self, text: str) -> str:
        self.ticks += 1
        return f"tick({text})"

    def int(self, names: dict[str, str], depth: int = 2) -> str:
        own = self.of_kind(names, "i")
        r = self.random.random()
        if depth <= 0 or r < 0.25 or self.level > MOST_LEVELS:
            return self.pick(own) if own and self.chance(0.75) else self.pick(["0", "1", "2", "3", "7", "-1", "100", "G0", "True", "2**40"])
        sub = lambda: self.int(names, depth - 1)
        choices = [
            lambda: f"({sub()} {self.pick(['+', '-', '*', '%', '//', '&', '|', '^', '+', '-'])} {self.pick(['1', '2', '3', '5', sub()])})",
            lambda: f"{self.object(names)}.x",
            lambda: f"{self.object(names)}.get({sub()})",
            lambda: f"{self.object(names)}.limit",
            lambda: f"{self.object(names)}.grow({self.pick(['', '2', sub()])}).x",
            lambda: f"{self.object(names)}.twice({sub()})",
            lambda: f"{self.object(names)}({sub()})",
            lambda: f"{self.pick(CLASS_NAMES)}({sub()}).{self.pick(['x', 'get(1)', 'grow().x', 'limit'])}",
            lambda: f"{self.pick(CLASS_NAMES)}.{self.pick(['make', 'make'])}({sub()}).x",
            lambda: f"inc({sub()}{self.pick(['', '', ', 3', ', by=' + sub()])})",
            lambda: f"pick({sub()}{self.pick(['', ', of=5'])})",
            lambda: f"len({self.numbers(names)})",
            lambda: f"sum({self.iterable(names, depth)})",
            lambda: f"max({self.iterable(names, depth)}, default={sub()})",
            lambda: f"min({sub()}, {sub()})",
            lambda: f"TABLE[{self.pick(['chr(97 + ' + sub() + ' % 4)', repr('a'), repr('b')])}]",
            lambda: f"TABLE.get({self.pick([repr('a'), repr('z')])}, {sub()})",
            lambda: f"{self.numbers(names)}[{self.pick(['0', '-1', '1', sub(), sub() + ' % 3'])}]",
            lambda: f"({sub()} if {self.condition(names, depth - 1)} else {sub()})",
            lambda: f"next({self.iterator(names, depth)}, {sub()})",
            lambda: self.tick(sub()), lambda: self.tick(sub()),
            lambda: f"(lambda z: z + {sub()})({sub()})",
            lambda: self.call(names, depth),
            lambda: f"int({self.float(names, depth - 1)})",
            lambda: f"len([1 for q in {self.iterable(names, depth - 1)} if {self.condition(names | {'q': 'i'}, 0)}])",
            lambda: f"(any({self.condition(names | {'q': 'i'}, 0)} for q in {self.iterable(names, 1)}) + 1)",
        ]
        return self.one(*choices)

    def call(self, names: dict[str, str], depth: int) -> str:
        if not self.functions or depth < 2 or self.chance(0.4):
            return self.int(names, 0)
        name, kinds = self.pick(self.functions)
        return f"{name}({', '.join(self.of(kind, names, 0) for kind in kinds)})"

    def float(self, names: dict[str, str], depth: int = 2) -> str:
        own = self.of_kind(names, "f")
        if depth <= 0 or self.level > MOST_LEVELS or self.chance(0.25):
            return self.pick(own) if own and self.chance(0.75) else self.pick(["0.5", "1.5", "-2.0", "G1", "3.25"])
        sub = lambda: self.float(names, depth - 1)
        choices = [
            lambda: f"({sub()} {self.pick(['+', '-', '*', '+', '/'])} {self.pick([sub(), '2.0', '1.25'])})",
            lambda: f"({sub()} {self.pick(['+', '*'])} {self.int(names, depth - 1)})",
            lambda: f"{self.object(names)}.{self.pick(['w', 'w', 'area', 'bias', 'area'])}",
            lambda: f"{self.object(names)}.scale({self.pick(['0.5', '1.25', sub()])})",
            lambda: f"{self.floats(names)}[{self.pick(['0', '-1', '1', self.int(names, 0)])}]",
            lambda: f"math.sqrt(abs({sub()}))",
            lambda: f"float({self.int(names, depth - 1)})",
            lambda: self.tick(sub()),
            lambda: f"({sub()} if {self.condition(names, depth - 1)} else {sub()})",
        ]
        return self.one(*choices)

    def condition(self, names: dict[str, str], depth: int = 1) -> str:
        sub = lambda: self.int(names, depth - 1)
        choices = [
            lambda: f"{sub()} {self.pick(['<', '>', '==', '!=', '<='])} {sub()}",
            lambda: f"{sub()} % {self.pick(['2', '3'])} == {self.pick(['0', '1'])}",
            lambda: f"{self.float(names, depth - 1)} {self.pick(['<', '>'])} {self.float(names, depth - 1)}",
            lambda: f"isinstance({self.object(names)}, {self.pick(CLASS_NAMES)})",
            lambda: f"{self.object(names)} {self.pick(['is', 'is not', '=='])} {self.object(names)}",
            lambda: f"{sub()} in {self.numbers(names)}",
            lambda: f"not {self.object(names)}",
            "'a' in TABLE", "'z' in TABLE", "G0", "OTHER",
            lambda: self.object(names),
            lambda: f"any({self.iterable(names, 1)})",
            lambda: f"all(q < {sub()} for q in {self.iterable(names, 1)})",
        ]
        return self.one(*choices)

    def object(self, names: dict[str, str]) -> str:
        own = self.of_kind(names, "o")
        return self.pick(own) if own and self.chance(0.8) else self.pick(["OBJECT", "OTHER", "GUESTS[2]"])

    def new_object(self, names: dict[str, str]) -> str:
        return self.one(
            "OBJECT", "OTHER", lambda: self.object(names), lambda: f"{self.pick(CLASS_NAMES)}({self.int(names, 1)})",
            lambda: f"{self.pick(CLASS_NAMES)}({self.int(names, 0)}, {self.float(names, 1)})", lambda: f"CLASSES[{self.int(names, 0)} % 6]({self.int(names, 0)})",
            lambda: f"{self.object(names)}.grow()", lambda: f"{self.pick(CLASS_NAMES)}.make({self.int(names, 0)})")

    def objects(self, names: dict[str, str]) -> str:
        return self.one(
            "[OBJECT, OTHER]", "[cls(2) for cls in CLASSES]", "(OTHER, OBJECT, OTHER)", "map(Shape, NUMBERS)", lambda: f"[{self.pick(CLASS_NAMES)}(k) for k in range(4)]",
            lambda: f"[{', '.join(self.new_object(names) for _ in range(self.random.randint(1, 4)))}]")

    def numbers(self, names: dict[str, str]) -> str:
        own = self.of_kind(names, "L")
        return self.pick(own) if own and self.chance(0.6) else "NUMBERS"

    def floats(self, names: dict[str, str]) -> str:
        own = self.of_kind(names, "F")
        return self.pick(own) if own and self.chance(0.6) else "FLOATS"

    def iterator(self, names: dict[str, str], depth: int) -> str:
        own = self.of_kind(names, "g")
        return self.pick(own) if own and self.chance(0.6) else f"iter({self.iterable(names, depth)})"

    def iterable(self, names: dict[str, str], depth: int = 2) -> str:
        """Of ints."""
        count = self.pick(["3", "5", "4", "0", f"{self.int(names, 0)} % 6"])
        numbers = self.numbers(names)
        options = [f"range({count})", f"range(1, {count})", numbers, "(1, 2, 3)", "TABLE.values()", f"count({count})", f"guarded({count})", f"chained({count})",
                   f"reversed({numbers})", f"{self.object(names)}.walk({count})", f"talk({count})", f"{numbers}[1:]", "Circle(4)", "Lazy(2)",
                   f"keep(count({count}))", f"keep(guarded({count}))"]
        if depth > 0 and self.level < MOST_LEVELS and self.chance(0.6):
            inside = names | {"q": "i"}
            source = self.iterable(names, 0)
            expression, filtered = lambda: f"({self.int(inside, depth)} for q in {source})", lambda: f"({self.int(inside, 1)} for q in {source} if {self.condition(inside, 1)})"
            options = [expression, expression, filtered, filtered, lambda: f"({self.tick('q')} for q in {source})", f"map(inc, {source})", f"filter(None, {source})",
                       lambda: f"[{self.int(inside, 1)} for q in {source}]", lambda: f"(r.x for r in {self.objects(names)})", f"list({source})",
                       lambda: f"(r.get(q) for q in {source} for r in {self.objects(names)})", lambda: f"keep({self.int(inside, 0)} for q in {source})"]
            for name, kinds in self.generators[-3:]:
                options.append(f"{name}({', '.join(self.of(kind, names, 0) for kind in kinds)})")
        return self.one(*options)

    def of(self, kind: str, names: dict[str, str], depth: int = 1) -> str:
        if kind == "s":
            return self.pick(["'a'", "'text'", "'b'"])
        if kind == "g":
            return f"iter({self.iterable(names, depth)})"
        if kind in "if":
            return self.int(names, depth) if kind == "i" else self.float(names, depth)
        if kind == "o":
            return self.new_object(names)
        if kind == "L":
            return self.one("NUMBERS", lambda: f"[{self.int(names, 0)}, {self.int(names, 0)}, 3]", lambda: f"list({self.iterable(names, depth)})")
        return self.one("FLOATS", "[0.5] * 4", lambda: f"[{self.float(names, 0)}, {self.float(names, 0)}]")

    def append(self, names: dict[str, str]) -> str:
        """To a list that may be walked at the moment: it must not grow for ever."""
        numbers = self.numbers(names)
        return f"{numbers}[9:] or {numbers}.append({self.int(names, 1)})"

    # ---- statements

    def block(self, indent: int, names: dict[str, str], depth: int, loops: int, budget: list[int]) -> None:
        start = len(self.lines)
        for _ in range(self.random.randint(1, 4)):
            if budget[0] > 0:
                self.statement(indent, names, depth, loops, budget)
        if len(self.lines) == start:
            self.emit(indent, "pass")

    def statement(self, indent: int, names: dict[str, str], depth: int, loops: int, budget: list[int]) -> None:
        budget[0] -= 1
        if depth <= 0 or self.chance(0.42):
            self.simple(indent, names, loops)
            return
        r = self.random.random()
        if r < 0.45 and loops < 3:
            self.loop(indent, names, depth, loops, budget)
        elif r < 0.62:
            self.emit(indent, f"if {self.condition(names, 2)}:")
            self.block(indent + 1, dict(names), depth - 1, loops, budget)
            if self.chance(0.4):
                self.emit(indent, "else:")
                self.block(indent + 1, dict(names), depth - 1, loops, budget)
        elif r < 0.92:
            self.attempt(indent, names, depth, loops, budget)
        else:
            self.emit(indent, f"with Manager({self.pick(['True', 'False', 'True'])}){self.pick(['', ' as m'])}:")
            self.block(indent + 1, dict(names), depth - 1, loops, budget)

    def loop(self, indent: int, names: dict[str, str], depth: int, loops: int, budget: list[int]) -> None:
        inside = dict(names)
        variable = self.pick(["i", "j", "k"])
        kind = self.random.random()
        if kind < 0.3:
            self.emit(indent, f"for {variable} in {self.iterable(names)}:")
        elif kind < 0.45:
            variable = self.pick(["o", "p"])
            self.emit(indent, f"for {variable} in {self.objects(names)}:")
            inside[variable] = "o"
        elif kind < 0.55:
            other = self.pick(["a", "b"])
            start = self.pick(["", ", 1", ", start=5"])
            self.emit(indent, f"for {variable}, {other} in enumerate({self.iterable(names)}{start}):")
            inside[other] = "i"
        elif kind < 0.65:
            other = self.pick(["a", "b"])
            self.emit(indent, f"for {variable}, {other} in zip({self.iterable(names)}, {self.iterable(names, 1)}{self.pick(['', '', ', strict=True'])}):")
            inside[other] = "i"
        elif kind < 0.75:
            self.emit(indent, self.pick([f"for s, {variable} in TABLE.items():", f"for {variable} in TABLE.values():", f"for s, {variable} in list(TABLE.items()):"]))
        elif kind < 0.8:
            other = self.pick(["u", "v"])
            self.emit(indent, f"for {variable}, {other} in enumerate({self.floats(names)}):")
            inside[other] = "f"
        elif kind < 0.86:
            self.emit(indent, f"it = {self.iterable(names)}" if self.chance(0.5) else f"it = iter({self.iterable(names)})")
            self.emit(indent, f"for {variable} in it:")
            inside["it"] = "g"
        else:
            variable = self.fresh("w")
            self.emit(indent, f"{variable} = 0")
            self.emit(indent, f"while {variable} < {self.pick(['4', '6', '9'])}{self.pick(['', '', ' and ' + self.condition(names)])}:")
            self.emit(indent + 1, f"{variable} += 1")
        inside.setdefault(variable, "i")
        self.block(indent + 1, inside, depth - 1, loops + 1, budget)
        if self.chance(0.3):
            self.emit(indent + 1, f"if {self.condition(inside)}:")
            self.emit(indent + 2, self.pick(["break", "continue", "break"]))
        if self.chance(0.12):
            self.emit(indent, "else:")
            self.block(indent + 1, dict(names), depth - 1, loops, budget)

    def attempt(self, indent: int, names: dict[str, str], depth: int, loops: int, budget: list[int]) -> None:
        self.emit(indent, "try:")
        inside = dict(names)
        self.block(indent + 1, inside, depth - 1, loops, budget)
        if self.chance(0.6):
            self.emit(indent + 1, self.raiser(inside))
        is_final = self.chance(0.25)
        if not is_final or self.chance(0.6):
            for _ in range(self.pick([1, 1, 2])):
                self.emit(indent, f"except {self.pick(EXCEPTIONS)}{self.pick([' as e', ' as e', ''])}:")
                if self.lines[-1].endswith("as e:") and self.chance(0.5):
                    self.emit(indent + 1, "LOG.append(f'{type(e).__name__}')")
                self.block(indent + 1, dict(names), depth - 2, loops, budget)
                if self.chance(0.2):
                    self.emit(indent + 1, self.pick(["raise", "raise ValueError('new')", "raise Stop from None", "continue" if loops else "raise", "break" if loops else "raise",
                                                     f"return {self.int(names, 1)}"]))
            if self.chance(0.15):
                self.emit(indent, "else:")
                self.block(indent + 1, dict(names), depth - 1, loops, budget)
        if is_final:
            self.emit(indent, "finally:")
            self.block(indent + 1, dict(names), depth - 2, loops, budget)

    def raiser(self, names: dict[str, str]) -> str:
        return self.pick([
            f"if {self.condition(names)}: raise {self.pick(['Stop', 'ValueError(1)', 'KeyError', 'IndexError(2)', 'Stop(3)'])}",
            f"a = NUMBERS[{self.int(names, 1)}]", f"a = TABLE[{self.pick([repr('a'), repr('nothing')])}]", f"b = {self.int(names, 1)} // ({self.int(names, 0)} % 3)",
            f"b = {self.object(names)}.missing", f"u = {self.object(names)}.area2", f"a = int({self.pick([repr('12'), repr('x')])})", f"a = next({self.iterator(names, 1)})",
            f"a, b = {self.iterable(names, 0)}", "del c", f"tick({self.int(names, 1)})", f"a = {self.object(names)}.get({self.int(names, 1)})", "a = undefined", "a = -'x'",
            f"u = 1.0 / {self.int(names, 0)}",
        ])

    def simple(self, indent: int, names: dict[str, str], loops: int) -> None:
        r = self.random.random()
        if self.is_generator and r < 0.3:
            value = self.int(names)
            self.emit(indent, self.pick([f"yield {value}", f"yield {value}", f"a = yield {value}", f"yield {value}", f"yield from {self.iterable(names, 1)}",
                                         f"a = (yield {value}) or 0"]))
            if "a =" in self.lines[-1]:
                names["a"] = "i"
            return
        if r < 0.5:
            kind = self.pick("iiifffoosLFg")
            name = self.pick(VARIABLES[kind])
            value = self.of(kind, names, 2)
            if kind == "i" and self.chance(0.6):
                value = f"({value}) % {self.pick(['1000003', '17', '100'])}"
            if kind == "i" and name not in self.of_kind(names, "i") and name in names:
                return
            self.emit(indent, f"{name} = {value}")
            names[name] = kind
        elif r < 0.6:
            own = self.of_kind(names, self.pick("if"))
            if own:
                name = self.pick(own)
                kind = names[name]
                self.emit(indent, f"{name} {self.pick(['+=', '-=', '+=', '*='])} {self.int(names, 1) if kind == 'i' else self.float(names, 1)}")
                if kind == "i" and self.chance(0.7):
                    self.emit(indent, f"{name} %= 100003")
            else:
                self.emit(indent, self.pick(["a = 1", "b = 2"]))
                names[self.lines[-1].split()[0]] = "i"
        elif r < 0.78:
            self.emit(indent, self.pick([
                f"{self.object(names)}.x = {self.int(names, 1)}", f"{self.object(names)}.x += {self.int(names, 0)}", f"{self.object(names)}.w *= {self.float(names, 0)}",
                f"{self.object(names)}.w += {self.float(names, 1)}", f"{self.floats(names)}[{self.pick(['0', '1', '-1'])}] {self.pick(['=', '+=', '*='])} {self.float(names, 1)}",
                self.append(names), f"TABLE['k'] = {self.int(names, 1)}", f"TABLE['a'] {self.pick(['+=', '='])} {self.int(names, 0)}",
                f"{self.object(names)}.grow({self.int(names, 0)})", f"keep({self.iterable(names)})", f"keep({self.object(names)})", "del NUMBERS[3:]", "del FLOATS[3:]",
                f"NUMBERS[0] = {self.int(names, 0)}", f"{self.object(names)}.extra = {self.int(names, 0)}", "global_set()", f"GUESTS[5][:] = GUESTS[:{self.int(names, 0)} % 4]",
            ]))
        elif r < 0.86:
            self.emit(indent, self.tick(self.pick(["", self.int(names, 1)])))
        elif r < 0.89:
            self.emit(indent, f"{self.pick(['s', 'x9'])} = Noisy({self.random.randint(0, 99)})")
            names.pop("s", None)
        elif r < 0.92:
            name = self.fresh("h")
            closed = self.int(names, 1)
            self.emit(indent, f"def {name}(z, n={self.int(names, 0)}):")
            self.emit(indent + 1, self.pick([f"return z + n + ({closed})", f"return sum(z for _ in {self.iterable(names, 1)})"]))
            self.emit(indent, f"a = {name}({self.int(names, 0)})")
            names["a"] = "i"
        elif r < 0.96:
            self.emit(indent, f"LOG.append({self.pick([self.int(names, 1), 'show(' + self.object(names) + ')', 'sys.getrefcount(GUESTS[0]) - BEFORE[0]'])})" if self.chance(0.5)
                      else f"{self.pick(['a', 'b'])} = {self.int(names)}")
            if " = " in self.lines[-1].lstrip()[:5]:
                names[self.lines[-1].split()[0]] = "i"
        elif loops == 0 and indent > 1 or self.chance(0.1):
            self.emit(indent, "return" if self.is_generator else f"return {self.int(names)}")
        else:
            self.emit(indent, f"for _ in {self.iterable(names)}: pass" if self.chance(0.5) else f"if {self.condition(names)}: {self.pick(['del a', 'a = 1', 'b = 2', 'u = 0.5'])}")

    def function(self, is_generator: bool) -> None:
        self.is_generator = is_generator
        name = self.fresh("gen" if is_generator else "f")
        kinds = "".join(self.pick("iiffooLFg") for _ in range(self.random.randint(1, 3)))
        pools = {kind: list(choices) for kind, choices in VARIABLES.items()}
        names: dict[str, str] = {}
        for kind in kinds:
            if pools[kind]:
                names[pools[kind].pop(0)] = kind
        self.emit(0, "")
        self.emit(0, f"def {name}({', '.join(names)}):")
        self.emit(1, "tick()")
        budget = [self.random.randint(5, 18)]
        parameters = "".join(names.values())
        while budget[0] > 0:
            self.statement(1, names, 4, 0, budget)
        if is_generator:
            self.emit(1, f"yield {self.int(names, 0)}")
            self.generators.append((name, parameters))
        else:
            shown = self.random.sample(sorted(names), min(3, len(names)))
            self.emit(1, f"LOG.append(show(({', '.join(shown)},)))")
            self.emit(1, f"return {self.int(names, 1)}")
            self.functions.append((name, parameters))

    def arguments(self, kinds: str) -> str:
        return ", ".join(self.of(kind, {}, 1) for kind in kinds)

    def driver(self) -> None:
        self.emit(0, "")
        actions, weights = zip(*ACTIONS)
        for _ in range(self.random.randint(0, 6)):
            number = self.pick([self.random.randint(1, 60), self.random.randint(10, 400)])
            self.emit(0, f"PLAN[{number}] = {self.random.choices(actions, weights)[0]}")
        for name, kinds in self.functions:
            warm = self.arguments(kinds)
            for _ in range(self.random.randint(3, 6)):
                self.emit(0, f"attempt('{name} warm', {name}, lambda: ({warm},))")
        for name, kinds in self.generators:
            self.consume(name, kinds, 3)
        for _ in range(self.random.randint(5, 12)):
            if self.chance(0.5):
                action = self.random.choices(actions, weights)[0]
                if action not in ("trace", "profile", "look") and not action.startswith("write"):
                    self.emit(0, f"attempt('change', lambda: ({action})())")
            if self.chance(0.3):
                self.emit(0, f"PLAN[TICKS + {self.random.randint(1, 30)}] = {self.random.choices(actions, weights)[0]}")
            if self.chance(0.3) and self.generators:
                self.consume(*self.pick(self.generators), 1)
            else:
                name, kinds = self.pick(self.functions)
                for _ in range(self.pick([1, 2, 4])):
                    self.emit(0, f"attempt('{name}', {name}, lambda: ({self.arguments(kinds)},))")
        self.emit(0, "finish()")

    def consume(self, name: str, kinds: str, times: int) -> None:
        script = [self.pick(["for", "next", "next", "send", "throw", "stop", "close", "keep", "drop", "list", "sum", "for", "frame"]) for _ in range(self.random.randint(2, 7))]
        for _ in range(times):
            self.emit(0, f"consume('{name}', lambda: {name}({self.arguments(kinds)}), {script})")

    def program(self) -> str:
        self.emit(0, "def global_set():")
        self.emit(1, "global G0")
        self.emit(1, "G0 = G0 + 1 if isinstance(G0, int) else 1")
        for _ in range(self.random.randint(2, 4)):
            self.function(self.chance(0.35))
        if not self.functions:
            self.function(False)
        self.driver()
        return PRELUDE + "\n".join(self.lines) + "\n"


#: Of expressions in each other.
MOST_LEVELS = 4
CLASS_NAMES = ["Shape", "Square", "Circle", "Both", "Slotted", "Lazy"]
