"""Runs the master of the folder, whose log is standard output."""

from buildbot.master import BuildMaster
from twisted.application import service

application = service.Application('buildmaster')
BuildMaster(".", "master.cfg").setServiceParent(application)
