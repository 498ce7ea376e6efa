"""The pages of the book on which the models of the course run in the reader's own browser."""
