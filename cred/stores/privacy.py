"""Checks that only its owner can read a file with verifiers of passwords."""

from __future__ import annotations

import os
import shlex
import stat

from broker.config_error import ConfigError

__all__ = ["check_private"]

_OTHERS_READ = stat.S_IRGRP | stat.S_IROTH
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def check_private(path: str, status: os.stat_result, uid: int) -> None:
    """Refuse a file that other users can read or write.

    Args:
        path: the name of the file in the error.
        status: the status of the open file.
        uid: the required owner: the user that this process acts for.

    Raises:
        ConfigError: it is not a regular file, belongs to another user, or its mode gives access to
            others. The text has the command that fixes it.
    """
    name = shlex.quote(path)
    if not stat.S_ISREG(status.st_mode):
        raise ConfigError(f"{path} is not a regular file")
    if status.st_uid != uid:
        raise ConfigError(
            f"{path} belongs to another user (uid {status.st_uid}); run: chown {uid} {name}"
        )
    mode = stat.S_IMODE(status.st_mode)
    if mode & _OTHERS:
        what = "readable" if mode & _OTHERS_READ else "writable"
        raise ConfigError(f"{path} is {what} by others (mode {mode:04o}); run: chmod 600 {name}")
