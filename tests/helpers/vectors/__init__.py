"""Recording of the golden vectors from Twisted, and reading them."""
