"""Tables of operation for people: errors, invoice proposals, replay, rejected events, maps, sync, general journals."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from engine import money
from engine.reconciliation.explanations import LABELS
from engine.sync.actions import ACTION_TEXTS
from tieout.cli.output import counted, grouped, plain
from tieout.cli.text_tables import TableRow, new_table
from tieout.presenters import SYNC_STATES

if TYPE_CHECKING:
    from engine.chains.explain_event import Reading
    from engine.errorlog.prevalidation import Prevention

# --- errors ----------------------------------------------------------------------------------------------------------


def show_errors(screen: Console, errors: Sequence[TableRow], limit: int, *, history: bool) -> None:
    """Print errors, newest first, each with its text, its meaning and the recommended action."""
    if not errors:
        screen.print("No errors." if history else "No current errors. Use --history to list past errors.")
        return
    for error in errors:
        show_error(screen, error)
    noun = "error" if history else "current error"
    screen.print(
        counted(len(errors), noun) + (f". Use --limit to list more than {limit}." if len(errors) == limit else ".")
    )


def show_error(screen: Console, error: TableRow) -> None:
    """Print one error with its text, its meaning, the recommended action and its status if that is known."""
    context = " · ".join(plain(part) for part in (error["process"], error["company"], error["subject"]) if part)
    screen.print(Text(f"{error['at']}  {error['code']}  {context}", style="bold"))
    # Long lines are left to the terminal to break: the console would cut what does not fit.
    screen.print(f"  {plain(error['text'] or '')}", soft_wrap=True)
    if error["details"]:
        screen.print(f"  Meaning: {error['details']}")
        screen.print(f"  Recommended action: {error['resolution']}")
    if error.get("advice"):
        screen.print(f"  {error['advice']}", soft_wrap=True)
    if "state" in error:  # records that an earlier version published have no state
        screen.print(f"  {_error_status(error)}{_occurrences(error)}", soft_wrap=True)
    screen.print()


def show_prevention(screen: Console, prevention: "Prevention") -> None:
    """Print the advice to turn on Project actuals prevalidation, with what it would have prevented."""
    amounts = [f"{grouped(money.text(amount, currency))} {currency}" for currency, amount in prevention.amounts]
    if prevention.without_amount:
        amounts.append(f"{counted(prevention.without_amount, 'line')} without an amount")
    said = ["Advice: turn on Project actuals prevalidation in Finance (Feature management, then Process automation)."]
    if prevention.lines:
        said.append(f"It would have prevented {counted(prevention.lines, 'line')}: {', '.join(amounts)}.")
    if prevention.unknown:
        verb = "names" if prevention.unknown == 1 else "name"
        said.append(f"{counted(prevention.unknown, 'error')} of this kind {verb} no known line.")
    screen.print(" ".join(said), soft_wrap=True)


def _error_status(error: TableRow) -> str:
    if (deletion := error["deleted"]) is not None:
        return f"Deleted {deletion['at']} by {plain(deletion['who'])}: {plain(deletion['why'])}"
    if (run := error["interrupted"]) is not None:
        return f"Current again: run {plain(run['run'])}, started {run['started']}, did not end"
    if (run := error["taken_up"]) is not None:
        return f"History: processed again by run {plain(run['run'])}, started {run['started']}"
    return "History: a later error replaced it" if error["state"] == "history" else "Current"


def _occurrences(error: TableRow) -> str:
    """Return how often an error occurred; errors read from the topic have no count."""
    if "count" not in error:
        return ""
    if error["count"] == 1:
        return "; occurred once"
    return f"; occurred {error['count']:,} times, first {error['first_seen']}, last {error['last_seen']}"


# --- invoice proposals -----------------------------------------------------------------------------------------------


def show_proposals(screen: Console, proposals: Sequence[TableRow]) -> None:
    """Print invoice proposals of amount 0.00, each with what it waits for and the recommended action."""
    if not proposals:
        screen.print("No invoice proposals of amount 0.00.")
        return
    for proposal in proposals:
        context = " · ".join(
            plain(part) for part in (proposal["company"], proposal["contract"], proposal["date"]) if part
        )
        amount = f"{proposal['amount']} {plain(proposal['currency'] or '')}"
        screen.print(Text(f"{plain(proposal['proposal'])}  {amount}  {context}", style="bold"))
        screen.print(f"  {plain(proposal['message'])}", soft_wrap=True)
        screen.print(f"  Recommended action: {proposal['resolution']}", soft_wrap=True)
        screen.print()
    screen.print(counted(len(proposals), "invoice proposal") + ".")


# --- findings without a document -------------------------------------------------------------------------------------


def show_findings(screen: Console, findings: Sequence[TableRow]) -> None:
    """Print findings without a document, each with its row, what is missing and the recommended action."""
    if not findings:
        screen.print("No findings without a document.")
        return
    for finding in findings:
        row = f"{plain(finding['entity'] or 'unknown row')} {plain(finding['id'])}"
        where = f"{plain(finding['company'] or 'company unknown')}, since {finding['since']}"
        screen.print(Text(f"{LABELS.get(finding['code'], finding['code'])}  {row}  {where}", style="bold"))
        explanation = finding["explanation"]
        screen.print(f"  {plain(explanation['seen'])} {plain(explanation['missing'])}", soft_wrap=True)
        screen.print(f"  Recommended action: {plain(explanation['do'])}", soft_wrap=True)
        screen.print()
    screen.print(counted(len(findings), "finding") + ".")


# --- replay ----------------------------------------------------------------------------------------------------------

_CHANGES_SHOWN = 20
_PARTS = (
    ("missing_actual", "Missing actuals"),
    ("missing_journal_line", "Missing journal lines"),
    ("reconciled", "Reconciled"),
    ("difference", "Difference"),
)


def show_replay(screen: Console, difference: TableRow) -> None:
    """Print what a rebuilt store would change: the number of documents, their amounts, and the first documents."""
    counts = difference["documents"]
    number = counts["changed"] + counts["new"] + counts["gone"]
    if not number and not counts["outside"]:
        screen.print("No document would change.")
        return
    screen.print(
        f"{counted(number, 'document')} in the period would change "
        f"({counts['changed']:,} with another result, {counts['new']:,} new, {counts['gone']:,} removed), and "
        f"{counted(counts['outside'], 'document')} outside the period."
    )
    for amounts in difference["amounts"]:
        table = new_table(f"{amounts['company']} · {amounts['kind']} · {amounts['currency']}", "Before", "After")
        for column in table.columns[1:]:
            column.justify = "right"
        table.add_row("Documents", f"{amounts['before']['documents']:,}", f"{amounts['after']['documents']:,}")
        for part, title in _PARTS:
            table.add_row(title, grouped(amounts["before"][part]), grouped(amounts["after"][part]))
        screen.print()
        screen.print(table)
    if difference["shifts"]:
        table = new_table("Document", "Date", "Before", "After")
        for change in difference["shifts"][:_CHANGES_SHOWN]:
            table.add_row(plain(change["document"]), change["date"], change["before"] or "–", change["after"] or "–")
        screen.print()
        screen.print(table)
        if number > _CHANGES_SHOWN:
            screen.print(f"… and {number - _CHANGES_SHOWN:,} more. Use --json to list the first hundred.")


# --- rejected events -------------------------------------------------------------------------------------------------


def show_rejections(screen: Console, events: Sequence[TableRow], more: int) -> None:
    """Print a page of rejected events with their reasons, and how many more follow."""
    if not events:
        screen.print("No rejected events.")
        return
    table = new_table("ID", "Rejected", "Bytes")
    table.add_column("Reason")
    for event in events:
        table.add_row(event["id"], event["rejected_at"], f"{event['bytes']:,}", plain(event["reason"]))
    screen.print(table)
    screen.print(f"\n{counted(len(events), 'event')}. Use `tieout rejected show ID` to see one with its bytes.")
    if more:
        screen.print(f"{more:,} more. To list them, add --after {plain(events[-1]['id'])}")


def show_rejection(screen: Console, event: TableRow, body: str) -> None:
    """Print one rejected event with its reason, location, headers and bytes."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for title, value in (
        ("Reason", event["reason"]),
        ("Topic", event["topic"]),
        ("Partition", str(event["partition"])),
        ("Offset", str(event["offset"])),
        ("Rejected", event["rejected_at"]),
        ("Key", event["key_text"] or ""),
        *((f"Header {name}", value) for name, value in event["headers_text"]),
    ):
        table.add_row(plain(title), plain(value))
    screen.print(table)
    screen.print()
    screen.file.write(body + "\n")


