"""The certificate of the web pages, whose files change."""

import os
from pathlib import Path

import pytest
from support.certificates import Authority

from examples.chat.web_tls import RenewedContext


def test_renewal(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """New files make new settings; wrong ones are logged once, and the old settings stay."""
    authority = Authority(tmp_path)
    pair, other = authority.issue(), authority.issue()
    context = RenewedContext(pair.certificate_path, pair.key_path)
    first = context()
    assert context() is first
    os.replace(other.key_path, pair.key_path)
    assert context() is first
    assert context() is first
    assert [record.getMessage().endswith("still using the old pair") for record in caplog.records]
    assert len(caplog.records) == 1
    os.replace(other.certificate_path, pair.certificate_path)
    assert context() is not first
    assert context() is context()
    pair.key_path.unlink()
    assert context() is not first
    assert len(caplog.records) == 2


def test_no_files(tmp_path: Path) -> None:
    """Files that are not there at first are an error."""
    with pytest.raises(OSError, match="No such file"):
        RenewedContext(tmp_path / "server.pem", tmp_path / "server.key")
