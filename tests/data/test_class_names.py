"""Folders for classes: whatever the names are, reading them gives back the labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from conftest import save
from gan_cli.data.class_names import classified, folders_for
from gan_cli.data.listing import listed

CIFAR = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
ODD = {
    "digits": tuple("0123456789"),
    "eleven numbers": tuple(map(str, range(11))),
    "sorted": CIFAR,
    "unsorted": ("T-shirt/top", "Trouser", "Pullover", "Dress"),
    "unknown": (),
    "hostile": ("../../etc", "..", ".hidden", "", "a/b", "a\\b", "nul\0", "x\ny", "__MACOSX"),
    "alike": ("Cat", "cat", "cat "),
    "splits": ("test", "train"),
    "long": ("a" * 300, "b" * 300, "\U0001f600" * 90),
    "numbers among words": ("2 cats", "10 dogs", "a"),
    "a lone surrogate": ("\udc80", "b"),
}


@pytest.mark.parametrize("names", ODD.values(), ids=ODD)
def test_folders_of_classes_give_back_their_labels(tmp_path: Path, names: tuple[str, ...]) -> None:
    count = len(names) or 12
    folders = folders_for([*range(count), *range(count)], names)
    for label, folder in folders.items():
        assert (tmp_path / folder).resolve().parent == tmp_path.resolve()
        save(tmp_path / folder / "0.png", np.full((2, 2), label, np.uint8))
    found = classified(listed(tmp_path), "train")
    assert found.labels is not None, found.why_none
    told = {Path(file.name).parts[0]: label for file, label in zip(found.files, found.labels, strict=True)}
    assert told == {folder: label for label, folder in folders.items()}


def test_folders_have_the_names_of_classes_where_that_keeps_their_order() -> None:
    assert folders_for(range(10), CIFAR) == dict(enumerate(CIFAR))
    assert folders_for([3, 5], CIFAR) == {3: "cat", 5: "dog"}
    assert folders_for(range(4), ODD["unsorted"])[0] == "0 T-shirt_top"
    assert folders_for([2, 10]) == {2: "02", 10: "10"}  # as wide: other programs sort by letters
