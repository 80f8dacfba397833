"""broker.config_error: errors of settings, which both packages raise."""

from __future__ import annotations

import broker
import broker.errors
import cred.error
from broker.config_error import ConfigError, WrongType


def test_which_errors_they_are() -> None:
    """A wrong setting is a ValueError, and of a wrong type a TypeError too."""
    assert issubclass(ConfigError, ValueError)
    assert issubclass(WrongType, TypeError)
    assert issubclass(WrongType, ConfigError)
    assert broker.ConfigError is broker.errors.ConfigError is ConfigError


def test_its_text_says_all() -> None:
    """Unless told otherwise an error names no setting and no fix: its text is for Python."""
    error = ConfigError("no tls")
    assert (error.setting, error.fix, error.parts) == ("", "", ("", ""))
    assert str(error) == "no tls"
    assert not hasattr(cred.error, "ConfigError")
