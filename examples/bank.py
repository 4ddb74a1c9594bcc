"""A bank's day: classes, methods, properties, exceptions and dictionaries. Usage: bank.py [transfers]"""

import sys
from dataclasses import dataclass


class InsufficientFunds(Exception):
    pass


class Account:
    """Money of one customer."""

    fee = 0

    def __init__(self, number, balance):
        self.number = number
        self._balance = balance
        self.history = 0

    @property
    def balance(self):
        return self._balance

    def deposit(self, amount):
        self._balance += amount
        self.history += 1

    def withdraw(self, amount):
        total = amount + self.fee
        if total > self._balance:
            raise InsufficientFunds(self.number)
        self._balance -= total
        self.history += 1
        return total - amount


class BusinessAccount(Account):
    fee = 2

    def deposit(self, amount):
        super().deposit(amount)
        self.history += 1


@dataclass(slots=True)
class Transfer:
    source: int
    target: int
    amount: int


class Dice:
    """The same numbers every time."""

    def __init__(self, seed):
        self.state = seed

    def roll(self, sides):
        self.state = (self.state * 1103515245 + 12345) & 0x7FFFFFFF
        return (self.state >> 8) % sides


class Bank:
    def __init__(self, customers):
        self.accounts = {}
        for number in range(customers):
            kind = BusinessAccount if number % 3 == 0 else Account
            self.accounts[number] = kind(number, 1000 + number)
        self.fees = 0
        self.refused = 0

    def transfer(self, order):
        source = self.accounts[order.source]
        target = self.accounts[order.target]
        try:
            self.fees += source.withdraw(order.amount)
        except InsufficientFunds:
            self.refused += 1
        else:
            target.deposit(order.amount)

    def total(self):
        return sum(account.balance for account in self.accounts.values())


def main(transfers):
    bank = Bank(500)
    dice = Dice(42)
    before = bank.total()
    for _ in range(transfers):
        bank.transfer(Transfer(dice.roll(500), dice.roll(500), dice.roll(400)))
    richest = max(bank.accounts.values(), key=lambda account: account.balance)
    print(f"{transfers} transfers, {bank.refused} refused, {bank.fees} in fees")
    print(f"richest: {richest.number} with {richest.balance}")
    print("books balance:", bank.total() + bank.fees == before)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_500_000)
