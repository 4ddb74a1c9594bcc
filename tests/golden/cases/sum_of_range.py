# stage: insert_refcounts
def sum_of_range(n):
    total = 0
    for i in range(n):
        total += i
    return total


for _ in range(60):
    sum_of_range(5)
