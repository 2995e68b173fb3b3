"""The facts of the documents of a chain, each by the role of its Finance line."""

from typing import Final

from engine.reconciliation.chain_facts import ChainFacts, DocumentFacts
from engine.reconciliation.expenses import ExpenseFacts
from engine.reconciliation.shared_chains import share
from engine.reconciliation.vendor_invoices import InvoiceLineFacts

_FACTS: Final[dict[str, type[DocumentFacts]]] = {
    facts.kind.line_role: facts for facts in (ExpenseFacts, InvoiceLineFacts)
}


def documents_of(chain: ChainFacts) -> list[DocumentFacts]:
    """Return the facts of the Finance lines of a chain, by key."""
    documents = [_FACTS[line.role](chain, line) for line in chain.lines]
    if len(documents) > 1:
        share(documents)
    return documents
