"""Pretrained weights under other names than those of the model that takes them."""