# --- maps ------------------------------------------------------------------------------------------------------------


def show_reading(screen: Console, reading: "Reading", *, read_again: bool) -> None:
    """Print what the maps make of an event, with the file and key that decided each value."""
    screen.print(f"{plain(reading.entity)}: role {reading.record}, step {reading.step} ({plain(reading.because)})")
    if read_again:
        screen.print("The event reports only that the row changed. tieout reads the row again.")
    screen.print(f"Company: {plain(reading.company or 'not in this event')}\n")
    if reading.cells:
        table = new_table("Column", "Field", "Value")
        table.add_column("Decided by")
        for cell in reading.cells:
            table.add_row(plain(cell.column), cell.field or "", plain(cell.value or ""), plain(cell.because))
        screen.print(table)
        screen.print()
    if reading.ties:
        table = new_table("Link", "Name", "Value")
        table.add_column("Decided by")
        for tie in reading.ties:
            table.add_row(tie.kind, plain(tie.name), plain(tie.value or "none yet"), plain(tie.because))
        screen.print(table)
        screen.print()


# --- sync ------------------------------------------------------------------------------------------------------------


def show_sync(screen: Console, lines: Sequence[TableRow], calls: int, documents: int, skipped: int) -> None:
    """Print what Sync does for each document, and for the others what a person does."""
    actions = [line for line in lines if line["action"] is not None]
    if actions:
        table = new_table("Document", "Cause", "Action")
        for line in actions:
            table.add_row(plain(line["document"]), _label(line["cause"]), ACTION_TEXTS[line["action"]])
        screen.print(table)
    manual = [line for line in lines if line["action"] is None]
    if manual:
        if actions:
            screen.print()
        table = new_table("Document", "Cause", "Not synced: recommended action")
        for line in manual:
            table.add_row(plain(line["document"]), _label(line["cause"]), line["why"])
        screen.print(table)
    more = documents + skipped - len(lines)
    screen.print(
        f"\n{counted(calls, 'call')} for {counted(documents, 'document')}; {counted(skipped, 'document')} not synced."
        + (f" {more:,} not listed. Use --json to list all." if more else "")
    )


