"""One question under many assumptions: the lattice of members, their weights, their mixture, and what it settles."""
