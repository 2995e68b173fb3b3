"""Which records belong to one document line (R10), and values that never link (R8)."""

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.chains.links import components, scoped, trails
from engine.events.facts import row_id, row_id_of, time_order
from tests.support.memory_world import MemoryWorld
from tests.support.story import Story, changes, decide, name_of, shipped_maps

pytestmark = pytest.mark.requirement("R10")

WHOLE_EXPENSE = """
    expense   E1
    record    R1   approved
    actual    A1
    staging   S1   line=L1
    line      L1   draft
    journal   J1
"""
WHOLE_INVOICE = """
    pending-line     P1
    pending-project  X1
    invoice-line     I1
    invoice          V1
    invoice-record   N1
    header           H1   confirmed
    actual           A1   of=N1
    staging          S1   line=L1
    line             L1   draft
"""


def chains(story: Story) -> set[str]:
    return set(story.chains)


CHAINS = {
    "an expense from its line to its journal line": (WHOLE_EXPENSE, {"E1 R1 A1 S1 L1"}),
    "a vendor invoice line, without its headers": (WHOLE_INVOICE, {"I1 P1 X1 N1 A1 S1 L1"}),
    "an actual by its origin instead of a source document": (
        "expense E1\n record R1\n actual A1 of=\n origin W1",
        {"E1 R1 A1 W1"},
    ),
    "an actual by both": ("expense E1\n record R1\n actual A1\n origin W1", {"E1 R1 A1 W1"}),
    "a reversal and a replacement by their connections": (
        "expense E1\n record R1\n actual A1\n actual A2 of=\n actual A3 of=\n"
        "reversal C1 A2 of=A1\n replacement C2 A3 of=A1",
        {"E1 R1 A1 A2 A3 C1 C2"},
    ),
    "a connection of a cost and a sales actual joins nothing": (
        "actual A1 of=\n actual A2 of= type=unbilled-sales\n reversal C1 A2 of=A1 role=Unbilled role2=Cost",
        {"A1", "A2", "C1"},
    ),
    "roles compare without case": (
        "actual A1 of=\n actual A2 of=\n reversal C1 A2 of=A1 role=REVERSING role2=original",
        {"A1 A2 C1"},
    ),
    "transaction ids compare without case": ("expense E1 id=tx-1\n record R1 of=TX-1", {"E1 R1"}),
    "transaction ids compare without blanks around": ("expense E1\n record R1", {"E1 R1"}),
    "an expense without a transaction id is known by its RecId": (
        "expense E1 id=\n record R1 of=E1",
        {"E1 R1"},
    ),
    "an expense with a transaction id is not known by its RecId": (
        "expense E1\n record R1 of=E1",
        {"E1", "R1"},
    ),
    "an expense and an invoice line of one transaction id are two documents": (
        "expense E1\n pending-line P1\n pending-project X1\n invoice-line I1\n record R1\n invoice-record N1",
        {"E1 R1", "I1 P1 X1 N1"},
    ),
    "two staging rows of one actual": ("actual A1 of=\n staging S1\n staging S2 of=A1", {"A1 S1 S2"}),
    "a record that waits for its line": ("record R1", {"R1"}),
}


@pytest.mark.parametrize(("table", "found"), CHAINS.values(), ids=CHAINS.keys())
def test_records_are_joined_by_the_keys_of_their_document(table: str, found: set[str]) -> None:
    assert chains(decide(table)) == found


@pytest.mark.parametrize("table", [WHOLE_EXPENSE, "record R1\n actual A1\n staging S1\n expense E1\n origin W1"])
def test_the_order_in_which_records_come_makes_no_difference(table: str) -> None:
    addition = changes(table)
    expected = MemoryWorld(addition, shipped_maps()).chains
    for order in list(permutations(addition))[::7]:
        assert MemoryWorld(order, shipped_maps()).chains == expected


def test_a_chain_is_named_by_its_smallest_key_which_is_its_document_line() -> None:
    story = decide(WHOLE_EXPENSE)
    assert name_of(story.chain.id) == "E1"
    assert name_of(decide(WHOLE_INVOICE).chain.id) == "I1"


