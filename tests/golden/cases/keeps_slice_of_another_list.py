# stage: insert_refcounts
def keeps_slice_of_another_list(numbers, others, k):
    numbers[:k + 1] = others[k::-1]


for _ in range(60):
    keeps_slice_of_another_list([1, 2, 3, 4], [5, 6, 7, 8], 2)
