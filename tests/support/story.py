"""A notation for the events of a chain, readable for a controller, and the decision of the engine about it.

One line for each event, a minute apart from 08:00 UTC on 8 January 2025 (or at the time in front):

            expense    E1   200.00
            record     R1   approved
            actual     A1   200.00
            staging    S1   line=L1
    17:30   line       L1   posted voucher=PJ-1
            expense    E1   delete

A line consists of a word, a name and values. The letter of a name is its kind of row, its number the document it
belongs to: R1 is the Dataverse record of the document with the transaction id T1, A1 its actual, S1 the staging row of
A1, and so on; `of=` overrides this. The first line of a name sends a whole row (with the default values), later lines
only changes; `column=` clears a column, `column=?` does not send it. A number alone is the amount, any other value
alone the status. `@GBPM` is the company that the event names (`@` alone: none). `WORDS` of `story_words.py` maps words
to entities and columns.
"""

import re
import tomllib
from collections.abc import Collection
from functools import cache
from hashlib import blake2b
from importlib.resources import files
from typing import Any, Final

from engine.chains.records import record_key
from engine.events.facts import Change, Evidence, iso
from engine.mapping.compiler import Maps, compile_maps
from engine.reconciliation.beginning_balances import NONE, BeginningBalances
from engine.reconciliation.documents import PART_NAMES, Chain, Document, Finding
from engine.reconciliation.grace import Moment
from engine.serialization import document_json
from tests.support.memory_world import MemoryWorld
from tests.support.story_words import WORDS, Word

MINUTE: Final = 60 * 1_000_000
BEGINNING: Final = 1_736_323_200_000_000  # 2025-01-08T08:00:00Z
ALL_KNOWN: Final = Moment(None, {}, lambda _entity: True)
"""A moment at which every decision may be reported."""
REFERENCE: Final = """
    00:00   currency   U1   USD
    00:00   currency   U2   EUR
    00:00   currency   U3   JPY
    00:00   owner      O1   USPM
    00:00   owner      O2   GBPM
    00:00   company    K1   USPM
    00:00   ledger     G1   USD company=K1
    00:00   company    K2   GBPM
    00:00   ledger     G2   EUR company=K2
"""
"""The reference data of every story, sent a few hours before it starts."""


@cache
def shipped_maps() -> Maps:
    """Return the compiled maps that are shipped."""
    return compile_maps(
        (name, tomllib.loads((files("tieout") / "maps" / name).read_text(encoding="utf-8")))
        for name in ("finance.toml", "dataverse.toml")
    )


_LETTERS: Final = {word.letter: word for word in WORDS.values()}
_NAME: Final = re.compile(r"([A-Z])(\d{1,3})")
_AMOUNT: Final = re.compile(r"-?\d+(\.\d+)?")


def row_of(name: str) -> tuple[Word, str]:
    """Return the kind of row of a name, and its id: a RecId in Finance, a guid in Dataverse."""
    match = _NAME.fullmatch(name)
    assert match is not None, f"{name} is no name of this notation"
    assert match[1] in _LETTERS, f"{name} has no letter of this notation"
    word, number = _LETTERS[match[1]], int(match[2])
    if word.source == "finance":
        return word, str(5637144576 + 1000 * ord(word.letter) + number)
    return word, f"{number:08x}-0000-4000-8000-{ord(word.letter):012x}"


def id_of(name: str) -> str:
    """Return the row id of a name."""
    return row_of(name)[1]


def key_of(name: str) -> str:
    """Return the record key of a name."""
    word, row = row_of(name)
    entity_map = shipped_maps().find(word.entity)
    assert entity_map is not None
    return record_key(entity_map, row)


def name_of(key: str) -> str:
    """Return the name of a record key, whether or not it is in the table."""
    _, entity, _ = key.split(":", 2)
    for letter, word in _LETTERS.items():
        if word.entity == entity:
            return next((name for n in range(1000) if key_of(name := f"{letter}{n}") == key), key)
    return key


def changes(table: str) -> list[Change]:
    """Parse the lines of a table into changes, in order."""
    sent: set[str] = set()
    events = []
    at = BEGINNING
    for line in filter(None, map(str.strip, table.splitlines())):
        first, *rest = line.split()
        if re.fullmatch(r"\d\d:\d\d", first):
            at = BEGINNING + (int(first[:2]) * 60 + int(first[3:]) - 480) * MINUTE
            first, *rest = rest
        events.append(_change(WORDS[first], rest[0], rest[1:], at, whole=rest[0] not in sent))
        sent.add(rest[0])
        at += MINUTE
    return events


