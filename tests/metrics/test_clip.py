"""CLIP's image encoder against its formulas, what it sees of a picture, and the files that are refused."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from conftest import Inside
from gan_cli.errors import DetectorMissing, WeightsMissing, WeightsRefused
from gan_cli.metrics.clip import FILE, Block, Clip

WIDTH, HEADS, LAYERS, PATCH, GRID, FEATURES = 128, 2, 2, 4, 3, 5
State = dict[str, Tensor]


@pytest.fixture(scope="module")
def state() -> State:
    """A small encoder's tensors, and one of the text's."""
    generator = torch.Generator().manual_seed(0)

    def drawn(*shape: int, around: float = 0.0) -> Tensor:
        return around + torch.randn(shape, generator=generator) / shape[-1] ** 0.5

    def norm(name: str) -> State:
        return {f"{name}.weight": drawn(WIDTH, around=1), f"{name}.bias": drawn(WIDTH)}

    def linear(name: str, rows: int, columns: int, kind: str = ".") -> State:
        return {f"{name}{kind}weight": drawn(rows, columns), f"{name}{kind}bias": drawn(rows)}

    made = {
        "conv1.weight": drawn(WIDTH, 3, PATCH, PATCH),
        "class_embedding": drawn(WIDTH),
        "positional_embedding": drawn(GRID**2 + 1, WIDTH),
        "proj": drawn(WIDTH, FEATURES),
        **norm("ln_pre"),
        **norm("ln_post"),
    }
    for block in (f"transformer.resblocks.{i}." for i in range(LAYERS)):
        made |= norm(f"{block}ln_1") | norm(f"{block}ln_2")
        made |= linear(f"{block}attn", 3 * WIDTH, WIDTH, ".in_proj_") | linear(f"{block}attn.out_proj", WIDTH, WIDTH)
        made |= linear(f"{block}mlp.c_fc", 4 * WIDTH, WIDTH) | linear(f"{block}mlp.c_proj", WIDTH, 4 * WIDTH)
    return {"token_embedding.weight": drawn(7, 3), **{f"visual.{name}": tensor for name, tensor in made.items()}}


def encoded(state: State, pictures: Tensor, activation: Callable[[Tensor], Tensor]) -> Tensor:
    """The embeddings of normalised pictures by the formulas, in float64: patch by patch, head by head."""
    w = {name.removeprefix("visual."): tensor.double() for name, tensor in state.items()}

    def norm(x: Tensor, name: str) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        return (
            centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt() * w[f"{name}.weight"] + w[f"{name}.bias"]
        )

    def linear(x: Tensor, name: str) -> Tensor:
        return x @ w[f"{name}weight"].T + w[f"{name}bias"]

    found = []
    for picture in pictures.double():
        tokens = [w["class_embedding"]]
        for row in range(GRID):
            for column in range(GRID):
                patch = picture[:, row * PATCH : (row + 1) * PATCH, column * PATCH : (column + 1) * PATCH]
                tokens.append((w["conv1.weight"] * patch).sum((1, 2, 3)))
        x = norm(torch.stack(tokens) + w["positional_embedding"], "ln_pre")
        for block in (f"transformer.resblocks.{i}." for i in range(LAYERS)):
            query, key, value = linear(norm(x, f"{block}ln_1"), f"{block}attn.in_proj_").chunk(3, -1)
            heads = []
            for q, k, v in zip(*(part.chunk(HEADS, -1) for part in (query, key, value)), strict=True):
                heads.append((q @ k.T / (WIDTH / HEADS) ** 0.5).softmax(-1) @ v)
            x = x + linear(torch.cat(heads, -1), f"{block}attn.out_proj.")
            x = x + linear(activation(linear(norm(x, f"{block}ln_2"), f"{block}mlp.c_fc.")), f"{block}mlp.c_proj.")
        found.append(norm(x[0], "ln_post") @ w["proj"])
    return torch.stack(found)


def pictures(*shape: int) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def normalised(images: Tensor) -> Tensor:
    """By the mean and deviation of the authors' clip.py."""
    mean, std = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
    return (images / 255 - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)


ACTIVATIONS = [(True, lambda x: x / (1 + (-1.702 * x).exp())), (False, lambda x: x * (1 + (x / 2**0.5).erf()) / 2)]


@pytest.mark.parametrize(("quick", "activation"), ACTIVATIONS)
def test_the_embedding_is_that_of_the_formulas(
    state: State, tmp_path: Path, quick: bool, activation: Callable[[Tensor], Tensor]
) -> None:
    torch.save(state, tmp_path / "clip.pt")
    detector = Clip(str(tmp_path / "clip.pt"), quick_gelu=quick)
    images = pictures(3, 3, GRID * PATCH, GRID * PATCH)
    found = detector(images).features
    wanted = encoded(state, normalised(images), activation)
    assert (found - wanted).norm() / wanted.norm() < 1e-5
    other = encoded(state, normalised(images), dict(ACTIVATIONS)[not quick])
    assert (found - other).norm() / other.norm() > 1e-4  # the activation is part of what is measured
    assert ("QuickGELU" in detector.convention) is quick
    torch.testing.assert_close(detector(images[:1]).features, found[:1], atol=1e-5, rtol=1e-5)


