"""Position, amounts, reason and cause of 5,000 simulated documents, however their events come; `make accuracy` at full
size.
"""

import pytest

from benchmarks.accuracy import Delivery, measure

DOCUMENTS = 5_000
SEED = 20_250_630


@pytest.mark.requirement("R1", "R10", "R11", "R13", "R14", "R15", "R16", "R17", "R18", "R22", "R31", "R32")
@pytest.mark.parametrize(
    "delivery",
    [
        pytest.param("disordered", marks=pytest.mark.requirement("R12")),
        pytest.param("with mishaps", marks=pytest.mark.requirement("R7")),
        pytest.param("falling silent", marks=pytest.mark.requirement("R21")),
    ],
)
def test_documents_stand_where_their_story_says(delivery: Delivery) -> None:
    found = measure(1_000 if delivery == "falling silent" else DOCUMENTS, SEED, delivery)
    assert found.misses == []
    assert found.passed
    if delivery == "with mishaps":
        # Events that are missing do harm: else their return would prove nothing.
        assert found.mishaps > 500
        assert found.before["position"] > 50
