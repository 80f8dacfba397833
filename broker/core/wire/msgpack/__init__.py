"""The dialect msgpack/1: frames to messages and back."""
