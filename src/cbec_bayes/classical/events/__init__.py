"""Event studies of staggered adoption: four estimators, tests of trends before adoption, and weights of cells."""
