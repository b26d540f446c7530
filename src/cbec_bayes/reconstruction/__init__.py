"""Panels whose unknown columns reproduce the printed numbers on observed controls; one, or an ensemble."""
