"""Writes what operators do to the log and to the audit log."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from datetime import UTC, datetime

from broker.connection.peer import current_call
from broker.printable import printable

__all__ = ["note"]

logger = logging.getLogger("broker.server")
audit = logging.getLogger("broker.audit")


def note(act: str, facts: Mapping[str, object]) -> None:
    """Write one INFO record, and one line of the audit log.

    Both name the operator by the avatar id of the current call, or by its address if there was no
    login.

    Args:
        act: what was done, in one word.
        facts: the details: numbers and short texts without line ends.
    """
    try:
        peer = current_call().peer
        who, where = peer.avatar_id, str(peer.address)
    except LookupError:
        who, where = None, "this process"
    now = datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="milliseconds")
    line = {"time": now.replace("+00:00", "Z"), "operator": who, "from": where, "act": act, **facts}
    known = {"event": act, "operator": who, "peer": where, **facts}
    audit.info("%s", json.dumps(line), extra={"facts": known})
    told = ", ".join(f"{name} {value}" for name, value in facts.items() if value is not None)
    # The address of a UNIX socket ends with a colon.
    text = f"{act} by {who or where.rstrip(':')}" + (f": {told}" if told else "")
    logger.info("%s", printable(text, 400, is_ascii=False))
