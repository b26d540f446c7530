"""What the words around a table say: levels of stars, what stands in brackets, clustering, ratios, its number."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from cbec_bayes.published.stars import ASTERISKS, plain_stars

_STAR = rf"[{re.escape(ASTERISKS)}]{{1,4}}|\+|†"
_WITH_P = re.compile(
    rf"({_STAR}|(?<![a-z])[abc](?![a-z]))\s*[:=,]?\s*(?:if\s+)?p\s*(?:-?\s?values?\s*)?[<≤]\s*=?\s*(0?[.,]\d+|\d+\s?%)",
    re.IGNORECASE,
)
_CODES = re.compile(rf"['‘]({_STAR})['’]\s*(0?\.\d+)|({_STAR})\s*:\s*(0?\.\d+)")
_BETWEEN = r"(?:[:=]|indicates?|denotes?|significan\w+|at|the|level|\s)*"
_ONE_PERCENT = re.compile(rf"({_STAR})\s*{_BETWEEN}\s*(\d+(?:\.\d+)?)\s?(?:%|percent|per cent)", re.IGNORECASE)
_OUTSIDE = re.compile(
    rf"({_STAR})\s*(?:null hypothesis value|zero|0|1)\s+outside (?:of )?the (?:(\d+)\s?% )?confidence interval",
    re.IGNORECASE,
)
_AND = r"(?:\s*(?:,|，|、|和|and|und|et|;|&|/))+\s*"
_STAR_LIST = re.compile(rf"(?:{_STAR})(?:{_AND}(?:{_STAR}))+")
_PERCENT_LIST = re.compile(rf"\d+(?:\.\d+)?\s?%?(?:{_AND}\d+(?:\.\d+)?\s?%?)+(?:\s*(?:%|percent|per cent))?")
_WHAT: Mapping[str, str] = {
    "ci": r"confidence intervals?|\b9\d\s?%\s?(?:ci|interval)s?\b|\bcis\b|置信区间|intervalles? de confiance"
    r"|konfidenzintervalle?",
    "p": r"\bp[\s-]?(?:values?|werte?\b)|(?<![a-z])p\s?值|\bvaleurs? (?:de )?p\b",
    "t": r"\b[tz][\s-]?(?:statistics?|stats?\b|values?|ratios?|scores?|werte?\b|statistik)|absolute (?:value of )?t\b"
    r"|(?<![a-z])[tz]\s?(?:值|统计量|检验值)|statistiques? (?:de (?:student|t)|t)\b|\bt de student",
    "se": r"standard[\s-]errors?|\bs\.?e\.?s?\b|std\.? err\w*|标准误差?|[ée]carts?[\s-]types?"
    r"|erreurs?[\s-](?:types?|standards?)|standardfehler\w*",
}
_KINDS: Mapping[str, str] = {
    "[": r"square brackets?|brackets?|方括号|中括号|crochets?|eckigen? klammern?",
    "{": r"braces|curly brackets?",
    "(": r"parenthes[ie]s|(?:圆|小)?括号|parenth[èe]ses?|(?:runden? )?klammern?",
}
_IN = r"\b(?:in|entre|dans)\b"
_CLUSTERED = re.compile(r"cluster(?:ed|ing|-robust)?|clusters at|聚类", re.IGNORECASE)
_UNCLUSTERED = re.compile(r"not clustered|without clustering", re.IGNORECASE)
_RATIOS = re.compile(
    r"odds ratios?|hazard ratios?|incidence[- ]rate ratios?|relative risk ratios?|exponentiated coef", re.IGNORECASE
)
_MARGINAL = re.compile(r"marginal effects?", re.IGNORECASE)
TABLE = r"(?:table(?:au)?|tabelle|tab\.|表)"
"""The word for a table, in the languages that tables are read in."""
_TABLE = re.compile(rf"(?:\b|(?=表)){TABLE}\s*(?<![a-z])([A-Z]?\.?\d+[a-z]?|[IVX]+)(?![a-z0-9])", re.IGNORECASE)

_OPENINGS = (
    r"(?:notes?|anmerkung(?:en)?|hinweis)\b",
    "注|说明[:：]|数据来源|(?:圆|小|方)?括号",
    "source|quelle",
    r"(?:robust |clustered |heterosk\w+[- ]\w+ )?standard[- ]errors|clustered \(|standardfehler|[ée]carts?[- ]types?",
    r"(?:robust |absolute )?[tpz][\s-](?:stat|value|ratio)",
    "signif",
    rf"\*?\s*p\s?<|(?:{_STAR})\s*(?:p|[:=,]|indicate|denote|significan|\d+\s?%)",
    r"(?:the )?(?:values?|numbers|figures) in",
    r"9\d\s?%",
)
NOTE_LINE = re.compile(rf"^\s*(?:{'|'.join(_OPENINGS)})", re.IGNORECASE)
"""How a line under a table begins that is a note."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What the words around a table say.

    Attributes
    ----------
    table
        Its number; blank where none is said.
    stars
        Symbol to level as text, weakest first; empty where nothing is said.
    inside
        Kind of bracket to what stands in it: ``se``, ``t``, ``p`` or ``ci``.
    clustered, is_ratio, is_marginal
        Whether standard errors are clustered, estimates ratios, or marginal effects.
    """

    table: str = ""
    stars: Mapping[str, str] = field(default_factory=dict)
    inside: Mapping[str, str] = field(default_factory=dict)
    clustered: bool = False
    is_ratio: bool = False
    is_marginal: bool = False


def read_words(title: str, notes: Sequence[str]) -> Said:
    """Read a title and the notes under a table."""
    words = " ".join(notes)
    both = f"{title} {words}"
    number = _TABLE.search(title)
    return Said(
        table=number[1] if number else "",
        stars=star_levels(words),
        inside=inside_brackets(words) or inside_brackets(title),
        clustered=bool(_CLUSTERED.search(words)) and not _UNCLUSTERED.search(words),
        is_ratio=bool(_RATIOS.search(both)),
        is_marginal=bool(_MARGINAL.search(both)) and not _RATIOS.search(both),
    )


def star_levels(words: str) -> dict[str, str]:
    """Return symbol to level, such as ``{"*": "0.10", "**": "0.05"}``, weakest first; empty where nothing is said."""
    found = {plain_stars(star): _level(level) for star, level in _WITH_P.findall(words)}
    found = found or {plain_stars(a or b): _level(x or y) for a, x, b, y in _CODES.findall(words)}
    if not found:
        listed, levels = _STAR_LIST.search(words), _PERCENT_LIST.search(words)
        if listed and levels:
            symbols = [plain_stars(one) for one in re.findall(_STAR, listed[0])]
            percents = re.findall(r"\d+(?:\.\d+)?", levels[0])
            if len(symbols) == len(percents):
                found = dict(zip(symbols, map(_percent, percents), strict=True))
    if not found:
        found = {plain_stars(star): _percent(level) for star, level in _ONE_PERCENT.findall(words)} or _outside(words)
    return dict(sorted(found.items(), key=lambda item: Decimal(item[1]), reverse=True))


def _outside(words: str) -> dict[str, str]:
    """Return the star of an estimate whose interval leaves out zero, and the level that this is."""
    match = _OUTSIDE.search(words)
    if match is None:
        return {}
    return {plain_stars(match[1]): str((1 - Decimal(match[2] or "95") / 100).normalize())}


def _level(text: str) -> str:
    plain = text.replace(",", ".").strip()
    if plain.endswith("%"):
        return _percent(plain.rstrip("% "))
    return plain if plain.startswith("0") else f"0{plain}"


def _percent(text: str) -> str:
    """Return a level in percent, or as a fraction of one where it is below one, as a fraction."""
    value = Decimal(text)
    return str((value / 100).normalize() if value >= 1 or "." not in text else value)


def inside_brackets(words: str) -> dict[str, str]:
    """Return what stands in each kind of bracket, by the kind, where the words say it."""
    found: dict[str, str] = {}
    any_kind = "|".join(f"(?:{form})" for form in _KINDS.values())
    any_what = "|".join(f"(?:{form})" for form in _WHAT.values())
    for sentence in re.split(r"[.;](?=\s|$)|[。；]|\n", words):
        pairs = re.findall(rf"({any_what})(?:(?!{any_what}).)*?{_IN}[^,]*?({any_kind})", sentence, re.IGNORECASE)
        if not pairs:
            reverse = re.findall(rf"({any_kind})(?:(?!{any_kind}).)*?({any_what})", sentence, re.IGNORECASE)
            pairs = [(what, kind) for kind, what in reverse]
        for what, kind in pairs:
            found.setdefault(_named(_KINDS, kind), _named(_WHAT, what))
    cell = re.search(rf"\b(?:coefficients?|estimates?)\s*([(\[])\s*({any_what})", words, re.IGNORECASE)
    if cell and not found:
        found[cell[1]] = _named(_WHAT, cell[2])
    return found


def _named(forms: Mapping[str, str], text: str) -> str:
    return next(name for name, form in forms.items() if re.fullmatch(form, text, re.IGNORECASE))
