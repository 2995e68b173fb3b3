"""How an error is shown on any page: the name of its process, its meaning and remedy, and where its history is."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, urlencode

from engine.errorlog.known_messages import catalogued, recognise
from engine.events.facts import ProcessMessage
from tieout.texts import Texts

PROCESS_NAMES: Final[Mapping[str, str]] = {
    "import-from-staging": "Import from staging",
    "integration-journal-posting": "Integration journal posting",
    "invoice-proposal": "Invoice proposal",
    "general-journal-sync": "General journal Dataverse sync",
    "dual-write": "Dual-write",
}


def process_name(process: str, texts: Texts) -> str:
    """Return the name of a process for the reader."""
    return texts.of_code(process, PROCESS_NAMES.get(process, process))


def code_and_remedy(message: ProcessMessage, texts: Texts) -> tuple[str, str | None, str | None]:
    """Return the message code of an error, and its meaning and remedy for the reader if it is in the catalogue."""
    code = recognise(message.text or "").code
    known = catalogued(code)
    if known is None:
        return code, None, None
    return code, texts.of_code(code, known.details), texts.of_code(code, known.resolution)


def history_address(company: str, message: ProcessMessage) -> str:
    """Return the address of the history of an error's reference."""
    about = urlencode({"process": message.process, "about": message.subject or message.text or ""}, quote_via=quote)
    return f"/{quote(company)}/errors/history?{about}"
