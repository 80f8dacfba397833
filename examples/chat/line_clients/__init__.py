"""The front ends that speak in lines: IRC (RFC 2812, and SASL PLAIN of IRCv3), and netcat."""
