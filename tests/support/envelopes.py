"""Envelopes of connectors and gateways around events, in their documented and observed formats."""

import base64
from collections.abc import Callable
from typing import Any, Final

import msgspec

Json = dict[str, Any]
ENQUEUED: Final = "1/8/2025 9:41:03 AM"

_json: Final = msgspec.json.Encoder().encode


def _text(value: bytes) -> str:
    return value.decode()


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _object(value: bytes) -> msgspec.Raw:
    """Return the event as an embedded JSON value, bytes unchanged."""
    return msgspec.Raw(value)


def _capture(body: Any, system: Json | None = None) -> Json:
    record = {"SequenceNumber": 1, "Offset": "512", "EnqueuedTimeUtc": ENQUEUED}
    return {**record, "SystemProperties": system or {}, "Properties": {}, "Body": body}


def _service_bus(content: Any) -> Json:
    beside = {"ContentType": "application/json", "ContentTransferEncoding": "Base64", "MessageId": "m-1"}
    return {"ContentData": content, **beside, "Properties": {"DeliveryCount": "1"}, "SequenceNumber": 12}


def _connect(kind: str, payload: Any) -> Json:
    return {"schema": {"type": kind, "optional": False}, "payload": payload}


def _source_connector(body: Any) -> Json:
    return {
        "deliveryCount": 1,
        "enqueuedTimeUtc": 1736329263000,
        "contentType": "application/json",
        "messageBody": body,
    }


def _event_grid(data: Any) -> Json:
    event = {"id": "8afbe87f", "eventType": "Contoso", "subject": "Contoso", "eventTime": "2025-01-08T09:41:02Z"}
    return {**event, "dataVersion": "1.0", "metadataVersion": "1", "topic": "/subscriptions/s/topics/t", "data": data}


def _cloud_event(**data: Any) -> Json:
    event = {"specversion": "1.0", "id": "8afbe87f", "source": "/subscriptions/s/topics/t", "type": "Contoso"}
    return {**event, "time": "2025-01-08T09:41:02Z", "datacontenttype": "application/json", **data}


def _step(body: Any) -> Json:
    return {"headers": {"Content-Type": "application/json; charset=utf-8", "Host": "flow.example"}, "body": body}


_DOLLAR: Final = {"$content-type": "application/json"}

ENVELOPES: Final[dict[str, Callable[[bytes], bytes]]] = {
    "Event Hubs Capture": lambda value: _json(_capture(_text(value))),
    "Event Hubs Capture, an object": lambda value: _json(_capture(_object(value))),
    "Event Hubs Capture, by avro-tools": lambda value: _json(
        _capture({"bytes": value.decode("latin-1")}, {"x-opt-enqueued-time": {"long": 1736329263000}})
    ),
    "Event Hubs Capture, base64": lambda value: _json(_capture(_base64(value))),
    "Kafka Connect, a text": lambda value: _json(_connect("string", _text(value))),
    "Kafka Connect, bytes": lambda value: _json(_connect("bytes", _base64(value))),
    "Kafka Connect, an object": lambda value: _json({"schema": None, "payload": _object(value)}),
    "Kafka Connect, a Service Bus message": lambda value: _json(_connect("struct", _source_connector(_base64(value)))),
    "Kafka Connect without schemas, a text": lambda value: _json(_text(value)),
    "Kafka Connect without schemas, bytes": lambda value: _json(_base64(value)),
    "Kafka Connect without schemas, a Service Bus message": lambda value: _json(_source_connector(_text(value))),
    "Service Bus of Logic Apps": lambda value: _json(_service_bus(_base64(value))),
    "Event Hubs of Logic Apps": lambda value: _json({"ContentData": _object(value), "Properties": {}}),
    "Logic Apps, the output of a trigger": lambda value: _json(_step(_object(value))),
    "Logic Apps, the output of its Service Bus trigger": lambda value: _json(_step(_service_bus(_base64(value)))),
    "Logic Apps, a content": lambda value: _json({**_DOLLAR, "$content": _base64(value)}),
    "Logic Apps, the output of a step with a content": lambda value: _json(
        {"statusCode": 200, **_step({**_DOLLAR, "$content": _base64(value)})}
    ),
    "Power Automate, a text": lambda value: _json(_step(_text(value))),
    "Event Grid": lambda value: _json([_event_grid(_object(value))]),
    "Event Grid, a text": lambda value: _json(_event_grid(_text(value))),
    "CloudEvent of another type": lambda value: _json(_cloud_event(data=_object(value))),
    "CloudEvent of another type, base64": lambda value: _json(_cloud_event(data_base64=_base64(value))),
    "JSON lines": lambda value: value + b"\r\n\n" + value + b"\n",
    "an array": lambda value: b"[" + value + b"]",
}
"""Each function takes the bytes of an event on one line and returns the bytes that arrive on the topic."""
