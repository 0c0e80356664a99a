"""Imports point down: read from the syntax trees, so that the layers stay as documented."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "gan_cli"
LEAVES = (
    *("losses", "penalties", "auxiliaries", "image_auxiliaries", "priors", "ramps", "augment", "networks"),
    *("metrics", "games", "data", "training", "latent"),
)
# The layers from the top: a module may import from its own layer and from those below it.
LAYERS = (
    ("cli", "shell", "demo", "__main__"),
    ("commands",),
    ("report",),
    ("sweeps",),
    ("export",),
    ("evaluation",),
    ("search",),
    ("runs",),
    ("references",),
    ("config",),
    ("callbacks",),
    ("training", "metrics", "sampling", "pictures", "samples", "latent"),
    ("games", "data", "foreign"),
    ("losses", "penalties", "auxiliaries", "image_auxiliaries", "priors", "augment", "networks"),
    ("store",),
    ("types", "whole", "moving", "ramps", "rng", "progress", "pages", "notebook"),
    ("console",),
    ("errors", "hangup"),
)
ONLY_TYPES = ("losses", "penalties", "auxiliaries", "image_auxiliaries", "priors", "augment", "networks")


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def part(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path, typing_too: bool = False) -> set[str]:
    """Absolute names of what a file imports; imports for type checkers only do not count."""
    tree = ast.parse(path.read_text())
    skipped: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            skipped |= set(ast.walk(node))
    names: set[str] = set()
    for node in ast.walk(tree):
        if node in skipped and not typing_too:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def rank(name: str) -> int:
    return next(i for i, layer in enumerate(LAYERS) if name in layer)


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    if path == PACKAGE / "__init__.py":
        return
    for name in imported(path):
        if name.startswith("gan_cli.") and name.count(".") >= 1:
            target = name.split(".")[1]
            if any(target in layer for layer in LAYERS):
                assert rank(part(path)) <= rank(target), f"{path.name} imports {name}"


@pytest.mark.parametrize("path", [p for p in modules() if part(p) in LEAVES], ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_leaf_imports_hydra(path: Path) -> None:
    assert not [n for n in imported(path, typing_too=True) if n.split(".")[0] in ("hydra", "omegaconf")]


@pytest.mark.parametrize(
    "path", [p for p in modules() if part(p) in ONLY_TYPES], ids=lambda p: str(p.relative_to(PACKAGE))
)
def test_networks_losses_and_terms_import_torch_and_types_only(path: Path) -> None:
    own = (f"gan_cli.{part(path)}", "gan_cli.types", "gan_cli.errors", "gan_cli.augment.warps", "gan_cli.moving")
    for name in imported(path):
        if name.startswith("gan_cli."):
            assert any(name == o or name.startswith(f"{o}.") for o in own), name


def test_nobody_instantiates_what_was_not_checked() -> None:
    assert not [p for p in modules() if any(n.endswith("utils.instantiate") for n in imported(p))]


def test_one_place_knows_hydras_version() -> None:
    assert [p.name for p in modules() if "hydra.__version__" in p.read_text()] == ["compose.py"]
