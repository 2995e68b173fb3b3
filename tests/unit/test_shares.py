"""How a batch is divided among the partitions it is read from."""

from hypothesis import given
from hypothesis import strategies as st

from streams.log import shares


@given(st.dictionaries(st.integers(), st.integers(-5, 10**7), max_size=30), st.integers(1, 20_000))
def test_shares_keep_to_the_limit_and_go_round_while_there_is_some(left: dict[int, int], limit: int) -> None:
    found = shares(left, limit)
    waiting = [place for place, own in left.items() if own > 0]
    assert all(share >= 1 for share in found.values())
    assert list(found) == waiting[: len(found)]
    assert sum(found.values()) == (limit if waiting else 0)


def test_a_partition_with_twice_as_much_left_gives_twice_as_much() -> None:
    assert shares({"a": 2_000, "b": 1_000, "c": 0}, 300) == {"a": 200, "b": 100}
