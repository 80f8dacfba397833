"""Topics: values that are published under names, and the subscribers of names and patterns."""
