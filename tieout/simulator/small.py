"""The company of the documented screenshots: USPM on 8 January 2025, to the cent.

Expenses 9,000.00 = 5,000.00 missing journal lines + 4,000.00 missing actuals;
vendor invoices 28,000.00 = 23,000.00 missing journal lines + 5,000.00 missing actuals.
"""

from datetime import UTC, date, datetime

from tieout.simulator.company_story import CompanyScenario
from tieout.simulator.event_recorder import EventRecorder
from tieout.simulator.reference import Project, ReferenceData, SimulatedCompany, Vendor, load_reference_data
from tieout.simulator.small_errors import play_errors
from tieout.simulator.small_expenses import play_expenses
from tieout.simulator.small_invoice_proposals import play_proposal
from tieout.simulator.small_invoices import play_invoices

TODAY = date(2025, 1, 8)
FIRST_OPEN = date(2024, 3, 1)
UNTIL = datetime(2025, 1, 8, 18, tzinfo=UTC)
COMPANIES = ("USPM",)
"""Companies of the environment's settings; both systems know GBPM, but the settings do not name it."""

_REFERENCE_DATA = ReferenceData(
    companies=(
        SimulatedCompany("USPM", "Contoso Project Management USA", "USD", "America/Chicago", FIRST_OPEN),
        SimulatedCompany("GBPM", "Contoso Project Management UK", "GBP", "Europe/London", FIRST_OPEN),
    ),
    currencies=("USD", "EUR", "GBP"),
    projects=(
        Project("P-001000-D", "Proj-01", "USPM"),
        Project("P-001001-D", "Proj-02", "USPM"),
        Project("P-001002-D", "Harbour extension", "USPM"),
        Project("P-001003-D", "Data centre move", "USPM"),
        Project("P-002000-G", "London office", "GBPM"),
    ),
    categories=(
        "Flight-Expense",
        "Hotel-Expense",
        "Meals-Expense",
        "Car-Expense",
        "Taxi-Expense",
        "Materials-Item",
        "Subcontract-Item",
        "Hours-Hour",
    ),
    vendors=(
        Vendor("USPM-000011", "Fabrikam Electronics"),
        Vendor("USPM-000012", "Northwind Staffing"),
        Vendor("USPM-000013", "Adatum Engineering"),
        Vendor("USPM-000014", "Litware Supplies"),
    ),
    fiscal_years=(2024, 2025),
)


def play(seed: int) -> CompanyScenario:
    """Simulate the year up to today; the seed draws identifiers, times and the reconciled amounts."""
    recorder = EventRecorder(seed)
    reference_ids = load_reference_data(recorder, _REFERENCE_DATA, datetime(2023, 12, 1, 8, tzinfo=UTC))
    scenario = CompanyScenario(recorder, reference_ids, "USPM", "USD", (FIRST_OPEN, TODAY))
    play_expenses(scenario)
    play_invoices(scenario)
    play_errors(scenario)
    play_proposal(scenario)
    if recorder.last_time() > UNTIL:
        raise ValueError("something happens after the heartbeats")
    return scenario
