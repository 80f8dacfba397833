"""The demonstration, and each of its steps gone wrong."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import broker
from broker.demo import office, stage
from broker.demo.certificates import AUTHORITY, CERTIFICATE, KEY, write_certificates
from broker.demo.contract import SoldOut
from broker.demo.steps import ACTS, STEPS, perform
from broker.demo.visitor import Visitor

# Seconds for an act that nothing will end, and for all others.
SHORT, LONG = 0.4, 30.0


class WrongPrice(office.Member):
    """Cannot multiply."""

    def perspective_price(self, seats):
        """Return a wrong price."""
        return 35


class SilentBell(office.Member):
    """Promises a call, and does not make it."""

    def perspective_call_me(self, bell):
        """Ring nothing."""
        return "coming"


class PlainSeat(office.Member):
    """Sends what is no copy."""

    def perspective_best_seat(self):
        """Return a seat in words."""
        return "C7"


class WrongError(office.Member):
    """Raises another error."""

    def perspective_buy(self, row):
        """Refuse, by mistake."""
        raise KeyError(row)


class NoError(office.Member):
    """Raises nothing."""

    def perspective_buy(self, row):
        """Sell."""


class NoEvent(office.Member):
    """Opens the doors, and tells nobody."""

    def perspective_open_doors(self):
        """Say nothing."""


class OneEvent(office.Member):
    """Opens the doors, and tells only who asked for it."""

    def perspective_open_doors(self):
        """Tell the first subscriber."""
        next(iter(self.office.audience)).send("heard", "the doors are open")


class SlowBoard(office.Member):
    """Sells, and does not change the board."""

    def perspective_sell(self, seats):
        """Change nothing."""


class WrongBoard(office.Member):
    """Sells too much."""

    def perspective_sell(self, seats):
        """Change the board by one more."""
        self.office.board.sell(seats + 1)


class Stranger(office.Office):
    """Lets nobody in but as a guest."""

    def admit(self, avatar_id, mind):
        """Refuse members."""
        raise SoldOut("no members tonight")


class Impostor(office.Member):
    """Takes the caller for somebody else."""

    def perspective_who_am_i(self):
        """Return another name."""
        return "mallory", "password"


class Hoarder(office.Office):
    """Keeps every reservation."""

    def reserve(self, seat):
        """Keep a reservation."""
        self.kept = super().reserve(seat)
        return self.kept


class Closed(office.Office):
    """Ends, and does not come back."""

    async def restart(self):
        """End."""
        await self.close()
        return 3


class Generous(office.Office):
    """Takes everybody for a member."""

    def admit(self, avatar_id, mind):
        """Admit everybody as a member."""
        return super().admit("somebody", mind)


def with_member(avatar):
    """Return an office class whose members have this avatar."""

    class Faulty(office.Office):
        def admit(self, avatar_id, mind):
            guest = super().admit(avatar_id, mind)
            return avatar(self) if isinstance(guest, office.Member) else guest

    return Faulty


class Local:
    """Plays acts in this process; one of them, `(step, who)`, with little patience."""

    def __init__(self, player, hopeless):
        self.player = player
        self.hopeless = hopeless

    async def play(self, number):
        """Play an act."""
        act = ACTS[number]
        is_hopeless = self.hopeless == (act.step, act.who)
        return await perform(act, self.player, SHORT if is_hopeless else LONG)


async def play(folder, office_class=office.Office, hopeless=None):
    """Play with a server and two clients in this process.

    Return the lines, and whether it went well.
    """
    lines = []
    box = office_class()
    tls = broker.TLS.server(folder / CERTIFICATE, folder / KEY)
    address = await box.open("pbs://127.0.0.1:0", tls)
    visitors = [Visitor(address, folder / AUTHORITY) for _ in range(2)]
    cast = zip(("server", "alice", "bob"), (box, *visitors), strict=True)
    players = {who: Local(player, hopeless) for who, player in cast}
    went_well = await stage.play(players, lines.append)
    for visitor in visitors:
        await visitor.leave()
    await box.close()
    return lines, went_well


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with certificates."""
    path = tmp_path_factory.mktemp("certificates")
    write_certificates(path)
    return path


async def test_all_steps_go_well(folder):
    """With nothing broken every step has its line; the event has one for each client."""
    lines, went_well = await play(folder)
    assert went_well
    steps = [int(line.split()[0]) for line in lines]
    assert steps == [1, 2, 3, 4, 5, 6, 6, 7, 8, 9, 10, 10]
    assert lines[-2] == "10 server  was restarted, and cut 3 connections"
    assert [f"6  {who}  " for who in ("alice ", "bob   ")] == [line[:11] for line in lines[5:7]]


@pytest.mark.parametrize(
    ("step", "broken", "expected", "arrived"),
    [
        (1, Stranger, "alice expected a login as alice", "SoldOut: no members tonight"),
        (1, with_member(Impostor), "alice expected a login as alice", "'mallory'"),
        (2, with_member(WrongPrice), "alice expected the price 36", "35"),
        (3, with_member(SilentBell), "alice expected one call of her bell", "[]"),
        (4, with_member(PlainSeat), "alice expected a MySeat, C7", "'C7'"),
        (5, with_member(WrongError), "alice expected the error SoldOut", "RemoteError: "),
        (5, with_member(NoError), "alice expected the error SoldOut", "no error"),
        (6, with_member(NoEvent), "alice expected the event", "nothing in 0.4 s"),
        (6, with_member(OneEvent), "bob expected the event", "nothing in 0.4 s"),
        (7, with_member(SlowBoard), "alice expected the free seats 40", "nothing in 0.4 s"),
        (7, with_member(WrongBoard), "alice expected the free seats 40", "[40, 37, 33, 31]"),
        (8, Hoarder, "server expected the release", "nothing in 0.4 s"),
        (9, Generous, "bob expected a refusal", "no refusal"),
        (10, Closed, "alice expected the price 36 after the restart", "nothing in 0.4 s"),
    ],
)
async def test_a_broken_step_is_named(folder, step, broken, expected, arrived):
    """A step that goes wrong at the other end is the last, and says what it expected and got."""
    who = expected.split()[0]
    hopeless = (step, who) if arrived.startswith("nothing") else None
    lines, went_well = await play(folder, broken, hopeless)
    assert not went_well
    assert lines[-1].startswith(f"step {step} failed: {expected}")
    assert f"what arrived: {arrived}" in lines[-1]
    before = [int(line.split()[0]) for line in lines[:-1]]
    assert [n for n in range(1, step) if n != 6] == [n for n in before if n not in (6, 10)]


