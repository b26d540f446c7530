"""What a row of a printed table is, by its label: a coefficient, a count, a fit, effects, or what stands under one."""

from __future__ import annotations

import re
from collections.abc import Mapping

from cbec_bayes.published.audit.constant import CONSTANT_TERMS

_OF = r"(?:(?:number|no\.?|nr\.?|num\.?|#|n)\s*(?:of)?\s*)"
_UNIT = (
    r"(?:units?|firms?|countr(?:y|ies)|groups?|individuals?|persons?|provinces?|states?|ids?|regions?|cit(?:y|ies)|count(?:y|ies)"
    r"|entit(?:y|ies)|households?|plants?|banks?|schools?|个体|企业|公司|省份|省级|省|城市|地区|国家|县)"
)
_TIME = r"(?:time|years?|months?|quarters?|periods?|weeks?|days?|dates?|waves?|时间|年份|年度|季度|月份)"
_EFFECT = r"(?:\s*(?:fixed\s*)?[-\s]?effects?|\s*[-]?\s*fes?|\s*dumm(?:y|ies)|\s*fixed|\s*(?:固定)?效应|\s*固定)"
_R2 = r"r[\s-]?(?:2|²|squared?|sq\.?|\^2|\^\{2\})\.?"
_ADJUSTED = r"(?:adj(?:usted|\.)?|调整后?的?|ajust[ée]e?|korr(?:igiertes|\.)|adjustiertes)"
STATISTICS: Mapping[str, str] = {
    "n_obs": rf"n|obs\.?|observations?|num\.\s?obs\.?|{_OF}(?:obs\.?|observations?|rows|cases)"
    r"|sample size|n\s*\(?obs\.?\)?|(?:样本)?观测[值数量]|样本[量数]|nombre d['’]observations"
    r"|(?:anzahl )?beobachtungen|fallzahl",
    "r2_adjusted": rf"(?:{_ADJUSTED}|a)[\s.-]*(?:pseudo\s*)?{_R2}|{_R2}\s*[(,]?\s*{_ADJUSTED}\)?",
    "r2_within": rf"within[\s-]*{_R2}|{_R2}\s*[(,-]?\s*within\)?",
    "r2": rf"(?:pseudo|overall|mcfadden'?s?|centered|uncentered)?[\s-]*{_R2}(?:\s*\(?overall\)?)?"
    r"|goodness of fit|coefficient of determination",
    "clusters": rf"{_OF}?clusters?",
    "units": rf"{_OF}{_UNIT}|units",
    "periods": rf"{_OF}{_TIME}|periods",
    "f_statistic": r"f|f[\s-]?(?:stat(?:istic)?s?|test|value)\.?",
    "df": r"(?:residual )?(?:df|d\.f\.|degrees of freedom)",
}
"""Numbers of a whole column, by the label of their row in small letters."""

OTHER_STATISTICS = re.compile(
    r"aic|bic|akaike.*|bayesian inf.*|rmse|root mse|(?:log|pseudo)[\s-]*(?:pseudo)?[\s-]?lik.*|ll|(?:null )?deviance"
    r"|chi.*|wald.*"
    r"|residual std.*|mean (?:of )?(?:the )?(?:dep|outcome).*|(?:dep.*|outcome|control) mean.*|(?:std|sd).* of dep.*"
    r"|hansen.*|sargan.*|j[\s-]stat.*|lm[\s-].*|kleibergen.*|cragg.*|hausman.*|ar ?\([12]\).*|prob ?>.*|iterations"
    r"|first[\s-]stage.*|weak.*|underid.*|overid.*|num\. ?(?:iter|param).*|icc|σ.*|τ00.*|bandwidth.*|kernel.*",
    re.IGNORECASE,
)
"""Labels of other numbers of a whole column, which no check uses."""

YES_OR_NO = frozenset(
    {"yes", "no", "✓", "✔", "√", "incl.", "included", "not included", "true", "false"}
    | {"是", "否", "控制", "未控制", "不控制", "oui", "non", "ja", "nein"}
)
"""Texts of rows that say which effects or controls a column has."""

