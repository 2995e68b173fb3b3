"""How a batch is divided among the partitions it is read from."""

from hypothesis import given
from hypothesis import strategies as st

from streams.log import portions, shares


@given(st.dictionaries(st.integers(), st.integers(-5, 10**7), max_size=30), st.integers(1, 20_000))
def test_shares_keep_to_the_limit_and_go_round_while_there_is_some(left: dict[int, int], limit: int) -> None:
    found = shares(left, limit)
    waiting = [place for place, own in left.items() if own > 0]
    assert all(share >= 1 for share in found.values())
    assert list(found) == waiting[: len(found)]
    assert sum(found.values()) == (limit if waiting else 0)


def test_a_partition_with_twice_as_much_left_gives_twice_as_much() -> None:
    assert shares({"a": 2_000, "b": 1_000, "c": 0}, 300) == {"a": 200, "b": 100}


@given(
    st.dictionaries(st.integers(), st.integers(-5, 10**7), max_size=30), st.integers(1, 20_000), st.integers(1, 10**9)
)
def test_portions_keep_to_the_limits_and_reach_them_or_the_ends(
    left: dict[int, int], max_records: int, max_bytes: int
) -> None:
    found = portions(left, max_records, max_bytes)
    waiting = {place: own for place, own in left.items() if own > 0}
    records = {place: own for place, (own, _) in found.items()}
    size = [own for _, own in found.values()]
    assert records.keys() <= waiting.keys()
    assert all(own >= 1 for own in (*records.values(), *size))
    assert sum(records.values()) == max_records or records == waiting
    # Each gets one byte at least, for that brings one record.
    assert sum(size) <= max_bytes + len(found)


def test_a_short_partition_is_read_whole_and_the_long_ones_in_proportion() -> None:
    left = {"companies": 60, "empty": 0, "a": 20_000, "b": 10_000}
    assert portions(left, 960, 12_000) == {"companies": (60, 1_000), "a": (600, 7_333), "b": (300, 3_667)}


def test_a_partition_that_is_not_short_is_read_in_proportion_from_its_start() -> None:
    assert portions({"a": 1_000_000, "b": 10_000}, 12_000, 12_000) == {"a": (11_881, 11_881), "b": (119, 119)}
