"""TLS: settings, certificates, and the filter between a socket and a protocol."""
