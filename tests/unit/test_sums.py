"""The sums kept by day: exact at any size, and never of a row that does not hold what it should."""

from functools import reduce
from operator import add

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import StoreError
from store.projection.tile_totals import Totals

WIDTH = len(Totals.__struct_fields__)
sums = st.lists(st.integers(-(2**80), 2**80), min_size=WIDTH, max_size=WIDTH).map(lambda numbers: Totals(*numbers))


@pytest.mark.requirement("R32")
@given(st.lists(sums, min_size=1, max_size=5))
def test_the_sums_of_what_was_kept_are_those_of_the_parts(parts: list[Totals]) -> None:
    kept = " ".join(one.as_text() for one in parts)
    assert Totals.sum_texts(len(parts), kept) == reduce(add, parts)


def test_a_row_with_another_number_of_sums_is_refused_with_what_to_do() -> None:
    with pytest.raises(StoreError, match=r"does not hold 17 numbers: `tieout replay` rebuilds it"):
        Totals.sum_texts(2, Totals(1).as_text() + " 1 2 3")
