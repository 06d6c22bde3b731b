"""Muon for the matrices inside a network, AdamW for everything else, as one optimizer (optimizer=muon)."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from training.models.build import head_prefix
from training.schema.checks import need

# No matrices that map features to features: embeddings of places, and tables that are looked up.
TABLES = ("embed", "class_token", "cls_token", "relative_position", "cpb_mlp", "logit_scale")
OLDEST = "2.9"  # torch with a Muon


class Muon(Optimizer):
    """Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon) orthogonalizes the momentum of a matrix: its
    step has the same size in every direction. torch.optim.Muon does it for the weights of linear layers and of
    convolutions (as matrices [out, in * height * width]); torch.optim.AdamW has the head, norms, biases, depthwise
    kernels and embeddings, as the authors have it.

    Both share lr and weight_decay, layer by layer: with adjust_lr_fn=match_rms_adamw (Liu et al. 2025, arXiv
    2502.16982) a step of Muon is as large as one of AdamW, so that rates for AdamW carry over. Decay is decoupled in
    both. One-cycle schedules leave both momenta as they are. `betas` and `eps` are AdamW's, the rest Muon's.
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        weight_decay: float = 0.0,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_steps: int = 5,
        adjust_lr_fn: str = "match_rms_adamw",
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        there = hasattr(torch.optim, "Muon")
        need(there, f"optimizer=muon needs torch {OLDEST} or newer, for torch.optim.Muon; this is {torch.__version__}")
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "muon": False})
        self.views: list[tuple[nn.Parameter, nn.Parameter, tuple[int, ...]]] = []  # parameter, its matrix, axes
        self.inner: dict[bool, Optimizer] = {}  # by whether it is Muon
        mine = {kind: [group for group in self.param_groups if group["muon"] is kind] for kind in (True, False)}
        if mine[True]:
            groups = [{"params": [self._view(one) for one in group["params"]]} for group in mine[True]]
            more = {"momentum": momentum, "nesterov": nesterov, "ns_steps": ns_steps, "adjust_lr_fn": adjust_lr_fn}
            self.inner[True] = torch.optim.Muon(groups, lr, weight_decay, **more)  # type: ignore[arg-type]
        if mine[False]:
            groups = [{"params": group["params"]} for group in mine[False]]
            self.inner[False] = torch.optim.AdamW(groups, lr, (betas[0], betas[1]), eps, weight_decay)

    @staticmethod
    def arranged(groups: list[dict[str, Any]], model: nn.Module) -> list[dict[str, Any]]:
        """Parameter groups of a network, each parted in what is Muon's and what is AdamW's."""
        head, names = head_prefix(model), {parameter: name for name, parameter in model.named_parameters()}

        def is_matrix(parameter: nn.Parameter) -> bool:
            name = names[parameter]
            in_head = bool(head) and name.startswith(f"{head}.")
            depthwise = parameter.ndim > 2 and parameter.shape[1] == 1
            return parameter.ndim in (2, 4) and not (in_head or depthwise or any(part in name for part in TABLES))

        parted = [
            group | {"params": [one for one in group["params"] if is_matrix(one) is kind], "muon": kind}
            for group in groups
            for kind in (True, False)
        ]
        return [group for group in parted if group["params"]]

    def _view(self, parameter: nn.Parameter) -> nn.Parameter:
        """The same numbers in the same memory as a matrix [out, rest]."""
        axes = tuple(range(parameter.ndim))
        if parameter.ndim == 4 and not parameter.is_contiguous():
            axes = (0, 2, 3, 1)  # channels_last: in which order the rest stands makes no difference to Muon
        matrix = parameter.detach().permute(axes)
        if not matrix.is_contiguous():
            raise ValueError(f"Muon can't view a parameter of shape {list(parameter.shape)} as a matrix")
        view = nn.Parameter(matrix.flatten(1))
        self.views.append((parameter, view, axes))
        return view

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One step of both."""
        for kind, optimizer in self.inner.items():
            mine = [group for group in self.param_groups if group["muon"] is kind]
            for theirs, group in zip(optimizer.param_groups, mine, strict=True):
                theirs["lr"], theirs["weight_decay"] = group["lr"], group["weight_decay"]
        for parameter, view, axes in self.views:
            view.grad = None if parameter.grad is None else _matrix(parameter.grad, axes)
        for optimizer in self.inner.values():
            optimizer.step()
        for _, view, _ in self.views:
            view.grad = None

    def state_dict(self) -> dict[str, Any]:
        """Of both, and the groups as a schedule has left them."""
        return super().state_dict() | {_name(kind): one.state_dict() for kind, one in self.inner.items()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken."""
        super().load_state_dict({key: state_dict[key] for key in ("state", "param_groups")})
        for kind, one in self.inner.items():
            one.load_state_dict(state_dict[_name(kind)])


def _matrix(gradient: Tensor, axes: tuple[int, ...]) -> Tensor:
    return gradient.permute(axes).flatten(1)


def _name(kind: bool) -> str:
    return "muon" if kind else "adamw"
