# Reference values for the fixed-effects tests.
#
#   Rscript make_golden.R          (from any folder)
#
# Reads grunfeld.csv and produc.csv beside this script (and writes them first,
# from the plm package, where they are missing); writes golden.json and lme4.json.
# README.md says what is in them.

suppressPackageStartupMessages({
  library(plm)
  library(sandwich)
  library(clubSandwich)
  library(lme4)
  library(jsonlite)
})

file_arg <- grep("^--file=", commandArgs(FALSE), value = TRUE)
if (length(file_arg)) setwd(dirname(sub("^--file=", "", file_arg[1])))

# ---------------------------------------------------------------- the data --

data("Grunfeld", package = "plm")
data("Produc", package = "plm")
from_plm <- list(
  "grunfeld.csv" = Grunfeld[, c("firm", "year", "inv", "value", "capital")],
  "produc.csv" = Produc[, c("state", "region", "year", "pcap", "hwy", "water",
                            "util", "pc", "gsp", "emp", "unemp")]
)
for (name in names(from_plm)) {
  if (!file.exists(name))
    write.csv(from_plm[[name]], name, row.names = FALSE, quote = FALSE)
  read <- read.csv(name)
  stopifnot(identical(names(read), names(from_plm[[name]])),
            nrow(read) == nrow(from_plm[[name]]))
  for (column in names(read)) {
    theirs <- from_plm[[name]][[column]]
    if (is.factor(theirs)) theirs <- as.character(theirs)
    stopifnot(all(read[[column]] == theirs))
  }
}

grunfeld <- read.csv("grunfeld.csv")
produc <- read.csv("produc.csv")

dropped_grunfeld <- c(3, 17, 45, 46, 88, 120, 121, 122, 199)
fifth <- unique(produc$state)[5]
dropped_produc <- which(
  seq_len(nrow(produc)) %% 7 == 3 |
    (produc$state == fifth & produc$year %in% sort(unique(produc$year))[1:9])
)

region_of <- unique(produc[, c("state", "region")])
states_in <- table(region_of$region)
smallest <- as.integer(names(states_in)[states_in == min(states_in)])

f_grunfeld <- inv ~ value + capital
f_produc <- log(gsp) ~ log(pcap) + log(pc) + log(emp) + unemp

cases <- list(
  grunfeld = list(data = grunfeld, formula = f_grunfeld, unit = "firm",
                  source = "grunfeld.csv", dropped = integer()),
  grunfeld_unbalanced = list(data = grunfeld[-dropped_grunfeld, ],
                             formula = f_grunfeld, unit = "firm",
                             source = "grunfeld.csv", dropped = dropped_grunfeld),
  produc = list(data = produc, formula = f_produc, unit = "state",
                source = "produc.csv", dropped = integer()),
  produc_unbalanced = list(data = produc[-dropped_produc, ], formula = f_produc,
                           unit = "state", source = "produc.csv",
                           dropped = dropped_produc)
)
for (r in smallest) {
  cases[[paste0("produc_region_", r)]] <- list(
    data = produc[produc$region == r, ], formula = f_produc, unit = "state",
    source = "produc.csv", dropped = integer(), region = r
  )
}

# --------------------------------------------------------------- the parts --

named <- function(x, names_) lapply(setNames(as.list(as.numeric(x)), names_), unbox)
one <- function(x) unbox(as.numeric(x))
close_to <- function(a, b, tol = 1e-9) stopifnot(max(abs(a / b - 1)) < tol)

# Satterthwaite table of clubSandwich, slopes only
satt <- function(model, vcov, slopes) {
  t <- coef_test(model, vcov = vcov, test = "Satterthwaite", coefs = slopes)
  list(se = named(t$SE, slopes), tstat = named(t$tstat, slopes),
       df = named(if (is.null(t$df_Satt)) t$df else t$df_Satt, slopes),
       p = named(t$p_Satt, slopes))
}

