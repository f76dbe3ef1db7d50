"""Figures and one self-contained page, drawn from the laws' tables; nothing is estimated here."""
