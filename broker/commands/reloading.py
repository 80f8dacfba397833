"""Reads the settings of ``pb serve`` again at SIGHUP, and applies those that can change."""

from __future__ import annotations

import logging
from collections.abc import Callable

import click

from broker.commands.config_file import ConfigFile, Values
from broker.commands.settings import Settings
from broker.commands.target import Served
from broker.commands.wording import in_words
from broker.errors import ConfigError
from broker.login.portal_logins import PortalLogins
from broker.login.throttle import LoginThrottle
from broker.running_server import Server
from cred.portal import Portal
from cred.strcred import StrcredException
from cred.users import StoreError

__all__ = ["Reloading"]

logger = logging.getLogger("broker.server")

# The parameters whose change is applied; all others need a restart.
_APPLIED = frozenset({"config", "log_level", "failures", "checkers", "challenge_login"})


class Reloading:
    """The settings in use, and the command line that they came from.

    Args:
        context: of the command.
        arguments: its command line.
        root: the object that is served.
    """

    def __init__(self, context: click.Context, arguments: tuple[str, ...], root: Served):
        self._command = context.command
        self._arguments = arguments
        self._params: Values = dict(context.params)
        self._root = root
        self._portal = root.portal if isinstance(root, PortalLogins) else root

    def of(self, server: Server) -> Callable[[], None] | None:
        """Return the function that reads the settings again; None without a configuration file."""
        if self._params.get("config") is None:
            return None
        return lambda: self._read(server)

    def _read(self, server: Server) -> None:
        """Read the settings again, and apply them.

        Raises:
            ConfigError: they are not valid; nothing has changed.
        """
        try:
            context = self._command.make_context("serve", list(self._arguments))
            params = context.params
            settings = _settings(params)
            policy, throttle = settings.policy(), settings.throttle()
            checkers = settings.make_checkers() if self._differs(params, "checkers") else None
            # Also what changes with a restart: else the server would not start again.
            places = settings.places().of_another()
            settings.server(self._root, settings.tls(checkers or ()), policy, places).close()
        except click.ClickException as exc:
            raise ConfigError(exc.format_message()) from exc
        except (ConfigError, StoreError, StrcredException) as exc:
            raise ConfigError(in_words(exc)) from exc
        changed = [name for name in params if name != "config" and self._differs(params, name)]
        if policy != _settings(self._params).policy():
            server.use_policy(policy)
            changed.append("policy")
        logging.getLogger().setLevel(params["log_level"].upper())
        portal = self._portal
        if isinstance(portal, Portal):
            if isinstance(portal.throttle, LoginThrottle) and self._differs(params, "failures"):
                _limit(portal.throttle, throttle)
            if checkers:
                portal.checkers.clear()
                for checker in checkers:
                    portal.registerChecker(checker)
        self._tell(changed, params)
        self._params = dict(params)

    def _differs(self, params: Values, name: str) -> bool:
        return bool(params[name] != self._params[name])

    def _tell(self, changed: list[str], params: Values) -> None:
        late = [name for name in changed if not self._is_applied(name, params)]
        done = [name for name in changed if name not in late]
        names = ", ".join(name.replace("_", "-") for name in done)
        logger.info("configuration read again: %s", names or "nothing else has changed")
        if late:
            names = ", ".join(name.replace("_", "-") for name in late)
            logger.warning("configuration read again: %s changes with a restart only", names)

    def _is_applied(self, name: str, params: Values) -> bool:
        if name in ("checkers", "failures"):
            # A server without a login has no portal that could change. The authorities of cert: are
            # settings of TLS.
            both = (*self._params["checkers"], *params["checkers"])
            has_login = bool(self._params["checkers"]) and bool(params["checkers"])
            is_for_tls = name == "checkers" and any(each.startswith("cert:") for each in both)
            has_throttle = name == "checkers" or self._has_throttle()
            return has_login and has_throttle and not is_for_tls
        return name in _APPLIED or name == "policy"

    def _has_throttle(self) -> bool:
        return isinstance(getattr(self._portal, "throttle", None), LoginThrottle)


def _settings(params: Values) -> Settings:
    config: ConfigFile | None = params["config"]
    fields = {name: params[name] for name in Settings.__struct_fields__ if name in params}
    settings = Settings(**fields)
    return settings if config is None else settings.on(config.policy)


def _limit(throttle: LoginThrottle, limits: LoginThrottle | None) -> None:
    throttle.use_limits_of(LoginThrottle() if limits is None else limits)
