"""The family of models: its terms, priors and likelihoods, and the columns of a model on a design."""
