"""Causal language models: loading, devices, and the parts that a loss is made from."""
