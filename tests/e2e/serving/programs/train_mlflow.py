"""A training program: fits a model in a run of MLflow, logs the data set and the model, and registers it under a name of its own.

python train_mlflow.py NAME
"""

import sys

import mlflow
import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestClassifier

rng = np.random.default_rng(1)
data = pd.DataFrame({"amount": rng.normal(100, 20, 3000), "age": rng.normal(40, 10, 3000)})
label = data["amount"] + rng.normal(0, 20, 3000) > 100
with mlflow.start_run() as run:
    mlflow.log_input(mlflow.data.from_numpy(data.to_numpy(), name="transactions"), context="training")
    model = RandomForestClassifier(10, max_depth=4, random_state=0).fit(data, label)
    mlflow.sklearn.log_model(
        model,
        name="fraud",
        registered_model_name=sys.argv[1],
        pip_requirements=["scikit-learn"],
        serialization_format="pickle",
    )
sys.stdout.write(run.info.run_id)
