"""Classical meta-analysis of estimates whose standard errors are known: what stands beside the posterior."""