run_case <- function(case) {
  d <- case$data
  d[] <- lapply(d, function(col) if (is.factor(col)) as.character(col) else col)
  d$.unit <- factor(d[[case$unit]])
  d$.time <- factor(d$year)
  cl <- d$.unit
  # clubSandwich looks the data up by name, from outside this function
  assign("d", d, envir = globalenv())
  within <- do.call(plm, list(case$formula, data = quote(d),
                              index = c(case$unit, "year"),
                              model = "within", effect = "twoways"))
  slopes <- names(coef(within))
  dummies <- lm(update(case$formula, . ~ . + .unit + .time), d)
  close_to(coef(dummies)[slopes], coef(within))

  y <- model.response(model.frame(case$formula, d))
  rss <- deviance(within)
  N <- nobs(within); n <- nlevels(cl); t <- nlevels(d$.time)
  k <- length(slopes); p <- k + n + t - 1
  stopifnot(p == dummies$rank, df.residual(within) == N - p)

  hc <- function(type) function(x)
    vcovHC(x, method = "arellano", type = type, cluster = "group")
  se <- function(v) sqrt(diag(as.matrix(v)))[slopes]
  intercept <- within_intercept(within)
  intercept_se <- function(v) one(attr(within_intercept(within, vcov = v), "se"))

  s_plm <- lapply(c(HC0 = "HC0", HC1 = "HC1", sss = "sss"),
                  function(type) se(hc(type)(within)))

  # clubSandwich: on the plm model (every type), and on lm with dummies where
  # the type is defined there (CR3 is not: I - H_gg is singular)
  types <- c(CR0 = "CR0", CR1 = "CR1", CR1S = "CR1S", CR2 = "CR2", CR3 = "CR3")
  v_plm <- lapply(types, function(type) vcovCR(within, cluster = cl, type = type))
  v_lm <- lapply(types[1:4], function(type) vcovCR(dummies, cluster = cl, type = type))
  cr_plm <- lapply(v_plm, se)
  cr_lm <- lapply(v_lm, se)
  for (type in c("CR0", "CR1", "CR2")) close_to(cr_plm[[type]], cr_lm[[type]], 1e-6)

  # leave one unit out, refitted
  left <- t(sapply(levels(cl), function(u) {
    m <- lm(update(case$formula, . ~ . + .unit + .time), droplevels(d[cl != u, ]))
    coef(m)[slopes]
  }))
  from_full <- colSums(sweep(left, 2, coef(within))^2)

  vcl <- lapply(c(HC0 = "HC0", HC1 = "HC1"), function(type)
    se(vcovCL(dummies, cluster = cl, type = type, cadjust = TRUE)))
  vcl$HC0_no_cadjust <- se(vcovCL(dummies, cluster = cl, type = "HC0", cadjust = FALSE))

  # the small-sample factors (of the variance), each checked against the tool
  G <- n
  factor_ <- list(
    plm_HC1 = N / (N - k),
    plm_sss = G / (G - 1) * (N - 1) / (N - k),
    CR1 = G / (G - 1),
    CR1S_plm = G / (G - 1) * (N - 1) / (N - k),
    CR1S_lm = G / (G - 1) * (N - 1) / (N - p),
    vcovCL_HC0 = G / (G - 1),
    vcovCL_HC1 = G / (G - 1) * (N - 1) / (N - p)
  )
  base <- s_plm$HC0
  got <- list(plm_HC1 = s_plm$HC1, plm_sss = s_plm$sss, CR1 = cr_lm$CR1,
              CR1S_plm = cr_plm$CR1S, CR1S_lm = cr_lm$CR1S,
              vcovCL_HC0 = vcl$HC0, vcovCL_HC1 = vcl$HC1)
  for (f in names(factor_)) close_to(got[[f]], base * sqrt(factor_[[f]]), 1e-7)
  close_to(cr_plm$CR0, base); close_to(vcl$HC0_no_cadjust, base, 1e-7)

  r2 <- summary(within)$r.squared
  iid_lm <- coef(summary(dummies))[slopes, 2]
  close_to(iid_lm, coef(summary(within))[, 2], 1e-7)
  list(
    source = unbox(case$source),
    dropped_rows = as.integer(case$dropped),
    region = if (is.null(case$region)) unbox(NA) else unbox(case$region),
    formula = unbox(deparse(case$formula)),
    unit = unbox(case$unit), time = unbox("year"),
    nobs = unbox(N), n_units = unbox(n), n_times = unbox(t),
    n_slopes = unbox(k), n_parameters = unbox(p),
    slopes = slopes,
    plm = list(
      coef = named(coef(within), slopes),
      se_iid = named(coef(summary(within))[, 2], slopes),
      rss = one(rss), df_residual = unbox(df.residual(within)),
      sigma2 = one(rss / df.residual(within)),
      r2_within = one(r2["rsq"]), r2_within_adj = one(r2["adjrsq"]),
      tss = one(sum((y - mean(y))^2)),
      r2_overall = one(1 - rss / sum((y - mean(y))^2)),
      within_intercept = list(
        value = one(intercept), se_iid = one(attr(intercept, "se")),
        se_HC0 = intercept_se(hc("HC0")), se_HC1 = intercept_se(hc("HC1")),
        se_sss = intercept_se(hc("sss"))
      ),
      vcovHC_arellano_group = lapply(s_plm, named, slopes)
    ),
    clubSandwich = list(
      on_plm = c(lapply(cr_plm, function(x) list(se = named(x, slopes)))[c("CR0", "CR1", "CR1S", "CR3")],
                 list(CR2 = satt(within, v_plm$CR2, slopes))),
      on_lm = c(lapply(cr_lm, function(x) list(se = named(x, slopes)))[c("CR0", "CR1", "CR1S")],
                list(CR2 = satt(dummies, v_lm$CR2, slopes)))
    ),
    jackknife = list(
      se_full_centred = named(sqrt(from_full), slopes),
      se_cv3 = named(sqrt((G - 1) / G * from_full), slopes)
    ),
    lm_dummies = list(
      se_iid = named(iid_lm, slopes),
      r2 = one(summary(dummies)$r.squared), r2_adj = one(summary(dummies)$adj.r.squared),
      vcovCL = lapply(vcl, named, slopes)
    ),
    factors = lapply(factor_, one)
  )
}

