"""Which attacks there are and what they may spend; nothing here needs Keras."""

import importlib
from collections.abc import Iterable
from dataclasses import dataclass
from types import ModuleType

from numpy import ndarray
from numpy.random import Generator

NORMS = ("linf", "l2")
LOSSES = ("cross-entropy", "margin")


@dataclass(frozen=True)
class Attack:
    """What is known of an attack before its module is imported.

    The module has `perturb(model, images, labels, budget)`, which returns images. One that only
    goes along a direction, whatever the size, also has `direction` with the same arguments, which
    returns the perturbations of size 1.
    """

    title: str  # in figures and sentences
    colour: str  # in figures
    summary: str  # a few words for `--help`
    targeted: bool = True  # can go to a target
    sized: bool = True  # perturbs by up to `Budget.eps`; others by the least that they find enough
    module: str | None = None  # `common.attacks.<name>` unless named


ATTACKS = {
    "fgsm": Attack("FGSM", "#E69F00", "one step"),
    "pgd": Attack("PGD", "#D55E00", "many steps from a random start"),
    "mi_fgsm": Attack("MI-FGSM", "#0072B2", "many steps with momentum"),
    "deepfool": Attack(
        "DeepFool", "#CC79A7", "the smallest perturbation it finds", targeted=False, sized=False
    ),
    "noise": Attack("random noise", "#888888", "the control"),
}
DEFAULT = ("fgsm", "pgd", "deepfool")  # unless others are asked for
CONTROL = "noise"  # stands beside the attacks


@dataclass(frozen=True, eq=False)
class Budget:
    """What an attack may spend; each uses what it has a use for.

    Pixels are in [0, 1]; `eps` is the largest allowed change of one of them ("linf") or the
    Euclidean length of the whole perturbation ("l2"), one number or (n,) with one for each image.
    """

    eps: float | ndarray
    norm: str = "linf"  # one of `NORMS`
    loss: str = "cross-entropy"  # one of `LOSSES`, what gradients are taken of
    steps: int = 10  # of an iterated attack, 1 or more
    step_size: float | ndarray | None = None  # None for the attack's own choice
    restarts: int = 1  # random starts, of which the best counts; 0: one start at the image itself
    targeted: bool = False  # labels are the classes to be reached, not the true ones to be left
    generator: Generator | None = None  # of everything random
    batch_size: int = 64  # images at once: about 300 MB with the report's CNN

    def __post_init__(self):
        """Raise a ValueError unless names and counts are as described."""
        check_choice(self.norm, NORMS, "norm")
        check_choice(self.loss, LOSSES, "loss")
        if self.steps < 1 or self.restarts < 0:
            raise ValueError(
                f"expected 1 or more steps and 0 or more restarts, found {self.steps} and "
                f"{self.restarts}"
            )

    def random(self) -> Generator:
        """Return the generator, or raise a ValueError where there is none."""
        if self.generator is None:
            raise ValueError("expected a generator for what is random, found None: pass one")
        return self.generator


def load(name: str) -> ModuleType:
    """Return the module of an attack, or raise a ValueError if the name is unknown."""
    check_choice(name, ATTACKS, "attack")
    return importlib.import_module(ATTACKS[name].module or f"common.attacks.{name}")


def check(names: Iterable[str], *, targeted: bool) -> None:
    """Raise a ValueError if one of these attacks is unknown or, if targeted, reaches no target."""
    for name in names:
        check_choice(name, ATTACKS, "attack")
        if targeted and not ATTACKS[name].targeted:
            able = ", ".join(other for other, attack in ATTACKS.items() if attack.targeted)
            raise ValueError(
                f"expected attacks that can go to a target ({able}), found {name}, which is "
                "untargeted"
            )


def check_choice(value: str, known: Iterable[str], name: str) -> None:
    """Raise a ValueError unless the value of that name is a known one."""
    if value not in known:
        raise ValueError(f"unknown {name} {value!r}: expected one of {', '.join(known)}")
