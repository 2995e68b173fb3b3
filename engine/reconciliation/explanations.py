"""Labels, explanations and remedies: what was observed, what is missing, since when, and what to do (R20).

Positions and findings carry codes and parameters. Their texts are here alone, so that screens, exports and logs agree.
"""

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from engine import money
from engine.events.facts import Evidence, iso
from engine.reconciliation.documents import Document, Finding
from engine.reconciliation.finding_texts import FINDINGS, POSTED, REVERSAL_DATE_DIFFERS, SEVERAL_COUNTERPARTS
from engine.reconciliation.grace import Moment, shown_cause
from engine.reconciliation.settlement import amount_left, is_settled, money_findings
from engine.texts import Translate, Words, english


class Explanation(msgspec.Struct, frozen=True):
    """The texts of a document or finding, the time since when (ISO 8601 UTC), and the source event."""

    seen: str
    missing: str
    since: str
    do: str
    event: str


LABELS: Final[dict[str, str]] = {
    # Positions.
    "missing-actual": "Missing actual",
    "missing-journal-line": "Missing journal line",
    "reconciled": "Reconciled",
    "excluded": "Excluded",
    "not-posted": "Not posted",
    # A reconciled document about whose money nothing is open.
    "settled": "Settled",
    # Causes of a missing actual, then of a missing journal line.
    "not-synced-to-dataverse": "Not synced to Dataverse",
    "not-approved": "Not approved",
    "not-confirmed": "Not confirmed",
    "awaiting-manual-verification": "Awaiting manual verification",
    "no-actual-made": "No actual created",
    "actual-reversed": "Actual reversed",
    "cancelled-in-dataverse": "Cancelled in Dataverse",
    "rejected-in-dataverse": "Rejected in Dataverse",
    "recalled-in-dataverse": "Recalled in Dataverse",
    "actual-not-synced-back": "Actual not synced to Finance",
    "not-imported": "Not imported from staging",
    "line-not-seen": "Journal line not found",
    "draft": "Journal in draft",
    "error": "Posting failed",
    "processing": "Posting in progress",
    "unrecoverable": "Unrecoverable in Finance",
    "invalid-actual": "Invalid actual",
    "posted-in-other-company": "Posted in another company",
    # Shown in place of a cause that may not be claimed (R21).
    "not-observed": "Not observed",
    "feed-silent": "Feed silent",
    "not-read-yet": "Not read yet",
    # Exclusions.
    "no-project": "No project",
    "cancelled": "Cancelled in Finance",
    "intercompany-cost": "Intercompany cost",
    "skip-sync": "Skip Sync",
    "beginning-balance": "Beginning balance",
    "other-company": "Company out of scope",
    "project-unknown": "Project unknown",
    # States of a transaction in Finance that are no cause.
    "posted": "Posted",
    "not-synced-back": "Not synced to Finance",
    "not-seen": "Not received",
    # Findings.
    "amount-differs": "Amount differs",
    "currency-differs": "Currency differs",
    "category-differs": "Category differs",
    "project-differs": "Project differs",
    "date-differs": "Accounting period differs",
    "date-shifted": "Date shifted",
    "no-accounting-date": "No accounting date",
    "ledger-differs": "Ledger differs",
    "rate-differs": "Exchange rate differs",
    "duplicate-record": "Duplicate record",
    "duplicate-actual": "Duplicate actual",
    "duplicate-staging-row": "Duplicate staging row",
    "duplicate-journal-line": "Duplicate journal line",
    "orphan-in-dataverse": "No line in Finance",
    "orphan-in-finance": "No actual in Dataverse",
    "orphan-journal-line": "Journal line without staging",
    "not-written-back": "Voucher not synced back",
    "posted-twice": "Posted twice",
    "record-deleted-after-posting": "Record deleted after posting",
    "link-changed-after-posting": "Link changed after posting",
    "former-links-dropped": "Former links dropped",
    "cleared-amount-differs": "Cleared amount differs",
    "cleared-amount-assumed": "Cleared amount assumed",
    "written-back-twice": "Written back twice",
    "company-differs": "Company differs",
    "type-unknown": "Actual of unknown type",
    "excluded-line-waits": "Line of an excluded document",
    "header-before-lines": "Invoice without lines",
    "ambiguous-link": "Ambiguous key",
    "unknown-value": "Unknown value",
    "rounded": "Amount rounded",
    "ambiguous-invoice": "Ambiguous invoice",
    "possible-match": "Possible match",
    "not-computable": "Amounts not computable",
    "chain-too-large": "Too many records",
    "stale-version": "Version skipped",
    "refused-version": "Version refused",
    "clock-ahead": "Event in the future",
    "processing-too-long": "Posting stuck",
}
"""The English label of each code of a position, cause, exclusion, state or finding, in sentence case.

Screens, exports and the command line take their labels from here; JSON carries the codes.
"""

