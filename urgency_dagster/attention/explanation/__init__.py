"""Why a model predicts what it predicts: the contribution of each feature to the prediction for one row."""
