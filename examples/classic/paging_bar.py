"""Paging: a collector of pages that draws a bar, one step for each tenth received."""

from broker import defer, pb


class Bar(pb.Referenceable):
    def __init__(self, size):
        self.size, self.pages, self.steps = size, [], 0
        self.complete = defer.Deferred()

    def remote_gotPage(self, page):
        self.pages.append(page)
        while 10 * sum(map(len, self.pages)) >= self.size * (self.steps + 1):
            self.steps += 1
            print(f"[{'#' * self.steps:10}] {self.steps}0 %")

    def remote_endedPaging(self):
        self.complete.callback(b"".join(self.pages))
