"""The configuration file of ``pb serve``: its keys, its errors, and what overrides it."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from broker.commands.check_config import check_config
from broker.commands.config_file import WrongConfig, read
from broker.commands.serve import serve
from broker.core.policy import STRICT, Policy
from jelly.limits import Limits

WHOLE = """
[serve]
target = "broker:Root"
addresses = ["pb://127.0.0.1:0"]
checker = ["file:users.db", "cert:/etc/ca.pem?by=dns", "anonymous", "sql:sqlite:///users"]
allow-failures = ["account=10/30"]
audit-log = "audit.log"
tls-cert = "/etc/server.pem"
tls-key = "server.key"
challenge-login = true
origin = ["https://broker.example"]
trusted-proxy = ["10.0.0.0/8", "unix"]
forwarded = "Forwarded"
drain = 300
after = 1.5
elsewhere = ["pbs://other.example"]
replies = 60
processes = 2
log-level = "debug"
log-format = "json"
[policy]
max_calls = 512
ping_after = 5
stall_timeout = 1.5
dialects = ["msgpack/1"]
declared_state = false
[limits]
max_expression = 33_554_432
[login_limits]
max_nodes = 100
"""


def written(folder: Path, text: str) -> str:
    """Write a configuration file, and return its path."""
    path = folder / "pb.toml"
    path.write_text(text)
    return str(path)


def test_all(tmp_path: Path) -> None:
    """Keys are the options and the attributes; paths are relative to the file."""
    found = read(written(tmp_path, WHOLE))
    assert (found.path, found.folder) == (f"{tmp_path}/pb.toml", str(tmp_path))
    assert found.options == {
        "target": "broker:Root",
        "addresses": ["pb://127.0.0.1:0"],
        "checkers": [
            f"file:{tmp_path}/users.db",
            "cert:/etc/ca.pem?by=dns",
            "anonymous",
            "sql:sqlite:///users",
        ],
        "failures": ["account=10/30"],
        "audit_log": f"{tmp_path}/audit.log",
        "tls_cert": "/etc/server.pem",
        "tls_key": f"{tmp_path}/server.key",
        "challenge_login": True,
        "origins": ["https://broker.example"],
        "trusted_proxies": ["10.0.0.0/8", "unix"],
        "forwarded": "Forwarded",
        "drain": 300,
        "after": 1.5,
        "elsewhere": ["pbs://other.example"],
        "replies": 60,
        "processes": 2,
        "log_level": "debug",
        "log_format": "json",
    }
    assert found.policy == STRICT.but(
        max_calls=512,
        ping_after=5,
        stall_timeout=1.5,
        dialects=("msgpack/1",),
        declared_state=False,
        limits=Limits(max_expression=33_554_432),
        login_limits=STRICT.login_limits.but(max_nodes=100),
    )


def test_each_setting_of_the_policy(tmp_path: Path) -> None:
    """Each attribute of a Policy can be set, or its error says where it is set."""
    for name, kind in Policy.__annotations__.items():
        value = getattr(STRICT, name)
        if kind == "bool":
            text = "true" if value else "false"
        elif kind == "tuple[str, ...]":
            text = str(list(value))
        else:
            text = str(value) if kind in ("int", "float") else "1"
        path = written(tmp_path, f"[policy]\n{name} = {text}\n")
        if kind in ("int", "float", "tuple[str, ...]"):
            assert read(path).policy == STRICT
        elif name in ("challenge_login", "insecure_plaintext") or kind != "bool":
            with pytest.raises(WrongConfig, match=rf"^pb\.toml: \[policy\] {name}: "):
                read(path)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("[serve]\ndrian = 3", "[serve] drian: no such key; did you mean drain?"),
        ("[serve]\ntls_cert = 'x'", "[serve] tls_cert: no such key; did you mean tls-cert?"),
        ("[serve]\ndrain = '3'", "[serve] drain: Expected float, got str"),
        ("[serve]\ndrain = true", "[serve] drain: Expected float, got bool"),
        ("[serve]\nprocesses = 1.5", "[serve] processes: Expected int, got float"),
        ("[serve]\nchecker = 'anonymous'", "[serve] checker: Expected list of str, got str"),
        ("[serve]\nchecker = [1]", "[serve] checker: Expected list of str, got int in it"),
        ("[serve]\ntarget = 1", "[serve] target: Expected str, got int"),
        ("[serve]\nchallenge-login = 1", "[serve] challenge-login: Expected bool, got int"),
        ("[serve]\nlog-format = 'jsn'", "[serve] log-format: jsn: unknown; did you mean json?"),
        ("[serve]\nconfig = 'x'", "[serve] config: no such key; known are "),
        ("[policy]\nmax_calls = 'x'", "[policy] max_calls: Expected int, got str"),
        ("[policy]\nmax_call = 1", "[policy] max_call: no such key; did you mean max_calls?"),
        ("[policy]\nping_after = 0", "[policy] ping_after=0: it is a number of seconds, more than"),
        ("[policy]\nlimits = 1", "[policy] limits: it is a table, [limits]"),
        ("[limits]\nmax_nodes = 0", "[limits] max_nodes=0: a limit is 1 at least"),
        ("[limits]\nmax_nod = 0", "[limits] max_nod: no such key; did you mean max_nodes?"),
        ("[polic]\nmax_calls = 1", "[polic]: no such table; did you mean policy?"),
        ("drain = 3", "[drain]: it is in no table; known are limits, login_limits, policy, serve"),
        ("[serve", "not TOML: "),
    ],
)
def test_errors(tmp_path: Path, text: str, error: str) -> None:
    """An unknown key, a wrong type and a wrong value end the command; the text has the place."""
    path = written(tmp_path, text)
    for command, name in ((serve, "serve"), (check_config, "check-config")):
        result = CliRunner().invoke(command, ["--config", path])
        assert result.exit_code == 2
        assert result.output.startswith(f"pb {name}: pb.toml: {error}")


def test_no_file(tmp_path: Path) -> None:
    """A file that is not there is an error."""
    result = CliRunner().invoke(serve, ["--config", str(tmp_path / "none.toml")])
    text = f"pb serve: cannot read {tmp_path}/none.toml: No such file or directory\n"
    assert (result.exit_code, result.output) == (2, text)
    result = CliRunner().invoke(serve, [])
    assert (result.exit_code, result.output.splitlines()[-1]) == (
        2,
        "Error: Missing argument 'MODULE:NAME', also without target in --config.",
    )


def test_order(tmp_path: Path) -> None:
    """The command line comes first, then the environment, then the file, then the default."""
    path = written(tmp_path, "[serve]\ntarget = 'broker:File'\nlog-level = 'debug'\ndrain = 1\n")

    def values(*arguments: str, **environment: str) -> tuple[object, ...]:
        with CliRunner(env=environment).isolation():
            params = serve.make_context("serve", list(arguments)).params
        return tuple(params[name] for name in ("target", "log_level", "drain", "log_format"))

    serve.params[_index("drain")].envvar = "PB_SERVE_DRAIN"
    try:
        assert values("--config", path) == ("broker:File", "debug", 1, "text")
        assert values(PB_CONFIG=path) == ("broker:File", "debug", 1, "text")
        assert values("a:B", "--config", path, "--log-level", "error") == (
            "a:B",
            "error",
            1,
            "text",
        )
        assert values("--config", path, PB_SERVE_DRAIN="2")[2] == 2
        assert values("--config", path, "--drain", "3", PB_SERVE_DRAIN="2")[2] == 3
    finally:
        serve.params[_index("drain")].envvar = None


def _index(name: str) -> int:
    return next(index for index, each in enumerate(serve.params) if each.name == name)


def test_check_config_reads_it(tmp_path: Path) -> None:
    """``check-config`` finds the weak settings of the file, and ignores those of serving alone."""
    text = "[serve]\ntarget = 'broker:Root'\nlog-format = 'json'\nchallenge-login = true\n"
    result = CliRunner().invoke(check_config, ["--config", written(tmp_path, text)])
    assert (result.exit_code, result.output.splitlines()[0][:18]) == (1, "--challenge-login:")


def test_the_example() -> None:
    """The files of the container fit each other."""
    folder = Path(__file__).parents[3] / "examples" / "deploy"
    found = read(str(folder / "pb.toml"))
    assert (found.options["target"], found.options["addresses"]) == (
        "office:Office",
        ["pb://0.0.0.0:8787"],
    )
    assert "class Office" in (folder / "office.py").read_text()
    for name in ("Dockerfile", "compose.yaml"):
        assert "pb://127.0.0.1:8787" in (folder / name).read_text()
