"""The arguments of a server about pages and proxies become one record."""

from __future__ import annotations

import pytest

from broker.errors import ConfigError
from broker.net.web_settings import web_settings


def test_settings() -> None:
    """Both are checked together."""
    assert web_settings((), (), "Forwarded").proxies is None
    made = web_settings(["https://a.example"], ["10.0.0.1"], "forwarded")
    assert made.origins == {"https://a.example"}
    assert made.proxies is not None and made.proxies.header == "Forwarded"
    for wrong in (("x",), ()), ((), ("x",)):
        with pytest.raises(ConfigError):
            web_settings(*wrong, "Forwarded")