def _label(code: str | None) -> str:
    return LABELS.get(code, code) if code else ""


def show_retries(screen: Console, lines: Sequence[TableRow], calls: int) -> None:
    """Print what a retry does for each error, and why nothing is done for the others."""
    if not lines:
        screen.print("No current error matches.")
        return
    table = new_table("Error", "Message", "Action")
    for line in lines:
        action = ACTION_TEXTS[line["action"]] if line["action"] else f"none: {line['why']}"
        table.add_row(plain(line["error"]), line["code"], plain(action))
    screen.print(table)
    screen.print(f"\n{counted(calls, 'call')} for {counted(len(lines), 'error')}.")


def show_synced(screen: Console, lines: Sequence[TableRow], noun: str) -> None:
    """Print how a sync or a retry ended: the items that failed with their reasons, and the numbers.

    `noun` names the items, such as document or error.
    """
    failed = [line for line in lines if line["state"] != "done"]
    if failed:
        table = new_table(noun.capitalize(), "Status", "Attempts", "Reason")
        for line in failed:
            status = SYNC_STATES[line["state"]]
            table.add_row(plain(line["document"]), status, str(line["attempts"]), plain(line["text"]))
        screen.print(table)
    screen.print(f"{counted(len(lines) - len(failed), noun)} done, {counted(len(failed), noun)} not done.")


# --- general journals ------------------------------------------------------------------------------------------------


def show_journals(screen: Console, journals: Sequence[TableRow]) -> None:
    """Print general journals with their status and attempts, and the recommended action of each that failed."""
    from tieout.sync.general_journals import STATE_LABELS

    if not journals:
        screen.print("All general journals are synced to Dataverse. Use --all to list them.")
        return
    table = new_table("Journal", "Posted", "Status", "Attempts", "Step", "Last attempt", "Last outcome")
    for journal in journals:
        table.add_row(
            plain(f"{journal['company']}/{journal['journal']}"),
            journal["posted"] or "",
            STATE_LABELS[journal["state"]] if journal["next"] is None else f"next attempt {journal['next']}",
            f"{journal['count']} of {journal['of']}",
            journal["step"] or "",
            journal["last"] or "",
            journal["outcome"] or journal["code"],
        )
    screen.print(table)
    waiting = [journal for journal in journals if journal["state"] != "through"]
    for journal in waiting:
        if journal["error"] or journal["reason"]:
            _show_journal_error(screen, journal)
    screen.print(
        f"\n{counted(len(waiting), 'journal')} not synced. To start a new attempt cycle, run `tieout journals sync`, "
        "or delete the journal's entry in the error log."
        if waiting
        else "\nAll of them are synced.",
        soft_wrap=True,
    )


def _show_journal_error(screen: Console, journal: TableRow) -> None:
    name = f"{plain(journal['company'])}/{plain(journal['journal'])}"
    screen.print()
    screen.print(Text(f"{name}  {journal['code']}".rstrip(), style="bold"))
    texts = (("", journal["error"]), ("Reason: ", journal["reason"]), ("Recommended action: ", journal["todo"]))
    for title, text in texts:
        if text:
            screen.print(f"  {title}{plain(text)}", soft_wrap=True)
