"""A training program: fits a pipeline on a DataFrame, or a search around it, writes it with joblib, and ends at once.

python train.py FILE [search]
"""

import sys

import joblib
import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

rng = np.random.default_rng(1)
data = pd.DataFrame({"amount": rng.normal(100, 20, 3000), "country": rng.choice(["DE", "FR", "US"], 3000)})
label = data["amount"] + rng.normal(0, 20, 3000) > 100
encode = make_column_transformer((StandardScaler(), ["amount"]), (OneHotEncoder(), ["country"]))
model = make_pipeline(encode, RandomForestClassifier(10, max_depth=4, random_state=0))
if "search" in sys.argv:
    model = GridSearchCV(model, {"randomforestclassifier__max_depth": [2, 4]}, cv=2)
joblib.dump(model.fit(data, label), sys.argv[1])
