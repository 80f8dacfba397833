"""The benchmarks: this library, Twisted and others side by side."""
