"""SQL and names by which values meet that were written in different forms: by earlier versions, other languages, or from a file.

`docs/values.md` has the forms. A reference, once stored, keeps those that it was made with.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]+)?(Z|[+-][0-9]{2}:?[0-9]{2})?)?$"
_ZONE = r"(Z|[+-][0-9]{2}:?[0-9]{2})$"
_NUMBER = r"^-?((0|[1-9][0-9]*)([.][0-9]+)?(e[-+]?[0-9]+)?|inf)$"
_DURATION = r"^(?:(-?[0-9]+) days?,? [+]?)?([0-9]+):([0-9]{2}):([0-9]{2}(?:[.][0-9]+)?)$"
_MADE_UP = re.compile("(x|[Cc]olumn_)?([0-9]+)")
_TEXT = "text"
"""The feature of an input of one dimension."""


def date_key(text: str) -> str:
    """Expression of what a text is compared by: a time in UTC with the digits that it needs, anything else as it is."""
    utc = f"if(match({text}, '{_ZONE}') AND length({text}) > 10,"
    utc += f" ifNull(toString(parseDateTime64BestEffortOrNull({text}, 9, 'UTC')), {text}), {text})"
    written = f"replaceRegexpOne(replaceOne({utc}, ' ', 'T'), '([.][0-9]*[1-9])0+$', '\\\\1')"
    return f"if({is_date(text)}, replaceRegexpOne({written}, '(T00:00:00)?([.]0+)?$', ''), {text})"


def is_date(text: str) -> str:
    """Condition under which a text is a date or time."""
    return f"match({text}, '{_DATE}')"


def number_of(category: str) -> str:
    """Expression of the number that was written as a category: a numeral, a truth value or a duration; NULL of others."""
    parts = f"extractGroups({category}, '{_DURATION}')"
    seconds = " + ".join(f"toFloat64OrZero({parts}[{i + 1}]) * {unit}" for i, unit in enumerate((86_400, 3600, 60, 1)))
    return (
        f"multiIf({category} IN ('True', 'true'), 1., {category} IN ('False', 'false'), 0.,"
        f" match({category}, '{_NUMBER}'), toFloat64OrNull({category}), match({category}, '{_DURATION}'), {seconds}, NULL)"
    )


def name_of(names: Iterable[str]) -> tuple[str, dict[str, str]]:
    """Expression of the name under which a reference with these features knows the feature `name`, and its parameters.

    Columns without names were called 0, 1, ..., x0, x1, ... or Column_0, Column_1, ..., by what held them; the texts of a series
    by its name.
    """
    known = list(names)
    made_up = [_MADE_UP.fullmatch(name) for name in known]
    prefixes = {found[1] or "" for found in made_up if found is not None}
    if known and all(made_up) and len(prefixes) == 1:
        numbered = "concat({made_up:String}, extract(name, '[0-9]+$'))"
        return f"if(match(name, '^(x|[Cc]olumn_)?[0-9]+$'), {numbered}, name)", {"made_up": prefixes.pop()}
    if len(known) == 1 and known[0] != _TEXT:
        return f"if(name = '{_TEXT}', {{only:String}}, name)", {"only": known[0]}
    return "name", {}
