"""A map file that must be corrected."""

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
"""A first attempt of an integrator: a wrong link, a wrong choice, a wrong column for the amount."""

MENDED_MAP: Final = """
schema = 1
version = "1"
source = "finance"

[entities]
"""
"""The same file without rules of its own."""
