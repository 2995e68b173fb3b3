"""The invoice proposal of the small company: confirmed today, and it waits, for what it bills is not posted."""

from datetime import date

from tieout.simulator.company_story import Cast, moment
from tieout.simulator.invoice_proposals import Proposals

NUMBER = "PI-000214"
BILLED_SINCE = date(2024, 12, 30)
CONFIRMED = moment(date(2025, 1, 8), 16)


def play_proposal(cast: Cast) -> None:
    """Bill the unbilled sales of the last days; the integration journal has posted none of them."""
    sales = [one for one in cast.sales if one.line.date >= BILLED_SINCE and not one.voucher]
    Proposals(cast.tail).confirm(NUMBER, sales, CONFIRMED)
