"""The frequentist replication module: two-way fixed effects as econometricians run them, and the paper's tables."""
