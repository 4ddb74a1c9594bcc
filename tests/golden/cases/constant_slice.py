# stage: insert_refcounts
def constant_slice(numbers):
    return numbers[:]


for _ in range(60):
    constant_slice([1, 2])
