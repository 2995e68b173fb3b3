"""A record is a function of the set of its events: in each column the value of highest precedence (R12)."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.chains.records import LINK_VALUES_MAX, Record, first_record, merge, new_record, record_key
from engine.events.facts import Change, Evidence
from tests.support.story import shipped_maps

pytestmark = pytest.mark.requirement("R12")

ROW = "5637144576"
MAPS = shipped_maps()


def change(at: int, version: int = 0, digest: str = "", *, delete: bool = False, **columns: Any) -> Change:
    """An event about one expense line: when, which row version, and the digest of its bytes."""
    evidence = Evidence(at, version, digest.encode(), "/finance/test", f"e{at}-{version}-{digest}")
    return Change("delete" if delete else "upsert", "finance", "TrvExpTrans", ROW, evidence, columns)


def record_of(*changes: Change, entity: str = "TrvExpTrans") -> Record:
    entity_map = MAPS.entities[entity]
    record = new_record(entity_map, record_key(entity_map, ROW))
    for one in changes:
        record = merge(record, one, entity_map)
    return record


def columns(record: Record) -> dict[str, Any]:
    """What the row holds, None for a row that is not there."""
    return dict(sorted(record.values.items())) if record.exists else {"gone": True}


# Each case: the events in the order they came, and what the row holds afterwards.
MERGES = {
    "a partial update changes only its columns": (
        [change(1, ProjId="P-1", CostType="Flight"), change(2, ProjId="P-2")],
        {"CostType": "Flight", "ProjId": "P-2"},
    ),
    "a later time ranks higher": ([change(2, ProjId="P-2"), change(1, ProjId="P-1")], {"ProjId": "P-2"}),
    "a late event fills only what newer ones left": (
        [change(2, ProjId="P-2"), change(1, ProjId="P-1", CostType="Flight")],
        {"CostType": "Flight", "ProjId": "P-2"},
    ),
    "at one time the row version decides": (
        [change(1, 2, ProjId="P-2"), change(1, 1, ProjId="P-1")],
        {"ProjId": "P-2"},
    ),
    "time before version": ([change(2, 0, ProjId="P-2"), change(1, 9, ProjId="P-1")], {"ProjId": "P-2"}),
    "at one time and version the digest decides": (
        [change(1, 1, "b", ProjId="P-2"), change(1, 1, "a", ProjId="P-1")],
        {"ProjId": "P-2"},
    ),
    "null clears a column": ([change(1, ProjId="P-1"), change(2, ProjId=None)], {"ProjId": None}),
    "null ranks like any value": ([change(2, ProjId=None), change(1, ProjId="P-1")], {"ProjId": None}),
    "a value that does not fit ranks like any value": (
        [change(1, AmountCurr="1.00"), change(2, AmountCurr="ten")],
        {"AmountCurr": {"unfit": "ten"}},
    ),
    "a column the map does not read is left out": ([change(1, ProjId="P-1", Nothing="x")], {"ProjId": "P-1"}),
    "a delete hides what ranks below it": ([change(1, ProjId="P-1"), change(2, delete=True)], {"gone": True}),
    "also what comes after it": ([change(2, delete=True), change(1, ProjId="P-1")], {"gone": True}),
    "at one time the version decides between upsert and delete": (
        [change(1, 1, delete=True), change(1, 2, ProjId="P-1")],
        {"ProjId": "P-1"},
    ),
    "a later upsert starts clean": (
        [change(1, ProjId="P-1", CostType="Flight"), change(2, delete=True), change(3, ProjId="P-3")],
        {"ProjId": "P-3"},
    ),
    "clean also when the delete comes last": (
        [change(1, CostType="Flight"), change(3, ProjId="P-3"), change(2, delete=True)],
        {"ProjId": "P-3"},
    ),
    "a delete below another changes nothing": (
        [change(3, delete=True), change(2, ProjId="P-2"), change(1, delete=True)],
        {"gone": True},
    ),
    "a delete of a row never seen": ([change(1, delete=True)], {"gone": True}),
    "an upsert without columns says that the row is there": ([change(1)], {}),
    "a row emptied is still a row": ([change(1, ProjId="P-1"), change(2, ProjId=None)], {"ProjId": None}),
}


@pytest.mark.parametrize(("changes", "held"), MERGES.values(), ids=MERGES.keys())
def test_of_two_values_of_a_column_the_one_that_ranks_higher_stays(changes: list[Change], held: dict[str, Any]) -> None:
    assert columns(record_of(*changes)) == held


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([change(2, ProjId="P-2")], change(2, ProjId="P-2")),
        ([change(2, Voucher="V-2")], change(1, Voucher="V-1")),
        ([change(1, Voucher="V-0"), change(2, delete=True)], change(0, Voucher="V-1")),
        ([change(1, ProjId="P-1"), change(2, ProjId="P-2")], change(1, ProjId="P-1")),
        ([change(2, delete=True)], change(2, delete=True)),
    ],
    ids=["a duplicate", "an outranked value", "an upsert under a delete", "a known former value", "the same delete"],
)
def test_an_event_that_says_nothing_new_leaves_the_very_same_record(before: list[Change], after: Change) -> None:
    record = record_of(*before)
    assert merge(record, after, MAPS.entities["TrvExpTrans"]) is record


def test_pending_rows_outlive_their_deletion_because_the_map_says_so() -> None:
    pending = record_of(change(1, SourceDocumentLine=7), change(2, delete=True), entity="VendInvoiceInfoLine")
    assert (pending.exists, columns(pending)) == (True, {"SourceDocumentLine": "7"})


def test_the_name_a_column_has_in_virtual_tables_is_the_same_column() -> None:
    mapped = record_of(change(1, Amount="5.00"), change(2, mserp_amount="6.00"), entity="ProjCDSActualsImport")
    assert columns(mapped) == {"Amount": 6_0000}


def test_a_row_updated_for_years_keeps_only_the_events_it_still_rests_on() -> None:
    record = record_of(*(change(at, ProjId=f"P-{at}") for at in range(1, 500)), change(1, CostType="Flight"))
    assert len(record.evidence) == 2


# --- merging is free of order and repetition --------------------------------------------------------------------------

NAME_COLUMNS = ["ProjId", "CostType", "Voucher"]
RANKS = st.tuples(st.integers(0, 4), st.integers(0, 2), st.sampled_from("abc"))
EVENTS = st.builds(
    lambda rank, delete, values: change(*rank, delete=delete, **({} if delete else values)),
    RANKS,
    st.booleans(),
    st.dictionaries(st.sampled_from(NAME_COLUMNS), st.sampled_from([None, "x", "y", "z"])),
)
# Two events of one precedence have one digest, so they are the same event: draw one of each precedence.
HISTORIES = st.lists(EVENTS, max_size=8, unique_by=lambda event: event.evidence.precedence)


def told_plainly(history: list[Change]) -> tuple[dict[str, tuple[Any, Any]] | None, Any]:
    """The rule as it reads: sort, forget everything up to the last delete, let each event overwrite its columns."""
    ordered = sorted(history, key=lambda event: event.evidence.precedence)
    deletes = [n for n, event in enumerate(ordered) if event.operation == "delete"]
    after = ordered[deletes[-1] + 1 :] if deletes else ordered
    held: dict[str, tuple[Any, Any]] = {}
    for event in after:
        held.update({name: (value, event.evidence) for name, value in event.columns.items()})
    return (held if after else None), (after[-1].evidence if after else None)


def held_by(record: Record) -> tuple[dict[str, tuple[Any, Any]] | None, Any]:
    held = {name: (value, record.evidence_of(name)) for name, value in record.values.items()}
    return (held, record.latest_upsert) if record.exists else (None, None)


@given(st.data(), HISTORIES)
def test_the_record_is_what_the_sorted_history_says_in_whatever_order_it_comes(
    data: st.DataObject, history: list[Change]
) -> None:
    delivered = data.draw(st.permutations(history))
    assert held_by(record_of(*delivered)) == told_plainly(history)


@given(st.data(), HISTORIES)
def test_merging_an_event_again_changes_nothing(data: st.DataObject, history: list[Change]) -> None:
    again = data.draw(st.lists(st.sampled_from(history), max_size=5)) if history else []
    delivered = data.draw(st.permutations(history + again))
    assert held_by(record_of(*delivered)) == told_plainly(history)


@given(st.data(), HISTORIES)
def test_every_value_points_to_evidence_that_is_kept(data: st.DataObject, history: list[Change]) -> None:
    record = record_of(*data.draw(st.permutations(history)))
    used = {record.by.get(name, 0) for name in record.values} | ({len(record.evidence) - 1} - {-1})
    assert used == set(range(len(record.evidence)))
    assert 0 not in record.by.values()


@given(EVENTS)
def test_the_first_event_about_a_row_makes_what_merging_it_would(event: Change) -> None:
    entity_map = MAPS.entities["TrvExpTrans"]
    key = record_key(entity_map, ROW)
    assert first_record(entity_map, key, event) == merge(new_record(entity_map, key), event, entity_map)


# --- former values of link columns ------------------------------------------------------------------------------------


def former(*changes: Change) -> dict[str, list[tuple[Any, str]]]:
    """The former values of a record, each with the id of its event."""
    record = record_of(*changes)
    return {column: [(item.value, item.evidence.event) for item in values] for column, values in record.former.items()}


def test_a_link_column_keeps_the_values_that_it_had_and_other_columns_do_not() -> None:
    first = change(1, ProjId="P-1", Voucher="V-1")
    assert former(first, change(2, ProjId="P-2", Voucher="V-2")) == {"ProjId": [("P-1", "e1-0-")]}


def test_a_cleared_and_a_deleted_value_are_kept_with_the_event_that_named_them_last() -> None:
    named = [change(1, ProjId="P-1"), change(2, ProjId="P-1")]
    assert former(*named, change(3, ProjId=None)) == {"ProjId": [("P-1", "e2-0-")]}
    assert former(*named, change(3, delete=True)) == {"ProjId": [("P-1", "e2-0-")]}
    assert former(change(3, delete=True), *named) == {"ProjId": [("P-1", "e2-0-")]}


def test_a_value_that_is_current_again_is_not_a_former_one() -> None:
    assert former(change(1, ProjId="P-1"), change(2, ProjId="P-2"), change(3, ProjId="P-1")) == {
        "ProjId": [("P-2", "e2-0-")]
    }


def test_a_value_that_links_nothing_is_not_kept() -> None:
    assert former(change(1, ProjId={"unfit": 1}), change(2, ProjId="P-2")) == {}


def test_beyond_the_limit_the_newest_values_stay_and_the_column_is_marked() -> None:
    record = record_of(*(change(at, ProjId=f"P-{at}") for at in range(1, LINK_VALUES_MAX + 1)))
    assert (len(record.former["ProjId"]), record.crowded) == (LINK_VALUES_MAX - 1, [])
    record = record_of(*(change(at, ProjId=f"P-{at}") for at in range(LINK_VALUES_MAX + 1, 0, -1)))
    assert [item.value for item in record.former["ProjId"]] == [f"P-{at}" for at in range(LINK_VALUES_MAX, 1, -1)]
    assert record.crowded == ["ProjId"]


def former_of_sorted(history: list[Change]) -> tuple[dict[str, list[tuple[Any, Any]]], list[str]]:
    """The rule as it reads: every value that an upsert named, newest first, without the current one."""
    current, _ = told_plainly(history)
    values: dict[str, dict[Any, Any]] = {}
    for event in sorted(history, key=lambda event: event.evidence.precedence):
        for column, value in event.columns.items():
            if column == "ProjId" and value is not None:
                values.setdefault(column, {}).pop(value, None)
                values[column][value] = event.evidence
    kept, crowded = {}, []
    for column, named in values.items():
        held = (current or {}).get(column, (None, None))[0]
        newest = [(value, evidence) for value, evidence in reversed(named.items())][:LINK_VALUES_MAX]
        if others := [item for item in newest if item[0] != held]:
            kept[column] = others
        if len(named) > LINK_VALUES_MAX:
            crowded.append(column)
    return kept, crowded


MANY_VALUES = st.builds(
    lambda rank, delete, value: change(*rank, delete=delete, **({} if delete else {"ProjId": value})),
    st.tuples(st.integers(0, 60), st.integers(0, 2), st.sampled_from("ab")),
    st.sampled_from([False] * 9 + [True]),
    st.one_of(st.none(), st.integers(0, 30).map(str)),
)
LONG_HISTORIES = st.lists(MANY_VALUES, max_size=60, unique_by=lambda event: event.evidence.precedence)


@given(st.data(), st.one_of(HISTORIES, LONG_HISTORIES))
def test_former_values_do_not_depend_on_the_order_or_repetition_of_events(
    data: st.DataObject, history: list[Change]
) -> None:
    again = data.draw(st.lists(st.sampled_from(history), max_size=5)) if history else []
    record = record_of(*data.draw(st.permutations(history + again)))
    kept = {column: [(item.value, item.evidence) for item in values] for column, values in record.former.items()}
    assert (kept, record.crowded) == former_of_sorted(history)
