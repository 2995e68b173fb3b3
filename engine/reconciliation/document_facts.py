"""The facts of a document by the role of its Finance line."""

from typing import Final

from engine.chains.records import Row
from engine.reconciliation.chain_facts import ChainFacts, DocumentFacts
from engine.reconciliation.expenses import ExpenseFacts
from engine.reconciliation.vendor_invoices import InvoiceLineFacts

_FACTS: Final[dict[str, type[DocumentFacts]]] = {
    facts.kind.line_role: facts for facts in (ExpenseFacts, InvoiceLineFacts)
}


def document_facts(chain: ChainFacts, line: Row) -> DocumentFacts:
    """Return the facts of one Finance line of a chain."""
    return _FACTS[line.role](chain, line)