CAUSES: Final[dict[str, Words]] = {
    "not-synced-to-dataverse": Words(
        "The document is posted in Finance.",
        "Dataverse has no record of it: dual-write did not deliver it, or the map was stopped or paused.",
        "Sync the document. If it fails again, check the dual-write errors of its map "
        "(unit, category, vendor or task missing in Dataverse).",
    ),
    "not-approved": Words(
        "The document arrived in Dataverse.",
        "It is not approved there, so no actual is created.",
        "Check the system job of automatic approval for this document, then approve it again.",
    ),
    "not-confirmed": Words(
        "The vendor invoice line arrived in Dataverse.",
        "Its invoice is not confirmed there, so no actual is created.",
        "Check the system job of automatic confirmation for this invoice, then confirm the invoice again.",
    ),
    "awaiting-manual-verification": Words(
        "The vendor invoice arrived in Dataverse and awaits verification by the project manager.",
        "The project manager has not verified and confirmed it yet.",
        "Ask the project manager to verify its lines and confirm the invoice in Dataverse.",
    ),
    "no-actual-made": Words(
        "Dataverse approved or confirmed the record.",
        "No cost actual was created.",
        "Run the approval or confirmation again. If no actual is created, open a support ticket with the event below.",
    ),
    "cancelled-in-dataverse": Words(
        "The record is cancelled or inactive in Dataverse.",
        "No actual will be created, but the cost is still in the integration account in Finance.",
        "Reverse the document in Finance, or enter its cost in Dataverse anew. The record itself stays cancelled.",
    ),
    "rejected-in-dataverse": Words(
        "The expense is rejected in Dataverse.",
        "No actual is created until it is submitted anew, but the cost is in the integration account in Finance.",
        "Ask its owner to correct and resubmit it, or reverse the document in Finance.",
    ),
    "recalled-in-dataverse": Words(
        "Its owner recalled the expense in Dataverse.",
        "No actual is created until it is submitted anew, but the cost is in the integration account in Finance.",
        "Ask its owner to resubmit it, or reverse the document in Finance.",
    ),
    "actual-not-synced-back": Words(
        "The actual was created in Dataverse.",
        "It has not reached Finance's staging table.",
        "Sync the actual. If it fails, check the dual-write errors of the map for actuals.",
    ),
    "actual-reversed": Words(
        "The actual was created and then reversed; the two cancel out.",
        "No other actual holds the cost.",
        "Find out why it was reversed in Dataverse (deleting a task also reverses it). If the cost is due, enter it "
        "there anew; if it is not, reverse the document in Finance.",
    ),
    "not-imported": Words(
        "The actual is in Finance's staging table.",
        "It has no integration journal line.",
        "Run Import from staging for the company.",
    ),
    "line-not-seen": Words(
        "The staging row names an integration journal line.",
        "The line was not found: it was deleted, or has not been read yet.",
        "Run Import from staging again. Deleted lines are re-created.",
    ),
    "posted-in-other-company": Words(
        "The actual is in the staging table of another company, and is posted there.",
        "The account of this company is not cleared.",
        "Reverse the posting in the other company and send the actual to the right one, or settle it between the two "
        "companies by a journal. Post nothing again before that.",
    ),
    "draft": Words(
        "The integration journal line is a draft.",
        "It is not posted.",
        "Post the journal.",
    ),
    "error": Words(
        "The integration journal line failed to post.",
        "It is not posted.",
        "Read the error of the line in the error log and correct it, "
        "then reset the line to draft and post its journal.",
    ),
    "processing": Words(
        "The integration journal line is being posted.",
        "It is not posted yet.",
        "Wait for the posting. After 24 hours, reset the line to draft and post its journal again.",
    ),
    "unrecoverable": Words(
        "Finance marked the integration journal line as unrecoverable.",
        "It cannot be posted in this state.",
        "Delete the line and run Import from staging. If the state returns, open a support ticket.",
    ),
    "invalid-actual": Words(
        "Finance's validation found that the actual behind the line is not valid in Dataverse.",
        "The line cannot be posted.",
        "Check the actual in Dataverse. If it was rolled back, delete the line.",
    ),
}

SEEN_IN_JOURNAL: Final[dict[str, str]] = {
    "line-not-seen": "The staging row names an integration journal line in {journal}.",
    "draft": "The integration journal line in {journal} is a draft.",
    "error": "The integration journal line in {journal} failed to post.",
    "processing": "The integration journal line in {journal} is being posted.",
    "unrecoverable": "Finance marked the integration journal line in {journal} as unrecoverable.",
}
"""The last observed step of a cause whose journal is known, in place of that of `CAUSES`."""

