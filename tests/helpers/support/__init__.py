"""What tests of all kinds use: peers, brokers in memory, certificates, programs."""
