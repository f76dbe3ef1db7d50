"""Text of a study: procedural domains, files, data sets; the tokenizer and the one encoder."""
