"""Training on transformers' Trainer, and prediction: what a run is made of."""
