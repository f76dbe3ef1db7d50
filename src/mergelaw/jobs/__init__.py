"""A study's jobs: the rules that run them, and the records that they leave."""
