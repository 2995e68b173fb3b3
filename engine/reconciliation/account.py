"""The parts of an integration account: names, titles and what they mean (`docs/how-it-decides.md`, "The account").

For each company, in accounting currency and exact to the smallest unit, the sum of the parts without `BESIDE` is what
the documents booked less what the posted lines cleared, plus the other entries of the ledger.
"""

from typing import Final, Literal, get_args

import msgspec

from engine.reconciliation.documents import PostingPart

DocumentPart = Literal[
    "missing-actual",
    "missing-journal-line",
    "amount-difference",
    "exchange-difference",
    "amount-unknown",
    "before-window",
    "after-window",
    "project-unknown",
]
"""The parts that consist of documents."""

PartName = DocumentPart | PostingPart | Literal["other-ledger-entry"]

UnknownBalance = Literal[
    "no-account",
    "shared",
    "not-in-chart",
    "several-currencies",
    "waiting",
    "not-read-yet",
    "behind",
    "not-from-start",
    "undated",
]
"""Why the balance of an account in the ledger is not known, by the keys of `UNKNOWN_BALANCES`."""

BESIDE: Final = "project-unknown"
"""The part that is shown, but is not in the sum."""


class PartTexts(msgspec.Struct, frozen=True):
    """The title of a part, what is in it, and what to do."""

    title: str
    meaning: str
    do: str


PARTS: Final[dict[PartName, PartTexts]] = {
    "missing-actual": PartTexts(
        "Missing actuals",
        "Posted in Finance, without an actual that reached Finance.",
        "Open the documents: each says what is missing and what to do.",
    ),
    "missing-journal-line": PartTexts(
        "Missing journal lines",
        "The actual is in Finance, and its integration journal line is not posted.",
        "Import from staging, correct the errors, and post the journals.",
    ),
    "amount-difference": PartTexts(
        "Amount differences",
        "The actuals come to another amount than the document.",
        "Correct the actual, or the document, by the difference.",
    ),
    "exchange-difference": PartTexts(
        "Exchange and posting differences",
        "The posted lines cleared another amount in accounting currency than was booked.",
        "Post the exchange difference by a journal.",
    ),
    "posting-without-document": PartTexts(
        "Postings without a document",
        "A posted line that no document counts: its document is deleted, cancelled or excluded, or no link leads to "
        "one.",
        "Find out what was posted. Reverse it, or book what it cleared.",
    ),
    "posted-twice": PartTexts(
        "Posted twice",
        "A further posted line of an actual that is cleared already.",
        "Reverse one of the postings in Finance. Do not delete the line.",
    ),
    "posted-in-other-company": PartTexts(
        "Posted in another company",
        "A line posted here for a document of another company, whose account is not cleared.",
        "Reverse it here and post it there, or settle it between the companies.",
    ),
    "amount-unknown": PartTexts(
        "Amounts not computable",
        "Documents whose parts cannot be computed: what they booked less what their lines cleared.",
        "Send the missing currency, rate or amount; the document says which.",
    ),
    "before-window": PartTexts(
        "Documents before the window",
        "What documents of earlier dates leave on the account.",
        "Choose an earlier first day to see them in their parts.",
    ),
    "after-window": PartTexts(
        "Documents after the window", "What documents of later dates leave on the account.", "Check their dates."
    ),
    "other-ledger-entry": PartTexts(
        "Other ledger entries",
        "Entries of the ledger that no document and no posted line explains: manual journals, cancelled postings.",
        "Open the vouchers.",
    ),
    "project-unknown": PartTexts(
        "Project unknown",
        "Posted lines of which no event says whether they have a project. Not in the sum.",
        "Send the rows that name their project.",
    ),
}
"""The texts of each part, in the order of lists."""

DOCUMENT_PARTS: Final = frozenset(get_args(DocumentPart))
POSTING_PARTS: Final = frozenset(get_args(PostingPart))

UNKNOWN_BALANCES: Final[dict[UnknownBalance, str]] = {
    "no-account": "No main account is set. Set TIEOUT_EXPENSE_ACCOUNT and TIEOUT_PROCUREMENT_ACCOUNT, or enter the "
    "balance.",
    "shared": "One main account is used for both: see Together.",
    "not-in-chart": "A main account that is set is not in the chart of accounts. Check TIEOUT_EXPENSE_ACCOUNT and "
    "TIEOUT_PROCUREMENT_ACCOUNT.",
    "several-currencies": "Entries of the account are of a ledger in another currency. Check which ledger is that "
    "of the company.",
    "waiting": "Some entries cannot be counted. tieout check (or Run all checks, on Operation) says what they lack.",
    "not-read-yet": "The ledger has rows that have not been read yet. Wait for the next poll.",
    "behind": "Not all entries that were read have been processed yet. Wait until the worker has caught up.",
    "not-from-start": "Earlier entries are not known. Poll the ledger, or enter a balance and keep it.",
    "undated": "Some entries have no date, so that nothing says if they come after the kept balance.",
}
"""Why a balance is not known, and what to do: no main account is set; one main account serves both kinds; no row and no
entry has the main account; entries are of another ledger in another currency; entries lack what counting them needs;
rows are known to have changed and were not read yet; the store has not applied all that was read; entries are known
from a day on only, and no balance of that day or a later one was kept; an entry without a date may come before or after
the kept balance.
"""
