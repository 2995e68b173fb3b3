"""Tables for people, laid out like the workspace. What programs read is JSON; nothing here is meant to be parsed."""

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from engine import money
from engine.reconciliation.kinds import TILES
from engine.sync.actions import ACTION_TEXTS
from tieout.cli.output import counted, grouped, plain

if TYPE_CHECKING:
    from engine.chains.explain_event import Reading
    from store.projection.tile_totals import Totals
    from store.queries.grid_query import GridQuery

# Where nobody watches, nothing is wrapped or left out: a file has no width.
UNBOUNDED = 10_000


def console() -> Console:
    """Standard output for people."""
    width = None if sys.stdout.isatty() else UNBOUNDED
    return Console(file=sys.stdout, width=width, highlight=False, markup=False, emoji=False)


def _table(*headers: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for header in headers:
        table.add_column(header, no_wrap=True)
    return table


# --- summary ---------------------------------------------------------------------------------------------------------


def show_summary(screen: Console, told: dict[str, Any]) -> None:
    """The two unreconciled amounts, the four tiles and what stands beside them (R31, R32)."""
    currency = f" · {told['currency']}" if told["currency"] else ""
    screen.print(f"{told['company']} · {told['from']} to {told['to']}{currency}\n")
    unreconciled = told["unreconciled"]
    table = Table.grid(padding=(0, 3, 0, 0))
    for justify in ("left", "right", "right"):
        table.add_column(justify=justify, no_wrap=True)

    def section(title: str) -> None:
        table.add_row(Text(title, style="bold"))

    def line(title: str, tile: dict[str, Any], what: str = "document") -> None:
        table.add_row(f"  {title}", grouped(tile["amount"]), counted(tile[f"{what}s"], what))

    section("Unreconciled amounts")
    line("Unreconciled expense amount", unreconciled["expense"])
    line("Unreconciled vendor invoice amount", unreconciled["vendor_invoice"])
    table.add_row()
    section("Summary")
    for tile in TILES:
        line(tile.title, told["tiles"][tile.name])
    table.add_row()
    section("Beside them")
    line("Difference between documents and actuals", told["difference"])
    line("Of which in flight", told["in_flight"])
    line("Not synced from Dataverse to Finance", told["not_synced_to_finance"], "record")
    screen.print(table)


# --- grids -----------------------------------------------------------------------------------------------------------

Row = dict[str, Any]


class Column(NamedTuple):
    """A column of a grid. In a narrow terminal columns with a higher `rank` go first; those of rank 0 stay."""

    title: str
    value: Callable[[Row], str]
    rank: int = 0
    number: bool = False


def _of(name: str) -> Callable[[Row], str]:
    return lambda row: plain(row[name] or "")


def _amount(name: str) -> Callable[[Row], str]:
    return lambda row: grouped(row[name])


def _fixed(name: str, places: int) -> Callable[[Row], str]:
    return lambda row: money.fixed(row[name], places) if row[name] is not None else ""


def _actual(row: Row) -> str:
    return "✓" if row["actual"] else "✗"


def _standing(row: Row) -> str:
    """Why the document is where it is: its cause, its exclusion, else its position."""
    said = row["cause"] or row["excluded"] or row["position"]
    return f"{said} (in flight)" if row["in_flight"] else str(said)


_JOURNAL = (
    Column("Journal", _of("journal"), 4),
    Column("Journal line amount", _amount("journal_line_amount"), 6, number=True),
    Column("Journal voucher", _of("journal_voucher"), 6),
    Column("Currency", _of("journal_line_currency"), 9),
    Column("Posted date", _of("posted_date"), 7),
    Column("Last retried date", _of("last_retried"), 10),
)
_STANDING = (
    Column("Standing", _standing),
    Column("Findings", lambda row: plain(", ".join(row["findings"])), 5),
)

# The columns and their order are those of the workspace (R33, R34), between the document's name and where it stands.
COLUMNS = {
    "expense": (
        Column("Document", _of("document")),
        Column("Expense category", _of("category"), 3),
        Column("Date", _of("date"), 1),
        Column("Amount", _amount("amount"), number=True),
        Column("Currency", _of("currency"), 1),
        Column("Exchange rate", _fixed("exchange_rate", 12), 9, number=True),
        Column("Voucher", _of("voucher"), 2),
        Column("Project ID", _of("project"), 2),
        Column("Project name", _of("project_name"), 8),
        Column("Actual", _actual, 5),
        *_JOURNAL,
        *_STANDING,
    ),
    "vendor-invoice-line": (
        Column("Document", _of("document")),
        Column("Vendor account", _of("vendor"), 3),
        Column("Name", _of("vendor_name"), 8),
        Column("Invoice date", _of("date"), 1),
        Column("Vendor invoice", _of("invoice"), 2),
        Column("Line number", _fixed("line_number", 10), 9, number=True),
        Column("Line amount", _amount("amount"), number=True),
        Column("Currency", _of("currency"), 1),
        Column("Voucher", _of("voucher"), 4),
        Column("Project ID", _of("project"), 2),
        Column("Project name", _of("project_name"), 8),
        Column("Actual", _actual, 5),
        *_JOURNAL[:3],
        _JOURNAL[3],
        Column("Exchange rate", _fixed("exchange_rate", 12), 9, number=True),
        *_JOURNAL[4:],
        *_STANDING,
    ),
}


def show_documents(
    screen: Console, query: "GridQuery", rows: Sequence[Row], sums: "dict[tuple[str, str], Totals]", *, more: bool
) -> None:
    """The rows of a grid, then the number and the sums over all of them by currency (R33)."""
    title = f"{query.company} · {query.kind} · {query.view} · {query.window.start} to {query.window.end}"
    screen.print(title + "\n")
    if rows:
        left_out = _show_rows(screen, COLUMNS[query.kind], rows)
        if left_out:
            screen.print(f"\nNot shown for want of room: {', '.join(left_out)}. A wider terminal or --json shows them.")
    if more:
        screen.print(f"\nThe first {counted(len(rows), 'row')}; --limit 0 shows all of them, and so does --json.")
    screen.print()
    if sums:
        screen.print(_sums(sums))
    else:
        screen.print("0 documents")
    if query.view == "all":
        screen.print("\nApproved documents that are not posted yet are listed, and in no sum.")


def _show_rows(screen: Console, columns: Sequence[Column], rows: Sequence[Row]) -> list[str]:
    """Print as many of the columns as fit; returns the titles of the others."""
    shown = list(columns)
    left_out: list[str] = []
    while True:
        table = _table()
        for column in shown:
            table.add_column(column.title, justify="right" if column.number else "left", no_wrap=True)
        for row in rows:
            table.add_row(*(column.value(row) for column in shown))
        wide = Measurement.get(screen, screen.options.update(width=UNBOUNDED), table).maximum
        least = max(shown, key=lambda column: column.rank)
        if wide <= screen.width or least.rank == 0:
            screen.print(table)
            return left_out
        shown.remove(least)
        left_out.append(least.title)


def _sums(sums: "dict[tuple[str, str], Totals]") -> Table:
    table = _table("Total", "Currency")
    for header in ("Amount", "Missing actual", "Missing journal line", "Reconciled", "Difference"):
        table.add_column(header, justify="right", no_wrap=True)
    for (currency, _), total in sorted(sums.items()):
        parts = (total.amount, total.missing_actual, total.missing_journal_line, total.reconciled, total.difference)
        table.add_row(
            counted(total.documents, "document"),
            currency or "(none)",
            *(grouped(money.text(part, currency)) for part in parts),
        )
    return table


# --- one document ----------------------------------------------------------------------------------------------------


def show_chain(screen: Console, told: Row) -> None:
    """A document: where it stands and why, its records over both systems as time went by, its findings (R20, R36)."""
    screen.print(Text(plain(f"{told['document']} · {told['kind']} · {told['date'] or 'no date'}"), style="bold"))
    screen.print(f"{told['position']}" + (f": {_standing(told)}" if _standing(told) != told["position"] else ""))
    screen.print()
    screen.print(_amounts(told))
    screen.print()
    _show_explanation(screen, told["explanation"], "")
    screen.print()
    _show_timeline(screen, told["chain"])
    for record in told["chain"]:
        for event in record["events"]:
            if event.get("raw") is not None:
                screen.print(
                    f"\n{event['at']}  {plain(record['entity'])}  {plain(event['source'])} {plain(event['event_id'])}"
                )
                screen.print(plain(event["raw"]), soft_wrap=True)
    for finding in told["findings"]:
        screen.print()
        screen.print(Text(f"Finding: {finding['code']}", style="bold"))
        _show_explanation(screen, finding["explanation"], "  ")
    if told["attempts"]:
        screen.print()
        table = _table("Attempt to sync", "What was done", "Number", "Outcome")
        for attempt in told["attempts"]:
            outcome = ": ".join(part for part in (attempt["outcome"] or "not known yet", attempt["text"]) if part)
            number = str(attempt["number"] or "given back")
            table.add_row(
                attempt["begun"], ACTION_TEXTS.get(attempt["action"], attempt["action"]), number, plain(outcome)
            )
        screen.print(table)
    screen.print()


def _amounts(told: Row) -> Table:
    table = _table("Currency")
    parts = ("amount", "missing_actual", "missing_journal_line", "reconciled", "difference")
    for part in parts:
        table.add_column(part.replace("_", " ").capitalize(), justify="right", no_wrap=True)
    table.add_row(told["currency"] or "(none)", *(grouped(told[part]) or "not computable" for part in parts))
    if told["accounting_currency"] != told["currency"]:
        accounting = told["accounting"]
        table.add_row(
            told["accounting_currency"] or "(none)", *(grouped(accounting[part]) or "not computable" for part in parts)
        )
    return table


def _show_explanation(screen: Console, explanation: dict[str, str], indent: str) -> None:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column()
    names = (("Seen", "seen"), ("Missing", "missing"), ("Since", "since"), ("What to do", "do"), ("Event", "event"))
    for title, name in names:
        if explanation[name]:
            table.add_row(f"{indent}{title}", plain(explanation[name]))
    screen.print(table)


def _show_timeline(screen: Console, records: Sequence[Row]) -> None:
    """The chain's records in the order of their first events: a line for each, with its state and last event below."""

    def first(record: Row) -> tuple[str, str]:
        return (record["events"][0]["at"] if record["events"] else "", record["key"])

    for record in sorted(records, key=first):
        last = record["events"][-1] if record["events"] else {"at": "", "event_id": ""}
        heading = f"{first(record)[0]}  {record['source'] or '':<9}  {plain(record['entity'])} {plain(record['id'])}"
        screen.print(Text(heading, style="bold"), soft_wrap=True)
        if record["state"]:
            screen.print(f"    {plain(', '.join(record['state']))}")
        screen.print(f"    last event {last['at']}  {plain(last['event_id'])}", soft_wrap=True)


# --- errors ----------------------------------------------------------------------------------------------------------


def show_errors(screen: Console, told: Sequence[Row], limit: int, *, history: bool) -> None:
    """Errors, newest first, each with its text, what it means and what to do."""
    if not told:
        screen.print("No errors." if history else "No current errors; --history shows those there were.")
        return
    for error in told:
        show_error(screen, error)
    what = "error" if history else "current error"
    screen.print(counted(len(told), what) + (f"; --limit shows more than {limit}." if len(told) == limit else "."))


def show_error(screen: Console, error: Row) -> None:
    """One error: its text, what it means and what to do; and where it stands, when that is known."""
    where = " · ".join(plain(part) for part in (error["process"], error["company"], error["subject"]) if part)
    screen.print(Text(f"{error['at']}  {error['code']}  {where}", style="bold"))
    # Nothing is cut: the terminal breaks long lines, the screen would drop what does not fit.
    screen.print(f"  {plain(error['text'] or '')}", soft_wrap=True)
    if error["details"]:
        screen.print(f"  What it means: {error['details']}")
        screen.print(f"  What to do: {error['resolution']}")
    if error.get("advice"):
        screen.print(f"  {error['advice']}", soft_wrap=True)
    if "state" in error:  # what an earlier version published has none
        screen.print(f"  {_state_of(error)}{_seen(error)}", soft_wrap=True)
    screen.print()


def _state_of(error: Row) -> str:
    if (deletion := error["deleted"]) is not None:
        return f"Deleted {deletion['at']} by {plain(deletion['who'])}: {plain(deletion['why'])}"
    if (run := error["interrupted"]) is not None:
        return f"Current again, for run {plain(run['run'])}, started {run['started']}, never ended"
    if (run := error["taken_up"]) is not None:
        return f"History, taken up by run {plain(run['run'])}, started {run['started']}"
    return "History, a later error came" if error["state"] == "history" else "Current"


def _seen(error: Row) -> str:
    """How often it came; the topic does not say."""
    if "count" not in error:
        return ""
    if error["count"] == 1:
        return "; seen once"
    return f"; seen {error['count']:,} times, first {error['first_seen']}, last {error['last_seen']}"


# --- invoice proposals -----------------------------------------------------------------------------------------------


def show_proposals(screen: Console, told: Sequence[Row]) -> None:
    """Invoice proposals of amount 0.00, each with what it waits for and what to do."""
    if not told:
        screen.print("No invoice proposal of amount 0.00.")
        return
    for one in told:
        where = " · ".join(plain(part) for part in (one["company"], one["contract"], one["date"]) if part)
        screen.print(
            Text(f"{plain(one['proposal'])}  {one['amount']} {plain(one['currency'] or '')}  {where}", style="bold")
        )
        screen.print(f"  {plain(one['message'])}", soft_wrap=True)
        screen.print(f"  What to do: {one['resolution']}", soft_wrap=True)
        screen.print()
    screen.print(counted(len(told), "invoice proposal") + ".")


# --- replay ----------------------------------------------------------------------------------------------------------

_SHIFTS_SHOWN = 20
_PARTS = (
    ("missing_actual", "Missing actuals"),
    ("missing_journal_line", "Missing journal lines"),
    ("reconciled", "Reconciled"),
    ("difference", "Difference"),
)


def show_replay(screen: Console, told: Row) -> None:
    """What a rebuilt store would change: how many documents, their amounts before and after, the first of them."""
    counts = told["documents"]
    number = counts["changed"] + counts["new"] + counts["gone"]
    if not number and not counts["outside"]:
        screen.print("No document would change.")
        return
    screen.print(
        f"{counted(number, 'document')} of the period would change "
        f"({counts['changed']:,} otherwise decided, {counts['new']:,} new, {counts['gone']:,} gone), "
        f"{counted(counts['outside'], 'document')} outside it."
    )
    for amounts in told["amounts"]:
        table = _table(f"{amounts['company']} · {amounts['kind']} · {amounts['currency']}", "Before", "After")
        for column in table.columns[1:]:
            column.justify = "right"
        table.add_row("Documents", f"{amounts['before']['documents']:,}", f"{amounts['after']['documents']:,}")
        for part, title in _PARTS:
            table.add_row(title, grouped(amounts["before"][part]), grouped(amounts["after"][part]))
        screen.print()
        screen.print(table)
    if told["shifts"]:
        table = _table("Document", "Date", "Before", "After")
        for shift in told["shifts"][:_SHIFTS_SHOWN]:
            table.add_row(plain(shift["document"]), shift["date"], shift["before"] or "–", shift["after"] or "–")
        screen.print()
        screen.print(table)
        if number > _SHIFTS_SHOWN:
            screen.print(f"… and {number - _SHIFTS_SHOWN:,} more; --json names a hundred.")


# --- rejected events -------------------------------------------------------------------------------------------------


def show_rejections(screen: Console, told: Sequence[Row], more: int) -> None:
    """A page of rejected events with the reasons, and how many follow it."""
    if not told:
        screen.print("No rejected events.")
        return
    table = _table("Id", "Rejected", "Bytes")
    table.add_column("Reason")
    for event in told:
        table.add_row(event["id"], event["rejected_at"], f"{event['bytes']:,}", plain(event["reason"]))
    screen.print(table)
    screen.print(f"\n{counted(len(told), 'event')}. `tieout rejected show ID` shows one with its bytes.")
    if more:
        screen.print(f"{more:,} more: add --after {plain(told[-1]['id'])}")


def show_rejection(screen: Console, told: Row, body: str) -> None:
    """One rejected event, complete."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for title, value in (
        ("Reason", told["reason"]),
        ("Topic", told["topic"]),
        ("Partition", str(told["partition"])),
        ("Offset", str(told["offset"])),
        ("Rejected", told["rejected_at"]),
        ("Key", told["key_text"] or ""),
        *((f"Header {name}", value) for name, value in told["headers_text"]),
    ):
        table.add_row(plain(title), plain(value))
    screen.print(table)
    screen.print()
    screen.file.write(body + "\n")


# --- maps ------------------------------------------------------------------------------------------------------------


def show_reading(screen: Console, told: "Reading", *, read_again: bool) -> None:
    """What the maps make of an event, and why."""
    screen.print(f"{plain(told.entity)}: a record {told.record}, step {told.step} ({plain(told.because)})")
    if read_again:
        screen.print("The event says only that the row is another now: it is to be read again.")
    screen.print(f"Company: {plain(told.company or 'not said by this event')}\n")
    if told.cells:
        table = _table("Column", "Field", "Value")
        table.add_column("Because")
        for cell in told.cells:
            table.add_row(plain(cell.column), cell.field or "", plain(cell.value or ""), plain(cell.because))
        screen.print(table)
        screen.print()
    if told.ties:
        table = _table("Tie", "Name", "Value")
        table.add_column("Because")
        for tie in told.ties:
            table.add_row(tie.kind, plain(tie.name), plain(tie.value or "none yet"), plain(tie.because))
        screen.print(table)
        screen.print()


# --- syncing ---------------------------------------------------------------------------------------------------------


def show_sync(screen: Console, told: Sequence[dict[str, Any]], calls: int, documents: int, left: int) -> None:
    """What a sync does for each document, and what is left to people."""
    done = [line for line in told if line["action"] is not None]
    if done:
        table = _table("Document", "Cause", "What is done")
        for line in done:
            table.add_row(plain(line["document"]), line["cause"], ACTION_TEXTS[line["action"]])
        screen.print(table)
    others = [line for line in told if line["action"] is None]
    if others:
        if done:
            screen.print()
        table = _table("Document", "Cause", "Left alone: what a person does")
        for line in others:
            table.add_row(plain(line["document"]), line["cause"] or "", line["why"])
        screen.print(table)
    more = documents + left - len(told)
    screen.print(
        f"\n{counted(calls, 'call')} for {counted(documents, 'document')}; {counted(left, 'document')} left alone"
        + (f"; {more:,} not shown, --json has them all." if more else ".")
    )


def show_retries(screen: Console, told: Sequence[dict[str, Any]], calls: int) -> None:
    """What a retry does for each error, and what is left to people."""
    if not told:
        screen.print("There is no such current error.")
        return
    table = _table("Error", "Message", "What is done")
    for line in told:
        done = ACTION_TEXTS[line["action"]] if line["action"] else f"nothing: {line['why']}"
        table.add_row(plain(line["error"]), line["code"], plain(done))
    screen.print(table)
    screen.print(f"\n{counted(calls, 'call')} for {counted(len(told), 'error')}.")


def show_synced(screen: Console, told: Sequence[dict[str, Any]], what: str) -> None:
    """How the documents of a sync ended, or whatever it was for: those that did not go well, each with what stands in
    its way.
    """
    failed = [line for line in told if line["state"] != "done"]
    if failed:
        table = _table(what.capitalize(), "State", "Attempts", "What stands in its way")
        for line in failed:
            table.add_row(plain(line["document"]), line["state"], str(line["attempts"]), plain(line["text"]))
        screen.print(table)
    done = "sent again" if what == "document" else "run again"
    screen.print(f"{counted(len(told) - len(failed), what)} {done}, {counted(len(failed), what)} not.")


# --- general journals ------------------------------------------------------------------------------------------------


def show_journals(screen: Console, told: Sequence[Row]) -> None:
    """General journals with their count, and what to do for those that are not through."""
    from tieout.sync.general_journals import STATE_LABELS

    if not told:
        screen.print("No general journal waits for Dataverse; --all shows those that are through.")
        return
    table = _table("Journal", "Posted", "State", "Count", "Step", "Last tried", "Last outcome")
    for one in told:
        table.add_row(
            plain(f"{one['company']}/{one['journal']}"),
            one["posted"] or "",
            STATE_LABELS[one["state"]] if one["next"] is None else f"next attempt {one['next']}",
            f"{one['count']} of {one['of']}",
            one["step"] or "",
            one["last"] or "",
            one["outcome"] or one["code"],
        )
    screen.print(table)
    failed = [one for one in told if one["state"] != "through" and (one["error"] or one["reason"])]
    for one in failed:
        screen.print()
        screen.print(Text(f"{plain(one['company'])}/{plain(one['journal'])}  {one['code']}".rstrip(), style="bold"))
        for title, text in (("", one["error"]), ("Why: ", one["reason"]), ("What to do: ", one["todo"])):
            if text:
                screen.print(f"  {title}{plain(text)}", soft_wrap=True)
    left = sum(1 for one in told if one["state"] != "through")
    screen.print(
        f"\n{counted(left, 'journal')} not through. `tieout journals sync` begins a new round, and so does deleting "
        "the entry of a journal in the error log."
        if left
        else "\nAll of them are through.",
        soft_wrap=True,
    )
