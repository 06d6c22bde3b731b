"""The metrics that rows can be judged by (metrics.py works them out), and the columns about calibration."""

from dataclasses import dataclass

# mean over a row's runs: expected calibration error and what chance alone makes of it (on average, and in one of 20
# sets), the temperature that val asks for, the error after it, the Brier score and log-loss
CALIBRATION = ("test_ece", "ece_by_chance", "ece_by_chance_95", "temperature", "ece_scaled", "brier", "log_loss")


@dataclass(frozen=True)
class Metric:
    """`column`: val_ and test_ before it name its columns. `sign`: 1 where higher is better, else -1. `scale`: what 1
    is shown as. `by_image`: whether it is a mean over images. `bounded`: whether it lies between 0 and 1."""

    name: str
    column: str
    title: str
    sign: int = 1
    scale: float = 100.0
    by_image: bool = True
    bounded: bool = True

    @property
    def decimals(self) -> int:
        """Of an interval or difference."""
        return 1 if self.scale > 1 else 3


ACCURACY = Metric("accuracy", "acc", "accuracy")
METRICS = {
    metric.name: metric
    for metric in (
        ACCURACY,
        Metric("weighted-accuracy", "weighted_acc", "class-weighted accuracy"),
        Metric("log-loss", "log_loss", "log-loss", -1, 1.0, bounded=False),
        Metric("brier", "brier", "Brier score", -1, 1.0, bounded=False),
        Metric("macro-f1", "macro_f1", "macro-F1", by_image=False),
        Metric("balanced-accuracy", "balanced_acc", "balanced accuracy", by_image=False),
    )
}
