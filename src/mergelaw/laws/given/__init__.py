"""A table from anywhere (a paper, a spreadsheet, another study): read, checked, fitted, told."""
