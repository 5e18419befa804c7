"""What the members of a `SampledEnsemble` are drawn from: one file, one class, one paper each."""
