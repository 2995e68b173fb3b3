"""Text tables for people: the summary, the grids and one document, in the layout of the workspace.

Programs read the JSON output; these tables are not meant to be parsed. `operation_tables` has those of operation.
"""

import sys
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from engine import money
from engine.reconciliation.account import PARTS, UNKNOWN_BALANCES
from engine.reconciliation.explanations import LABELS, STATUS_LEFT
from engine.reconciliation.fields import FIELD, DocumentField, title_of
from engine.reconciliation.kinds import ACCOUNTING_PARTS, KINDS, TILES, DocumentKind
from engine.reconciliation.settlement import SETTLED
from engine.sync.actions import ACTION_TEXTS
from tieout.cli.output import counted, grouped, plain

if TYPE_CHECKING:
    from store.projection.tile_totals import Totals
    from store.queries.grid_query import GridQuery

TableRow = dict[str, Any]
"""The JSON object of a document, an error or another item, which a table shows as one row."""

DIFFERENCES_SHOWN = 20

# Output to a file or a pipe has no width: nothing is wrapped or hidden.
UNBOUNDED = 10_000


def console() -> Console:
    """Return a console for standard output."""
    width = None if sys.stdout.isatty() else UNBOUNDED
    return Console(file=sys.stdout, width=width, highlight=False, markup=False, emoji=False)


