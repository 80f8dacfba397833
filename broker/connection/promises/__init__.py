"""Calls on promises, at the caller: they leave at once, or wait here in their order.

Theory of operation. The first call on a promise makes a `CalledPromise`, the first item in the
chain of the promise. It has a `Path` for each target: the result, and each element that is used.
Where the dialect can, a call on a Path is sent with the promised call as its target, and the peer
makes it when the promised call is answered. Otherwise it waits in the queue of its Path: in PB's
dialects, if the peer takes no more such calls, and if a promise among its arguments must wait.

When the answer has come, what it names on the wire is the target of the calls that waited; they
are sent before any other code sees the result. If it names an object of this end, the peer sends a
Home for each call that is on its way. Then the calls are made here: first those, each when its Home
comes, then all others. So calls on one promise start in their order in each case.

A call with a promise among its arguments, which cannot be sent yet, waits in a `HeldTarget`, and so
do later calls to the same object.
"""
