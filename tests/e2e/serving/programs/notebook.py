"""A notebook: cells that are executed one after the other in one namespace, some of them again."""

import sys

CELLS = [
    """
import numpy as np
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression
X = np.random.default_rng(0).normal(size=(300, 2))
""",
    """
model = LogisticRegression(C=C).fit(X, X[:, 0] > 0)
""",
    """
model.predict(X[:5])
""",
    """
class Threshold(BaseEstimator):
    def fit(self, X, y):
        self.at_ = float(np.mean(X))
        return self
    def predict(self, X):
        return (X[:, 0] > self.at_).astype(int)
own = Threshold().fit(X, X[:, 0] > 0)
own.predict(X[:3])
""",
    """
model.predict(X[:, :1])
""",
]

namespace: dict[str, object] = {"__name__": "__main__", "C": 1.0}
for place in (0, 1, 2, 2, 3, 1, 2, 3, 4):
    namespace["C"] = float(namespace["C"]) + 1
    try:
        exec(compile(CELLS[place], f"<cell {place}>", "exec"), namespace)
    except ValueError as error:
        sys.stdout.write(f"{type(error).__name__} in cell {place}\n")
