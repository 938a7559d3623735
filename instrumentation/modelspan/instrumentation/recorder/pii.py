"""Detectors of personal data that is plain to see in a text: e-mail addresses, payment cards, bank accounts and phone numbers.

Phones are found by Google's libphonenumber (`phonenumberslite`, extra `pii`); the others are defined by a short check each.
They find what looks so: they neither find everything nor prove that something is personal.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from modelspan.instrumentation.failure import warn_once
from modelspan.instrumentation.recorder.policy import DROP, HASH
from modelspan.instrumentation.recorder.values import MAX_TEXT

EMAIL, IBAN, CARD, PHONE = "email", "iban", "card", "phone"

_EMAIL = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]{1,64}@[\w-]+(?:\.[\w-]+)+")
_IBAN = re.compile(r"(?<![A-Za-z0-9])(?=([A-Za-z]{2}\d{2}(?: ?[A-Za-z0-9]){11,30}))", re.ASCII)
_CARD = re.compile(r"(?<!\d)\d(?:[ -]?\d){11,18}(?!\d)")
_DIGITS = re.compile(r"\d(?:\D{0,3}\d){5}")
"""What every phone number has, and most texts have not."""
_TAIL = 64
"""Characters left out of a text that was cut: a piece of something at its end would not be recognised."""

Span = tuple[int, int, str]


class Detectors:
    """Finds personal data in texts and masks it, hashes it, or drops the text."""

    active = True

    def __init__(self, action: str, region: str | None, key: bytes | None) -> None:
        self.action = action
        if action == HASH and key is None:
            warn_once(
                "pii-key", "Texts with personal data are dropped: to hash it, set OTEL_INSTRUMENTATION_ML_HASH_KEY."
            )
            self.action = DROP
        self._key = key
        self._region = region
        self._phones = _matcher()

    def clean(self, texts: Sequence[str | None]) -> tuple[list[str | None], Counter[str]]:
        """The texts without what was found, and how often each kind was."""
        detected: Counter[str] = Counter()
        known: dict[str, str | None] = {}
        found: dict[str, list[Span]] = {}
        for text in texts:
            if text is None:
                continue
            if text not in known:
                found[text] = self.find(text)
                known[text] = self._replace(text, found[text])
            detected.update(kind for _, _, kind in found[text])
        return [None if text is None else known[text] for text in texts], detected

    def find(self, text: str) -> list[Span]:
        """Where personal data begins and ends, and its kind; what overlaps with something before it is left out."""
        spans = [(*match.span(), EMAIL) for match in _EMAIL.finditer(text)] if "@" in text else []
        if _DIGITS.search(text):
            spans += [span for match in _IBAN.finditer(text) if (span := _iban(match))]
            spans += [(*match.span(), CARD) for match in _CARD.finditer(text) if passes_luhn(match[0])]
            if self._phones is not None:
                spans += [(match.start, match.end, PHONE) for match in self._phones(text, self._region)]
        kept: list[Span] = []
        for span in spans:
            if all(span[1] <= other[0] or span[0] >= other[1] for other in kept):
                kept.append(span)
        return sorted(kept)

    def _replace(self, text: str, spans: Sequence[Span]) -> str | None:
        if not spans:
            return text
        if self.action == DROP:
            return None
        limit = len(text) if len(text) < MAX_TEXT else MAX_TEXT - _TAIL
        parts, at = [], 0
        for start, stop, kind in spans:
            parts += [text[at : min(start, limit)], self._token(kind, text[start:stop])]
            at = stop
        return "".join([*parts, text[at:limit]])

    def _token(self, kind: str, value: str) -> str:
        if self.action != HASH or self._key is None:
            return f"[{kind}]"
        from modelspan.instrumentation.recorder.redaction import hashed

        return f"[{kind}:{hashed(value, self._key)}]"


class NoDetectors(Detectors):
    """Finds nothing."""

    active = False

    def __init__(self) -> None:
        pass


def passes_luhn(number: str) -> bool:
    """Whether the last digit is the check digit of the others (ISO/IEC 7812-1, annex B)."""
    digits = [int(char) for char in reversed(number) if char.isdigit()]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[1::2]]
    return len(set(digits)) > 1 and (sum(digits[::2]) + sum(doubled)) % 10 == 0


def passes_mod_97(account: str) -> bool:
    """Whether an international bank account number has the right check digits (ISO 13616, ISO 7064 MOD 97-10)."""
    turned = account[4:] + account[:4]
    return int("".join(str(int(char, 36)) for char in turned)) % 97 == 1


def _iban(match: re.Match[str]) -> Span | None:
    """The account number at the beginning of a match, which may have words behind it."""
    found, rest = match[1], match.string[match.start() :]
    for end in range(len(found), 14, -1):
        if not rest[end : end + 1].isalnum() and passes_mod_97(found[:end].replace(" ", "")):
            return match.start(), match.start() + end, IBAN
    return None


def _matcher() -> Callable[[str, str | None], Any] | None:
    try:
        from phonenumbers import PhoneNumberMatcher
    except ImportError:
        warn_once(
            "pii-phones",
            "Phone numbers are not looked for: install Modelspan with the extra 'pii' (in a clone: pip install '.[pii]').",
        )
        return None
    matcher: Callable[[str, str | None], Any] = PhoneNumberMatcher
    return matcher
