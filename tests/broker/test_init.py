"""The names of ``broker``, what importing it loads, and packages of others in its way."""

import subprocess
import sys
from pathlib import Path

import pytest

import broker
import broker.errors

# The asyncio face of the design, the types that it gives out and takes, and the flavors.
FACE = """
    serve connect asgi Serve Server Connect Connection Link Peer RemoteReference TLS realm register
    Subscribers Slow Delivery allow current_call Call timeout is_transient
    contract implements servant describe resolved reference_of interface_of
    inspector Manhole Observer Outcome LogCalls SlowCalls Interceptor RateLimit metadata
    Promise Stream RemoteStream stream_of credit read_file write_file Progress throttled Files
    metadata once Replies accelerated
    Topics TopicsContract Grants MemoryEngine Since Cluster
"""
SETTINGS = "Policy STRICT PUBLISHED Limits LoginThrottle PortalLogins Rate Retry Stats Broker"
FLAVORS = """
    Referenceable Root Viewable ViewPoint Copyable RemoteCopy Cacheable RemoteCache
    RemoteCacheObserver Avatar AsReferenceable RemoteReference RemoteMethod
    CopyableFailure CopiedFailure callback forward
    Resumable Table TableView GONE History Position
"""

HERE = Path(broker.__file__).parents[1]


def run(program, *in_front):
    """Run a program with folders in front of all others on sys.path."""
    path = [str(folder) for folder in (*in_front, HERE)]
    program = f"import sys; sys.path[:0] = {path!r}\n{program}"
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )


def test_all():
    """`broker.__all__` is the asyncio face, its settings, the flavors and the errors."""
    # The errors' TimeoutError is a connection's, and would hide the builtin one.
    errors = set(broker.errors.__all__) - {"TimeoutError"}
    expected = {*FACE.split(), *SETTINGS.split(), *FLAVORS.split(), *errors}
    assert expected == set(broker.__all__)
    assert len(broker.__all__) == len(set(broker.__all__))


@pytest.mark.parametrize("name", broker.__all__)
def test_every_name_resolves(name):
    """Each name leads to something that calls itself by that name, and is listed."""
    value = getattr(broker, name)
    is_value = isinstance(value, broker.Policy | bool) or value is broker.GONE
    assert is_value or value.__name__ == name
    assert name in dir(broker)


def test_star():
    """`from broker import *` brings exactly `__all__`."""
    names = {}
    exec("from broker import *", names)
    assert set(broker.__all__) == set(names) - {"__builtins__"}


def test_an_unknown_name():
    """A name that is not there is an AttributeError that names it."""
    with pytest.raises(AttributeError, match="module 'broker' has no attribute 'sevre'"):
        broker.sevre  # noqa: B018


def loaded_by(statement):
    """Return our modules, and a few of Python's, that a statement loads."""
    done = run(f"{statement}\nprint(*sys.modules)")
    assert done.stderr == ""
    return set(done.stdout.split())


def test_cred_loads_no_protocol():
    """`import cred` loads Deferreds and nothing of the protocol, the network or the doors."""
    loaded = {name for name in loaded_by("import cred") if name.startswith(("broker.", "jelly"))}
    # The extension module in C, where it is used.
    in_c = {"broker.native", "broker._lane"}
    others = {name for name in loaded - in_c if not name.startswith("broker.defer")}
    assert "broker.defer" in loaded
    # What a Failure stands on: the two make it Twisted's once Twisted is loaded.
    assert {
        "broker.failure",
        "broker.file_stamp",
        "broker.loading",
        "broker.twisted_bases",
    } == others


def test_broker_alone_loads_nothing():
    """`import broker` loads no part of itself, nor asyncio, until a name is used."""
    loaded = loaded_by("import broker")
    assert set() == {name for name in loaded if name.startswith(("broker.", "cred", "jelly"))}
    assert {"asyncio", "ssl", "OpenSSL"}.isdisjoint(loaded)
    assert "broker.errors" in loaded_by("import broker; broker.Error")


def foreign(folder, package, distribution):
    """Make a package of another project's, as an installer leaves it; return its folder."""
    (folder / package).mkdir()
    (folder / package / "__init__.py").write_text("")
    metadata = folder / f"{distribution}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n"
    )
    (metadata / "top_level.txt").write_text(f"{package}\n")
    (metadata / "RECORD").write_text(f"{package}/__init__.py,,\n")
    return folder


@pytest.mark.parametrize("package", ["jelly", "cred"])
def test_a_foreign_package(package, tmp_path):
    """`import broker` beside another project's jelly or cred stops, and names its distribution."""
    done = run("import broker", foreign(tmp_path, package, "marmalade"))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"ImportError: perspective-broker needs its own package '{package}', and the one that"
        " Python finds is of marmalade: install perspective-broker in a virtual environment of its"
        " own"
    )


def test_a_foreign_package_without_a_distribution(tmp_path):
    """Where no distribution owns the other package, the text says where it is."""
    (tmp_path / "jelly").mkdir()
    (tmp_path / "jelly" / "__init__.py").write_text("")
    done = run("import broker", tmp_path)
    assert done.returncode == 1
    assert f"is {tmp_path / 'jelly' / '__init__.py'}" in done.stderr.splitlines()[-1]


def test_a_client_loads_no_tls_and_no_metadata():
    """What takes long to load, and few need, waits until it is needed."""
    loaded = loaded_by("import broker; broker.serve; broker.connect")
    assert "broker.net.tls.settings" in loaded
    slow = {"OpenSSL", "cryptography", "broker.net.tls.pem", "importlib.metadata", "json"}
    assert set() == slow & loaded
    assert not any(name.startswith("broker.flavors.contracts") for name in loaded)
