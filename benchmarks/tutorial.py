"""The job of benchmarks/sweep.py's peers: a Hydra application with a training loop as the tutorials write it.

python -m benchmarks.tutorial -m model=resnet18 lr=2e-4,2e-3 seed=0,1
"""

from dataclasses import dataclass
from typing import Any

import hydra
import torch
import torchvision
from hydra.core.config_store import ConfigStore
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset
from torchvision.transforms import v2

WORKERS: Any = {"num_workers": 2, "multiprocessing_context": "fork"}  # joblib's processes have a default that fails


@dataclass
class Config:
    """What the smoke recipe varies, and what it sets."""

    model: str = "resnet18"
    lr: float = 1e-3
    seed: int = 0
    size: int = 16
    epochs: int = 3
    batch_size: int = 64


ConfigStore.instance().store(name="config", node=Config)


class Digits(TensorDataset):
    """The embedded digits, resized whenever one is asked for."""

    def __init__(self, images: torch.Tensor, labels: torch.Tensor, size: int) -> None:
        super().__init__(images, labels)
        self.transform = v2.Compose([v2.Resize((size, size)), v2.Normalize([0.5] * 3, [0.25] * 3)])

    def __getitem__(self, index: int) -> Any:
        image, label = super().__getitem__(index)
        return self.transform(image), label


@hydra.main(version_base=None, config_name="config")
def main(config: Config) -> float:
    """Train and validate; gives the best val accuracy in per cent."""
    torch.manual_seed(config.seed)
    pixels, targets = load_digits(return_X_y=True)
    images = torch.tensor(pixels / 16, dtype=torch.float32).view(-1, 1, 8, 8).expand(-1, 3, 8, 8)
    labels = torch.tensor(targets)
    rest, held = train_test_split(range(len(labels)), test_size=0.3, stratify=targets, random_state=0)
    val, test = held[::2], held[1::2]
    parts = [Digits(images[part], labels[part], config.size) for part in (rest, val, test)]
    train_loader = DataLoader(parts[0], config.batch_size, shuffle=True, **WORKERS)
    network = torchvision.models.get_model(config.model, num_classes=10)
    optimizer = torch.optim.AdamW(network.parameters(), lr=config.lr, weight_decay=0.0)
    best = 0.0
    for _ in range(config.epochs):
        network.train()
        for inputs, wanted in train_loader:
            optimizer.zero_grad()
            functional.cross_entropy(network(inputs), wanted).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        acc = accuracy(network, parts[1], config.batch_size)
        if acc >= best:
            best = acc
            torch.save(network.state_dict(), f"{hydra.core.hydra_config.HydraConfig.get().runtime.output_dir}/best.pt")
    print(f"val {best:.2f} test {accuracy(network, parts[2], config.batch_size):.2f}")
    return best


@torch.no_grad()
def accuracy(network: torch.nn.Module, part: Digits, batch_size: int) -> float:
    """Per cent."""
    network.eval()
    right = sum(
        int((network(inputs).argmax(1) == wanted).sum()) for inputs, wanted in DataLoader(part, batch_size, **WORKERS)
    )
    return 100 * right / len(part)


if __name__ == "__main__":
    main()