def test_pictures_of_other_sizes_are_resized_as_pillow_does(state: State, tmp_path: Path) -> None:
    """Bicubic, antialiased, all of the picture; to the size that the positions say."""
    torch.save(state, tmp_path / "clip.pt")
    detector = Clip(str(tmp_path / "clip.pt"))
    side = GRID * PATCH
    for height, width in ((7, 7), (40, 31)):
        grey = pictures(1, 1, height, width)
        plane = Image.fromarray(grey[0, 0].float().numpy()).resize((side, side), Image.Resampling.BICUBIC)
        seen = torch.from_numpy(np.array(plane)).clamp(0, 255).expand(1, 3, -1, -1)
        torch.testing.assert_close(detector(grey).features, detector(seen).features, atol=1e-3, rtol=1e-3)


def test_halves_and_safetensors_are_read_and_the_text_is_passed_over(state: State, tmp_path: Path) -> None:
    """As OpenAI's are stored: 16-bit, with numbers beside the tensors."""
    half = {name: tensor.half() for name, tensor in state.items()} | {"input_resolution": torch.tensor(224)}
    torch.save(half, tmp_path / "clip.pt")
    safetensors.torch.save_file(half, tmp_path / "clip.safetensors")
    first, second = (Clip(str(tmp_path / name)) for name in ("clip.pt", "clip.safetensors"))
    images = pictures(2, 3, 12, 12)
    assert torch.equal(first(images).features, second(images).features)
    assert first(images).features.dtype == torch.float32
    assert first.digest != second.digest


def without(name: str) -> Callable[[State], State]:
    return lambda state: {key: tensor for key, tensor in state.items() if key != name}


def put(name: str, *shape: int, dtype: torch.dtype = torch.float32) -> Callable[[State], State]:
    return lambda state: {**state, name: torch.zeros(shape, dtype=dtype)}


BLOCK = "visual.transformer.resblocks."
ODD: dict[str, tuple[Callable[[State], State], str]] = {
    "another network": (lambda state: {"conv1.weight": torch.zeros(64, 3, 7, 7)}, r"no visual\.conv1\.weight"),
    "without positions": (without("visual.positional_embedding"), r"no visual\.positional_embedding"),
    "without a norm": (without("visual.ln_pre.bias"), r"no visual\.ln_pre\.bias"),
    "without a layer": (
        lambda state: {key: tensor for key, tensor in state.items() if not key.startswith(BLOCK + "0")},
        r"no visual\.transformer\.resblocks\.0\.",
    ),
    "no layers": (
        lambda state: {key: tensor for key, tensor in state.items() if not key.startswith(BLOCK)},
        "are 0 layers",
    ),
    "layers": (lambda state: {**state, **{f"{BLOCK}{i}.x": torch.zeros(1) for i in range(25)}}, "are 25 layers"),
    "grey": (put("visual.conv1.weight", 128, 1, 4, 4), r"visual\.conv1\.weight has the shape \[128, 1, 4, 4\]"),
    "oblong": (put("visual.conv1.weight", 128, 3, 4, 5), r"visual\.conv1\.weight has the shape"),
    "flat": (put("visual.conv1.weight", 128, 3), r"visual\.conv1\.weight has the shape \[128, 3\]"),
    "empty": (put("visual.conv1.weight", 0, 3, 0, 0), r"visual\.conv1\.weight has the shape"),
    "narrow": (put("visual.conv1.weight", 96, 3, 4, 4), r"visual\.conv1\.weight has the shape"),
    "wide": (put("visual.conv1.weight", 1280, 3, 14, 14), r"visual\.conv1\.weight has the shape"),
    "patch": (put("visual.conv1.weight", 128, 3, 64, 64), r"visual\.conv1\.weight has the shape"),
    "positions": (put("visual.positional_embedding", 12, 128), r"visual\.positional_embedding has the shape"),
    "no positions": (put("visual.positional_embedding", 1, 128), r"visual\.positional_embedding has the shape"),
    "many positions": (put("visual.positional_embedding", 626, 1), r"positional_embedding has the shape"),
    "features": (put("visual.proj", 128, 1025), r"visual\.proj has the shape"),
    "no features": (put("visual.proj", 128, 0), r"visual\.proj has the shape"),
    "mlp": (put(f"{BLOCK}1.mlp.c_fc.weight", 128, 128), r"has the shape \[128, 128\], not \[512, 128\]"),
    "bias": (put("visual.class_embedding", 1, 128), r"visual\.class_embedding has the shape \[1, 128\]"),
    "whole numbers": (put("visual.proj", 128, 5, dtype=torch.int64), r"visual\.proj holds torch\.int64"),
    "another's": (put("visual.attn_pool.query\nx", 4), r"no 'visual\.attn_pool\.query\\nx'"),
}


