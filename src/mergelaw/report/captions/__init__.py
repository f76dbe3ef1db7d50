"""Titles and captions of the report's figures, and the tables that each draws; light."""
