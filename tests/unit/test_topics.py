"""The topics, as the design names them."""

from datetime import timedelta

import pytest

from streams.topics import CHANGES, TOPICS, Topic


@pytest.mark.requirement("R73")
@pytest.mark.parametrize(
    ("name", "cleanup", "at_least"),
    [
        ("finance.changes", "delete", timedelta(days=2 * 366)),
        ("dataverse.changes", "delete", timedelta(days=2 * 366)),
        ("commands", "delete", timedelta(days=30)),
        ("positions", "compact", None),
        ("errors", "compact,delete", timedelta(days=2 * 366)),
        ("state", "compact", None),
        ("rejected", "delete", timedelta(days=2 * 366)),
    ],
)
def test_each_topic_is_kept_as_long_as_it_is_needed(name: str, cleanup: str, at_least: timedelta | None) -> None:
    topic = TOPICS[name]
    assert topic.cleanup == cleanup
    if at_least is None:
        assert topic.retention is None
    else:
        assert topic.retention is not None
        assert topic.retention >= at_least


def test_there_are_no_other_topics() -> None:
    assert len(TOPICS) == 7
    assert set(CHANGES) <= set(TOPICS.values())


@pytest.mark.requirement("R73")
@pytest.mark.parametrize("topic", TOPICS.values(), ids=lambda topic: topic.name)
def test_times_are_those_of_the_append_so_that_a_reload_of_old_events_is_not_deleted_at_once(topic: Topic) -> None:
    assert topic.config()["message.timestamp.type"] == "LogAppendTime"


@pytest.mark.requirement("R71", "R73")
def test_what_events_do_not_say_is_kept_in_the_order_in_which_it_was_written() -> None:
    assert [topic.parts(6) for topic in TOPICS.values()] == [1 if name == "state" else 6 for name in TOPICS]


def test_a_topic_without_retention_is_kept_for_ever() -> None:
    assert TOPICS["positions"].config()["retention.ms"] == "-1"
    assert TOPICS["rejected"].config()["retention.ms"] == str(732 * 24 * 3600 * 1000)


def test_the_full_name_starts_with_the_prefix_of_the_environment() -> None:
    assert TOPICS["finance.changes"].full_name() == "tieout.finance.changes"
    assert TOPICS["finance.changes"].full_name("contoso-test") == "contoso-test.finance.changes"


@pytest.mark.parametrize("prefix", ["", "a b", "übung", ".hidden", "a/b", "x" * 201])
def test_a_prefix_that_kafka_would_refuse_is_refused(prefix: str) -> None:
    with pytest.raises(ValueError, match="topic prefix"):
        TOPICS["finance.changes"].full_name(prefix)
