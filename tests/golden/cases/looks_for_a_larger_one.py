# stage: insert_refcounts
def looks_for_a_larger_one(items, limit):
    return any(item > limit for item in items)


for i in range(60):
    looks_for_a_larger_one([i, 2], 30)
