"""Named recipes: what they set, whatever the network.

"paper" is the named config's own; the others are one cycle over 32-pixel images. RevNet-38 in
bfloat16 takes an hour for "fast" and three for "long" on 2 cores.
"""

from typing import Any

# One cycle, its first fifth upwards.
FAST = {
    "batch_size": 128,
    "num_steps": 10_200,  # 26.1 epochs of 50,000 images
    "schedule": "one_cycle",
    "learning_rates": (0.3,),
    "boundaries": (),
    "warmup_steps": 2_040,
    "nesterov": True,
    "weight_decay": 5e-4,
    "preprocessor": "cifar-standard",
}
RECIPES: dict[str, dict[str, Any]] = {
    "paper": {},
    "fast": FAST,
    "long": FAST | {"num_steps": 31_000, "warmup_steps": 6_200},
}