# --- values that mean "none" ------------------------------------------------------------------------------------------

ZERO = "00000000-0000-0000-0000-000000000000"
NONES = {
    "empty transaction ids": "expense E1 id=\n expense E2 id=\n record R1 of=\n record R2 of=",
    "RecId 0 of a journal line": "staging S1 of= line=0\n staging S2 of= line=0",
    "RecId 0 of a source document line": "invoice-line I1 of=0\n invoice-line I2 of=0\n pending-line P1 of=0",
    "the zero guid of a source document": f"actual A1 of={ZERO}\n actual A2 of={{{ZERO}}}",
    "the zero guid of an actual": f"staging S1 of={ZERO}\n staging S2 of={ZERO}",
    "empty roles": "actual A1 of=\n actual A2 of=\n reversal C1 A2 of=A1 role= role2=",
    "ids that are no ids": "staging S1 of=none line=x\n staging S2 of=none line=x",
}


@pytest.mark.requirement("R8")
@pytest.mark.parametrize("table", NONES.values(), ids=NONES.keys())
def test_a_value_that_is_none_never_links(table: str) -> None:
    assert all(" " not in chain for chain in decide(table).chains)


@pytest.mark.requirement("R8")
@pytest.mark.parametrize(
    "spelled",
    [
        "00000001-0000-4000-8000-000000000041",
        "{00000001-0000-4000-8000-000000000041}",
        "00000001000040008000000000000041",
    ],
    ids=["plain", "braces", "without dashes"],
)
def test_an_identifier_links_however_it_is_spelled(spelled: str) -> None:
    (made,) = changes("actual A1 of=")
    assert made.id == "00000001-0000-4000-8000-000000000041"
    for text in (spelled, spelled.upper()):
        assert chains(decide(f"actual A1 of=\n staging S1 of={text}")) == {"A1 S1"}


# --- companies --------------------------------------------------------------------------------------------------------

COMPANIES = {
    "one transaction id in two companies is two documents": (
        "expense E1\n expense E2 id=T1 @GBPM\n record R1\n record R2 of=T1 @GBPM",
        {"E1 R1", "E2 R2"},
    ),
    "company codes compare without case": ("expense E1 @uspm\n record R1 @USPM", {"E1 R1"}),
    "the owning company before the event's": ("expense E1 @GBPM\n record R1 @USPM company=GBPM", {"E1 R1"}),
    "the event's while the owning company's row was not seen": (
        "expense E1\n record R1 company=O9",
        {"E1 R1"},
    ),
    "a record without a company: the one company that Finance has its id in": ("expense E1\n record R1 @", {"E1 R1"}),
    "even when several lines of that company have it": (
        "expense E1\n expense E2 id=T1\n record R1 @",
        {"E1 E2 R1"},
    ),
    "none when Finance has it in two companies": (
        "expense E1\n expense E2 id=T1 @GBPM\n record R1 @",
        {"E1", "E2", "R1"},
    ),
    "what its own system has the id in says nothing": (
        "expense E1\n record R1 @\n record R2 of=T1 @GBPM",
        {"E1 R1", "R2"},
    ),
    "a line without a company: the one company that Dataverse has its id in": ("expense E1 @\n record R1", {"E1 R1"}),
    "none when Dataverse has it in two": (
        "expense E1 @\n record R1\n record R2 of=T1 @GBPM",
        {"E1", "R1", "R2"},
    ),
    "where neither knows its company an id alone links if it is unique": ("expense E1 @\n record R1 @", {"E1 R1"}),
    "a company told later separates again": (
        "expense E1\n record R1 @\n record R1 @GBPM",
        {"E1", "R1"},
    ),
    "a second company that comes later separates again": (
        "expense E1\n record R1 @\n expense E2 id=T1 @GBPM",
        {"E1", "E2", "R1"},
    ),
    "actuals and staging rows need no company": ("actual A1 of= @\n staging S1 @GBPM", {"A1 S1"}),
}


