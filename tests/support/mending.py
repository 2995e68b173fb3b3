"""A map that somebody will have to mend."""

from typing import Final

WRONG_MAP: Final = """
schema = 1
version = "0"
source = "finance"

[entities.TrvExpTrans]
identity = [{ link = "expense", by = ["voucher"], company = true }]

[entities.TrvExpTrans.columns]
amount = "contoso_Amount"

[entities.ProjAdvancedJournalLine.choices.status]
posted = [2, "Processing"]
processing = [3, "Posted"]
"""
"""An integrator's first try: another link, another reading of a choice, another column for the amount."""

MENDED_MAP: Final = """
schema = 1
version = "1"
source = "finance"

[entities]
"""
"""The same file once it says nothing of its own."""
