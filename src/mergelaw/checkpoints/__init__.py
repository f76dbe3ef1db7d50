"""Checkpoints on disk: read block by block, written in any order; LoRA adapters."""