@pytest.mark.parametrize(("table", "found"), COMPANIES.values(), ids=COMPANIES.keys())
def test_a_transaction_id_counts_within_its_company(table: str, found: set[str]) -> None:
    assert chains(decide(table)) == found


@pytest.mark.requirement("R2")
@pytest.mark.parametrize("company", ["X" * 3000, {"a": 1}, ["USPM"], True], ids=["endless", "object", "list", "flag"])
def test_a_company_that_does_not_fit_counts_as_not_known(company: object) -> None:
    addition = changes("expense E1\n record R1")
    addition[0].columns["@company"] = company
    world = MemoryWorld(addition, shipped_maps())
    assert [len(keys) for keys in world.components] == [2]
    assert world.documents[0].company is None


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("expense:T1|USPM", ("expense:T1|", "USPM")),
        ("expense:T1|", ("expense:T1|", "")),
        ("expense:A|B|USPM", ("expense:A|B|", "USPM")),
        ("row:0001", None),
    ],
)
def test_a_link_within_a_company_ends_with_it(text: str, parts: tuple[str, str] | None) -> None:
    assert scoped(text) == parts


# --- links follow the current values ----------------------------------------------------------------------------------

CORRECTIONS = {
    "a corrected external id moves the record, and its actual with it": (
        "expense E1\n expense E2\n record R1 of=T2\n actual A1\n record R1 of=T1",
        {"E1 R1 A1", "E2"},
    ),
    "a cleared external id leaves the document": ("expense E1\n record R1\n record R1 of=", {"E1", "R1"}),
    "a corrected transaction id moves the line": (
        "expense E1\n record R1\n record R2\n expense E1 id=T2",
        {"E1 R2", "R1"},
    ),
    "a corrected source document moves the actual": (
        "record R1\n record R2\n actual A1 of=R2\n actual A1 of=R1",
        {"R1 A1", "R2"},
    ),
    "a staging row that forgets its line splits the chain": (
        "actual A1 of=\n line L1\n staging S1 line=L1\n staging S1 line=0",
        {"A1 S1", "L1"},
    ),
    "a deleted row in the middle splits the chain": (
        "expense E1\n record R1\n actual A1\n record R1 delete",
        {"E1", "A1"},
    ),
    "a row that came back joins again": (
        "expense E1\n record R1\n actual A1\n record R1 delete\n record R1 of=T1 @USPM",
        {"E1 R1 A1"},
    ),
    "deleted pending rows still link, for the map keeps them": (
        WHOLE_INVOICE + "pending-line P1 delete\n pending-project X1 delete",
        {"I1 P1 X1 N1 A1 S1 L1"},
    ),
}


@pytest.mark.parametrize(("table", "found"), CORRECTIONS.values(), ids=CORRECTIONS.keys())
def test_links_follow_the_current_values(table: str, found: set[str]) -> None:
    assert chains(decide(table)) == found


# --- references -------------------------------------------------------------------------------------------------------


def test_two_lines_of_one_invoice_share_its_header_and_stay_two_documents() -> None:
    second = "pending-line P2\n pending-project X2\n invoice-line I2 invoice=Inv-1\n invoice-record N2 header=H1"
    story = decide(WHOLE_INVOICE + second)
    assert chains(story) == {"I1 P1 X1 N1 A1 S1 L1", "I2 P2 X2 N2"}
    assert {document.voucher for document in story.world.documents} == {"USPM-1101"}


@pytest.mark.parametrize(
    ("header", "voucher"),
    [
        ("invoice V1", "USPM-1101"),
        ("invoice V1 invoice=inv-1", "USPM-1101"),
        ("invoice V1 date=2025-01-09", None),
        ("invoice V1 @GBPM", None),
        ("invoice V1 invoice=Inv-2", None),
        ("invoice V1\n invoice V2 invoice=Inv-1 vendor=USPM-000012", None),
    ],
    ids=[
        "company, number and date",
        "number without case",
        "another date",
        "another company",
        "another number",
        "two vendors with one number: neither",
    ],
)
def test_a_posted_line_finds_its_posted_invoice_by_company_number_and_date(header: str, voucher: str | None) -> None:
    assert decide(f"pending-line P1\n pending-project X1\n invoice-line I1\n {header}").document.voucher == voucher


