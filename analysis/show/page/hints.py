"""How the figures of the page are made, in plain words: what a reader opens below a heading, or doesn't."""

HINTS = {
    "what it means": "Intervals are 95 % intervals. Where some configuration was run with several seeds, the seeds "
    "and the test images count as draws; where nothing was repeated, claims are about the trained models "
    "alone. The reference is the row with the best val accuracy: the test images choose nothing. "
    "docs/report.md has every formula.",
    "table": "Test accuracy with its 95 % interval; diff: difference from the reference row in points of test "
    "accuracy, with its 95 % interval; ± is the standard deviation of the seeds. mark: what is left of a "
    "difference when all comparisons are counted. id: what --reference, training.predict and weights.path "
    "take.",
    "all rows": "Each row's test accuracy with the 95 % interval of the table, best val accuracy first; the dotted "
    "line is the reference. One of the rows that can still be the best is it with a probability of 95 % (where "
    "nothing was run twice: all that are not marked worse than the reference). Two intervals that overlap may "
    "still belong to rows that differ, since rows share their test images: go by the colours.",
    "what matters": "Rows that agree in all settings but one make a pair; an effect is their mean difference, from "
    "three pairs on. p is corrected over all effects (Holm), also those with higher p that are not shown. A choice "
    "such as augment=standard counts as one setting, whatever keys it sets.",
    "val and test": "One point a row. Far from a line: val accuracy does not say what test accuracy will be.",
    "curves": "One colour a configuration: val solid, train dotted; thin lines are its seeds, the thick one their "
    "mean. The learning rate is that of each epoch's first step.",
    "settings": "One line a row, coloured by val accuracy. Drag along an axis to choose rows, drag an axis to move it.",
    "search": "Importance: what the best tenth of the trials differs in from all (PED-ANOVA, Watanabe et al. 2023), "
    "with an interval over draws of the trials with replacement.",
    "data": "As the first run on these images saw them: images a class and split, up to eight train images of a class, "
    "evenly spaced (of at most 24 classes); sizes and modes are those in the files. Equal files are found by their "
    "content; near copies where data.group_by=duplicates asks for them, and by training.audit.",
    "calibration": "Test images in 15 bins by the probability that the network gives its guess, over all runs of the "
    "reference row. On the dotted line as many are right as it says; below it the network is too sure of itself. A "
    "point is the larger the more images it is of; one that lies in the grey band may lie there by chance. The second "
    "line is after one temperature, the one that fits val best; it changes no guess. --columns calibration has figures "
    "of every row.",
    "mistakes": "Test images of the reference row's run with the lowest seed, by their class and by what the model "
    "took them for.",
    "weights": "Share of the values in each bin at the end of an epoch, of the first layer and the head; gradients "
    "are those of the epoch's last step.",
}