def new_table(*headers: str) -> Table:
    """Return an empty table with left-aligned columns that do not wrap."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for header in headers:
        table.add_column(header, no_wrap=True)
    return table


# --- summary ---------------------------------------------------------------------------------------------------------


def show_summary(screen: Console, summary: dict[str, Any]) -> None:
    """Print the two unreconciled amounts, the four tiles and the amounts next to them (R31, R32)."""
    currency = f" · {summary['currency']}" if summary["currency"] else ""
    screen.print(f"{summary['company']} · {summary['from']} to {summary['to']}{currency}\n")
    unreconciled = summary["unreconciled"]
    table = Table.grid(padding=(0, 3, 0, 0))
    for justify in ("left", "right", "right"):
        table.add_column(justify=justify, no_wrap=True)

    def section(title: str) -> None:
        table.add_row(Text(title, style="bold"))

    def line(title: str, tile: dict[str, Any], noun: str = "document") -> None:
        table.add_row(f"  {title}", grouped(tile["amount"]), counted(tile[f"{noun}s"], noun))

    section("Unreconciled amounts")
    for kind in KINDS.values():
        line(kind.unreconciled, unreconciled[kind.summary_name])
    table.add_row()
    section("Summary")
    for tile in TILES:
        line(tile.title, summary["tiles"][tile.name])
    table.add_row()
    section("Other amounts")
    line("Amount differences", summary["difference"])
    line("In progress (within normal processing time)", summary["in_flight"])
    line("Not synced from Dataverse to Finance", summary["not_synced_to_finance"], "record")
    screen.print(table)


# --- the integration account -----------------------------------------------------------------------------------------


def show_balance(screen: Console, shown: dict[str, Any]) -> None:
    """Print the parts of the accounts, what they explain, and what the ledger has beyond that."""
    currency = f" · {shown['currency']}" if shown["currency"] else ""
    screen.print(f"{shown['company']} · {shown['from']} to {shown['to']}{currency} · as of {shown['as_of']}\n")
    names = {kind.summary_name: kind.account for kind in KINDS.values()} | {"together": "Together"}
    accounts = [shown["accounts"][name] for name in names]
    table = new_table("Part")
    for title in (*names.values(), "Items"):
        table.add_column(title, justify="right", no_wrap=True)
    last = len(PARTS) - 1
    for number, texts in enumerate(PARTS.values()):
        if number == last:
            _add_sums(table, accounts)
        of_part = [account["parts"][number] for account in accounts]
        if any(part["count"] or part["amount"].strip("-0.") for part in of_part):
            count = grouped(str(of_part[-1]["count"]))
            table.add_row(texts.title, *(grouped(part["amount"]) for part in of_part), count)
    screen.print(table)
    explained = {name: Decimal(account["explained"]) for name, account in shown["accounts"].items()}
    if apart := explained["together"] - explained["expense"] - explained["vendor_invoice"]:
        screen.print(f"{grouped(str(apart))} are in Together alone: the account of some postings is not known.")
    for reason, text in UNKNOWN_BALANCES.items():
        unknown = [title for name, title in names.items() if shown["accounts"][name].get("ledger_unknown") == reason]
        if unknown:
            days = {account.get("ledger_known_from") for account in accounts if account.get("ledger_unknown") == reason}
            since = f" Entries are known from {min(filter(None, days))}." if any(days) else ""
            screen.print(f"Ledger balance not known: {', '.join(unknown)}. {text}{since}")
    for one in shown["compared"]:
        who = f"entered by {plain(one['who'])} at {one['at']}" if one["who"] else "not kept"
        screen.print(
            f"{one['date']}, {names.get(one['account'], 'Together')}: the ledger had {grouped(one['ledger'])}, "
            f"explained are {grouped(one['explained'])}, unexplained {grouped(one['unexplained'])} ({who})."
        )
    for one in shown["ledger_differs"][:DIFFERENCES_SHOWN]:
        name = f"Voucher {plain(one['voucher'])}" if one["voucher"] else "Without a voucher"
        screen.print(f"{name}: the ledger has {grouped(one['ledger'])}, explained are {grouped(one['computed'])}.")
    if (more := len(shown["ledger_differs"]) - DIFFERENCES_SHOWN) > 0:
        screen.print(f"{counted(more, 'further voucher')} of the ledger differ: --json lists them.")
    for reason in shown["excluded"]:
        screen.print(
            f"Not in the sum, maybe in the account: {LABELS[reason['reason']]}, "
            f"{counted(reason['count'], 'document')}, {grouped(reason['amount'])}."
        )


def _add_sums(table: Table, accounts: Sequence[dict[str, Any]]) -> None:
    table.add_section()
    table.add_row(Text("Explained balance", style="bold"), *(grouped(account["explained"]) for account in accounts), "")
    if any(account["ledger"] is not None for account in accounts):
        for title, member in (("Ledger balance", "ledger"), ("Unexplained", "unexplained")):
            table.add_row(title, *(grouped(account[member]) for account in accounts), "")
    table.add_section()


def show_part(screen: Console, rows: Iterable[TableRow]) -> None:
    """Print the documents or postings of a part with their amounts."""
    table = new_table("Document or row", "Belongs to", "Date", "Voucher", "Project")
    table.add_column("Amount", justify="right", no_wrap=True)
    table.add_column("Currency", no_wrap=True)
    for row in rows:
        texts = (row["id"], row["document"] if row["document"] != row["id"] else "", row["date"], row["voucher"])
        shown = [plain(text or "") for text in (*texts, row["project"])]
        table.add_row(*shown, grouped(row["accounting_amount"]), row["currency"] or "")
    screen.print(table)
    screen.print(counted(table.row_count, "item") + ".")


# --- grids -----------------------------------------------------------------------------------------------------------


class TextColumn(NamedTuple):
    """A column of a grid. A narrow terminal hides the columns of the highest `rank` first; those of rank 0 stay."""

    title: str
    value: Callable[[TableRow], str]
    rank: int = 0
    number: bool = False


def _status(row: TableRow) -> str:
    """Return the label of a document's cause, else of its exclusion, else of its position: of a reconciled one that it
    is settled, or what it leaves on the account.
    """
    label = LABELS[row["cause"] or row["excluded"] or (SETTLED if row["settled"] else row["position"])]
    if row["position"] == "reconciled" and not row["settled"]:
        left = Decimal(row["booked"] or 0) - Decimal(row["cleared"] or 0)
        code = "reconciled-left" if left else "reconciled-open"
        label = STATUS_LEFT[code].format(amount=f"{grouped(str(left))} {row['accounting_currency'] or ''}".strip())
    return f"{label} (in progress)" if row["in_flight"] else label


def _cell(field: DocumentField) -> Callable[[TableRow], str]:
    """Return a function that returns the text of a field, given the JSON of a document."""
    name = field.name
    match field.type:
        case "status":
            return _status
        case "codes":
            return lambda row: plain(", ".join(LABELS.get(code, code) for code in row[name]))
        case "flag":
            return lambda row: "✓" if row[name] else "✗"
        case "amount":
            return lambda row: grouped((row[field.group] or {}).get(field.part) if field.group else row[name])
        case "decimal":
            return lambda row: money.fixed(row[name], field.places) if row[name] is not None else ""
        case _:
            return lambda row: plain(row[name] or "")


def columns_of(kind: DocumentKind) -> list[TextColumn]:
    """Return the columns of a document kind in the order of the workspace (R33, R34), with status and findings last."""
    fields = [FIELD[name] for name in kind.columns if FIELD[name].rank is not None]
    fields.sort(key=lambda field: field.type in ("status", "codes"))
    return [
        TextColumn(title_of(field, kind), _cell(field), field.rank or 0, field.type in ("amount", "decimal"))
        for field in fields
    ]


def show_documents(
    screen: Console,
    query: "GridQuery",
    rows: Sequence[TableRow],
    sums: "dict[tuple[str, str], Totals]",
    *,
    more: bool,
) -> None:
    """Print the rows of a grid, then the number of all its documents and their totals by currency (R33)."""
    title = f"{query.company} · {query.kind} · {query.view} · {query.window.start} to {query.window.end}"
    screen.print(title + "\n")
    if rows:
        hidden = _show_rows(screen, columns_of(KINDS[query.kind]), rows)
        if hidden:
            screen.print(f"\nHidden columns: {', '.join(hidden)}. Widen the terminal or use --json to see them.")
    if more:
        screen.print(f"\nShowing the first {counted(len(rows), 'row')}. Use --limit 0 or --json to list all rows.")
    screen.print()
    if sums:
        screen.print(_totals(sums))
    else:
        screen.print("0 documents")
    if query.view == "all":
        screen.print("\nDocuments that are approved but not posted are listed and not included in the totals.")


def _show_rows(screen: Console, columns: Sequence[TextColumn], rows: Sequence[TableRow]) -> list[str]:
    """Print as many of the columns as fit, and return the titles of the hidden ones."""
    visible = list(columns)
    hidden: list[str] = []
    while True:
        table = new_table()
        for column in visible:
            table.add_column(column.title, justify="right" if column.number else "left", no_wrap=True)
        for row in rows:
            table.add_row(*(column.value(row) for column in visible))
        width = Measurement.get(screen, screen.options.update(width=UNBOUNDED), table).maximum
        last = max(visible, key=lambda column: column.rank)
        if width <= screen.width or last.rank == 0:
            screen.print(table)
            return hidden
        visible.remove(last)
        hidden.append(last.title)


def _totals(sums: "dict[tuple[str, str], Totals]") -> Table:
    table = new_table("Total", "Currency")
    for header in ("Amount", "Missing actual", "Missing journal line", "Reconciled", "Difference"):
        table.add_column(header, justify="right", no_wrap=True)
    in_accounting_currency: dict[str, Totals] = {}
    for (currency, accounting), total in sorted(sums.items()):
        parts = (total.amount, total.missing_actual, total.missing_journal_line, total.reconciled, total.difference)
        table.add_row(
            counted(total.documents, "document"),
            currency or "(none)",
            *(grouped(money.text(part, currency)) for part in parts),
        )
        before = in_accounting_currency.get(accounting)
        in_accounting_currency[accounting] = total if before is None else before + total
    for currency, total in sorted(in_accounting_currency.items()):
        table.add_row(
            "Accounting",
            currency or "(none)",
            *(grouped(money.text(getattr(total, part), currency)) for part in ACCOUNTING_PARTS[:5]),
        )
    return table


# --- one document ----------------------------------------------------------------------------------------------------


def show_chain(screen: Console, document: TableRow) -> None:
    """Print a document: its status and diagnosis, the timeline of its records, its findings, errors and attempts (R20,
    R36).
    """
    screen.print(
        Text(plain(f"{document['document']} · {document['kind']} · {document['date'] or 'no date'}"), style="bold")
    )
    position, status = LABELS[document["position"]], _status(document)
    screen.print(status if document["position"] in ("reconciled", "not-posted") else f"{position}: {status}")
    screen.print()
    screen.print(_amounts(document))
    screen.print()
    _show_explanation(screen, document["explanation"], "")
    screen.print()
    _show_timeline(screen, document["chain"])
    _show_raw_events(screen, document["chain"])
    for finding in document["findings"]:
        screen.print()
        screen.print(Text(f"Finding: {LABELS.get(finding['code'], finding['code'])}", style="bold"))
        _show_explanation(screen, finding["explanation"], "  ")
    for error in document["errors"]:
        screen.print()
        screen.print(Text(plain(f"Error: {error['code']} ({error['process']}, {error['at']})"), style="bold"))
        screen.print(f"  {plain(error['text'])}", soft_wrap=True)
        if error["details"]:
            screen.print(f"  Meaning: {error['details']}")
            screen.print(f"  Recommended action: {error['resolution']}")
    if document["attempts"]:
        screen.print()
        screen.print(_attempts(document["attempts"]))
    screen.print()


def _show_raw_events(screen: Console, records: Sequence[TableRow]) -> None:
    for record in records:
        for event in record["events"]:
            if event.get("raw") is not None:
                screen.print(
                    f"\n{event['at']}  {plain(record['entity'])}  {plain(event['source'])} {plain(event['event_id'])}"
                )
                screen.print(plain(event["raw"]), soft_wrap=True)


def _attempts(attempts: Sequence[TableRow]) -> Table:
    table = new_table("Sync attempt", "Action", "Number", "Outcome")
    for attempt in attempts:
        outcome = ": ".join(part for part in (attempt["outcome"] or "unknown", attempt["text"]) if part)
        number = str(attempt["number"] or "not counted")
        table.add_row(attempt["begun"], ACTION_TEXTS.get(attempt["action"], attempt["action"]), number, plain(outcome))
    return table


def _amounts(document: TableRow) -> Table:
    table = new_table("Currency")
    parts = ("amount", "missing_actual", "missing_journal_line", "reconciled", "difference")
    for part in parts:
        table.add_column(part.replace("_", " ").capitalize(), justify="right", no_wrap=True)
    table.add_row(document["currency"] or "(none)", *(grouped(document[part]) or "not computable" for part in parts))
    if document["accounting_currency"] != document["currency"]:
        accounting = document["accounting"]
        table.add_row(
            document["accounting_currency"] or "(none)",
            *(grouped(accounting[part]) or "not computable" for part in parts),
        )
    return table


_DIAGNOSIS = (
    ("Last completed step", "seen"),
    ("Missing step", "missing"),
    ("Since", "since"),
    ("Recommended action", "do"),
    ("Source event", "event"),
)


def _show_explanation(screen: Console, explanation: dict[str, str], indent: str) -> None:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column()
    for title, name in _DIAGNOSIS:
        if explanation[name]:
            table.add_row(f"{indent}{title}", plain(explanation[name]))
    screen.print(table)


def _show_timeline(screen: Console, records: Sequence[TableRow]) -> None:
    """Print the records of a chain ordered by their first event, each with its state and its last event below."""

    def first(record: TableRow) -> tuple[str, str]:
        return (record["events"][0]["at"] if record["events"] else "", record["key"])

    for record in sorted(records, key=first):
        last = record["events"][-1] if record["events"] else {"at": "", "event_id": ""}
        heading = f"{first(record)[0]}  {record['source'] or '':<9}  {plain(record['entity'])} {plain(record['id'])}"
        screen.print(Text(heading, style="bold"), soft_wrap=True)
        if record["state"]:
            screen.print(f"    {plain(', '.join(record['state']))}")
        screen.print(f"    last event {last['at']}  {plain(last['event_id'])}", soft_wrap=True)
