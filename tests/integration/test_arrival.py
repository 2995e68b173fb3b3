"""Change events on real topics, one for each system, as sources send them: in any order, late, twice, or never."""

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from msgspec.structs import replace

from streams.topics import CHANGES
from tests.support.containers import Broker, Database
from tests.support.workers import Environment, environment, records, undisturbed

pytestmark = [pytest.mark.containers, pytest.mark.requirement("R1", "R11", "R81")]


@pytest.fixture
def place(broker: Broker, database: Database, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Environment]:
    name = f"a{abs(hash(request.node.name)) % 10**8}"
    with environment(broker, database, name, tmp_path, partitions=3) as made:
        yield made


@pytest.mark.parametrize("seed", [1, 2])
def test_events_of_both_topics_count_once_in_whatever_order_and_however_often_they_come(
    place: Environment, seed: int
) -> None:
    """Partitions are drawn as well: where a source does not key its events, those of one row overtake each other."""
    chance = Random(seed)
    events = records(place.name)
    assert {event.topic for event in events} == {topic.full_name(place.name) for topic in CHANGES}
    sent = [replace(event, partition=chance.randrange(3)) for event in (*events, *chance.sample(events, 500))]
    chance.shuffle(sent)
    late = sent[-300:]
    place.make()
    place.log.append(sent[:-300])
    place.writer()
    place.catch_up()
    # Events that never arrive are no fault: the store shows what has arrived.
    assert place.dump() != undisturbed()
    assert place.output_of("rejected", "list", "--json") == ""
    place.log.append(late)
    place.catch_up()
    assert place.dump() == undisturbed()
    place.check_published()