async def test_a_kept_reference_is_not_released(folder, monkeypatch):
    """A client that does not drop its reservation fails step 8 at the server."""
    kept = []

    async def keep(alice):
        kept.append(await alice.avatar.callRemote("reserve"))

    number = next(n for n, act in enumerate(ACTS) if act.play.__name__.startswith("alice_drops"))
    acts = (*ACTS[:number], ACTS[number]._replace(play=keep), *ACTS[number + 1 :])
    monkeypatch.setitem(globals(), "ACTS", acts)
    lines, went_well = await play(folder, hopeless=(8, "server"))
    assert not went_well
    assert lines[-1].startswith("step 8 failed: server expected the release of a reservation")


def environment(temporary):
    """Return the environment of a demonstration whose temporary files are in a folder of ours."""
    return {**os.environ, "TMPDIR": str(temporary)}


def run(*command, temporary):
    """Run a program to its end, and that of all that it started: they hold its standard error."""
    return subprocess.run(
        [sys.executable, *command],
        capture_output=True, text=True, check=False, timeout=40, env=environment(temporary),
    )  # fmt: skip


def test_the_command(tmp_path):
    """`python -m broker demo` shows ten steps in real processes, and leaves nothing."""
    done = run("-m", "broker", "demo", temporary=tmp_path)
    assert (done.stderr, done.returncode) == ("", 0)
    lines = done.stdout.splitlines()
    assert re.fullmatch(r"   server  a box office at pbs://127\.0\.0\.1:\d+", lines[0])
    assert STEPS == len({line.split()[0] for line in lines[1:-1]}) == 10
    assert re.fullmatch(r"goodbye: 10 of 10 steps in \d+\.\d s", lines[-1])
    assert "\033" not in done.stdout
    assert list(tmp_path.iterdir()) == []


FAULTY_SERVER = """
import sys
from pathlib import Path
from broker.demo import office, part

class Member(office.Member):
    def perspective_price(self, seats):
        {fault}

class Office(office.Office):
    def admit(self, avatar_id, mind):
        return Member(self)

part.main("server", Path(sys.argv[1]), Office)
"""


@pytest.mark.parametrize(
    ("program", "last"),
    [
        (
            FAULTY_SERVER.format(fault="return 35"),
            "step 2 failed: alice expected the price 36; what arrived: 35",
        ),
        (
            FAULTY_SERVER.format(fault="import os; os._exit(3)"),
            "step 2 failed: alice expected the price 36; what arrived: PBConnectionLost: ",
        ),
        (
            "raise SystemExit(4)",
            "the demonstration cannot begin: the process of server ended with exit status 4",
        ),
    ],
    ids=["wrong value", "killed", "never started"],
)
def test_a_faulty_process(program, last, tmp_path):
    """Whatever a process does, the demonstration says so, exits with 1 and leaves nothing."""
    director = (
        "import sys; from broker.demo import command, stage;"
        f"stage.PROGRAMS = {{**stage.PROGRAMS, 'server': (sys.executable, '-c', {program!r})}};"
        "command.demo()"
    )
    done = run("-c", director, temporary=tmp_path)
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1].startswith(last)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(number, tmp_path):
    """A demonstration that is interrupted ends its processes and removes its folder."""
    demonstration = subprocess.Popen(
        [sys.executable, "-u", "-m", "broker", "demo"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(tmp_path),
    )  # fmt: skip
    with demonstration:
        demonstration.stdout.readline()
        demonstration.send_signal(number)
        _, error = demonstration.communicate(timeout=30)
    assert (demonstration.returncode, error) == (130, b"stopped\n")
    assert list(tmp_path.iterdir()) == []


def test_the_end_of_the_input_ends_a_process(folder):
    """A process whose director has vanished ends by itself."""
    for who in ("server", "alice"):
        done = subprocess.run(
            [*stage.PROGRAMS[who], str(folder)],
            stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=True,
        )  # fmt: skip
        assert done.stderr == b""


def run_main(*missing, arguments=()):
    """Run `python -m broker` where the modules that are missing cannot be imported."""
    program = (
        f"import sys, runpy; sys.modules.update(dict.fromkeys({missing!r}));"
        f"sys.argv = ['broker', *{arguments!r}];"
        "runpy.run_module('broker', run_name='__main__', alter_sys=True)"
    )
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("package", ["click", "rich"])
def test_without_the_extra(package):
    """Without the extra, the command says what to install, in one line."""
    done = run_main(package, arguments=("demo",))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"pb needs the package {package}, which the extra 'cli' brings:"
        " python -m pip install 'perspective-broker[cli]'\n"
    )


def test_help():
    """The command line lists its commands."""
    done = run_main(arguments=("--help",))
    assert done.returncode == 0
    assert "demo          Show in ten steps what this package does" in done.stdout


def test_the_console_script():
    """`pb` is `python -m broker`."""
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    assert 'pb = "broker.__main__:main"' in text
