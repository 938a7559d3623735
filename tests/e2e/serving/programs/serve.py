"""A serving program: loads a model with joblib and predicts for usual rows, then for rows with larger amounts.

python serve.py FILE
"""

import sys
import time

import joblib
import numpy as np
import pandas as pd

model = joblib.load(sys.argv[1])
rng = np.random.default_rng(2)
for mean in (100, 160):
    time.sleep(1.1)
    model.predict(pd.DataFrame({"amount": rng.normal(mean, 20, 500), "country": rng.choice(["DE", "FR", "US"], 500)}))
