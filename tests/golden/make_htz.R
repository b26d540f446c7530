# Reference values of the test of equal slopes by clubSandwich (HTZ) for tests/classical/test_wald.py.
#
#   Rscript make_htz.R             (from any folder)
#
# Reads produc.csv beside this script; writes htz.json. README.md says what is in it.

suppressPackageStartupMessages({
  library(plm)
  library(clubSandwich)
  library(jsonlite)
})

file_arg <- grep("^--file=", commandArgs(FALSE), value = TRUE)
if (length(file_arg)) setwd(dirname(sub("^--file=", "", file_arg[1])))

produc <- read.csv("produc.csv")
d0 <- data.frame(unit = factor(produc$state), time = factor(produc$year), region = factor(produc$region),
                 y = log(produc$gsp), x = log(produc$pcap), z1 = log(produc$pc), z2 = produc$unemp)
fifth <- unique(produc$state)[5]
dropped <- which(seq_len(nrow(produc)) %% 7 == 3 |
  (produc$state == fifth & produc$year %in% sort(unique(produc$year))[1:9]))

# Regions that each case keeps; the unbalanced panel is that of golden.json.
cases <- list(
  balanced = list(unbalanced = FALSE, regions = c(3, 4, 5, 8)),
  unbalanced = list(unbalanced = TRUE, regions = c(3, 4, 5, 8)),
  all = list(unbalanced = FALSE, regions = 1:9),
  all_unbalanced = list(unbalanced = TRUE, regions = 1:9)
)

one <- function(fit, cluster, vcov, terms) {
  k <- length(terms)
  at <- match(terms, names(coef(fit)))
  stopifnot(!anyNA(at))
  contrast <- function(i, j) {
    m <- matrix(0, 1, length(coef(fit)))
    m[1, at[i]] <- 1
    m[1, at[j]] <- -1
    m
  }
  joint <- do.call(rbind, lapply(2:k, function(j) contrast(j, 1)))
  shown <- function(w) list(statistic = unbox(w$Fstat), df = unbox(w$df_num), df2 = unbox(w$df_denom),
                            p = unbox(w$p_val))
  pairs <- combn(k, 2)
  list(estimate = unname(coef(fit)[at]), covariance = unname(as.matrix(vcov)[at, at]),
       joint = shown(Wald_test(fit, joint, vcov = vcov, test = "HTZ")),
       pairs = apply(pairs, 2, function(ij) shown(Wald_test(fit, contrast(ij[1], ij[2]), vcov = vcov, test = "HTZ"))))
}

run_case <- function(case) {
  d <- if (case$unbalanced) d0[-dropped, ] else d0
  d <- droplevels(d[as.integer(as.character(d$region)) %in% case$regions, ])
  for (r in levels(d$region)) d[[paste0("x_", r)]] <- d$x * (d$region == r)
  terms <- paste0("x_", levels(d$region))
  # clubSandwich looks the data up by name, from outside this function
  assign("d", d, envir = globalenv())
  # one slope for each region, everything else in common
  common <- do.call(plm, list(as.formula(paste("y ~", paste(terms, collapse = " + "), "+ z1 + z2")), data = quote(d),
                              index = c("unit", "time"), model = "within", effect = "twoways"))
  # everything by region: unit means taken out, for units are the clusters; dummies of periods by region stay
  w <- d
  unit_off <- function(v) v - ave(v, d$unit)
  columns <- list()
  for (r in levels(d$region)) {
    own <- d$region == r
    columns[[paste0("x_", r)]] <- unit_off(d$x * own)
    columns[[paste0("z1_", r)]] <- unit_off(d$z1 * own)
    columns[[paste0("z2_", r)]] <- unit_off(d$z2 * own)
    for (t in levels(d$time)[-1]) columns[[paste0("t_", r, "_", t)]] <- unit_off((d$time == t) * own)
  }
  w <- as.data.frame(columns)
  w$y <- unit_off(d$y)
  w$.unit <- d$unit
  assign("w", w, envir = globalenv())
  apart <- lm(as.formula(paste("y ~ 0 +", paste(names(columns), collapse = " + "))), data = w)
  list(
    unbalanced = unbox(case$unbalanced), regions = case$regions, nobs = unbox(nrow(d)),
    common = one(common, d$unit, vcovCR(common, cluster = d$unit, type = "CR2"), terms),
    by_group = one(apart, w$.unit, vcovCR(apart, cluster = w$.unit, type = "CR2"), terms)
  )
}

write_json(list(
  made_by = unbox("tests/golden/make_htz.R"),
  versions = c(list(R = unbox(paste(R.version$major, R.version$minor, sep = "."))),
               lapply(setNames(nm = c("plm", "clubSandwich", "jsonlite")),
                      function(p) unbox(as.character(packageVersion(p))))),
  cases = lapply(cases, run_case)
), "htz.json", digits = NA, pretty = TRUE)
