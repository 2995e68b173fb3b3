"""Labels, explanations and remedies: what was observed, what is missing, since when, and what to do (R20).

Positions and findings carry codes and parameters. Their texts are here alone, so that screens, exports and logs agree.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from engine import money
from engine.events.facts import Evidence, iso
from engine.reconciliation.documents import Document, Finding
from engine.reconciliation.grace import Moment, shown_cause
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
}
"""The explanation of a reconciled document that leaves an amount on the account."""

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
    "date-shifted": Words(
        "The document is dated {document_date}.",
        "Here the accounting date is {other_date} in UTC, in another period; in the time zone of the company it is "
        "{local_date}.",
        "Make sure that Finance posts it on {local_date}. Map the accounting date without a time zone, so that further "
        "dates are not shifted.",
    ),
    "no-accounting-date": Words(
        "The actual is posted.",
        "Neither the actual nor its rows in Finance have an accounting date, so its period is unknown.",
        "Look up the date of its posting in Finance, and find out why the accounting date is not sent.",
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
        "Delete this line in Finance.",
    ),
    "posted-twice": Words(
        "The actual has a posted journal line.",
        "This is another posted line of it: the cost was cleared twice.",
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
        "Find out who created it. If it has no source, delete it in Finance.",
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
        "To which of them its record and actuals belong is unknown: they are shared out by amount, currency and date.",
        "Correct the transaction id of one of the lines in Finance. Until then do not export, approve or confirm any "
        "of them again: it would overwrite the record of another one, or cost it twice.",
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
    "possible-match": Words(
        "Actual {actual} belongs to no document.",
        "It has the project, currency, amount and day of this document, and may be its cost.",
        "Compare the two. If they belong together, set the source document of the actual in Dataverse. Do not create a "
        "second actual before that.",
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
    "stale-version": Words(
        "Asynchronous dual-write reported the row {row}.",
        "A version of it was skipped, because a newer one existed.",
        "Compare the row in both systems. If they differ, sync the document; do not change what is posted.",
    ),
    "refused-version": Words(
        "Asynchronous dual-write reported the row {row}.",
        "Both systems changed it at once, and the values of one were refused.",
        "Compare the row in both systems. Make the refused change again in the primary system, if it is still wanted; "
        "do not change what is posted.",
    ),
}


SEVERAL_COUNTERPARTS: Final = Words(
    "Lines of invoice {invoice} in Finance and Dataverse have one vendor, line number and amount: {candidates}.",
    "Finance has no transaction id of them. Which belong together is unknown, so none is linked.",
    "Compare the lines of the invoice in both systems, and correct what was entered twice. Do not export them again.",
)
"""The explanation of `ambiguous-link` for a line with several possible counterparts."""

POSTED: Final[dict[str, Words]] = {
    "currency-differs": Words(
        FINDINGS["currency-differs"].seen,
        FINDINGS["currency-differs"].missing,
        "Correct the difference by a new transaction, since the cost is posted.",
    ),
    "duplicate-staging-row": Words(
        FINDINGS["duplicate-staging-row"].seen,
        "This is another staging row of it, and it is posted.",
        "Check in Finance what it posted. If that is a second posting of the actual, reverse it.",
    ),
    "duplicate-journal-line": Words(
        FINDINGS["duplicate-journal-line"].seen,
        "This is another line of it, and it is posted.",
        "Reverse this line in Finance.",
    ),
    "orphan-in-finance": Words(
        FINDINGS["orphan-in-finance"].seen,
        FINDINGS["orphan-in-finance"].missing,
        "Find out why the actual is gone. The row is posted: if its cost is not due, reverse it in Finance.",
    ),
    "orphan-journal-line": Words(
        FINDINGS["orphan-journal-line"].seen,
        FINDINGS["orphan-journal-line"].missing,
        "Find out who created it. It is posted: if it has no source, reverse it in Finance.",
    ),
}
"""The texts of findings whose row is posted: nobody deletes or repeats what is posted."""

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
        return _translated(document.excluded, EXCLUDED[document.excluded], translate)
    amounts = document.amounts
    if document.position == "reconciled" and amounts is not None and amounts.difference:
        return _left("reconciled-with-difference", amounts.difference, document.currency, translate)
    if document.position == "reconciled" and document.exchange_difference:
        currency = document.accounting_currency
        return _left("reconciled-with-exchange-difference", document.exchange_difference, currency, translate)
    return _translated(document.position, POSITIONS[document.position], translate)


def _left(code: str, amount: int, currency: str | None, translate: Translate) -> Words:
    words = _translated(code, LEFT[code], translate)
    left = f"{money.text(amount, currency)} {currency or ''}".strip()
    return Words(words.seen, words.missing.format_map({"amount": left}), words.do)


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
