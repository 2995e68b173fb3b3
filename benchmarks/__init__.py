"""Measurements of the product, with the loads they use."""
