"""Pipes and child processes as stream connections."""
