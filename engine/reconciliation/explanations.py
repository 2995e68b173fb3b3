"""The words for what was decided: what was seen, what is missing, since when, what to do (R20).

Positions and findings carry codes and parameters; the sentences are here alone, so that a screen, an export and a log
say the same.
"""

from typing import Final

import msgspec

from engine.events.facts import Evidence, iso
from engine.reconciliation.documents import Document, Finding
from engine.reconciliation.grace import Moment, shown_cause


class Words(msgspec.Struct, frozen=True):
    """What was seen, what is missing, and what to do about it."""

    seen: str
    missing: str
    do: str


class Explanation(msgspec.Struct, frozen=True):
    """Why a document stands where it stands: sentences, the time since (ISO 8601 UTC), and the event that says so."""

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
    "actual-not-synced-back": "Actual not synced to Finance",
    "not-imported": "Not imported from staging",
    "line-not-seen": "Journal line not found",
    "draft": "Journal in draft",
    "error": "Posting failed",
    "processing": "Posting in progress",
    "unrecoverable": "Unrecoverable in Finance",
    "invalid-actual": "Invalid actual",
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
    "header-before-lines": "Invoice without lines",
    "ambiguous-link": "Ambiguous key",
    "unknown-value": "Unknown value",
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
        "Sync the document. If it fails again, look at the dual-write errors of its map "
        "(unit, category, vendor or task missing in Dataverse).",
    ),
    "not-approved": Words(
        "The expense arrived in Dataverse.",
        "It is not approved there, so no actual is made.",
        "Look at the system job of automatic approval for this expense, and approve it again.",
    ),
    "not-confirmed": Words(
        "The vendor invoice line arrived in Dataverse.",
        "Its invoice is not confirmed there, so no actual is made.",
        "Look at the system job of automatic confirmation for this invoice, and confirm it again.",
    ),
    "awaiting-manual-verification": Words(
        "The vendor invoice arrived in Dataverse and is left to the project manager.",
        "The project manager has not verified and confirmed it yet.",
        "Ask the project manager to verify its lines and confirm the invoice in Dataverse.",
    ),
    "no-actual-made": Words(
        "Dataverse approved or confirmed the record.",
        "It made no cost actual from it.",
        "Re-run the approval or confirmation; if no actual comes, it is a fault for support, with the event below.",
    ),
    "cancelled-in-dataverse": Words(
        "The record is cancelled or inactive in Dataverse.",
        "No actual will come, but the cost is still in the integration account in Finance.",
        "Reverse the document in Finance, or bring the record back in Dataverse.",
    ),
    "actual-not-synced-back": Words(
        "The actual was made in Dataverse.",
        "It has not reached Finance's staging table.",
        "Sync the actual; if it fails, look at the dual-write errors of the map for actuals.",
    ),
    "actual-reversed": Words(
        "The actual was made and then reversed; the two cancel.",
        "No actual that holds the cost has taken its place.",
        "Find out why it was reversed in Dataverse (a deleted task does this too) "
        "and approve or confirm the document again.",
    ),
    "not-imported": Words(
        "The actual is in Finance's staging table.",
        "It has no integration journal line.",
        "Run Import from staging for the company.",
    ),
    "line-not-seen": Words(
        "The staging row names an integration journal line.",
        "That line is not there: it was deleted, or has not been read yet.",
        "Run Import from staging again; a deleted line is made anew.",
    ),
    "draft": Words(
        "The integration journal line is a draft.",
        "It is not posted.",
        "Post the journal.",
    ),
    "error": Words(
        "The integration journal line failed to post.",
        "It is not posted.",
        "Read the error of the line in the error log, mend it, reset the line to draft and post its journal.",
    ),
    "processing": Words(
        "The integration journal line is being posted.",
        "It is not posted yet.",
        "Wait. After 24 hours reset the line to draft and post its journal again.",
    ),
    "unrecoverable": Words(
        "Finance marked the integration journal line as unrecoverable.",
        "It will not be posted as it is.",
        "Delete the line and run Import from staging; if it comes back, ask for support.",
    ),
    "invalid-actual": Words(
        "Finance's validation found that the actual behind the line is not valid in Dataverse.",
        "The line cannot be posted.",
        "Check the actual in Dataverse: it may have been rolled back. Delete the line when it has.",
    ),
}

EXCLUDED: Final[dict[str, Words]] = {
    "no-project": Words(
        "The line names no project.", "Nothing: it does not pass through the integration account.", "Nothing."
    ),
    "cancelled": Words("The line was cancelled in Finance.", "Nothing.", "Nothing."),
    "intercompany-cost": Words(
        "The line is charged to another company.",
        "Nothing here: its cost returns with the intercompany invoice.",
        "Nothing.",
    ),
    "skip-sync": Words(
        "Its only cost actuals are marked Skip Sync.", "Nothing: they are kept out of Finance on purpose.", "Nothing."
    ),
    "other-company": Words(
        "Its company is outside this environment's settings.",
        "Nothing.",
        "Add the company to the settings to include it.",
    ),
}

POSITIONS: Final[dict[str, Words]] = {
    "reconciled": Words("Its actual is posted by the integration journal.", "Nothing.", "Nothing."),
    "not-posted": Words(
        "The expense is approved in Finance.",
        "It is not posted yet, so nothing is in the account.",
        "Post the expense report.",
    ),
}

