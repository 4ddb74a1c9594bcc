# stage: insert_refcounts
def generic_operators(a, b):
    return a + b, a == b, -a


for value in (1, 1.5, 2**80, True) * 15:
    generic_operators(value, value)