@pytest.mark.parametrize("name", ODD)
def test_other_files_are_refused_with_the_tensor_and_the_remedy(state: State, tmp_path: Path, name: str) -> None:
    change, message = ODD[name]
    torch.save(change(state), tmp_path / "odd.pt")
    with pytest.raises(DetectorMissing, match=message) as caught:
        Clip(str(tmp_path / "odd.pt"))
    lines = str(caught.value).splitlines()
    assert len(lines) == 2
    assert FILE in lines[1]


def test_files_that_are_no_tensors_are_refused(state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "script.pt", "w", zipfile.ZIP_DEFLATED) as script:  # torch compresses the code
        script.writestr("script/data.pkl", b"")
        script.writestr("script/code/__torch__/model.py", "class Model(Module): ...")
    torch.save({1: torch.zeros(1)}, tmp_path / "numbers.pt")
    torch.save({**state, "visual.proj": state["visual.proj"] * float("nan")}, tmp_path / "nan.pt")
    whole = safetensors.torch.save(state)
    (tmp_path / "cut.safetensors").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "long.safetensors").write_bytes(b"\xff" * 8 + whole[8:])
    words = {
        "script.pt": r"TorchScript archive.*\n.*torch\.jit\.load\(FILE, 'cpu'\)\.state_dict",
        "numbers.pt": "no state dict",
        "nan.pt": r"visual\.proj holds numbers",
        "cut.safetensors": "cut short",
        "long.safetensors": "cut short",
    }
    for file, message in words.items():
        with pytest.raises(WeightsRefused, match=message) as caught:
            Clip(str(tmp_path / file))
        assert len(str(caught.value).splitlines()) == 2
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.delenv("GAN_CLIP", raising=False)
    with pytest.raises(WeightsMissing, match=r"hub.*\n.*\$GAN_CLIP"):
        Clip()


def test_it_is_a_space_of_gan_eval(gan_here: Inside, here: Path, state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save(pictures(40, 3, 12, 12), "some.pt")
    torch.save(255 - pictures(40, 3, 12, 12) // 2, "others.pt")
    torch.save(state, "clip.pt")
    asked = ("eval", "some.pt", "reference=others.pt", "json=told.json", "metrics=[kid,fid]")
    done = gan_here(*asked, "detector=clip", "weights=clip.pt")
    assert done.returncode == 0, done.stderr
    told = json.loads(Path("told.json").read_text())["metrics"]
    assert {*told} == {"kid_clip", "fd_clip"}
    preprocessing = "(width 128, 2 layers, patches of 4, QuickGELU), bicubic antialiased 12, float32"
    assert preprocessing in told["kid_clip"]["convention"]
    torch.save({"x": torch.zeros(1)}, "other.pt")
    monkeypatch.setenv("GAN_CLIP", "other.pt")
    refused = gan_here(*asked, "detector=clip")
    assert refused.returncode == 2
    assert "there is no visual.conv1.weight" in refused.stderr
    listed = gan_here(*asked, "detector=[clip,thumbnail]", "lenient=true")
    assert listed.returncode == 0, listed.stderr
    assert "no visual.conv1.weight" in json.loads(Path("told.json").read_text())["absent"]["clip"]


def test_the_attention_is_torchs(state: State) -> None:
    """The formulas above are those of nn.TransformerEncoderLayer, so that neither was written after the other."""
    block = f"{BLOCK}0."
    layer = torch.nn.TransformerEncoderLayer(
        WIDTH, HEADS, 4 * WIDTH, dropout=0.0, activation=F.gelu, batch_first=True, norm_first=True
    )
    names = {"self_attn": "attn", "norm1": "ln_1", "norm2": "ln_2", "linear1": "mlp.c_fc", "linear2": "mlp.c_proj"}
    own = {}
    for name in layer.state_dict():
        first, _, rest = name.partition(".")
        own[name] = state[f"{block}{names[first]}.{rest}"]
    layer.load_state_dict(own)
    ours = Block(WIDTH, torch.nn.GELU())
    ours.load_state_dict({key.removeprefix(block): tensor for key, tensor in state.items() if key.startswith(block)})
    tokens = torch.randn(2, 10, WIDTH, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(ours.eval()(tokens), layer.eval()(tokens), atol=1e-5, rtol=1e-5)
