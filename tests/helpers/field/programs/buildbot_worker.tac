"""Runs a worker in the folder, whose log is standard output."""

import os

from buildbot_worker.bot import Worker
from twisted.application import service

application = service.Application("worker")
Worker(
    "127.0.0.1", int(os.environ["FIELD_PORT"]), "builder", "secret", os.getcwd(), keepalive=600
).setServiceParent(application)