def _change(word: Word, name: str, items: list[str], at: int, *, whole: bool) -> Change:
    kind, row = row_of(name)
    assert kind.entity == word.entity, f"{name} is no {word.entity}"
    number = name[1:]
    company = next((item[1:] for item in items if item.startswith("@")), word.company if whole else None)
    values = {column: value.replace("#", number) for column, value in word.usual.items()} if whole else {}
    for item in items:
        if item == "delete" or item.startswith("@"):
            continue
        column, equals, value = item.partition("=")
        if not equals:
            column, value = ("amount" if _AMOUNT.fullmatch(item) and "amount" in word.columns else "status"), item
        assert column in word.columns, f"{name}: a row of {word.entity} has no {column!r} in this notation"
        if value == "?":
            values.pop(column, None)
        else:
            values[column] = value
    columns: dict[str, Any] = {word.columns[column]: _meant(word, column, value) for column, value in values.items()}
    if company is not None:
        columns["@company"] = company or None
    digest = blake2b(f"{at} {name} {items}".encode(), digest_size=16).digest()
    evidence = Evidence(at, 0, digest, f"/{word.source}/story", f"{name}@{iso(at)[11:16]}")
    if "delete" in items:
        return Change("delete", word.source, word.entity, row, evidence, {})
    return Change("upsert", word.source, word.entity, row, evidence, columns)


def _meant(word: Word, column: str, value: str) -> Any:
    if not value:
        return None
    value = str(word.meanings.get(column, {}).get(value, value))
    named = _NAME.fullmatch(value)
    if named and named[1] in _LETTERS and word.columns[column] not in ("ProjId", "ProjectId"):
        return id_of(value)
    return value


class Story:
    """A table and the decision of the engine about it."""

    def __init__(
        self, table: str, companies: Collection[str] | None, reference: str, beginning: BeginningBalances
    ) -> None:
        self.changes = [*changes(reference), *changes(table)]
        self.world = MemoryWorld(self.changes, shipped_maps(), companies, beginning)

    @property
    def document(self) -> Document:
        """The only document of the story."""
        (document,) = self.world.documents
        return document

    @property
    def documents(self) -> dict[str, Document]:
        """The documents by the name that grids show."""
        return {document.document: document for document in self.world.documents}

    @property
    def chain(self) -> Chain:
        """The chain of the only document."""
        (chain,) = [chain for chain in self.world.chains if chain.documents]
        return chain

    @property
    def chains(self) -> list[str]:
        """The chains as names, in the order of their keys: `E1 R1 A1`."""
        return [" ".join(name_of(key) for key in keys) for keys in self.world.components]

    @property
    def status(self) -> str:
        """Position and reason of the only document: `missing-actual: not-approved`."""
        return status(self.document)

    @property
    def parts(self) -> str:
        """The parts of its amount: missing actual, missing journal line, reconciled, difference."""
        return parts(self.document)

    @property
    def accounting_parts(self) -> str:
        """The parts in accounting currency."""
        return parts(self.document, accounting=True)

    @property
    def finding_codes(self) -> set[str]:
        """The findings with their rows: `rate-differs S1`."""
        return {f"{finding.code} {name_of(finding.subject)}" for finding in self.world.findings}

    def finding(self, code: str) -> Finding:
        """Return the only finding of a code."""
        (finding,) = [finding for finding in self.world.findings if finding.code == code]
        return finding


def decide(
    table: str,
    *,
    companies: Collection[str] | None = None,
    reference: str = REFERENCE,
    beginning: BeginningBalances = NONE,
) -> Story:
    """Return the decision of the engine about a table; `companies` and `beginning` are those of the settings."""
    return Story(table, companies, reference, beginning)


def status(document: Document) -> str:
    """Return position and reason as one text."""
    reason = document.excluded or document.cause
    return f"{document.position}: {reason}" if reason else document.position


def parts(document: Document, *, accounting: bool = False) -> str:
    """Return missing actual, missing journal line, reconciled and difference as a grid shows them."""
    members = document_json(document)
    amounts = members["accounting"] if accounting else members
    return " ".join(str(amounts[part]) for part in PART_NAMES)
