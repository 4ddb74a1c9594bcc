# stage: insert_refcounts
class Counter:
    def __init__(self):
        self.count = 0


def store_attribute(counter):
    counter.count += 1


one = Counter()
for _ in range(60):
    store_attribute(one)
