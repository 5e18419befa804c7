"""Metrics: one file per metric, or per family that shares its work; pure functions of tensors.

The anatomy of a metric file, which is all there is to adding one:

    BETTER     names of its scores, each with "higher", "lower" or None (neither is better)
    LABELS     optional: what a score is called in tables for readers; otherwise the words of its name
    COLUMNS    optional: those of its scores that a table shows unasked, each with its place from the left
    DIGITS     optional: digits after the point in a table of methods, where 3 are too few or too many
    score      takes, by name, any of the tensors below; returns {name: tensor of R values}
    prepare    optional: takes any of them but counts; what it returns, `score` is given as `prepared`. It is called
               once, `score` for some resamples at a time: what they share (an order, bins) is found here

    probs_BC                            the ensemble's probabilities (members pooled), float64
    predicted_B, right_B                its most probable class; 1 where that is the label, 0 elsewhere, float64
    top_BK                              its up to five largest probabilities, falling, float64
    label_probs_B, squares_B            its probability of the label; its sum of squared probabilities, float64
    label_logs_MB                       each member's log probability of the label, float64
    labels_B                            class indices; without labels the metric is left out
    classes_MB                          each member's most probable class
    max_logit_MB, evidence_MB           each member's largest logit; log of the sum of exponentials of them, float64
    total_B, aleatoric_B, epistemic_B   uncertainties in nats
    <name>_B                            any uncertainty of `lora-ensemble list uncertainties`, float64
    uncertainty_B                       each of them: the metric is computed once for each, and the names of its scores
                                        end with the uncertainty's; NaN where members never disagree, of what needs that
    ood_B                               True for samples of an OOD set, which follow those of the split;
                                        without an OOD set the metric is left out
    logits_MBC, probs_MBC, log_probs_MBC, features_MBD
                                        each member's, float32; large
    counts_RB                           how often each sample counts, float64
    counts32_RB                         the same in float32, exact: sums over many groups are faster

A score is computed R times at once: one row of `counts_RB`, all ones, gives the value; rows that are bootstrap
resamples give its interval. So the mean of x_B over samples is `counts_RB @ x_B / counts_RB.sum(1)`, and a metric has
no other loop over resamples. Resamples come some at a time; `counts_RB.T` is contiguous. Every row of `counts_RB` has
the same sum, the number of samples.
"""
