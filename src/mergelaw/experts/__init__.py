"""Training: pre-training of ladder bases, supervised fine-tuning of experts."""
