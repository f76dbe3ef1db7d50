"""Measurements that the CHANGELOG quotes; ratios are of two things timed in one run."""