EXCLUDED: Final[dict[str, Words]] = {
    "no-project": Words(
        "The line has no project.", "Nothing: it does not pass through the integration account.", "No action."
    ),
    "cancelled": Words("The line was cancelled in Finance.", "Nothing.", "No action."),
    "intercompany-cost": Words(
        "The line is charged to another company.",
        "Nothing here: its cost returns with the intercompany invoice.",
        "No action.",
    ),
    "skip-sync": Words(
        "All its cost actuals are marked Skip Sync.",
        "Nothing: they are intentionally not sent to Finance.",
        "No action.",
    ),
    "beginning-balance": Words(
        "All its actuals are dated on or before the cut-off date of the company (TIEOUT_BEGINNING_BALANCE).",
        "Nothing: its cost is in the beginning balance, and gets no integration journal line.",
        "No action.",
    ),
    "other-company": Words(
        "Its company is not in the settings of this environment.",
        "Nothing.",
        "Add the company to the settings to include it.",
    ),
    "project-unknown": Words(
        "The line is posted in Finance. No event says whether it has a project: the column or row with its project was "
        "never received, and no record of it in Dataverse is known.",
        "Whether its cost is in the integration account. It counts in no total, and is listed beside the account.",
        "Look up the project of the line in Finance. If it has one, read the row that says so (`tieout poll`): the "
        "expense line itself, the project of the pending line, or the record in Dataverse.",
    ),
}

POSITIONS: Final[dict[str, Words]] = {
    "reconciled": Words("Its actual is posted by the integration journal.", "Nothing.", "No action."),
    "not-posted": Words(
        "The document is approved in Finance.",
        "It is not posted yet, so the account has no amount of it.",
        "Post it in Finance.",
    ),
}

LEFT: Final[dict[str, Words]] = {
    "reconciled-with-difference": Words(
        "Its actuals are posted by the integration journal.",
        "{amount} of the document is left on the account: the actuals add up to another amount.",
        "Find out which amount is correct, and correct the other one by a new transaction, since both are posted.",
    ),
    "reconciled-with-exchange-difference": Words(
        "Its actuals are posted by the integration journal.",
        "{amount} is left on the account: the posting cleared another amount in accounting currency than was booked.",
        "Post the exchange difference by a journal.",
    ),
    "reconciled-with-posting-difference": Words(
        "Its actuals are posted by the integration journal.",
        "{amount} is left on the account: the posting cleared another amount than the actuals come to.",
        "Compare the journal line with the actual, and correct the difference by a journal.",
    ),
    "reconciled-with-both-differences": Words(
        "Its actuals are posted by the integration journal.",
        "{left} is left on the account: the actuals leave {difference} of the document, and the posting {amount} of "
        "the actuals.",
        "Compare the document, its actuals and their journal lines, and correct what is wrong by a journal.",
    ),
    "reconciled-with-findings": Words(
        "Its actuals are posted by the integration journal.",
        "It is not settled. These findings about its money are open: {findings}.",
        "Do what each of these findings says.",
    ),
}
"""The explanation of a reconciled document that is not settled: what it leaves on the account, or what is open."""

STATUS_LEFT: Final[dict[str, str]] = {
    "reconciled-left": "Reconciled, {amount} left",
    "reconciled-open": "Reconciled, see its findings",
}
"""The status of a reconciled document that is not settled, in lists."""

UNKNOWN: Final[dict[str, Words]] = {
    "not-observed": Words(
        "",
        "Not observed: this environment does not send {entities}, so the next step is unknown.",
        "Register the change events of {entities}, or let the poller read them.",
    ),
    "feed-silent": Words(
        "",
        "The next step is unknown: feed silent since {until} ({source}).",
        "Check the feed of {source}: its lag, its service and its last event.",
    ),
    "not-read-yet": Words(
        "",
        "The next step is unknown: rows of {entities} changed and have not been read since {unread}.",
        "Read the rows: run a worker with the role handle, or `tieout poll`.",
    ),
}
"""Texts in place of those of a cause that may not be reported (R21). The observed step remains."""

_WAITS: Final = "excluded-line-waits"

NONE: Final = "(none)"
"""In place of a parameter without a value."""


class _Parameters(dict[str, object]):
    """The parameters of a finding; one without a value is `none`."""

    def __init__(self, parameters: Mapping[str, object], none: str) -> None:
        super().__init__(parameters)
        self._none = none

    def __missing__(self, key: str) -> str:
        return self._none


