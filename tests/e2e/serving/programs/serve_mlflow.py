"""A serving program: loads a registered model and predicts for usual rows, then for rows with larger amounts.

python serve_mlflow.py NAME
"""

import sys
import time

import mlflow
import numpy as np
import pandas as pd

model = mlflow.pyfunc.load_model(f"models:/{sys.argv[1]}/1")
rng = np.random.default_rng(2)
for mean in (100, 160):
    time.sleep(1.1)
    model.predict(pd.DataFrame({"amount": rng.normal(mean, 20, 500), "age": rng.normal(40, 10, 500)}))
