"""Published names of `twisted.internet.process`: the class of child processes, for subclassing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from broker.reactor.engine.installed import default
from broker.reactor.engine.mainloop import Mainloop
from broker.reactor.engine.processes import ProcessTransport, start_child
from broker.reactor.typed import Environment

__all__ = ["Process"]


class Process(ProcessTransport):
    """A child process that a program starts without `reactor.spawnProcess` (published).

    A subclass overrides `_setupChild` to prepare the process for its program::

        class GroupLeader(Process):
            def _setupChild(self, *args, **kwargs):
                super()._setupChild(*args, **kwargs)
                os.setpgid(0, 0)

    Args:
        reactor: `broker.reactor`, or a Reactor.
        executable, args, environment, path, uid, gid, childFDs: as for `spawnProcess`; the
            environment has no default.
        proto: a ProcessProtocol.

    Raises:
        OSError: the program cannot be run.
        ValueError: another descriptor than 0, 1 and 2 is asked for.
        subprocess.SubprocessError: `_setupChild` has raised.
    """

    def __init__(
        self,
        reactor: object,
        executable: str | bytes,
        args: Sequence[str | bytes],
        environment: Environment | None,
        path: str | bytes | None,
        proto: object,
        uid: int | None = None,
        gid: int | None = None,
        childFDs: Mapping[int, int | str] | None = None,
    ):
        # Running code between fork and exec needs a lock of the whole interpreter.
        is_set_up = type(self)._setupChild is not Process._setupChild
        set_up = partial(self._setupChild, fdmap={0: 0, 1: 1, 2: 2}) if is_set_up else None
        child = start_child(executable, args, environment, path, uid, gid, childFDs, set_up)
        mainloop = reactor if isinstance(reactor, Mainloop) else default
        super().__init__(mainloop, proto, child, executable)
        self.start()

    def _setupChild(self, fdmap: Mapping[int, int]) -> None:
        """Prepare the new process; called in it, just before its program begins (published).

        Its descriptors, working directory and user are set already.

        Args:
            fdmap: maps the child's descriptor numbers to the descriptors in this process: the same
                numbers.
        """
