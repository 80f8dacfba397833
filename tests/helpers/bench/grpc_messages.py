"""The messages of the gRPC side: what a .proto file would say, made without a compiler.

protobuf's runtime, which is C, makes the same classes from it as from generated code.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

__all__ = ["Count", "Event", "Numbers", "Piece", "Records", "Text", "record_dicts", "record_list"]

_FIELD = descriptor_pb2.FieldDescriptorProto

_MESSAGES: dict[str, dict[str, int | str]] = {
    "Text": {"text": _FIELD.TYPE_STRING},
    "Count": {"count": _FIELD.TYPE_INT64},
    "Piece": {"data": _FIELD.TYPE_BYTES},
    "Event": {"number": _FIELD.TYPE_INT64, "text": _FIELD.TYPE_STRING},
    "Numbers": {"numbers": "int64"},
    "Record": {
        "id": _FIELD.TYPE_INT64,
        "name": _FIELD.TYPE_STRING,
        "email": _FIELD.TYPE_STRING,
        "active": _FIELD.TYPE_BOOL,
        "score": _FIELD.TYPE_DOUBLE,
    },
    "Records": {"records": "Record"},
}
"""The fields of each; a name for a type is that of what is repeated."""


def _classes() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="bench.proto", package="bench", syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, (field, kind) in enumerate(fields.items(), 1):
            added = message.field.add(name=field, number=number, label=_FIELD.LABEL_OPTIONAL)
            if isinstance(kind, int):
                added.type = kind
                continue
            added.label = _FIELD.LABEL_REPEATED
            if kind in _MESSAGES:
                added.type, added.type_name = _FIELD.TYPE_MESSAGE, f".bench.{kind}"
            else:
                added.type = _FIELD.TYPE_INT64
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"bench.{name}"))
        for name in _MESSAGES
    }


_MADE = _classes()
Text, Count, Piece, Event = (_MADE[name] for name in ("Text", "Count", "Piece", "Event"))
Numbers, Records, _Record = (_MADE[name] for name in ("Numbers", "Records", "Record"))


def record_list(dicts: list[dict[str, Any]]) -> Any:
    """Return the message of a list of dicts."""
    return Records(records=[_Record(**record) for record in dicts])


def record_dicts(message: Any) -> list[dict[str, Any]]:
    """Return the list of dicts of a message."""
    return [
        {
            "id": record.id,
            "name": record.name,
            "email": record.email,
            "active": record.active,
            "score": record.score,
        }
        for record in message.records
    ]
