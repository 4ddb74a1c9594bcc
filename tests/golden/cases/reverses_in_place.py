# stage: insert_refcounts
def reverses_in_place(numbers, k):
    numbers[:k + 1] = numbers[k::-1]


for _ in range(60):
    reverses_in_place([1, 2, 3, 4], 2)
