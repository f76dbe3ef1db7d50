"""Derivatives of the loss at one merge, what they predict of all others, and the best weights."""
