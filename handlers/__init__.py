"""What the product sends out: the repairs that Sync makes in both systems, each tried a counted number of times."""