TWO_VENDORS = "invoice V1 vendor=NOOR voucher=PIV-A\n invoice V2 invoice=Inv-1 vendor=HALE voucher=PIV-B"


@pytest.mark.parametrize(
    ("pending", "voucher", "found"),
    [
        ("vendor=NOOR", "PIV-A", set()),
        ("vendor=hale", "PIV-B", set()),
        ("vendor=OTHER", None, set()),
        ("", None, {"ambiguous-invoice I1"}),
    ],
    ids=["the first vendor", "the second, without case", "a third", "unknown"],
)
def test_of_two_vendors_with_one_number_the_pending_line_names_the_one_of_the_line(
    pending: str, voucher: str | None, found: set[str]
) -> None:
    story = decide(f"pending-line P1 {pending}\n pending-project X1\n invoice-line I1\n {TWO_VENDORS}")
    assert story.document.voucher == voucher
    assert {code for code in story.finding_codes if code.startswith("ambiguous")} == found


# --- trails: what a record was joined by once ------------------------------------------------------------------------


def trails_of(events: str, name: str) -> list[str]:
    world = decide(events).world
    (record,) = [record for key, record in world.records.items() if name_of(key) == name]
    return trails(record, world.maps.entities[record.entity], record.joins, world.directory.codes)


def test_a_row_that_always_had_its_values_has_no_trail() -> None:
    assert trails_of(WHOLE_EXPENSE, "A1") == trails_of(WHOLE_EXPENSE, "E1") == []


def test_a_deleted_row_has_every_identity_value_as_a_trail() -> None:
    before = decide(WHOLE_EXPENSE).world
    (record,) = [record for key, record in before.records.items() if name_of(key) == "R1"]
    assert trails_of(WHOLE_EXPENSE + "record R1 delete", "R1") == record.joins


def test_a_changed_key_is_a_trail_and_so_is_the_row_id_that_stands_in_for_a_missing_one() -> None:
    story = "expense E1 id=T1\n expense E1 id=T2"
    (line,) = [key for key in decide(story).world.records if name_of(key) == "E1"]
    assert trails_of(story, "E1") == [f"expense:{line.rpartition(':')[2]}|USPM", "expense:T1|USPM"]


def test_a_renamed_company_leaves_trails_on_its_rows() -> None:
    world = decide("expense E1\n record R1 company=USPM").world
    (record,) = [record for key, record in world.records.items() if name_of(key) == "R1"]
    entity_map = world.maps.entities[record.entity]
    assert trails(record, entity_map, record.joins, lambda guid: ["USPM"]) == []
    assert trails(record, entity_map, ["expense:T1|XXPM", f"row:{record.id}"], lambda guid: ["XXPM", "USPM"]) == [
        "expense:T1|USPM"
    ]


# --- row ids ----------------------------------------------------------------------------------------------------------

GUIDS = st.uuids().map(str)


@given(GUIDS | st.integers(1, 2**63 - 1).map(str))
def test_the_time_order_of_an_id_can_be_read_back(identifier: str) -> None:
    assert row_id_of(time_order(identifier)) == identifier


@pytest.mark.parametrize(
    "key",
    ["USPM|Inv-00000000000000000000012", "USPM0000-Inv-6-7|1.0000000000|000001"],
    ids=["32 characters", "36 characters with a dash in ninth place"],
)
def test_an_id_that_is_made_of_keys_can_be_read_back_too(key: str) -> None:
    assert row_id_of(time_order(key)) == key


@pytest.mark.requirement("R8")
@given(GUIDS, st.booleans(), st.booleans(), st.booleans())
def test_a_guid_is_one_id_in_every_spelling(plain: str, braces: bool, upper: bool, dashes: bool) -> None:
    spelled = plain if dashes else plain.replace("-", "")
    spelled = spelled.upper() if upper else spelled
    assert row_id(f"{{{spelled}}}" if braces else spelled) == (plain if plain.strip("0-") else spelled)


def test_components_of_nothing_are_none() -> None:
    assert components({}, shipped_maps()) == []
