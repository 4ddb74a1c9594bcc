# stage: insert_refcounts
def add_ints(a, b):
    return a + b * 2


for i in range(60):
    add_ints(i, 3)
