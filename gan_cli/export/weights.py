"""Weights in a safetensors file, with a model card."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gan_cli.config import plain_yaml
from gan_cli.export import Exported, Form, card, facts
from gan_cli.latent.translate import network_of
from gan_cli.runs.restore import Restored
from gan_cli.store import exported


@dataclass(frozen=True)
class Weights(Form):
    """The generator's tensors by name; the file's header holds the config, the step and the class names."""

    @property
    def ending(self) -> str:
        return ".safetensors"

    def check(self) -> None:
        pass

    def replaces(self, path: Path) -> bool:
        return card.is_unfilled(path)

    def exported(self, restored: Restored) -> Exported:
        weights = network_of(restored.generator).state_dict()
        config = plain_yaml.written(facts.config_of(restored))
        packed = exported.pack(weights, config, restored.step, list(restored.class_names))
        return Exported({self.ending: packed, ".md": card.written(restored).encode()}, {})
