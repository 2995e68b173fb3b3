"""One module for each shape the store has had."""
