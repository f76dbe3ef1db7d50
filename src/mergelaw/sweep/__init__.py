"""The sweep: where merging meets evaluation."""
