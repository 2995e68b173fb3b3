"""Labels, explanations and remedies: what was observed, what is missing, since when, and what to do (R20).

Positions and findings carry codes and parameters. Their texts are here alone, so that screens, exports and logs agree.
"""

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from engine import money
from engine.events.facts import Evidence, iso
from engine.reconciliation.documents import Document, Finding
from engine.reconciliation.grace import Moment, shown_cause
from engine.reconciliation.settlement import amount_left, is_settled, money_findings
from engine.texts import Translate, english


class Words(msgspec.Struct, frozen=True):
    """The English texts of a code: last observed step, missing step, and remedy, with placeholders of `str.format`."""

    seen: str
    missing: str
    do: str


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
    "other-company": "Company out of scope",
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
    "cleared-amount-differs": "Cleared amount differs",
    "cleared-amount-assumed": "Cleared amount assumed",
    "written-back-twice": "Written back twice",
    "company-differs": "Company differs",
    "header-before-lines": "Invoice without lines",
    "ambiguous-link": "Ambiguous key",
    "unknown-value": "Unknown value",
    "rounded": "Amount rounded",
    "ambiguous-invoice": "Ambiguous invoice",
    "not-computable": "Amounts not computable",
    "chain-too-large": "Too many records",
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
        "Reverse the document in Finance, or reactivate the record in Dataverse.",
    ),
    "actual-not-synced-back": Words(
        "The actual was created in Dataverse.",
        "It has not reached Finance's staging table.",
        "Sync the actual. If it fails, check the dual-write errors of the map for actuals.",
    ),
    "actual-reversed": Words(
        "The actual was created and then reversed; the two cancel out.",
        "No other actual holds the cost.",
        "Find out why it was reversed in Dataverse (deleting a task also reverses it), "
        "then approve or confirm the document again.",
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
    "other-company": Words(
        "Its company is not in the settings of this environment.",
        "Nothing.",
        "Add the company to the settings to include it.",
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

FINDINGS: Final[dict[str, Words]] = {
    "amount-differs": Words(
        "The document amount is {document_amount} {currency}.",
        "Here the amount is {other_amount}.",
        "Find out which amount is right, and correct the other one.",
    ),
    "currency-differs": Words(
        "The document currency is {document_currency}.",
        "Here the currency is {other_currency}.",
        "Correct the currency in Dataverse, then sync again.",
    ),
    "category-differs": Words(
        "The document category is {document_category}.",
        "Here the category is {other_category}.",
        "Check the project categories of the company.",
    ),
    "project-differs": Words(
        "The document project is {document_project}.",
        "Here the project is {other_project}.",
        "Check the project of the document.",
    ),
    "date-differs": Words(
        "The document is dated {document_date}.",
        "Here the accounting date is {other_date}, in another period.",
        "Check the accounting date: cost and clearing fall into different periods.",
    ),
    "rate-differs": Words(
        "The document rate is {document_rate}.",
        "Here the rate is {other_rate}.",
        "Check the exchange rates of both dates.",
    ),
    "duplicate-record": Words(
        "Dataverse already has a record of the document.",
        "This is a second record of it.",
        "Cancel the second record in Dataverse.",
    ),
    "duplicate-actual": Words(
        "The document has its actuals.",
        "This actual exceeds the document amount and is not reversed.",
        "Reverse the second actual in Dataverse.",
    ),
    "duplicate-staging-row": Words(
        "The actual is in staging.", "This is another staging row of it.", "Delete this row before it is imported."
    ),
    "duplicate-journal-line": Words(
        "The actual has its journal line.",
        "This is another line of it.",
        "Delete this line in Finance, or reverse it if it is posted.",
    ),
    "posted-twice": Words(
        "The actual has a posted journal line.",
        "This is another posted line of it, with voucher {voucher}: the cost was cleared twice.",
        "Reverse one of the two postings in Finance. Do not delete the line.",
    ),
    "record-deleted-after-posting": Words(
        "The document is cleared by a posted journal line.",
        "The row {id} of {table}, which led to it, was deleted afterwards.",
        "No action for the account: what is posted stays posted. Find out who deleted the row, and restore it if other "
        "reports need it. Do not create the cost again.",
    ),
    "link-changed-after-posting": Words(
        "The document is cleared by a posted journal line.",
        "A link of the row {id} of {table}, which led to it, was changed afterwards.",
        "No action for the account: what is posted stays posted. Correct the link if the change was a mistake. "
        "Do not create the cost again.",
    ),
    "cleared-amount-differs": Words(
        "The actuals of the document come to {reconciled} {currency}.",
        "Their posted journal lines cleared {cleared} {currency}.",
        "Compare the journal line with the actual, and correct the difference by a journal.",
    ),
    "cleared-amount-assumed": Words(
        "The actual is posted.",
        "No event says which amount its posting took out of the account: the amount that was booked is assumed.",
        "Send the integration journal line or the staging row again, so that its amount is known.",
    ),
    "written-back-twice": Words(
        "The journal line is posted.",
        "Two staging rows of it carry unlike accounting amounts. The one with the voucher of the line counts.",
        "Compare the amounts with the voucher in Finance.",
    ),
    "company-differs": Words(
        "The journal line is posted in {line_company}.",
        "Its staging row is in {staging_company}. The company of the line counts.",
        "Find out in which company it was posted, and correct the staging row.",
    ),
    "orphan-in-dataverse": Words(
        "Dataverse has a record with the Finance id {external_id}.",
        "Finance has no such line.",
        "Check whether the line was deleted or renumbered.",
    ),
    "orphan-in-finance": Words(
        "Finance has a staging row for actual {actual}.",
        "Dataverse has no such actual: it was deleted or rolled back.",
        "Delete the row before it is imported.",
    ),
    "orphan-journal-line": Words(
        "Finance has an integration journal line {voucher}.",
        "No staging row names it.",
        "Find out who created it. If it has no source, delete it in Finance, or reverse it if it is posted.",
    ),
    "not-written-back": Words(
        "Finance posted the actual with voucher {voucher}.",
        "The actual in Dataverse has no voucher.",
        "Sync the staging row to Dataverse again.",
    ),
    "header-before-lines": Words(
        "The vendor invoice {number} is confirmed in Dataverse.",
        "It has no lines there.",
        "Sync the lines of the invoice.",
    ),
    "ambiguous-link": Words(
        "Another Finance line, {other}, has the same key, usually the transaction id.",
        "Its record and actuals are counted there.",
        "Correct the transaction id of one of the two lines.",
    ),
    "unknown-value": Words(
        "{column} holds {value}.",
        "The map has no such {field}, so the value is ignored.",
        "Correct the value at its source, or add it to the map.",
    ),
    "ambiguous-invoice": Words(
        "Several posted invoices of one day have the number {invoice}: of the vendors {vendors}.",
        "The posted line names no vendor and its pending line is unknown, so its voucher is unknown.",
        "Look up the voucher of the line in Finance.",
    ),
    "rounded": Words(
        "{column} was sent as {value}.",
        "It has more decimals than an amount has, and counts as {amount}.",
        "Correct the sender: amounts have at most four decimals.",
    ),
    "not-computable": Words(
        "The status of the document is known.",
        "Its amounts are not: one is missing, is out of range, or is in a currency without a rate.",
        "Check the other findings of the document.",
    ),
    "chain-too-large": Words(
        "{records} records are linked to one document.",
        "One of their keys is wrong.",
        "Find the id that many rows share, and correct it.",
    ),
    "clock-ahead": Words(
        "An event of the document has a time in the future.",
        "Corrections made before that time count as older and have no effect.",
        "Correct the clock of the system that sent it. The time of the row, modifiedon, may be wrong as well.",
    ),
    "processing-too-long": Words(
        "The integration journal line has been in processing for more than 24 hours.",
        "Its posting did not finish.",
        "Reset the line to draft and post its journal again.",
    ),
}


REVERSAL_DATE_DIFFERS: Final = "What it reverses is dated {document_date}."
"""The observed step of `date-differs` for a reversal, which belongs to the period of its original."""

NONE: Final = "(none)"
"""In place of a parameter without a value."""


class _Parameters(dict[str, object]):
    """The parameters of a finding; one without a value is `none`."""

    def __init__(self, parameters: Mapping[str, object], none: str) -> None:
        super().__init__(parameters)
        self._none = none

    def __missing__(self, key: str) -> str:
        return self._none


def explain(document: Document, moment: Moment, translate: Translate = english) -> Explanation:
    """Return the explanation of a document, as far as it may be reported at `moment` (R21)."""
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
        return _translated(document.excluded, EXCLUDED[document.excluded], translate)
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
    words = FINDINGS[finding.code]
    if finding.parameters.get("of") == "What it reverses":
        words = Words(REVERSAL_DATE_DIFFERS, words.missing, words.do)
    words = _translated(finding.code, words, translate)
    parameters = _Parameters(finding.parameters, translate("none", NONE))
    return _explanation(
        Words(words.seen.format_map(parameters), words.missing.format_map(parameters), words.do.format_map(parameters)),
        finding.evidence,
    )


def _explanation(words: Words, evidence: Evidence) -> Explanation:
    event = f"{evidence.source} {evidence.event}".strip()
    return Explanation(words.seen, words.missing, iso(evidence.at), words.do, event)
