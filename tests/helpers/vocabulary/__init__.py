"""The walk through the published names of Twisted and of this library."""
