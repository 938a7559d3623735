"""Train a classifier on half of the Shuttle data and keep what it was trained on as the reference.

Shuttle (Statlog; 49,097 readings of nine sensors, real) comes with River. The only lines that know of Modelspan are the
import and the call of `set_reference`.
"""

from __future__ import annotations

import sys

import joblib
from sklearn.ensemble import GradientBoostingClassifier

from demo.data import training_half
from modelspan.instrumentation import set_reference

features, anomalous = training_half()
model = GradientBoostingClassifier(n_estimators=20, random_state=0).fit(features, anomalous)
joblib.dump(model, sys.argv[1])
set_reference(model, features)
