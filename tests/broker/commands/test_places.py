"""Where `pb serve` listens."""

from __future__ import annotations

from broker.commands.places import Places


def test_the_places_of_processes() -> None:
    """Each of several processes has a socket and a port of its own."""
    places = Places(("pb://a:1",), "pb+unix:///run/a.sock", "http://127.0.0.1:9100")
    third = places.of_process(3, ("pb://a:1", "pb://b:2"))
    assert third == Places(
        ("pb://a:1", "pb://b:2"), "pb+unix:///run/a.sock.3", "http://127.0.0.1:9102"
    )
    assert places.of_process(1, ()).http == places.http
    assert Places((), None, None).of_process(2, ()) == Places((), None, None)
    assert Places((), None, "http://[::1]:0/").of_process(2, ()).http == "http://[::1]:0/"
    assert Places((), None, "http://[::1]:9100/").of_process(2, ()).http == "http://[::1]:9101"


def test_the_places_without_sockets() -> None:
    """A socket of systemd is replaced by a port of this machine of the same kind."""
    given = ("pb+systemd:a", "pbs+systemd:b", "pb+fd:3", "pbs://[::1]:7", "pb+unix:///run/a")
    assert Places(given, None, None).of_another().addresses == (
        "pb://127.0.0.1:0", "pbs://127.0.0.1:0", "pb://127.0.0.1:0", *given[3:],
    )  # fmt: skip
