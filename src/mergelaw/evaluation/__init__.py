"""Token cross-entropy: prepared shards, batches and the exact loss."""
