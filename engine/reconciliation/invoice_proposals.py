"""Invoice proposals without lines, and the transactions to post before Finance can create them (R56).

Import from staging creates all lines of a proposal at once, when the integration journal has posted the unbilled sales
that it bills (`docs/domain/documents.md` §4, step 5). Until then its amount is 0.00. Billed sales name their proposal
on the staging row; a transaction connection identifies the unbilled sales that each of them bills. The cost of an
unbilled sale is not part of the proposal: its document has its own position.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from engine import money
from engine.chains.records import Row
from engine.events.facts import row_id_of
from engine.reconciliation.actual_facts import STATES, ActualFacts
from engine.reconciliation.chain_facts import ChainFacts
from engine.reconciliation.document_facts import documents_of
from engine.texts import Translate, english

CODE: Final = "invoice-proposal"
"""The code of the texts of proposals."""

MESSAGES: Final[Mapping[str, str]] = {
    "none-arrived": "None of its billed sales has arrived in Finance.",
    "not-posted": "Not posted yet: {transactions}.",
    "unknown": "Unbilled sales not known of {unknown} billed sales.",
    "all-posted": "All its transactions are posted.",
}
"""What a proposal waits for. Placeholders are those of `str.format`."""

TRANSACTIONS: Final[Mapping[tuple[bool, bool], str]] = {
    (True, True): "{date} {amount} {currency} ({state} in journal {journal})",
    (True, False): "{date} {amount} {currency} ({state})",
    (False, True): "actual {actual} ({state} in journal {journal})",
    (False, False): "actual {actual} ({state})",
}
"""A transaction to post, by whether its date and amount are known, and whether its journal is."""

STATE_TEXTS: Final[Mapping[str, str]] = {
    state: state.replace("-", " ") for state in (*STATES, "not-synced-back", "not-seen")
}
"""The state of a transaction within a sentence."""

RESOLUTIONS: Final[Mapping[str, str]] = {
    "to-post": ("Import the missing transactions, post the integration journals, then run Import from staging again."),
    "unknown": "Check that the actuals and transaction connections of Dataverse have been read.",
    "none-arrived": "Sync its actuals to Finance again. If it fails, check the dual-write errors of their map.",
    "all-posted": "Run Import from staging.",
}
"""The recommended actions for a proposal."""


class Transaction(msgspec.Struct, frozen=True):
    """An unposted unbilled sale, with its journal and its document.

    `state` is one of `engine.reconciliation.actual_facts.STATES`, `not-synced-back` if it has not reached Finance, or
    `not-seen` if only its id is known. `amount` is in units of 1/10000 of its currency.
    """

    actual: str
    state: str
    date: str | None = None
    amount: int | None = None
    currency: str | None = None
    journal: str | None = None
    document: str | None = None


class Proposal(msgspec.Struct, frozen=True):
    """An invoice proposal of amount 0.00.

    `billed` is the number of transactions that it is known to bill, `unknown` the number of billed sales whose unbilled
    sales are unknown.
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
        """The documents of the transactions to post."""
        return sorted({sale.document for sale in self.to_post if sale.document is not None})

    def message(
        self,
        day: Callable[[str], str] = str,
        amount: Callable[[int, str | None], str] = money.text,
        translate: Translate = english,
    ) -> str:
        """Return what it waits for, with the dates and amounts of the transactions to post."""
        if not self.billed and not self.unknown:
            return translate(CODE, MESSAGES["none-arrived"])
        sentences = []
        if self.to_post:
            transactions = "; ".join(_transaction_text(sale, day, amount, translate) for sale in self.to_post)
            sentences.append(translate(CODE, MESSAGES["not-posted"]).format(transactions=transactions))
        if self.unknown:
            sentences.append(translate(CODE, MESSAGES["unknown"]).format(unknown=self.unknown))
        return " ".join(sentences) or translate(CODE, MESSAGES["all-posted"])

    @property
    def resolution(self) -> str:
        """The recommended action, in English."""
        if self.to_post:
            return RESOLUTIONS["to-post"]
        if self.unknown:
            return RESOLUTIONS["unknown"]
        return RESOLUTIONS["all-posted" if self.billed else "none-arrived"]

    def as_json(self) -> dict[str, Any]:
        """Return the JSON of the command line and the pages."""
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
                    "date": sale.date,
                    "amount": None if sale.amount is None else money.text(sale.amount, sale.currency),
                    "currency": sale.currency,
                    "state": sale.state,
                    "journal": sale.journal,
                    "document": sale.document,
                    "actual": sale.actual,
                }
                for sale in self.to_post
            ],
            "message": self.message(),
            "resolution": self.resolution,
        }


def _transaction_text(
    transaction: Transaction,
    day: Callable[[str], str],
    amount: Callable[[int, str | None], str],
    translate: Translate,
) -> str:
    known = transaction.date is not None and transaction.amount is not None
    text = translate(CODE, TRANSACTIONS[known, bool(transaction.journal)]).format(
        actual=transaction.actual,
        state=translate(transaction.state, STATE_TEXTS[transaction.state]),
        journal=transaction.journal,
        date=day(transaction.date) if transaction.date is not None else "",
        amount=amount(transaction.amount, transaction.currency) if transaction.amount is not None else "",
        currency=transaction.currency or "",
    )
    return text.replace("  ", " ")


def waits(proposal: Row) -> bool:
    """Return True if a proposal has no lines yet and was not invoiced."""
    return proposal["number"] is not None and proposal["amount"] == 0 and proposal["invoice"] is None


def unbilled(billed: Row, connections: Iterable[Row]) -> list[str]:
    """Return the ids of the unbilled sales that an actual named by a proposal bills."""
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
    """Return what a proposal waits for.

    `sales` holds the unbilled sales of each staging row that names the proposal, `chains` the known chains by unbilled
    sale.
    """
    ids = sorted({sale for unbilled_sales in sales for sale in unbilled_sales})
    transactions = [_transaction(sale, chains.get(sale)) for sale in ids]
    to_post = [transaction for transaction in transactions if transaction is not None]
    return Proposal(
        number=str(proposal["number"]),
        company=proposal.company,
        date=proposal["date"],
        currency=proposal["currency"],
        contract=proposal["contract"],
        billed=len(ids),
        unknown=sum(not unbilled_sales for unbilled_sales in sales),
        to_post=tuple(sorted(to_post, key=lambda sale: (sale.date or "", sale.amount or 0, sale.actual))),
    )


def _transaction(sale: str, chain: ChainFacts | None) -> Transaction | None:
    """Return an unbilled sale; None if it is posted."""
    row = next((row for row in chain.of("actual") if row.id == sale), None) if chain is not None else None
    if row is None or chain is None:
        return Transaction(row_id_of(sale), "not-seen")
    facts = ActualFacts(row, chain.staging.get(sale, ()))
    if facts.posted:
        return None
    journal = facts.most_advanced.journal if facts.most_advanced is not None else None
    return Transaction(
        actual=row_id_of(sale),
        state=facts.state if facts.reached_finance else "not-synced-back",
        date=row["document_date"] or row["accounting_date"],
        amount=row["amount"],
        currency=chain.reference_data.directory.currency(row["currency"]),
        journal=journal["number"] if journal is not None else None,
        document=documents_of(chain)[0].name if chain.lines else None,
    )
