# Reference values of classical meta-analysis by metafor for tests/classical/meta.
#
#   Rscript make_meta.R             (from any folder)
#
# The sets ship with metafor and metadat, but for the seven microcredit experiments of Meager (2019); their estimates
# and variances are written into meta.json, so that the tests need no R. README.md says what is in it.

suppressPackageStartupMessages({
  library(metafor)
  library(jsonlite)
})

file_arg <- grep("^--file=", commandArgs(FALSE), value = TRUE)
if (length(file_arg)) setwd(dirname(sub("^--file=", "", file_arg[1])))

bcg <- escalc(measure = "RR", ai = tpos, bi = tneg, ci = cpos, di = cneg, data = dat.bcg)
egger <- escalc(measure = "OR", ai = ai, n1i = n1i, ci = ci, n2i = n2i, data = dat.egger2001)
raudenbush <- dat.raudenbush1985
hackshaw <- dat.hackshaw1998
microcredit <- data.frame(yi = c(37.534, 7.289, 16.722, -4.549, -0.341, 17.544, 66.564),
                          sei = c(19.780, 7.893, 11.830, 5.879, 0.223, 11.401, 78.127))
microcredit$vi <- microcredit$sei^2
# estimates that agree better than chance would have them, so that the variance between studies is zero
alike <- data.frame(yi = c(0.31, 0.29, 0.35, 0.27, 0.30), vi = c(0.02, 0.05, 0.03, 0.04, 0.01))

sets <- list(
  bcg = list(d = bcg, x = cbind(ablat = bcg$ablat), side = "less"),
  raudenbush1985 = list(d = raudenbush, x = cbind(weeks = raudenbush$weeks), side = "greater"),
  hackshaw1998 = list(d = hackshaw, x = cbind(year = hackshaw$year), side = "greater"),
  egger2001 = list(d = egger, x = cbind(year = egger$year), side = "less"),
  microcredit = list(d = microcredit, x = NULL, side = "greater"),
  alike = list(d = alike, x = NULL, side = "greater")
)

tight <- list(threshold = 1e-12, maxiter = 10000, tol = 1e-12)

fitted <- function(yi, vi, method, test, mods = NULL) {
  args <- list(yi = yi, vi = vi, method = method, test = test, control = tight)
  f <- do.call(rma, c(args, if (is.null(mods)) NULL else list(mods = mods)))
  p <- if (is.null(mods)) predict(f) else NULL
  ci <- if (method == "EE") NULL else confint(f, control = list(tol = 1e-10, tau2.max = 1e6))$random
  list(estimate = unname(as.vector(f$beta)), se = unname(f$se), p = unname(f$pval), low = unname(f$ci.lb),
       high = unname(f$ci.ub), tau2 = unbox(f$tau2), se_tau2 = unbox(f$se.tau2), q = unbox(f$QE), q_p = unbox(f$QEp),
       i2 = unbox(f$I2), h2 = unbox(f$H2), qm = unbox(f$QM), qm_p = unbox(f$QMp), r2 = unbox(f$R2),
       ll = unbox(as.numeric(logLik(f))), pi_low = unbox(p$pi.lb), pi_high = unbox(p$pi.ub),
       tau2_low = unbox(ci["tau^2", "ci.lb"]), tau2_high = unbox(ci["tau^2", "ci.ub"]))
}

one <- function(set) {
  d <- set$d[!is.na(set$d$yi), ]
  yi <- as.vector(d$yi)
  vi <- as.vector(d$vi)
  out <- list(yi = yi, vi = vi)
  out$fits <- list(common_effect = fitted(yi, vi, "EE", "z"), dersimonian_laird = fitted(yi, vi, "DL", "z"),
                   paule_mandel = fitted(yi, vi, "PM", "z"), reml = fitted(yi, vi, "REML", "z"),
                   reml_knapp_hartung = fitted(yi, vi, "REML", "knha"),
                   reml_knapp_hartung_adhoc = fitted(yi, vi, "REML", "adhoc"))
  if (!is.null(set$x)) {
    x <- set$x[!is.na(set$d$yi), , drop = FALSE]
    out$x <- x[, 1]
    out$regression <- fitted(yi, vi, "REML", "knha", mods = x)
  }
  f <- rma(yi, vi, method = "REML", test = "knha", control = tight)
  lm <- regtest(f, model = "lm")
  rma <- regtest(f, model = "rma")
  out$egger <- list(lm = list(statistic = unbox(lm$zval), p = unbox(lm$pval), df = unbox(lm$dfs), limit = unbox(lm$est)),
                    rma = list(statistic = unbox(rma$zval), p = unbox(rma$pval), df = unbox(rma$dfs),
                               limit = unbox(unname(rma$est))))
  # one known covariance: errors whose correlation halves with each row between them
  R <- 0.5^abs(outer(seq_along(yi), seq_along(yi), "-"))
  V <- sqrt(vi) * t(sqrt(vi) * R)
  mv <- rma.mv(yi, V, random = ~ 1 | id, data = data.frame(id = seq_along(yi)),
               control = list(optimizer = "nlminb", rel.tol = 1e-10))
  out$correlated <- list(estimate = unbox(as.vector(mv$beta)), se = unbox(mv$se), tau2 = unbox(mv$sigma2),
                         q = unbox(mv$QE), ll = unbox(as.numeric(logLik(mv))))
  ml <- rma(yi, vi, method = "ML", control = tight)
  s <- try(selmodel(ml, type = "stepfun", steps = .025, alternative = set$side,
                    control = list(optimizer = "nlminb", rel.tol = 1e-10)), silent = TRUE)
  if (!inherits(s, "try-error") && !anyNA(s$se)) {
    out$selection <- list(side = unbox(set$side), estimate = unbox(as.vector(s$beta)), se = unbox(s$se), p = unbox(s$pval),
                          tau2 = unbox(s$tau2), delta = unbox(s$delta[2]), lrt = unbox(s$LRT), lrt_p = unbox(s$LRTp),
                          ll = unbox(as.numeric(logLik(s))), ml_tau2 = unbox(ml$tau2))
  } else print(s)
  out
}

write_json(list(
  made_by = unbox("tests/golden/make_meta.R"),
  versions = c(list(R = unbox(paste(R.version$major, R.version$minor, sep = "."))),
               lapply(setNames(nm = c("metafor", "metadat", "jsonlite")),
                      function(p) unbox(as.character(packageVersion(p))))),
  sets = lapply(sets, one)
), "meta.json", digits = NA, pretty = TRUE, na = "null")
