"""Programs of other people's libraries that visit the chat, for its tests.

Each takes a port, a name and a password. It goes into #lobby and prints ``in``. It prints what
others say there as ``heard WHO TEXT``, and the topic as ``topic TEXT``. When it hears ``go NAME``
with its name, it says ``hello from NAME``; when it hears ``the end``, it leaves.
"""
