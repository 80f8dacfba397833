"""What a running server shows to those who run it: the contract, and the object behind it."""
