"""The commands of ``pb`` beside the demonstration."""
