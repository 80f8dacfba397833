"""Runs the scenarios of a client program on the reactor of its world."""

from __future__ import annotations

import json
import traceback

from world import defer, reactor

__all__ = ["run_scenarios"]

SECONDS = 8


def run_scenarios(scenarios, make_factories):
    """Run scenarios one after the other, print one JSON line for each, and stop.

    Args:
        scenarios: functions of the factories that return a Deferred of the results.
        make_factories: returns the factories of one scenario, which are closed after it.
    """

    @defer.inlineCallbacks
    def run():
        for scenario in scenarios:
            factories = make_factories()
            line = {"scenario": scenario.__name__}
            try:
                line["seen"] = yield scenario(factories).addTimeout(SECONDS, reactor)
            except Exception:
                line["failed"] = traceback.format_exc()
            print(json.dumps(line), flush=True)
            factories.close()
        reactor.stop()

    reactor.callWhenRunning(run)
    reactor.run()
