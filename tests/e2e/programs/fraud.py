"""A scikit-learn program without a line about Modelspan; it prints every prediction that it made, for the test to check.

python fraud.py ROUNDS [PAUSE_SECONDS [FILE]]

It goes on until there is the file, if one is named.
"""

import itertools
import json
import os
import sys
import time

import numpy as np
import pandas as pd
from opentelemetry import trace
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

rng = np.random.default_rng(7)


def transactions(n: int) -> pd.DataFrame:
    amounts = rng.lognormal(3, 1, n)
    amounts[rng.random(n) < 0.1] = np.nan
    return pd.DataFrame(
        {
            "amount": amounts,
            "items": rng.integers(1, 9, n),
            "country": rng.choice(["DE", "FR", "Côte d'Ivoire"], n),
            "returning": rng.random(n) < 0.5,
        }
    )


train = transactions(500)
label = np.where(train["items"] + rng.normal(size=500) > 5, "fraud", "legit")
model = make_pipeline(
    make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), ["amount", "items"]),
        (OneHotEncoder(handle_unknown="ignore"), ["country"]),
        ("passthrough", ["returning"]),
    ),
    LogisticRegression(),
).fit(train, label)

tracer = trace.get_tracer("fraud")
for round_ in itertools.count():
    if round_ >= int(sys.argv[1]) and (len(sys.argv) < 4 or os.path.exists(sys.argv[3])):
        break
    rows = transactions(1 if round_ % 3 else 5)
    with tracer.start_as_current_span("request") as span:
        labels = model.predict(rows)
        scores = model.predict_proba(rows)
    for i, row in enumerate(rows.to_dict("records")):
        print(
            json.dumps(
                {
                    "trace_id": format(span.get_span_context().trace_id, "032x"),
                    "amount": None if np.isnan(row["amount"]) else row["amount"],
                    "items": row["items"],
                    "country": row["country"],
                    "returning": row["returning"],
                    "label": labels[i],
                    "fraud": scores[i][0],
                    "legit": scores[i][1],
                }
            )
        )
    if len(sys.argv) > 2:
        time.sleep(float(sys.argv[2]))