def explain(
    document: Document, moment: Moment, translate: Translate = english, *, remedy: str | None = None
) -> Explanation:
    """Return the explanation of a document, as far as it may be reported at `moment` (R21).

    `remedy`, translated, takes the place of the remedy of its cause: that of a document that Sync leaves alone
    (`engine.sync.refusals`).
    """
    words = _words(document, translate)
    awaited, cause = document.awaited, shown_cause(document, moment)
    if awaited is not None and cause in UNKNOWN:
        until = moment.until.get(awaited.source)
        parameters = {
            "entities": ", ".join(awaited.entities),
            "source": awaited.source.capitalize(),
            "until": None if until is None else iso(until),
            "unread": ", ".join(iso(moment.unread[name]) for name in awaited.entities if name in moment.unread),
        }
        unknown = _translated(cause, UNKNOWN[cause], translate)
        words = Words(words.seen, unknown.missing.format_map(parameters), unknown.do.format_map(parameters))
    if remedy is not None:
        words = Words(words.seen, words.missing, remedy)
    return _explanation(words, document.evidence)


def _words(document: Document, translate: Translate) -> Words:
    if document.cause is not None:
        cause, journal = document.cause, document.journal
        words = _translated(cause, CAUSES[cause], translate)
        if document.position == "missing-journal-line" and journal is not None and cause in SEEN_IN_JOURNAL:
            seen = translate(cause, SEEN_IN_JOURNAL[cause]).format(journal=journal)
            return Words(seen, words.missing, words.do)
        return words
    if document.excluded is not None:
        words = _translated(document.excluded, EXCLUDED[document.excluded], translate)
        if _WAITS in document.findings:
            waits = _translated(_WAITS, FINDINGS[_WAITS], translate)
            return Words(words.seen, waits.missing, waits.do)
        return words
    if document.position == "reconciled" and not is_settled(document):
        return _left(document, translate)
    return _translated(document.position, POSITIONS[document.position], translate)


def _left(document: Document, translate: Translate) -> Words:
    """Return the explanation of a reconciled document that is not settled."""
    amounts, accounting = document.amounts, document.accounting
    difference, exchange = accounting.difference if accounting is not None else 0, document.exchange_difference
    amount, currency = exchange, document.accounting_currency
    if difference and exchange:
        code = "reconciled-with-both-differences"
    elif amounts is not None and amounts.difference:
        code, amount, currency = "reconciled-with-difference", amounts.difference, document.currency
    elif difference:
        code, amount = "reconciled-with-difference", difference
    elif exchange and document.currency == document.accounting_currency:
        code = "reconciled-with-posting-difference"
    elif exchange:
        code = "reconciled-with-exchange-difference"
    else:
        code = "reconciled-with-findings"
    words = _translated(code, LEFT[code], translate)
    labels = [translate(found, LABELS[found]) for found in money_findings(document) or ["not-computable"]]
    parameters = {
        "amount": _amount(amount, currency),
        "difference": _amount(difference, document.accounting_currency),
        "left": _amount(difference + exchange, document.accounting_currency),
        "findings": ", ".join(labels),
    }
    return Words(words.seen, words.missing.format_map(parameters), words.do)


def _amount(units: int, currency: str | None) -> str:
    return f"{money.text(units, currency)} {currency or ''}".strip()


def status_label(status: str, document: Document, shown: Callable[[int], str], translate: Translate = english) -> str:
    """Return the label of the status of a document in a list; of one that is reconciled and not settled, with what it
    leaves on the account. `shown` returns an amount in accounting currency as text.
    """
    if status != "reconciled":
        return translate(status, LABELS[status])
    code = "reconciled-left" if (left := amount_left(document)) else "reconciled-open"
    amount = f"{shown(left)} {document.accounting_currency or ''}".strip() if left else ""
    return translate(code, STATUS_LEFT[code]).format(amount=amount)


def _translated(code: str, words: Words, translate: Translate) -> Words:
    return Words(translate(code, words.seen), translate(code, words.missing), translate(code, words.do))


def explain_finding(finding: Finding, translate: Translate = english) -> Explanation:
    """Return the explanation of a finding, with its parameters filled in."""
    words = POSTED[finding.code] if finding.parameters.get("posted") else FINDINGS[finding.code]
    if finding.parameters.get("of") == "What it reverses":
        words = Words(REVERSAL_DATE_DIFFERS, words.missing, words.do)
    if "candidates" in finding.parameters:
        words = SEVERAL_COUNTERPARTS
    words = _translated(finding.code, words, translate)
    parameters = _Parameters(finding.parameters, translate("none", NONE))
    return _explanation(
        Words(words.seen.format_map(parameters), words.missing.format_map(parameters), words.do.format_map(parameters)),
        finding.evidence,
    )


def _explanation(words: Words, evidence: Evidence) -> Explanation:
    event = f"{evidence.source} {evidence.event}".strip()
    return Explanation(words.seen, words.missing, iso(evidence.at), words.do, event)
