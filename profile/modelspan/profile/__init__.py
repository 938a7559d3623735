"""Profiles: what a reference is, built and written by anyone, read by the service.

profile = Profile((numeric_profile(ages, kind="feature", name="age"),
                   categorical_profile(countries, kind="feature", name="country")))
data = to_json(profile)          # the bytes of `ml.reference.profile.data`, docs/wire.md section 3
profile = from_json(data)        # validated: `InvalidProfile` says what is wrong
"""

from __future__ import annotations

from modelspan.profile.bins import bin_counts
from modelspan.profile.categorical import categorical_profile
from modelspan.profile.mixed import mixed_profile
from modelspan.profile.numeric import numeric_profile
from modelspan.profile.series import CategoricalProfile, InvalidProfile, NumericProfile, Profile
from modelspan.profile.text import number_text
from modelspan.profile.wire import from_json, to_json

__all__ = [
    "CategoricalProfile",
    "InvalidProfile",
    "NumericProfile",
    "Profile",
    "bin_counts",
    "categorical_profile",
    "from_json",
    "mixed_profile",
    "number_text",
    "numeric_profile",
    "to_json",
]