versions <- function(packages) {
  c(list(R = unbox(paste(R.version$major, R.version$minor, sep = "."))),
    lapply(setNames(packages, packages), function(p) unbox(as.character(packageVersion(p)))))
}

golden <- list(
  made_by = unbox("tests/golden/make_golden.R"),
  versions = versions(c("plm", "sandwich", "clubSandwich", "jsonlite")),
  smallest_regions = smallest,
  states_per_region = lapply(as.list(states_in), unbox),
  cases = lapply(cases, run_case)
)

# fixest's vignette example: inv ~ capital | firm + year, clustered by firm
local({
  m <- plm(inv ~ capital, grunfeld, index = c("firm", "year"),
           model = "within", effect = "twoways")
  v0 <- vcovHC(m, method = "arellano", type = "HC0", cluster = "group")
  N <- 200; G <- 10; K <- 1 + 20
  full <- lm(inv ~ capital + factor(firm) + factor(year), grunfeld)
  se0 <- unname(sqrt(diag(v0)))
  golden$reghdfe_example <<- list(
    formula = unbox("inv ~ capital | firm + year"),
    published = unbox(0.06328129),
    coef = one(coef(m)), se_CR0 = one(se0),
    K_nonnested = unbox(K),
    se_nonnested = one(se0 * sqrt(G / (G - 1) * (N - 1) / (N - K))),
    se_lm_vcovCL_HC1 = one(sqrt(vcovCL(full, cluster = grunfeld$firm, type = "HC1")["capital", "capital"]))
  )
})

write_json(golden, "golden.json", digits = NA, pretty = TRUE)

# ------------------------------------------------------------------- lme4 --

produc$region <- factor(produc$region)
reml <- lmer(log(gsp) ~ log(pcap) + log(pc) + log(emp) + unemp + (1 | region / state),
             produc, REML = TRUE,
             control = lmerControl(optimizer = "bobyqa",
                                   optCtrl = list(rhobeg = 0.2, rhoend = 1e-9, maxfun = 1e5)))
terms_ <- names(fixef(reml))
vc <- as.data.frame(VarCorr(reml))
sds <- setNames(vc$sdcor, vc$grp)
blup <- ranef(reml, condVar = TRUE)
effects <- function(x) list(
  value = named(x[["(Intercept)"]], rownames(x)),
  conditional_sd = named(sqrt(as.vector(attr(x, "postVar"))), rownames(x)))
V <- as.matrix(vcov(reml))
write_json(list(
  made_by = unbox("tests/golden/make_golden.R"),
  versions = versions(c("lme4", "Matrix", "jsonlite")),
  source = unbox("produc.csv"),
  formula = unbox("log(gsp) ~ log(pcap) + log(pc) + log(emp) + unemp + (1 | region/state)"),
  nobs = unbox(nobs(reml)), n_regions = unbox(9), n_states = unbox(48),
  terms = terms_,
  fixed = named(fixef(reml), terms_),
  se = named(sqrt(diag(V)), terms_),
  vcov = unname(V),
  sd = list(region = one(sds["region"]), state_in_region = one(sds["state:region"]),
            residual = one(sds["Residual"])),
  theta = as.numeric(getME(reml, "theta")),
  reml_criterion = one(REMLcrit(reml)),
  log_likelihood_reml = one(logLik(reml)),
  blup_region = effects(blup$region),
  blup_state = effects(blup[["state:region"]])
), "lme4.json", digits = NA, pretty = TRUE)
