"""Printed tables: numbers with their precision, their audit, and the hierarchical model that needs nothing else."""
