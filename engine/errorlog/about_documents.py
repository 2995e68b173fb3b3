"""Which errors are about a document: what an error names, and the names of a document (R50, R51).

Dual-write writes row by row, and its published texts seldom name the row, so the event does (`subject`): by guid,
voucher, transaction id or invoice number. A RecId is no name there, because each table counts its own; an integration
journal line alone is named so, by the posting of its journal.
"""

from collections.abc import Iterable
from typing import Final

from engine.chains.records import Record
from engine.errorlog.known_messages import recognise
from engine.errorlog.lifecycle import Subject
from engine.events.facts import PROCESSES, ProcessMessage, guid, row_id, row_id_of
from engine.reconciliation.documents import Document, Finding

DUAL_WRITE: Final = "dual-write"
_POSTING: Final = "integration-journal-posting"

VERSION_FINDINGS: Final = {"DW_STALE_VERSION": "stale-version", "DW_CONFLICT": "refused-version"}
"""The finding of each message about a version that asynchronous dual-write did not write."""


def row_named(name: str | None, text: str | None = None) -> str | None:
    """Return the row that an error of dual-write names, guids in one spelling; without a name, the actual in its text.

    >>> row_named(" {6E21A0C8-9F0B-EF11-9F89-6045BDA11C3F} ")
    '6e21a0c8-9f0b-ef11-9f89-6045bda11c3f'
    """
    named = row_id((name or "").strip())
    return named or guid(recognise(text or "").parameters.get("actual", ""))


def subjects_of(document: Document, records: Iterable[Record], lines: Iterable[str]) -> list[Subject]:
    """Return the subjects of all errors about a document: under its names in its company, by guid also without one.

    `records` are the rows of its chain, `lines` the RecIds of its integration journal lines.
    """
    _, _, number = document.document.partition("/")
    guids = {name for name in (row_id_of(record.id) for record in records) if guid(name)}
    named = {document.document, number, document.voucher, document.journal_voucher, document.invoice, *guids}
    found = {Subject(document.company, process, name) for process in PROCESSES for name in named if name}
    found |= {Subject(None, process, name) for process in PROCESSES for name in guids}
    found |= {Subject(document.company, _POSTING, line) for line in lines}
    return sorted(found, key=lambda subject: subject.key)


def version_finding(error: ProcessMessage, document: Document) -> Finding | None:
    """Return the finding of a document whose error says that a version of its rows was not written; else None."""
    code = VERSION_FINDINGS.get(recognise(error.text or "").code)
    if code is None:
        return None
    return Finding(code, document.key, document.document, {"row": error.subject}, error.evidence)
