"""Where a record is in Finance and in Dataverse themselves (R36).

A form of Dataverse has an address for each row ("Open apps, forms, views, dialogs, and reports with a URL", Microsoft
Learn). Finance's forms have none that is documented, and which form shows which table is not public; its table browser
takes a table and a company, and opens for system administrators.
"""

from urllib.parse import urlencode

from tieout.settings import Settings


def form_of(settings: Settings, source: str | None, entity: str, row: str, company: str | None) -> str | None:
    """Return the address of a row's form; None if it has none or its system has no address in the settings."""
    address = {"dataverse": settings.dataverse, "finance": settings.finance}.get(source or "")
    # The simulated systems have no forms.
    if address is None or not address.startswith("https://"):
        return None
    if source == "dataverse":
        return f"{address.rstrip('/')}/main.aspx?{urlencode({'pagetype': 'entityrecord', 'etn': entity, 'id': row})}"
    named = {"mi": "SysTableBrowser", "TableName": entity, **({"cmp": company} if company else {})}
    return f"{address.rstrip('/')}/?{urlencode(named)}"
