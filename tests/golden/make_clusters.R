# Reference values of clusters other than the units, of two sets of clusters, and of unit trends.
#
#   Rscript make_clusters.R            (from any folder)
#
# Reads produc.csv beside this script; writes clusters.json. README.md says what is in it.

suppressPackageStartupMessages({
  library(plm)
  library(sandwich)
  library(clubSandwich)
  library(jsonlite)
})

file_arg <- grep("^--file=", commandArgs(FALSE), value = TRUE)
if (length(file_arg)) setwd(dirname(sub("^--file=", "", file_arg[1])))

produc <- read.csv("produc.csv")
terms <- c("pcap", "pc", "unemp")
formula <- gsp ~ pcap + pc + unemp + factor(state) + factor(year)

named <- function(x) lapply(setNames(as.list(as.numeric(x)), terms), unbox)
errors <- function(v) named(sqrt(diag(as.matrix(v))[terms]))

rows_of <- function(every) {
  d <- produc[seq_len(nrow(produc)) %% every != 0, ]
  assign("d", d, envir = globalenv())  # clubSandwich and sandwich look the data up by name
  d
}

# CR2 of weighted least squares is that of rows times the roots of their weights. What single states have, their mean and
# where asked their trend, is taken out first: with dummies for it I - H_gg is singular, and rounding is all that is seen.
# It changes neither slopes nor CR2, for states lie within clusters (Pustejovsky and Tipton 2018).
bias_reduced <- function(d, cluster, root = rep(1, nrow(d)), trends = FALSE) {
  rows <- root * cbind(as.matrix(d[, c("gsp", terms)]), model.matrix(~ factor(year), d)[, -1])
  for (state in unique(d$state)) {
    at <- which(d$state == state)
    basis <- root[at] * (if (trends) cbind(1, d$year[at] - mean(d$year[at])) else matrix(1, length(at)))
    rows[at, ] <- qr.resid(qr(basis), rows[at, , drop = FALSE])
  }
  left <- as.data.frame(rows)
  names(left) <- make.names(names(left))
  if (trends) left[[ncol(left)]] <- NULL  # a trend in common is one of those of states: one period less has an effect
  assign("left", left, envir = globalenv())
  fit <- lm(gsp ~ . - 1, data = left)
  stopifnot(!anyNA(coef(fit)))
  t <- coef_test(fit, vcov = vcovCR(fit, cluster = d[[cluster]], type = "CR2"), test = "Satterthwaite", coefs = terms)
  list(coef = named(coef(fit)[terms]), se = named(t$SE), df = named(if (is.null(t$df_Satt)) t$df else t$df_Satt))
}

run_case <- function(every) {
  d <- rows_of(every)
  fit <- lm(formula, data = d)
  d$when <- d$year - 1978  # of the years themselves the columns would be collinear but for a few digits
  assign("d", d, envir = globalenv())
  trending <- lm(update(formula, . ~ . + factor(state):when), data = d)
  one <- function(cluster, type, adjusted) errors(vcovCL(fit, cluster = d[[cluster]], type = type, cadjust = adjusted))
  two <- vcovCL(fit, cluster = d[, c("state", "year")], type = "HC0", cadjust = FALSE)
  crossed <- vcovCL(fit, cluster = d[, c("region", "year")], type = "HC0", cadjust = FALSE)
  within <- plm(gsp ~ pcap + pc + unemp, data = d, index = c("state", "year"), model = "within", effect = "twoways")
  double <- vcovDC(within, type = "HC0")
  stopifnot(max(abs(sqrt(diag(double)[terms] / diag(two)[terms]) - 1)) < 1e-9)
  trends <- bias_reduced(d, "state", trends = TRUE)
  stopifnot(max(abs(unlist(trends$coef) / coef(trending)[terms] - 1)) < 1e-7)
  dummies <- sqrt(diag(as.matrix(vcovCR(trending, cluster = d$state, type = "CR2")))[terms])
  stopifnot(max(abs(unlist(trends$se) / dummies - 1)) < 1e-6)
  list(
    every = unbox(every), nobs = unbox(nrow(d)), coef = named(coef(fit)[terms]),
    one = list(
      region = list(no_factor = one("region", "HC0", FALSE), full = one("region", "HC1", TRUE)),
      year = list(no_factor = one("year", "HC0", FALSE), full = one("year", "HC1", TRUE))
    ),
    two = list(state_year = errors(two), region_year = errors(crossed)),
    cr2 = list(
      region = bias_reduced(d, "region"),
      region_weighted = bias_reduced(d, "region", sqrt(d$emp)),
      state_trends = trends,
      state_trends_weighted = bias_reduced(d, "state", sqrt(d$emp), trends = TRUE),
      region_trends = bias_reduced(d, "region", trends = TRUE)
    )
  )
}

packages <- c("plm", "sandwich", "clubSandwich", "jsonlite")
write_json(list(
  made_by = unbox("tests/golden/make_clusters.R"),
  versions = c(list(R = unbox(paste(R.version$major, R.version$minor, sep = "."))),
               lapply(setNames(nm = packages), function(p) unbox(as.character(packageVersion(p))))),
  cases = list(balanced = run_case(1e9), unbalanced = run_case(7))
), "clusters.json", digits = NA, pretty = TRUE)
