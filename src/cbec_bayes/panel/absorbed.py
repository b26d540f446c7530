"""The effects of a formula, which stand after |: of units, of periods, and of whatever else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cbec_bayes.panel.levels import MOST_ABSORBED
from cbec_bayes.panel.names import tidy
from cbec_bayes.panel.within import PeriodEffects
from cbec_bayes.runtime.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Absorbed:
    """What a formula's effects are of.

    Attributes
    ----------
    unit, time
        Columns of units and of periods.
    periods
        Which effects of periods there are.
    further
        Columns of every other set of effects; several of one set are taken at once.
    told
        Sentences on what the effects mean.
    """

    unit: str
    time: str
    periods: PeriodEffects = PeriodEffects.COMMON
    further: tuple[tuple[str, ...], ...] = ()
    told: tuple[str, ...] = ()


def absorbed_by(tokens: Sequence[Any], unit: str | None, time: str | None, group: str | None) -> Absorbed:
    """Return what the tokens after | are effects of, given what options name.

    Notes
    -----
    ``firm + year`` are effects of units and periods, and ``firm`` those of units alone. ``region^year``, region being
    the groups, are effects of periods within groups, of which single groups have their own in the model as well. All
    others, as ``state^year`` or ``industry``, are further sets, flat in every model.

    Raises
    ------
    InputError
        Units or periods cannot be told, or effects are too many.
    """
    found = list(_effect_names(tokens))
    if not found:
        if unit is None or time is None:
            raise InputError("the formula has no effects: write | firm + year, or give --unit and --time")
        said = f"the formula has no effects after |: those of '{unit}' and '{time}' are taken"
        return Absorbed(unit=unit, time=time, told=(said,))
    single = [names[0] for names in found if len(names) == 1]
    joint = [names for names in found if len(names) > 1]
    if len(found) == 1 and single:
        return _of_units(single[0], unit, time)
    return _with_others(_keys(single, joint, unit, time, group), single, joint, group)


def _of_units(effect: str, unit: str | None, time: str | None) -> Absorbed:
    """Return the effects of units alone."""
    if unit not in (None, effect):
        raise InputError(f"--unit is '{unit}', and the formula has effects of '{effect}' alone")
    if time is None:
        raise InputError(f"the formula has effects of '{effect}' alone: --time must name the periods")
    said = f"the formula has effects of '{effect}' alone: no effects of periods are taken, in any model"
    return Absorbed(unit=effect, time=time, periods=PeriodEffects.NONE, told=(said,))


def _keys(
    single: list[str], joint: list[tuple[str, ...]], unit: str | None, time: str | None, group: str | None
) -> Absorbed:
    """Return which of the columns are units and periods."""
    shown = " + ".join([*single, *("^".join(names) for names in joint)])
    if unit is not None and unit not in single:
        raise InputError(f"--unit is '{unit}', and the formula's effects are {shown}")
    if time is not None and not any(time in names for names in [single, *joint]) and len(single) < 3 and not joint:
        raise InputError(f"--time is '{time}', and the formula's effects are {shown}")
    if time is None and joint:
        shared = [name for name in joint[-1] if all(name in names for names in joint) and name not in (group, unit)]
        time = next((name for name in shared if name in single[1:]), shared[-1] if shared else None)
    first = unit or next((name for name in single if name != time), None)
    if first is None:
        raise InputError(f"the effects {shown} include none of units; write | firm + year")
    second = time or next((name for name in single if name != first), None)
    if second is None:
        raise InputError(
            f"it is not clear which of the effects {shown} are those of periods; name their column with --time"
        )
    if first == second:
        raise InputError(f"--unit and --time are both '{first}'")
    return Absorbed(unit=first, time=second)


def _with_others(absorbed: Absorbed, single: list[str], joint: list[tuple[str, ...]], group: str | None) -> Absorbed:
    """Return units and periods with which effects of periods there are, and the further sets."""
    time, told = absorbed.time, list[str]()
    by_group = [names for names in joint if set(names) == {group, time}]
    further: list[tuple[str, ...]] = [(name,) for name in single if name not in (absorbed.unit, time)]
    further += [names for names in joint if names not in by_group]
    periods = PeriodEffects.COMMON
    if by_group:
        periods = PeriodEffects.BY_GROUP
        told.append(
            f"effects of '{time}' are those of each group of '{group}', flat, as the formula says, in any model"
        )
    elif time not in single and not any(time in names for names in joint):
        periods = PeriodEffects.NONE
    if further:
        shown = ", ".join("^".join(names) for names in further)
        told.append(f"effects of {shown} are flat, as the formula says, in any model")
    if len(further) > MOST_ABSORBED:
        raise InputError(f"{len(further)} sets of effects beside units and periods are more than {MOST_ABSORBED}")
    return replace(absorbed, periods=periods, further=tuple(further), told=tuple(told))


def _effect_names(tokens: Iterable[Any]) -> Iterator[tuple[str, ...]]:
    """Yield the columns of each effect: one, or those of an interaction."""
    open_name = False
    joined: list[str] = []
    for token in tokens:
        kind, sign = token.kind.value, str(token.token)
        if kind == "operator" and sign == "+" and not open_name and joined:
            yield tuple(joined)
            joined, open_name = [], True
        elif kind == "operator" and sign == "^" and not open_name and joined:
            open_name = True
        elif kind == "name" and (open_name or not joined):
            joined.append(tidy(sign))
            open_name = False
        elif kind == "value" and sign in ("0", "1") and not joined:
            continue
        else:
            raise InputError(f"the sign '{sign}' cannot be used among the effects of a formula; write | firm + year")
    if open_name:
        raise InputError("the effects of the formula end in a sign; write | firm + year")
    if joined:
        yield tuple(joined)
