"""Invoice proposals that wait: the transactions to post before Finance can make their lines (R56).

Import from staging makes the lines of a proposal all at once, when the unbilled sales that it bills are posted by the
integration journal (`docs/domain/documents.md` §4, step 5). Until then its amount is 0.00. Billed sales name their
proposal on the staging row; a transaction connection says which unbilled sales each of them bills. The cost beside
an unbilled sale is no part of it: where that stands, its document says.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from engine import money
from engine.chains.records import Row
from engine.events.facts import row_id_of
from engine.reconciliation.chain_facts import ActualFacts, ChainFacts
from engine.reconciliation.document_facts import document_facts


class Transaction(msgspec.Struct, frozen=True):
    """An unbilled sale that is not posted: how far it got (`engine.reconciliation.chain_facts.STATES`,
    `not-synced-back` while Finance does not have it, `not-seen` when nothing but its id is known), in which journal it
    lies and of which document it is.

    `amount` in units of its currency.
    """

    actual: str
    state: str
    date: str | None = None
    amount: int | None = None
    currency: str | None = None
    journal: str | None = None
    document: str | None = None


class Proposal(msgspec.Struct, frozen=True):
    """An invoice proposal of amount 0.00; `billed` is how many transactions it is known to bill, `unknown` of how many
    billed sales it is not known what they bill.
    """

    number: str
    company: str | None
    date: str | None
    currency: str | None
    contract: str | None
    billed: int
    unknown: int
    to_post: tuple[Transaction, ...]

    @property
    def documents(self) -> list[str]:
        """The documents that the transactions to post are of."""
        return sorted({one.document for one in self.to_post if one.document is not None})

    def message(self, day: Callable[[str], str] = str, amount: Callable[[int, str | None], str] = money.text) -> str:
        """What it waits for, with the dates and amounts of the transactions to post."""
        if not self.billed and not self.unknown:
            return "None of its billed sales has arrived in Finance."
        told = (
            [f"Not posted yet: {'; '.join(_told(one, day, amount) for one in self.to_post)}."] if self.to_post else []
        )
        if self.unknown:
            told.append(f"Unbilled sales not known of {self.unknown} billed sales.")
        return " ".join(told) or "All its transactions are posted."

    @property
    def resolution(self) -> str:
        """What a person does."""
        if self.to_post:
            return "Import the missing transactions, post the integration journals, then run Import from staging again."
        if self.unknown:
            return "Check that the actuals and transaction connections of Dataverse have been read."
        if not self.billed:
            return "Sync its actuals to Finance again. If it fails, check the dual-write errors of their map."
        return "Run Import from staging."

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "proposal": self.number,
            "company": self.company,
            "date": self.date,
            "contract": self.contract,
            "amount": money.text(0, self.currency),
            "currency": self.currency,
            "billed": self.billed,
            "unknown": self.unknown,
            "to_post": [
                {
                    "date": one.date,
                    "amount": None if one.amount is None else money.text(one.amount, one.currency),
                    "currency": one.currency,
                    "state": one.state,
                    "journal": one.journal,
                    "document": one.document,
                    "actual": one.actual,
                }
                for one in self.to_post
            ],
            "message": self.message(),
            "resolution": self.resolution,
        }


def _told(one: Transaction, day: Callable[[str], str], amount: Callable[[int, str | None], str]) -> str:
    where = one.state.replace("-", " ") + (f" in journal {one.journal}" if one.journal else "")
    if one.date is None or one.amount is None:
        return f"actual {one.actual} ({where})"
    return f"{day(one.date)} {amount(one.amount, one.currency)} {one.currency or ''} ({where})".replace("  ", " ")


def waits(proposal: Row) -> bool:
    """Whether a proposal has no lines yet, and no invoice came of it."""
    return proposal["number"] is not None and proposal["amount"] == 0 and proposal["invoice"] is None


def unbilled(billed: Row, connections: Iterable[Row]) -> list[str]:
    """The unbilled sales, by their ids, that an actual named by a proposal stands for."""
    if billed["type"] == "unbilled-sales":
        return [billed.id]
    return [
        connection["second"]
        for connection in connections
        if connection["first"] == billed.id
        and (connection["first_role"], connection["second_role"]) == ("Billed Sales", "Unbilled Sales")
        and connection["second"] is not None
    ]


def waiting(proposal: Row, sales: Sequence[Sequence[str]], chains: Mapping[str, ChainFacts]) -> Proposal:
    """What a proposal waits for, given the unbilled sales behind each row in Finance that names it; `chains` has the
    chain of each that was seen.
    """
    ids = sorted({sale for behind in sales for sale in behind})
    found = [one for one in (_transaction(sale, chains.get(sale)) for sale in ids) if one is not None]
    return Proposal(
        number=str(proposal["number"]),
        company=proposal.company,
        date=proposal["date"],
        currency=proposal["currency"],
        contract=proposal["contract"],
        billed=len(ids),
        unknown=sum(not behind for behind in sales),
        to_post=tuple(sorted(found, key=lambda one: (one.date or "", one.amount or 0, one.actual))),
    )


def _transaction(sale: str, chain: ChainFacts | None) -> Transaction | None:
    """An unbilled sale, unless it is posted."""
    row = next((row for row in chain.of("actual") if row.id == sale), None) if chain is not None else None
    if row is None or chain is None:
        return Transaction(row_id_of(sale), "not-seen")
    facts = ActualFacts(row, chain.staging.get(sale, ()))
    if facts.posted:
        return None
    journal = facts.best.journal if facts.best is not None else None
    return Transaction(
        actual=row_id_of(sale),
        state=facts.state if facts.counts else "not-synced-back",
        date=row["document_date"] or row["accounting_date"],
        amount=row["amount"],
        currency=chain.world.directory.currency(row["currency"]),
        journal=journal["number"] if journal is not None else None,
        document=document_facts(chain, chain.lines[0]).name if chain.lines else None,
    )
