"""Uncertainties: one file each; what samples are ranked by, the higher, the less certain. The file's name is the score.

The anatomy of an uncertainty's file, which is all there is to adding one:

    uncertainty    takes, by name, any of the tensors below; returns (B,) numbers. Each row by itself: it is given some
                   of the rows at a time, which bounds the memory
    MEMBERS        2 where one member has none of it (it is 0, and its scores are not defined); else left out
    LABEL          optional: what it is called in tables for readers; otherwise the words of its name
    fit            where it compares with known samples: takes, by name, tensors of the reference, whatever it needs of
                   them all is given to `uncertainty` as `fitted`

    logits_MBC                          each member's logits, float32; refused where there are only probabilities
    log_probs_MBC, probs_MBC            each member's probabilities, float32
    probs_BC                            the ensemble's probabilities (members pooled), float64
    top_BK                              its up to five largest, falling, float64
    classes_MB                          each member's most probable class
    max_logit_MB, evidence_MB           each member's largest logit; log of the sum of exponentials of them, float64
    total_B, aleatoric_B, epistemic_B   entropies in nats
    features_MBD                        each member's hidden features, where they were kept
    labels_B                            for `fit` only: class indices of the reference

Each gives the scores `auroc_<name>`, `aupr_<name>` and `fpr95_<name>` against an OOD set, and works by its name in
risk-coverage curves, ROC curves and abstention.
"""
