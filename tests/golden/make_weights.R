# Reference values of weighted two-way regressions, for the tests of weights.
#
#   Rscript make_weights.R             (from any folder)
#
# Reads produc.csv beside this script; writes weights.json. README.md says what is in it.

suppressPackageStartupMessages({
  library(clubSandwich)
  library(jsonlite)
})

file_arg <- grep("^--file=", commandArgs(FALSE), value = TRUE)
if (length(file_arg)) setwd(dirname(sub("^--file=", "", file_arg[1])))

produc <- read.csv("produc.csv")
terms <- c("pcap", "pc", "unemp")
formula <- gsp ~ pcap + pc + unemp + factor(state) + factor(year)

named <- function(x, names_) lapply(setNames(as.list(as.numeric(x)), names_), unbox)

run_case <- function(kind, every) {
  d <- produc[seq_len(nrow(produc)) %% every != 0, ]
  d$copies <- 1 + d$year %% 3
  if (kind == "frequency") d <- d[rep(seq_len(nrow(d)), d$copies), ]
  assign("d", d, envir = globalenv())
  # An error of weight w has the variance sigma^2 / w. CR2 is that of rows times the roots of their weights, whose errors
  # are alike. Of lm with weights and target = 1 / w clubSandwich takes another square root of the same matrix, which is
  # unbiased too, and a few per cent away.
  fit <- if (kind == "analytic") lm(formula, data = d, weights = emp) else lm(formula, data = d)
  root <- if (kind == "analytic") sqrt(d$emp) else rep(1, nrow(d))
  scaled <- as.data.frame(root * model.matrix(formula, d))
  names(scaled) <- make.names(names(scaled))
  scaled$outcome <- root * d$gsp
  assign("scaled", scaled, envir = globalenv())
  alike <- lm(outcome ~ . - 1, data = scaled)
  stopifnot(max(abs(coef(alike)[terms] / coef(fit)[terms] - 1)) < 1e-9)
  t <- coef_test(alike, vcov = vcovCR(alike, cluster = d$state, type = "CR2"), test = "Satterthwaite", coefs = terms)
  df <- if (is.null(t$df_Satt)) t$df else t$df_Satt
  list(
    kind = unbox(kind), every = unbox(every), nobs = unbox(nrow(d)),
    coef = named(coef(fit)[terms], terms), se = named(t$SE, terms), df = named(df, terms),
    r_squared = unbox(summary(fit)$r.squared), adj_r_squared = unbox(summary(fit)$adj.r.squared)
  )
}

write_json(list(
  made_by = unbox("tests/golden/make_weights.R"),
  versions = c(list(R = unbox(paste(R.version$major, R.version$minor, sep = "."))),
               lapply(setNames(nm = c("clubSandwich", "jsonlite")), function(p) unbox(as.character(packageVersion(p))))),
  cases = list(
    analytic = run_case("analytic", 1e9), analytic_unbalanced = run_case("analytic", 7),
    frequency = run_case("frequency", 1e9), frequency_unbalanced = run_case("frequency", 7)
  )
), "weights.json", digits = NA, pretty = TRUE)
