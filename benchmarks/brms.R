# The headline model in brms: called by posterior.py with a CSV, the priors' scales, the number of draws, and a folder.
# Prints seconds (compilation included), the smallest bulk effective size, and the number of divergences.
suppressPackageStartupMessages({library(brms); library(posterior)})
if (!nzchar(system.file(package = "BH", "include", "boost")) && dir.exists("/usr/include/boost"))
  rstan::rstan_options(boost_lib = "/usr/include")  # where Debian keeps it
given <- commandArgs(trailingOnly = TRUE)
panel <- read.csv(given[1], colClasses = c(unit = "factor", time = "factor", group = "factor"))
draws <- as.integer(given[4])
terms <- grep("^x[0-9]+$", names(panel), value = TRUE)
model <- as.formula(paste("y ~ 0 + unit + time +", paste(terms, collapse = " + "), "+ (0 + x0 | group)"))
priors <- c(
  set_prior(sprintf("normal(0, %s)", given[2]), class = "sd"),
  set_prior(sprintf("normal(0, %s)", given[3]), class = "sigma")
)
start <- Sys.time()
fit <- brm(model, panel, prior = priors, iter = 2 * draws, warmup = draws, chains = 4, cores = parallel::detectCores(),
           seed = 1, refresh = 0, silent = 2)
seconds <- as.numeric(Sys.time() - start, units = "secs")
wanted <- c("b_x0", "sd_group__x0", "sigma", grep("^r_group", variables(fit), value = TRUE))
sampled <- as_draws_array(fit, variable = wanted)
smallest <- min(summarise_draws(sampled, "ess_bulk")$ess_bulk)
parameters <- nuts_params(fit, pars = "divergent__")
cat(seconds, smallest, sum(parameters$Value), "\n")
