"""Layers that hold M members: stacked parameters, one matrix product for all of them.

Inside, the batch is (M*B, ...), member 0 first. Each layer knows which members run from a PassState that all layers of
an ensemble share. It draws, merges, penalises and saves itself: nothing else asks what kind of layer it is.
"""
