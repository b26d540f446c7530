"""Bayesian hierarchical reanalysis of two-way fixed-effects panels, and of the tables they are published in."""
