"""The login mechanisms: a class each, with the client's side and the server's side.

`MECHANISMS` is the table of them, strongest first. A client uses the first that takes its
credentials and that the server offers. If that one fails, it tries no other.
"""

from __future__ import annotations

from typing import Final

from broker.login.mechanisms.anonymous import ANONYMOUS
from broker.login.mechanisms.certificate import CERTIFICATE
from broker.login.mechanisms.challenge import CHALLENGE
from broker.login.mechanisms.password import PASSWORD
from broker.login.mechanisms.scram import SCRAM_SHA_256, SCRAM_SHA_256_PLUS
from broker.login.mechanisms.table import MechanismTable
from broker.login.mechanisms.token import TOKEN

__all__ = ["MECHANISMS"]

MECHANISMS: Final = MechanismTable(
    [
        CERTIFICATE,
        SCRAM_SHA_256_PLUS,
        SCRAM_SHA_256,
        TOKEN,
        PASSWORD,
        CHALLENGE,
        ANONYMOUS,
    ]
)
