"""The texts of findings: what was observed, what is missing or different, and what to do (R18, R20).

A remedy tells nobody to repeat, delete, export or approve what is posted.
"""

from typing import Final

from engine.texts import Words

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
    "ledger-differs": Words(
        "The documents and posted lines of voucher {voucher} come to {computed_amount} {currency} on the account.",
        "In the ledger its entries come to {ledger_amount} {currency}.",
        "Open the voucher in Finance, find the entry that differs, and correct what is wrong by a journal.",
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
    "type-unknown": Words(
        "The document has an actual of which no event says whether it is a cost or sales.",
        "Whether it is the cost of the document. It counts in no part of its amount.",
        "Read the actual (`tieout poll`), or look it up in Dataverse. Do not create a second actual before that.",
    ),
    "excluded-line-waits": Words(
        "The document is cancelled or excluded, so it put nothing on the account.",
        "This integration journal line of it is not posted: posting it would take its cost out of the account.",
        "Remove the line in Finance before its journal is posted. If the cost is not due, reverse the actual in "
        "Dataverse.",
    ),
    "header-before-lines": Words(
        "The vendor invoice {number} is confirmed in Dataverse.",
        "It has no lines there.",
        "Look up its lines in Finance, and sync their documents. Lines that were deleted in Dataverse after their cost "
        "was posted stay as they are.",
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
    "former-links-dropped": Words(
        "{column} of this row has had more than {kept} values.",
        "The oldest are not kept: what was posted when the row had one of them may be a posting without a document.",
        "Find out what changes {column} again and again, and stop it. Look for the postings of this row among those "
        "without a document.",
    ),
    "possible-match": Words(
        "{actual} belongs to no document: an actual, or a row in Finance of which no actual exists, as far as events "
        "say.",
        "It may be the cost of this document, by its project, currency, amount and day, as far as they are known.",
        "Compare the two. If they belong together, set the source document of the actual in Dataverse; of a row in "
        "Finance, find out there what became of its actual. Do not create a second actual before that.",
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
    "type-unknown": Words(
        "The document has an actual that is posted, and no event says whether it is a cost or sales.",
        FINDINGS["type-unknown"].missing,
        "Read the actual (`tieout poll`), or look it up in Dataverse. Do not create the cost a second time.",
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
