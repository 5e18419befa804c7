"""The engine: ensembles as modules of torch, over any model. It knows no method, backbone or data set by name."""
