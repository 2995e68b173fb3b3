"""Where a record is in Finance and in Dataverse themselves (R36).

A form of Dataverse has an address for each row ("Open apps, forms, views, dialogs, and reports with a URL", Microsoft
Learn). Finance finds the form of a table by itself since it has `McpDeepLinkNavigator` ("Deep links for Dynamics 365
ERP MCP", Microsoft Learn; preview): it takes a table, filters and a company, and opens the details form where one row
matches and the table names a form, else a grid of the rows. Earlier versions have the table browser only, which takes a
table and a company, and opens for system administrators.
"""

import re
from typing import Final, Literal, NamedTuple
from urllib.parse import quote, urlencode

import msgspec

from tieout.settings import Settings

_RECORD_ID: Final = re.compile(r"[1-9]\d{0,18}", re.ASCII)


class DeepLink(NamedTuple):
    """An address of a record in its system, and what opens there: its form, or only its table."""

    address: str
    opens: Literal["form", "table"]


def form_of(settings: Settings, source: str | None, entity: str, row: str, company: str | None) -> DeepLink | None:
    """Return the link to a row; None if it has none or its system has no address in the settings.

    A row of Finance without a RecId has the link to its table.
    """
    address = {"dataverse": settings.dataverse, "finance": settings.finance}.get(source or "")
    # The simulated systems have no forms.
    if address is None or not address.startswith("https://"):
        return None
    base = address.rstrip("/")
    if source == "dataverse":
        named = {"pagetype": "entityrecord", "etn": entity, "id": row}
        return DeepLink(f"{base}/main.aspx?{urlencode(named)}", "form")
    of_company = {"cmp": company} if company else {}
    if settings.finance_links == "table" or not _RECORD_ID.fullmatch(row):
        return DeepLink(f"{base}/?{urlencode({'mi': 'SysTableBrowser', 'TableName': entity, **of_company})}", "table")
    filters = msgspec.json.encode([{"f": "RecId", "op": "Is", "v": row}]).decode()
    # The product's own links have the colon as it is.
    named = {"tableName": entity, "filters": filters, **of_company}
    return DeepLink(f"{base}/?mi=action:McpDeepLinkNavigator&{urlencode(named, quote_via=quote)}", "form")
