# stage: insert_refcounts
def enumerates_a_list(items: list):
    total = 0
    for index, item in enumerate([*items]):
        total += index * item
    return total


for _ in range(60):
    enumerates_a_list([1, 2, 3])
