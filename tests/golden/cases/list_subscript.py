# stage: insert_refcounts
def list_subscript(values, i):
    values[i] = values[i - 1]
    return values


for _ in range(60):
    list_subscript([1, 2, 3], 2)
