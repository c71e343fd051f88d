"""Read the rows of a slice of a table: one range of tokens page by page, or several at once."""
