"""Generator expressions that append to lists that were there before: once for each item, wherever compiled code leaves."""


class Holder:
    def __init__(self):
        self.log = []


def from_a_cell(log, items):
    return sum(log.append(item) or item for item in items)


def from_a_field(holder, items):
    return tuple(holder.log.append(item) for item in items)


def from_a_list(logs, items):
    return list(log.append(item) for log in logs for item in items)


def going_on(rows):
    return sum(item for row in rows for item in row)


def case_each_item_once():
    results = []
    for number in range(60):
        items = [1, 2, 3] if number % 7 else [1, 2, 3.5]
        log, holder, logs = [], Holder(), [[], []]
        results.append((from_a_cell(log, items), from_a_field(holder, items), from_a_list(logs, items)))
        results.append((log, holder.log, logs))
    return results


def case_iterators_that_were_there():
    results = []
    for number in range(60):
        items = [1, 2, 3] if number % 7 else [1, 2, "a"]
        rows = [iter([1, 2]), iter((3, 4)), iter(range(3)), enumerate([5]), iter({6: 7}.items()), iter(items)]
        kept = list(rows)
        try:
            total = going_on(rows[:3] if number % 2 else rows[5:])
        except TypeError as error:
            total = str(error)
        results.append((total, [list(row) for row in kept]))
    return results
