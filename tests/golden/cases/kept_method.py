# stage: insert_refcounts
def kept_method(number):
    numbers = []
    append = numbers.append
    append(number)
    return numbers


for _ in range(60):
    kept_method(1)
