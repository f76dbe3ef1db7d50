"""Merging: task vectors, pure tensor operators, and the methods made of them."""
