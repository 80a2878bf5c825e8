"""What a call has reserved, until it settles to what it used."""

from __future__ import annotations

from hanok.ledger.accounts import Accounts, Amounts, Unit, settle
from hanok.ledger.prices import Rate, Tariff

NOTHING: Amounts = (0, 0, 0, 0)


class Hold:
    """What one call has reserved, where, and at which `rate`. `paid_tokens` is how many completion tokens are reserved.

    `tariff` is what the call keeps, whatever changes while it runs.
    """

    __slots__ = ("accounts", "amounts", "paid_tokens", "rate", "tariff")

    def __init__(self, accounts: Accounts, amounts: Amounts, tariff: Tariff, paid_tokens: int) -> None:
        self.accounts = accounts
        self.amounts = amounts
        self.rate = tariff.most
        self.tariff = tariff
        self.paid_tokens = paid_tokens

    def reprice(self, rate: Rate) -> None:
        """Who answers is known, at this rate: give back what was reserved because it might have been dearer."""
        usd, tokens, calls, at_once = self.amounts
        paid = min(self.paid_tokens, tokens)  # where nothing is counted there is no end to what is paid
        less = min(usd, rate.uncached_nano_usd(tokens - paid, paid))
        self.rate = rate
        for account in self.accounts:
            if account.unit == Unit.USD:
                account.used -= usd - less
        self.amounts = (less, tokens, calls, at_once)

    def settle(self, tokens: int, cost_nano_usd: int) -> None:
        """Put what was used in the place of what was reserved. Once."""
        settle(self.accounts, self.amounts, (cost_nano_usd, tokens, 1, 0))

    def release(self) -> None:
        """Take everything back, as if the call had never been."""
        settle(self.accounts, self.amounts, NOTHING)

    def take_again(self) -> None:
        """Reserve once more what was released, whether or not it fits."""
        for account in self.accounts:
            account.used += self.amounts[account.unit]

    def add(self, amounts: Amounts, tokens: int) -> None:
        """Reserve more, whether or not it fits."""
        for account in self.accounts:
            account.used += amounts[account.unit]
        usd, all_tokens, calls, at_once = self.amounts
        self.amounts = (usd + amounts[Unit.USD], all_tokens + amounts[Unit.TOKENS], calls, at_once)
        self.paid_tokens += tokens
