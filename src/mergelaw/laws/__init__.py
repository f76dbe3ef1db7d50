"""From the table of losses to curves over k, fitted laws, checks and analyses, all as tables."""