TEXT_ROWS: Mapping[str, str] = {
    "outcome": r"(?:被解释变量|因变量|abhängige variable|variable (?:dépendante|expliquée)"
    r"|dep(?:endent|\.)?[\s.]*(?:variables?|var\.?)|outcomes?|d\.?v\.?|explained variable)",
    "estimator": r"(?:estimators?|estimation(?: method)?|methods?|models?|specification)",
    "sample": r"(?:sub-?)?samples?",
    "clustering": r"(?:s\.?e\.?s?\s*)?cluster(?:ed|ing|s)?(?:\s*(?:level|by|s\.?e\.?s?|standard errors))?"
    r"|(?:s\.?\s?e\.?s?|std\.?\s?errors?|standard errors?|vcov|covariance)\s*:?\s*(?:type|clustered)?",
    "unit_effects": rf"(?:{_UNIT}|entity){_EFFECT}",
    "time_effects": rf"{_TIME}{_EFFECT}",
    "effects": rf"(?:.*\bcontrols?\b.*|.*{_EFFECT}|.*\btrends?|.*控制变量|effets fixes.*|.*(?:feste|fixe) effekte"
    r"|kontrollvariablen|contrôles)",
}
"""Texts of a whole column, by the label of their row in small letters."""

SUB_ROWS: Mapping[str, str] = {
    "se": r"\(?(?:robust |clustered )?(?:s\.?\s?e\.?(?:\s?\(?b\)?)?|std\.?\s?err(?:or|ors|\.)?|standard errors?)\)?"
    r"|\(?(?:稳健)?标准误差?\)?|standardfehler|std\.?[\s-]?fehler|[ée]carts?[\s-]types?|erreurs?[\s-]types?",
    "t": r"\(?[tz](?:[\s-]?(?:stat(?:istic)?s?|values?|ratios?|stats?|werte?|值|统计量))?\.?\)?",
    "p": r"\[?\(?p(?:[\s-]?values?|[\s-]?werte?|\s?值|\s?>\s?\|?[tz]\|?)?\.?\)?\]?|\[?sig(?:nifikanz)?\.?\]?",
    "ci": r"\[?9\d\s?%.*|\[?(?:conf(?:idence|\.)? int(?:erval|\.)?s?|c\.?i\.?)\]?",
    "ci_low": r"(?:lower|low|2\.5\s?%|\[?\d\d%\s?conf\.?|ll|lcl|ci lower|lower (?:ci|95.*|bound))",
    "ci_high": r"(?:upper|high|97\.5\s?%|interval\]?|ul|ucl|ci upper|upper (?:ci|95.*|bound))",
}
"""What stands under, or beside, a coefficient, by the label of its row or the head of its column."""

STANDARDISED_HEAD = r"(?:(?:std\.?|stand(?:ardi[sz]ed)?)\s*)?(?:β|beta)|β\s*\(?std\.?\)?"
"""Head of the column of standardised coefficients, where others stand beside them."""
ESTIMATE_HEAD = (
    r"(?:(?:unstd\.?|unstandardi[sz]ed)\s*)?(?:coef(?:ficient|f|\.)?s?|b|β|beta|est(?:imate|\.)?s?|or|odds ratio"
    rf"|irr|hr|rrr|slope|effect|dy/dx|系数|(?:regressions)?koeffizient(?:en)?(?:\s*b)?)|{STANDARDISED_HEAD}"
)
"""Head of the column of estimates, where standard errors have a column of their own."""

MOMENTS: Mapping[str, str] = {
    "n_obs": r"n|obs\.?|observations?|count|sample size",
    "mean": r"means?|average",
    "sd": r"s\.?d\.?|std\.?\s?(?:dev\.?|deviation)|standard deviations?|st\.?\s?dev\.?",
    "min": r"min(?:imum|\.)?",
    "max": r"max(?:imum|\.)?",
}
"""Heads of the columns of a descriptive table."""

_CONSTANT = re.compile(
    r"\(?(?:constant(?: term)?|const\.?|_?cons\.?|intercept|constante|konstante|常数项?|截距项?)\)?", re.IGNORECASE
)


def kind_of(label: str, forms: Mapping[str, str]) -> str:
    """Return which of the forms a label has, blank for none; the first that fits counts."""
    plain = " ".join(label.lower().replace("$", "").split()).rstrip(":")
    return next((name for name, form in forms.items() if re.fullmatch(form, plain)), "")


def is_estimate_head(text: str) -> bool:
    """Return whether the head of a column says that it has the estimates."""
    return re.fullmatch(ESTIMATE_HEAD, " ".join(text.lower().split()).rstrip(":")) is not None


def is_standardised_head(text: str) -> bool:
    """Return whether the head of a column says that it has standardised coefficients."""
    return re.fullmatch(STANDARDISED_HEAD, " ".join(text.lower().split()).rstrip(":")) is not None


def term_of(label: str) -> str:
    """Return the term of a coefficient: its label, and for a constant the name that the audit knows."""
    return CONSTANT_TERMS[0] if _CONSTANT.fullmatch(label.strip()) else label.strip()
