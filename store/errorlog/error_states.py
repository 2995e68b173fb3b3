"""The errors topic: the most recent error of each subject, with its status (R58).

The status follows from messages, deletions and time (`engine.errorlog.lifecycle`). The table `error_states` stores only
what was published, so that a status is published when it changes and not again.
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
"""Values of the column `open`: an event may change the status, or an event or time may. 0: only a new error of the
subject.
"""

_messages: Final = tables.process_messages.c
_states: Final = tables.error_states.c
_json: Final = msgspec.json.Encoder().encode
_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(ProcessMessage).decode


def key_of(message: ProcessMessage) -> bytes:
    """Return the record key of a subject: company, process and name, or a digest for a subject without a name.

    The same name may denote different things in two companies or processes.
    """
    about = message.subject or subject_of(message).key
    return "/".join((message.company or "", message.process, about)).encode()


def new_errors(connection: Connection, messages: Iterable[ProcessMessage]) -> list[ProcessMessage]:
    """Return the errors among these messages that are not in the log yet."""
    errors = {(message.evidence.source, message.evidence.event): message for message in messages if message.text}
    known: dict[tuple[str, str], bytes] = {}
    for chunk in chunks(errors, AT_ONCE):
        rows = connection.execute(
            select(_messages.source, _messages.event, _messages.body).where(
                tuple_(_messages.source, _messages.event).in_(chunk)
            )
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
    """Return the records to publish after these messages and deletions are written; `new` are the new errors among
    them.
    """
    errors: defaultdict[str, list[ProcessMessage]] = defaultdict(list)
    for error in new:
        errors[subject_of(error).key].append(error)
    subjects = dict.fromkeys(
        [*errors, *(deletion.subject.key for deletion in deletions), *_subjects_of_runs(connection, messages)]
    )
    return _records_to_publish(connection, subjects, errors, now)


def time_dependent_states(connection: Connection, now: int) -> list[Outgoing]:
    """Return the records to publish because time has passed: errors of runs that ended without notice are current
    again.
    """
    open_subjects = connection.execute(select(_states.about).where(_states.open == BY_TIME).order_by(_states.about))
    return _records_to_publish(connection, open_subjects.scalars().all(), {}, now)


def unpublished_states(connection: Connection, now: int) -> list[Outgoing]:
    """Return the records of a bounded number of subjects that were never published."""
    published = select(_states.about)
    about = _messages.about
    subjects = connection.execute(
        select(about)
        .distinct()
        .where(_messages.code.is_not(None), about.not_in(published))
        .order_by(about)
        .limit(AT_ONCE)
    )
    return _records_to_publish(connection, subjects.scalars().all(), {}, now)


def mark_all_for_review(connection: Connection) -> None:
    """Re-evaluate every subject, because the log was changed other than by events."""
    connection.execute(tables.error_states.update().values(open=BY_TIME))


def delete_purged(connection: Connection) -> None:
    """Delete final subjects without messages in the log. The topic keeps their last record."""
    with_errors = select(_messages.about).where(_messages.code.is_not(None))
    connection.execute(tables.error_states.delete().where(_states.open == 0, _states.about.not_in(with_errors)))


def _subjects_of_runs(connection: Connection, messages: Iterable[ProcessMessage]) -> list[str]:
    """Return the subjects whose status may depend on the runs of these messages."""
    runs: defaultdict[str, set[str]] = defaultdict(set)
    for message in messages:
        runs[message.process].add(message.run)
    found: list[str] = []
    for process, names in runs.items():
        starts = [
            begun(_decode(row.body))
            for chunk in chunks(sorted(names), AT_ONCE)
            for row in connection.execute(
                select(_messages.body).where(
                    _messages.process == process, _messages.stage == "started", _messages.run.in_(chunk)
                )
            )
        ]
        if not starts:
            continue
        open_subjects = connection.execute(
            select(_states.about).where(_states.open != 0, _states.process == process).order_by(_states.about)
        )
        for chunk in chunks(open_subjects.scalars().all(), AT_ONCE):
            newest = newest_of(connection, chunk)
            found += [about for about, error in newest.items() if any(reprocesses(run, error) for run in starts)]
    return found


def _records_to_publish(
    connection: Connection, subjects: Iterable[str], new: dict[str, list[ProcessMessage]], now: int
) -> list[Outgoing]:
    """Return the records of these subjects that differ from those published.

    New errors that were superseded precede the status: the last record of a key is the status.
    """
    records: list[Outgoing] = []
    for chunk in chunks(subjects, AT_ONCE):
        newest = newest_of(connection, chunk)
        rows = connection.execute(select(tables.error_states).where(_states.about.in_(chunk)))
        published = {row.about: row for row in rows}
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
                records.append(outgoing)
                continue
            digest = blake2b(outgoing.value or b"", digest_size=16).digest()
            before = published.get(about)
            if covered[about] or before is None or before.told != digest:
                records.append(outgoing)
            row = (about, error.process, _open(entry), outgoing.key, digest)
            if before is None or tuple(before) != row:
                written.append(row)
        upsert(connection, tables.error_states, written)
        deleted = sorted(published.keys() - newest.keys())
        records += [Outgoing("errors", published[about].key, None) for about in deleted]
        delete(connection, tables.error_states, ["about"], [(about,) for about in deleted])
    return records


def value_of(entry: ErrorEntry) -> bytes:
    """Return the record value of an error with its status."""
    return _json({**error_json(entry.message), **state_json(entry.status)})


def _open(entry: ErrorEntry) -> int:
    if entry.status.is_final:
        return 0
    return BY_EVENT if entry.current else BY_TIME
