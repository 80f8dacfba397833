"""What the soak is made of: a server, visitors, faults on their way, and what is measured."""
