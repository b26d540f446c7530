"""The hierarchical event study: effects of cohorts and periods that are pooled along time since adoption."""
