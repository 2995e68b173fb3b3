"""What the errors topic says of each subject: its most recent error and where that stands (R58).

The state follows from what was said and deleted and from the time (`engine.errorlog.lifecycle`); the table
`error_states` keeps only what was published of it, so that a state is published when it changes and not again.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Final

import msgspec
from sqlalchemy import Connection, select, tuple_

from engine.errorlog.lifecycle import Deletion, recency, reprocesses, subject_of
from engine.events.facts import ProcessMessage
from engine.serialization import error_json, state_json
from store.errorlog.error_log import AT_ONCE, ErrorEntry, begun, newest_of, with_status
from store.projection.outgoing import Outgoing
from store.schema import tables
from store.schema.bulk_sql import chunks, delete, upsert

BY_EVENT: Final = 1
BY_TIME: Final = 2
"""What may change a state (the column `open`): an event, or the time as well. 0: only a new error of the subject."""

_said: Final = tables.process_messages.c
_states: Final = tables.error_states.c
_json: Final = msgspec.json.Encoder().encode
_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(ProcessMessage).decode


def key_of(message: ProcessMessage) -> bytes:
    """The key of a subject's records: company, process and what it is about; a digest for a subject without a name.
    The same name may stand for different things in two companies or processes.
    """
    about = message.subject or subject_of(message).key
    return "/".join((message.company or "", message.process, about)).encode()


def new_errors(connection: Connection, messages: Iterable[ProcessMessage]) -> list[ProcessMessage]:
    """The errors among some messages that are not in the log yet."""
    errors = {(message.evidence.source, message.evidence.event): message for message in messages if message.text}
    known: dict[tuple[str, str], bytes] = {}
    for some in chunks(errors, AT_ONCE):
        rows = connection.execute(
            select(_said.source, _said.event, _said.body).where(tuple_(_said.source, _said.event).in_(some))
        )
        known |= {(row.source, row.event): row.body for row in rows}
    return [error for key, error in errors.items() if known.get(key) != _encode(error)]


def changed_states(
    connection: Connection,
    new: Iterable[ProcessMessage],
    messages: Sequence[ProcessMessage],
    deletions: Iterable[Deletion],
    now: int,
) -> list[Outgoing]:
    """What is to be published once some messages and deletions are written, `new` of them being new errors."""
    errors: defaultdict[str, list[ProcessMessage]] = defaultdict(list)
    for error in new:
        errors[subject_of(error).key].append(error)
    subjects = dict.fromkeys(
        [*errors, *(deletion.subject.key for deletion in deletions), *_heard(connection, messages)]
    )
    return _published(connection, subjects, errors, now)


def time_dependent_states(connection: Connection, now: int) -> list[Outgoing]:
    """What is to be published because time has passed: of runs that died, errors return."""
    open_ones = connection.execute(select(_states.about).where(_states.open == BY_TIME).order_by(_states.about))
    return _published(connection, open_ones.scalars().all(), {}, now)


def unpublished_states(connection: Connection, now: int) -> list[Outgoing]:
    """The states of a bounded number of subjects of which nothing was published yet."""
    told = select(_states.about)
    about = _said.about
    found = connection.execute(
        select(about).distinct().where(_said.code.is_not(None), about.not_in(told)).order_by(about).limit(AT_ONCE)
    )
    return _published(connection, found.scalars().all(), {}, now)


def mark_all_for_review(connection: Connection) -> None:
    """Look at every subject again: the log was changed other than by events."""
    connection.execute(tables.error_states.update().values(open=BY_TIME))


def delete_purged(connection: Connection) -> None:
    """Forget the settled subjects of which the log holds nothing any more. The topic keeps its last word of them."""
    kept = select(_said.about).where(_said.code.is_not(None))
    connection.execute(tables.error_states.delete().where(_states.open == 0, _states.about.not_in(kept)))


def _heard(connection: Connection, messages: Iterable[ProcessMessage]) -> list[str]:
    """The subjects whose state may depend on the runs that said something."""
    runs: defaultdict[str, set[str]] = defaultdict(set)
    for message in messages:
        runs[message.process].add(message.run)
    found: list[str] = []
    for process, names in runs.items():
        starts = [
            begun(_decode(row.body))
            for some in chunks(sorted(names), AT_ONCE)
            for row in connection.execute(
                select(_said.body).where(_said.process == process, _said.stage == "started", _said.run.in_(some))
            )
        ]
        if not starts:
            continue
        open_ones = connection.execute(
            select(_states.about).where(_states.open != 0, _states.process == process).order_by(_states.about)
        )
        for some in chunks(open_ones.scalars().all(), AT_ONCE):
            newest = newest_of(connection, some)
            found += [about for about, error in newest.items() if any(reprocesses(run, error) for run in starts)]
    return found


def _published(
    connection: Connection, subjects: Iterable[str], new: dict[str, list[ProcessMessage]], now: int
) -> list[Outgoing]:
    """The states of these subjects that are other than published, each after the new errors that it covers: the last
    record of a key is the state.
    """
    found: list[Outgoing] = []
    for some in chunks(subjects, AT_ONCE):
        newest = newest_of(connection, some)
        rows = connection.execute(select(tables.error_states).where(_states.about.in_(some)))
        told = {row.about: row for row in rows}
        covered = {
            about: sorted(
                (error for error in new.get(about, ()) if recency(error) < recency(newest[about])), key=recency
            )
            for about in newest
        }
        errors = [error for about in newest for error in (*covered[about], newest[about])]
        written = []
        for entry in with_status(connection, errors, now):
            error = entry.message
            about = subject_of(error).key
            outgoing = Outgoing("errors", key_of(error), value_of(entry))
            if error is not newest[about]:
                found.append(outgoing)
                continue
            digest = blake2b(outgoing.value or b"", digest_size=16).digest()
            before = told.get(about)
            if covered[about] or before is None or before.told != digest:
                found.append(outgoing)
            row = (about, error.process, _open(entry), outgoing.key, digest)
            if before is None or tuple(before) != row:
                written.append(row)
        upsert(connection, tables.error_states, written)
        gone = sorted(told.keys() - newest.keys())
        found += [Outgoing("errors", told[about].key, None) for about in gone]
        delete(connection, tables.error_states, ["about"], [(about,) for about in gone])
    return found


def value_of(entry: ErrorEntry) -> bytes:
    """An error and where it stands, as on the topic."""
    return _json({**error_json(entry.message), **state_json(entry.status)})


def _open(entry: ErrorEntry) -> int:
    if entry.status.is_final:
        return 0
    return BY_EVENT if entry.current else BY_TIME
