"""Plain YAML: what is written is what is read, here and by others."""

from __future__ import annotations

import importlib.util
import random

import pytest
import yaml
from omegaconf import OmegaConf

from gan_cli.config import plain_yaml

LETTERS = [
    *"\\'\":{}[],&*#?|-<>=!%@`a1e5. \n\tyn~é\U0001f600\x07\u2028",
    "true",
    "null",
    "1e5",
    "0x1f",
    "1_0",
    "inf",
    "\udce9",
]


def texts(n: int) -> list[str]:
    draw = random.Random(0)
    return ["".join(draw.choices(LETTERS, k=draw.randrange(7))) for _ in range(n)]


def test_what_is_written_is_what_is_read() -> None:
    shared = [0.5, 0.999]
    config = {"texts": texts(2000), "a": {"betas": shared, "n": None}, "b": {"betas": shared, "x": 1e-5, "on": True}}
    assert plain_yaml.read(plain_yaml.written(config).encode()) == config


def test_others_read_the_same() -> None:
    """OmegaConf, which reads a config that is copied into a folder of conf, and takes 1e5 for a number."""
    config = {"texts": [text for text in texts(500) if not {"\x07", "\udce9"} & {*text}], "x": [1e-5, 3, None, True]}
    assert OmegaConf.to_container(OmegaConf.create(plain_yaml.written(config)), resolve=False) == config


def test_it_is_the_same_where_libyaml_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml, "__with_libyaml__", False)
    monkeypatch.delattr(yaml, "CSafeDumper")
    spec = importlib.util.find_spec("gan_cli.config.plain_yaml")
    assert spec is not None
    assert spec.loader is not None
    slow = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(slow)
    config = {"texts": texts(300), "nested": [{"a": [1, 2.5], "on": False}]}
    text = plain_yaml.written(config)
    assert slow.read(text.encode()) == config == plain_yaml.read(slow.written(config).encode())
    for wrong in ("a: &x 1", "a: !!int 1", "a: 1\na: 2", "1: a", "a: [", "[" * 30 + "]" * 30):
        for reader in (slow, plain_yaml):
            with pytest.raises(reader.NotPlain):
                reader.read(wrong.encode())
