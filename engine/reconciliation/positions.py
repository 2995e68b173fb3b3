"""The position of a document, its cause, and the division of its amount (R13–R16).

The core of the product; read it top to bottom.
"""

from collections.abc import Collection
from typing import Final, NamedTuple, cast

import msgspec

from engine import money
from engine.events.facts import Evidence
from engine.reconciliation.actual_facts import ActualFacts
from engine.reconciliation.beginning_balances import NONE, BeginningBalances
from engine.reconciliation.chain_facts import DocumentFacts
from engine.reconciliation.documents import Amounts, Awaited, Cause, Excluded, PositionName

_ACTUALS: Final = Awaited("dataverse", ("msdyn_actual",))
_STAGING: Final = Awaited("finance", ("ProjCDSActualsImport",))
_LINES: Final = Awaited("finance", ("ProjAdvancedJournalLine",))


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """A position with its reason.

    `evidence` is the event of the last completed step, `awaited` the missing rows if the cause rests on absence,
    `deciding` the actual in Finance that determined the position.
    """

    position: PositionName
    evidence: Evidence
    excluded: Excluded | None = None
    cause: Cause | None = None
    awaited: Awaited | None = None
    deciding: ActualFacts | None = None


def decide_position(
    facts: DocumentFacts, companies: Collection[str] | None, beginning: BeginningBalances = NONE
) -> Verdict | None:
    """Return the position of a document; None if it has no row: an unposted draft, rejected or cancelled line.

    `companies` and `beginning` (balances) are those of the settings; None if all companies are included.
    """
    step = facts.posting
    if not facts.posted:
        return Verdict("not-posted", step) if facts.to_be_posted else None
    if excluded := _exclusion(facts, companies, beginning):
        return Verdict("excluded", step, excluded=excluded)
    if not facts.effective or any(not actual.reached_finance for actual in facts.actuals):
        return _missing_actual(facts, step)
    waiting = [actual for actual in facts.actuals if not actual.posted]
    if waiting:
        return _missing_journal_line(min(waiting, key=lambda actual: actual.progress))
    return Verdict("reconciled", posting_evidence(facts.effective[0]), deciding=facts.effective[0])


def _exclusion(
    facts: DocumentFacts, companies: Collection[str] | None, beginning: BeginningBalances
) -> Excluded | None:
    """Return the first applicable exclusion, in the order of R13; what is known precedes that the project is not."""
    if facts.project is None and facts.has_project is False:
        return "no-project"
    if facts.line["status"] == "cancelled":
        return "cancelled"
    if facts.charged_elsewhere:
        return "intercompany-cost"
    if facts.cost_actuals and not facts.actuals:
        return "skip-sync"
    if beginning.contain(facts.line.company, facts.actuals):
        return "beginning-balance"
    if companies is not None and facts.line.company not in companies:
        return "other-company"
    if facts.project is None and facts.has_project is None:
        return "project-unknown"
    return None


def _missing_actual(facts: DocumentFacts, step: Evidence) -> Verdict:
    """Return the cause by the progress of the chain (R15), the most advanced step first. A record that is cancelled,
    rejected or recalled precedes the pair of actuals that follows from it.
    """
    lost = [actual for actual in facts.actuals if not actual.reached_finance]
    if lost:
        return _missing("actual-not-synced-back", lost[0].row.existence, _STAGING)
    record = facts.record
    if record is not None and (withdrawal := facts.withdrawal(record)) is not None:
        return _missing(*withdrawal)
    if facts.actuals:
        last = max((actual.row.existence for actual in facts.actuals), key=lambda evidence: evidence.precedence)
        return _missing("actual-reversed", last)
    if record is None:
        return _missing("not-synced-to-dataverse", step, Awaited("dataverse", (facts.kind.record_entity,)))
    return _missing(*(facts.unapproved(record) or ("no-actual-made", facts.approval(record), _ACTUALS)))


def _missing(cause: Cause, evidence: Evidence, awaited: Awaited | None = None) -> Verdict:
    return Verdict("missing-actual", evidence, cause=cause, awaited=awaited)


def _missing_journal_line(actual: ActualFacts) -> Verdict:
    """Return the state of the least advanced actual as cause (R16)."""
    best = actual.most_advanced
    if best is None or best.state == "not-imported":
        evidence = best.row.existence if best is not None else actual.row.existence
        return Verdict("missing-journal-line", evidence, cause="not-imported", awaited=_STAGING, deciding=actual)
    if best.line is None:
        return Verdict("missing-journal-line", best.evidence, cause="line-not-seen", awaited=_LINES, deciding=actual)
    return Verdict("missing-journal-line", best.evidence, cause=cast(Cause, best.state), deciding=actual)


def posting_evidence(actual: ActualFacts) -> Evidence:
    """Return the event that posted an actual: of the journal line, otherwise of a voucher."""
    for item in actual.staging:
        if item.line_posted:
            return item.evidence
    for item in actual.staging:
        if item.row["voucher"]:
            return item.row.evidence("voucher")
    return actual.row.evidence("voucher")


# --- amounts ---------------------------------------------------------------------------------------------------------


class Division(NamedTuple):
    """The amount of a document by position, in document and in accounting currency; None if it cannot be computed."""

    amounts: Amounts | None
    accounting: Amounts | None


def divide(facts: DocumentFacts, verdict: Verdict) -> Division:
    """Divide the amount of a document by position (R14). A part beyond `money.LARGEST` makes it not computable."""
    if verdict.position in ("excluded", "not-posted"):
        return Division(Amounts(facts.amount), Amounts(facts.accounting_amount))
    amounts = _transaction_amounts(facts)
    return Division(amounts, _accounting_amounts(facts, amounts) if amounts is not None else None)


def _transaction_amounts(facts: DocumentFacts) -> Amounts | None:
    total = facts.amount
    if total is None:
        return None
    lost = unposted = reconciled = 0
    for actual in facts.actuals:
        amount = facts.amount_of(actual)
        if amount is None:
            return None
        if actual.posted:
            reconciled += amount
        elif actual.reached_finance:
            unposted += amount
        else:
            lost += amount
    if not facts.effective:
        lost = total
    return _amounts(total, lost, unposted, reconciled, total - lost - unposted - reconciled)


def _amounts(total: int, *parts: int) -> Amounts | None:
    return Amounts(total, *parts) if money.fits(total, *parts) else None


def _accounting_amounts(facts: DocumentFacts, amounts: Amounts) -> Amounts | None:
    total, currency = facts.accounting_amount, facts.accounting_currency
    parts = [amounts.missing_actual, amounts.missing_journal_line, amounts.reconciled, amounts.difference]
    if total is None or currency is None:
        return None
    if amounts.amount:
        return _amounts(total, *money.split(total, parts, amounts.amount, currency))
    return _converted_parts(facts.rate, total, parts[:3], currency)


def _converted_parts(rate: str | None, total: int, parts: list[int], currency: str) -> Amounts | None:
    """Convert the parts by the rate: an amount of 0 cannot be divided in proportion."""
    shares = [money.converted(part, rate, currency) if part else 0 for part in parts]
    converted = [share for share in shares if share is not None]
    return _amounts(total, *converted, total - sum(converted)) if len(converted) == len(shares) else None
