"""A server for the tests of the TypeScript client, and the Node that runs them."""
