"""Attributes of classes and of instances of known classes, resolved without the interpreter's caches: methods, class
and static methods, properties, defaults on the class, ``super()``; and everything that takes precedence over them."""

from differential import compiled


class Levels:
    LOW = 1
    HIGH = 2

    @classmethod
    def name_of(cls, level):
        return cls.__name__, "high" if level == cls.HIGH else "low"

    @staticmethod
    def higher(a, b):
        return a if a > b else b


class Account:
    rate = 5
    owner = None

    def __init__(self, amount):
        super().__init__()
        self.amount = amount

    @property
    def interest(self):
        return self.amount * self.rate

    @classmethod
    def make(cls, amount):
        return cls(amount)

    def describe(self):
        return "account"


class Savings(Account):
    rate = 7

    def __init__(self, amount, years):
        super().__init__(amount)
        self.years = years

    def describe(self):
        return "savings " + super().describe()


class Odd:
    """Has every attribute, and none of them where it should be."""

    def __getattribute__(self, name):
        return len(name)

    def __setattr__(self, name, value):
        seen.append((name, value))


class Fallback:
    def __init__(self):
        self.amount = 1

    def __getattr__(self, name):
        return "no " + name


class Shadow:
    amount = property(lambda self: "property", lambda self, value: seen.append(value))

    def __init__(self):
        self.__dict__["amount"] = "field"


class Plain:
    def __init__(self, amount):
        self.amount = amount


seen = []


@compiled
def case_attributes_of_classes():
    def run(level):
        return (Levels.LOW, Levels.higher(level, Levels.LOW), Levels.name_of(level), Account.make(level).amount,
                Savings.rate, Account.interest is Account.__dict__["interest"])

    return [run(level % 3) for level in range(60)][-4:]


@compiled
def case_known_instances():
    def run(n):
        total = 0
        for i in range(n):
            account = Savings(i, 3)
            total += account.interest + account.rate + account.years + len(account.describe())
            total += account.make(2).amount if i < 0 else account.amount
            if account.owner is not None:
                total += account.owner
            if i == n - 2:
                account.owner = 1000
        return total

    return [run(40) for _ in range(4)]


@compiled
def case_instances_of_many_forms():
    def run(thing):
        thing.amount = 4
        return thing.amount

    things = [Plain(1), Odd(), Fallback(), Shadow(), Plain(2)]
    seen.clear()
    result = [run(things[i % 5]) for i in range(400)]
    return result[-10:], len(seen), seen[-4:]


@compiled
def case_class_changed_while_running():
    class Settings:
        level = 1

        @classmethod
        def read(cls):
            return cls.level

    class Part:
        def value(self):
            return 1

    class Whole(Part):
        def value(self):
            return super().value() + 10

    def change(i):
        if i == 150:
            Settings.level = 2
        if i == 200:
            Settings.read = staticmethod(lambda: "static")
        if i == 250:
            Part.value = lambda self: 2
        if i == 300:
            Whole.__bases__ = (Other,)

    class Other:
        def value(self):
            return 3

    def run(n):
        whole = Whole()
        found = []
        for i in range(n):
            change(i)
            found.append((Settings.level, Settings.read(), whole.value()))
        return found

    found = run(400)
    return found[100], found[160], found[210], found[260], found[399]


@compiled
def case_super_in_two_classes_from_one_code():
    def make(step):
        class Lower:
            def value(self):
                return step

        class Upper(Lower):
            def value(self):
                return super().value() * 2

        return Upper

    classes = [make(i) for i in range(3)]

    def run(kind):
        return kind().value()

    return [run(classes[i % 3]) for i in range(200)][-5:]


@compiled
def case_class_with_metaclass():
    class Meta(type):
        level = property(lambda cls: "of the metaclass")

        def __getattr__(cls, name):
            return "missing " + name

    class Configured(metaclass=Meta):
        level = 1

    def run():
        return Configured.level, Configured.other

    return [run() for _ in range(60)][-1]
