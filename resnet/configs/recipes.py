"""Named recipes: what they set, whatever the network.

"paper" is the named config's own; the others are one cycle over 32-pixel images.
"""

from typing import Any

# One cycle, its first fifth upwards.
FAST = {
    "batch_size": 128,
    "num_steps": 14_000,  # 35.8 epochs of 50,000 images
    "schedule": "one_cycle",
    "learning_rates": (0.01,),
    "boundaries": (),
    "warmup_steps": 2_800,
    "optimizer": "muon",
    "nesterov": False,  # muon always has it
    "weight_decay": 0.03,
    "label_smoothing": 0.1,
    "ema_decay": 0.999,
    "flip": "alternating",
    "preprocessor": "cifar-standard",
    "save_every": 1_000,
}
RECIPES: dict[str, dict[str, Any]] = {
    "paper": {},
    "fast": FAST,
    "long": FAST | {"num_steps": 31_000, "warmup_steps": 6_200},  # 79.4 epochs
}
