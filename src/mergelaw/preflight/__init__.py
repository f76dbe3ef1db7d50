"""What headers and json files say against a merge, before any data are read."""