UNKNOWN: Final[dict[str, Words]] = {
    "not-observed": Words(
        "",
        "Not observed: this environment does not send {entities}, so nothing is known about what comes next.",
        "Register the change events of {entities}, or let the poller read them.",
    ),
    "feed-silent": Words(
        "",
        "Nothing can be said yet about what comes next: feed silent since {until} ({source}).",
        "Look at the feed of {source}: its lag, its service, its last event.",
    ),
    "not-read-yet": Words(
        "",
        "Nothing can be said yet about what comes next: rows of {entities} changed and were not read, since {unread}.",
        "Have the rows read: by a worker with the role handle, or by `tieout poll`.",
    ),
}
"""What is said instead of a cause that may not be claimed (R21); what was seen stays."""

FINDINGS: Final[dict[str, Words]] = {
    "amount-differs": Words(
        "The document says {document_amount} {currency}.",
        "Here it is {other_amount}.",
        "Find out which is right; correct it where it is wrong.",
    ),
    "currency-differs": Words(
        "The document is in {document_currency}.",
        "Here it is in {other_currency}.",
        "Correct the currency in Dataverse, then sync again.",
    ),
    "category-differs": Words(
        "The category is {document_category}.",
        "Here it is {other_category}.",
        "Check the project categories of the company.",
    ),
    "project-differs": Words(
        "The project is {document_project}.", "Here it is {other_project}.", "Check the project of the document."
    ),
    "date-differs": Words(
        "{of} is of {document_date}.",
        "Here it is accounted on {other_date}, in another period.",
        "Check the accounting date; cost and clearing fall into different months.",
    ),
    "rate-differs": Words(
        "The document's rate is {document_rate}.", "Here it is {other_rate}.", "Check the exchange rates of both dates."
    ),
    "duplicate-record": Words(
        "Dataverse has the document already.",
        "This is a second record of it.",
        "Cancel the second record in Dataverse.",
    ),
    "duplicate-actual": Words(
        "The document has its actuals.",
        "This is one more, beyond its amount, that nothing reverses.",
        "Reverse the second actual in Dataverse.",
    ),
    "duplicate-staging-row": Words(
        "The actual is in staging.", "This is another staging row of it.", "Delete this row before it is imported."
    ),
    "duplicate-journal-line": Words(
        "The actual has its journal line.",
        "This is another line of it.",
        "Delete this line in Finance, or reverse it when it is posted.",
    ),
    "orphan-in-dataverse": Words(
        "Dataverse has a record with Finance's id {external_id}.",
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
        "Check where it came from. If nothing stands behind it, delete it in Finance, or reverse it when it is posted.",
    ),
    "not-written-back": Words(
        "Finance posted the actual with voucher {voucher}.",
        "Dataverse's actual has no voucher.",
        "Sync the staging row to Dataverse again.",
    ),
    "header-before-lines": Words(
        "The vendor invoice {number} is confirmed in Dataverse.",
        "It has no lines there.",
        "Sync the lines of the invoice.",
    ),
    "ambiguous-link": Words(
        "Another Finance line, {other}, shares a key with this one, mostly its transaction id.",
        "Its record and actuals are counted there.",
        "Correct the transaction id of one of them.",
    ),
    "unknown-value": Words(
        "{column} holds {value}.",
        "That is no {field} this map knows; the value counts as not there.",
        "Correct the value at its source, or add it to the map.",
    ),
    "not-computable": Words(
        "The position of the document is known.",
        "Its amounts are not: one is missing, does not fit, or is in a currency without a rate.",
        "See the other findings of the document.",
    ),
    "chain-too-large": Words(
        "{records} records claim to be one document.",
        "One of their keys is wrong.",
        "Look for an id that many rows share.",
    ),
    "clock-ahead": Words(
        "An event of the document says that it happened after today.",
        "Whatever is corrected until then counts as older, and does not show.",
        "Set the clock of the system that sent it right; the row's own time, modifiedon, may be wrong as well.",
    ),
    "processing-too-long": Words(
        "The integration journal line has been in processing for over 24 hours.",
        "It is stuck.",
        "Reset the line to draft and post its journal again.",
    ),
}


class _Blank(dict[str, object]):
    def __missing__(self, key: str) -> str:
        return "(none)"


def explain(document: Document, moment: Moment) -> Explanation:
    """Why `document` stands where it stands, as far as that may be claimed at `moment` (R21)."""
    words = _words(document)
    awaited, shown = document.awaited, shown_cause(document, moment)
    if awaited is not None and shown in UNKNOWN:
        until = moment.until.get(awaited.source)
        known = {
            "entities": ", ".join(awaited.entities),
            "source": awaited.source.capitalize(),
            "until": None if until is None else iso(until),
            "unread": ", ".join(iso(moment.unread[name]) for name in awaited.entities if name in moment.unread),
        }
        unknown = UNKNOWN[shown]
        words = Words(words.seen, unknown.missing.format_map(known), unknown.do.format_map(known))
    return _explanation(words, document.evidence)


def _words(document: Document) -> Words:
    if document.cause is not None:
        words = CAUSES[document.cause]
        journal = document.journal
        if document.position == "missing-journal-line" and journal is not None:
            return Words(words.seen.replace("journal line", f"journal line in {journal}", 1), words.missing, words.do)
        return words
    if document.excluded is not None:
        return EXCLUDED[document.excluded]
    return POSITIONS[document.position]


def explain_finding(finding: Finding) -> Explanation:
    """What a finding means, with its parameters filled in."""
    words = FINDINGS[finding.code]
    filled = _Blank(finding.parameters)
    return _explanation(
        Words(words.seen.format_map(filled), words.missing.format_map(filled), words.do.format_map(filled)),
        finding.evidence,
    )


def _explanation(words: Words, evidence: Evidence) -> Explanation:
    event = f"{evidence.source} {evidence.event}".strip()
    return Explanation(words.seen, words.missing, iso(evidence.at), words.do, event)
