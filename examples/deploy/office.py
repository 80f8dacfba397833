"""The object that the container serves."""

import broker


class Office(broker.Root):
    def remote_echo(self, text):
        return text
