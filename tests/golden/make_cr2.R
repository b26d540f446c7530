# Reference values of CR2 for the tests of inference from few clusters.
#
#   Rscript make_cr2.R             (from any folder, after golden.json)
#
# Reads grunfeld.csv, produc.csv and golden.json beside this script; writes cr2.json.
# README.md says what is in it.

suppressPackageStartupMessages({
  library(plm)
  library(clubSandwich)
  library(jsonlite)
})

file_arg <- grep("^--file=", commandArgs(FALSE), value = TRUE)
if (length(file_arg)) setwd(dirname(sub("^--file=", "", file_arg[1])))

golden <- fromJSON("golden.json")$cases
tables <- list("grunfeld.csv" = read.csv("grunfeld.csv"), "produc.csv" = read.csv("produc.csv"))

# A case: one of golden.json, the terms it keeps, and where not all, the region or the cells (unit, year) that it keeps.
case <- function(of, terms = golden[[of]]$slopes, region = NA, cells = NULL)
  list(of = of, terms = terms, region = region, cells = cells)

cases <- lapply(setNames(names(golden), names(golden)), case)
for (of in names(golden))
  cases[[paste0(of, "_first")]] <- case(of, golden[[of]]$slopes[1])
for (region in sort(unique(tables$produc.csv$region)))
  cases[[paste0("produc_unbalanced_of_", region)]] <- case("produc_unbalanced", region = region)

# Nine states with many holes: the first is seen in one year only, and the last year in one state only.
nine <- tables$produc.csv[tables$produc.csv$state %in% unique(tables$produc.csv$state)[1:9], c("state", "year")]
there <- ifelse(nine$state == nine$state[1], nine$year == 1973,
                ifelse(nine$year == max(nine$year), nine$state == unique(nine$state)[4], seq_len(nrow(nine)) %% 3 != 1))
cases$holes <- case("produc", golden$produc$slopes[c(2, 4)], cells = nine[there, ])

named <- function(x, names_) lapply(setNames(as.list(as.numeric(x)), names_), unbox)

run_case <- function(case) {
  of <- golden[[case$of]]
  d <- tables[[of$source]]
  keep <- !seq_len(nrow(d)) %in% of$dropped_rows
  if (!is.null(of$region)) keep <- keep & d$region == of$region
  if (!is.na(case$region)) keep <- keep & d$region == case$region
  if (!is.null(case$cells))
    keep <- keep & paste(d[[of$unit]], d$year) %in% paste(case$cells[[1]], case$cells[[2]])
  d <- d[keep, ]
  d$.unit <- factor(d[[of$unit]])
  d$.time <- factor(d$year)
  formula <- as.formula(paste(sub(" ~.*", "", of$formula), "~", paste(case$terms, collapse = " + ")))
  # clubSandwich looks the data up by name, from outside this function
  assign("d", d, envir = globalenv())
  within <- do.call(plm, list(formula, data = quote(d), index = c(of$unit, "year"),
                              model = "within", effect = "twoways"))
  test <- function(model) {
    t <- coef_test(model, vcov = vcovCR(model, cluster = d$.unit, type = "CR2"),
                   test = "Satterthwaite", coefs = case$terms)
    if (is.null(t$df_Satt)) t$df_Satt <- t$df
    t
  }
  t <- test(within)
  # the same with a dummy for every unit and year, where I - H_gg is singular: noise of rounding apart, no other result
  dummies <- test(lm(update(formula, . ~ . + .unit + .time), d))
  stopifnot(max(abs(t$SE / dummies$SE - 1)) < 1e-6, max(abs(t$df_Satt / dummies$df_Satt - 1)) < 1e-6)
  list(
    of = unbox(case$of), terms = case$terms, region = unbox(case$region),
    cells = if (is.null(case$cells)) unbox(NA) else lapply(split(case$cells[[2]], case$cells[[1]]), as.integer),
    nobs = unbox(nrow(d)), n_units = unbox(nlevels(d$.unit)),
    coef = named(coef(within)[case$terms], case$terms),
    se = named(t$SE, case$terms), tstat = named(t$tstat, case$terms),
    df = named(t$df_Satt, case$terms), p = named(t$p_Satt, case$terms)
  )
}

write_json(list(
  made_by = unbox("tests/golden/make_cr2.R"),
  versions = c(list(R = unbox(paste(R.version$major, R.version$minor, sep = "."))),
               lapply(setNames(nm = c("plm", "clubSandwich", "jsonlite")),
                      function(p) unbox(as.character(packageVersion(p))))),
  cases = lapply(cases, run_case)
), "cr2.json", digits = NA, pretty = TRUE)
