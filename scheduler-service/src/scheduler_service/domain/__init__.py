"""What a schedule means: no input or output, no clock, no randomness."""
