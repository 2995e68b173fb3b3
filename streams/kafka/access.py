"""Addresses and credentials of the brokers, and the translation of client errors."""

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import msgspec
from aiokafka.conn import create_conn
from aiokafka.errors import (
    AuthenticationFailedError,
    KafkaConnectionError,
    MessageSizeTooLargeError,
    ProducerFenced,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
)
from aiokafka.errors import KafkaError as AioKafkaError
from kafka import errors as admin_errors

from streams.kafka.loop import Loop
from streams.log import LogError, LogFailed, LogRefused, RecordTooLarge

EVENT_HUBS: Final = ".servicebus.windows.net"
# Event Hubs closes idle connections after 240 s, refuses requests above a megabyte, and may respond slowly
# (docs/domain/events.md §4).
EVENT_HUBS_RECORD_BYTES: Final = 1_000_000
METADATA_SECONDS: Final = 180
IDLE_SECONDS: Final = 180
REQUEST_SECONDS: Final = 30

# Timeout of the connection that finds out why no broker responds.
REASON_SECONDS: Final = 5.0


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """Addresses and credentials of the brokers."""

    servers: tuple[str, ...]
    """`host:port` of some brokers."""
    tls: bool = False
    ca_file: str | None = None
    """File of CA certificates to trust instead of those of the system."""
    user: str | None = None
    """User name for SASL, with `password`."""
    password: str | None = None
    mechanism: str = "PLAIN"

    @property
    def event_hubs(self) -> bool:
        """Return True for Azure Event Hubs."""
        return any(server.rpartition(":")[0].endswith(EVENT_HUBS) for server in self.servers)

    @property
    def shown(self) -> str:
        """Return the brokers as text for messages."""
        return ",".join(self.servers)

    def options(self) -> dict[str, Any]:
        """Return the options that both clients share. Raises `LogRefused` if the certificates cannot be read."""
        options: dict[str, Any] = {
            "bootstrap_servers": list(self.servers),
            "client_id": "tieout",
            "security_protocol": f"{'SASL_' if self.user else ''}{'SSL' if self.tls else 'PLAINTEXT'}",
            "metadata_max_age_ms": METADATA_SECONDS * 1000,
            "connections_max_idle_ms": IDLE_SECONDS * 1000,
            "request_timeout_ms": REQUEST_SECONDS * 1000,
        }
        if self.user:
            options |= {
                "sasl_mechanism": self.mechanism,
                "sasl_plain_username": self.user,
                "sasl_plain_password": self.password,
            }
        if self.tls:
            try:
                options["ssl_context"] = ssl.create_default_context(cafile=self.ca_file)
            except OSError as error:
                raise LogRefused(
                    f"the certificates {self.ca_file} (TIEOUT_BROKER_CA) cannot be read: {error}."
                ) from None
        return options


_REFUSED: Final = (AuthenticationFailedError, SaslAuthenticationFailed, admin_errors.SaslAuthenticationFailedError)
_UNREACHABLE: Final = (admin_errors.KafkaConnectionError, admin_errors.KafkaTimeoutError)


@contextmanager
def translated(access: Access) -> Iterator[None]:
    """Raise the errors of both clients as `LogError` with a remedy."""
    try:
        yield
    except LogError:
        raise
    except _REFUSED as error:
        raise _refused(access, error) from None
    except (TopicAuthorizationFailedError, admin_errors.TopicAuthorizationFailedError) as error:
        raise LogRefused(
            f"{access.shown} does not permit this ({describe(error)}): the user needs rights on it."
        ) from None
    except ProducerFenced:
        raise LogFailed("another worker publishes now; nothing of this one comes after it.") from None
    except (MessageSizeTooLargeError, admin_errors.MessageSizeTooLargeError) as error:
        raise RecordTooLarge(
            f"{access.shown} refuses a record as too large ({describe(error)}): raise max.message.bytes of the topic."
        ) from None
    except (KafkaConnectionError, TimeoutError, *_UNREACHABLE) as error:
        reason = _reason(access) or error
        if isinstance(reason, _REFUSED):
            raise _refused(access, reason) from None
        raise LogFailed(
            f"Kafka at {access.shown} does not answer ({describe(reason)}): check TIEOUT_BROKER, that the broker runs, "
            "and TIEOUT_BROKER_TLS."
        ) from None
    except (AioKafkaError, admin_errors.KafkaError, OSError) as error:
        raise LogFailed(f"Kafka at {access.shown} failed: {describe(error)}. It is tried again.") from None


def _refused(access: Access, error: BaseException) -> LogRefused:
    return LogRefused(
        f"{access.shown} refuses the credentials ({describe(error)}): check TIEOUT_BROKER_USER, TIEOUT_BROKER_PASSWORD "
        "and TIEOUT_BROKER_MECHANISM."
    )


def _reason(access: Access) -> BaseException | None:
    """Return the error of a connection to the first broker, None if it succeeds.

    Both clients report a wrong password as an unreachable broker.
    """

    async def connect() -> BaseException | None:
        host, _, port = access.servers[0].rpartition(":")
        options = access.options()
        del options["bootstrap_servers"], options["metadata_max_age_ms"], options["connections_max_idle_ms"]
        try:
            connection = await asyncio.wait_for(create_conn(host, int(port), **options), REASON_SECONDS)
        except (AioKafkaError, OSError) as error:
            return error
        connection.close()
        return None

    loop = Loop()
    try:
        return loop.run(connect())
    finally:
        loop.close(asyncio.sleep(0))


def describe(error: BaseException) -> str:
    """Return the text of an error, or its type if it has none."""
    return str(error) or type(error).__name__
