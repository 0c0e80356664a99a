"""One decoder: every kind of file gives the same pixels to training and to evaluation, by its mode alone."""

from __future__ import annotations

import io
import logging
import struct
import subprocess
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image

from gan_cli import evaluate, pictures
from gan_cli.data import sources
from gan_cli.data.decoding import BY_ENDING, SAFE, Extent, decode, endings, header, opacity
from gan_cli.data.fit import FITS
from gan_cli.data.flaws import NoLevels, PictureError
from gan_cli.data.images import Images, Request
from gan_cli.errors import DataError
from gan_cli.latent.project import read
from gan_cli.references import files

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:PIL")  # of formats that it will leave out one day
PIXELS = ("detector=pixels", "metrics=[fid]")
SIDE = 12


def request(root: Path, **settings: object) -> Request:
    usual = Request(root, "train", False, False, 3, SIDE, SIDE, FITS["crop"], root.parent / "cache")
    return replace(usual, **settings)  # type: ignore[arg-type]


def saved(image: Image.Image, kind: str, **how: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **how)  # type: ignore[arg-type]
    return buffer.getvalue()


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def every_kind() -> dict[str, bytes]:
    """A file of every kind that can be written here, half of each transparent where the kind can be."""
    rng = np.random.default_rng(0)
    values = rng.integers(0, 256, (SIDE, SIDE, 4), dtype=np.uint8)
    values[: SIDE // 2, :, 3] = 0
    rgba = Image.fromarray(values)
    rgb, ramp = rgba.convert("RGB"), np.linspace(0, 65535, SIDE**2).astype(np.uint16).reshape(SIDE, SIDE)
    grey, deep = rgb.convert("L"), Image.fromarray(ramp)
    colour = tuple(int(v) for v in values[0, 0, :3])
    found = {
        "rgb.png": saved(rgb, "PNG"),
        "rgba.png": saved(rgba, "PNG"),
        "la.png": saved(rgba.convert("LA"), "PNG"),
        "palette.png": saved(rgb.quantize(16), "PNG"),
        "palette_alpha.png": saved(rgba.quantize(16), "PNG"),
        "palette_index.png": saved(rgb.quantize(16), "PNG", transparency=3),
        "one_colour.png": saved(rgb, "PNG", transparency=colour),
        "one_grey.png": saved(grey, "PNG", transparency=int(np.asarray(grey)[0, 0])),
        "one_deep.png": saved(deep, "PNG", transparency=int(ramp[3, 3])),
        "bits.png": saved(rgb.convert("1"), "PNG"),
        "deep.png": saved(deep, "PNG"),
        "deep.tif": saved(deep, "TIFF"),
        "deep.pgm": saved(deep, "PPM"),
        "cmyk.jpg": saved(rgb.convert("CMYK"), "JPEG"),
        "rgba.tif": saved(rgba, "TIFF", compression="tiff_lzw"),
        "wrong_ending.jpg": saved(rgb, "PNG"),
        "thin.png": saved(rgb.resize((300, 1)), "PNG"),
    }
    found |= {f"turned{k}.jpg": saved(rgb, "JPEG", exif=turned(k), quality=95) for k in range(1, 9)}
    found |= {"turned.png": saved(rgb, "PNG", exif=turned(6)), "turned.webp": saved(rgb, "WEBP", exif=turned(8))}
    writable = {kind: ending for ending, kind in endings().items() if kind in Image.SAVE}
    for kind, ending in writable.items():
        for mode in ("RGBA", "RGB", "L", "1", "P"):
            try:
                data = saved(rgba.convert(mode), kind)
                opened = Image.open(io.BytesIO(data))
                opened.load()
                assert opened.mode != "P" or opened.palette is not None  # which Pillow loses in an ICNS
            except (OSError, ValueError, KeyError, SyntaxError, AssertionError):  # the format knows no such mode
                continue
            found[f"{kind}_{mode}{ending}"] = data
    return found


KINDS = every_kind()


def test_there_are_kinds_of_every_format_that_can_be_written() -> None:
    assert len(KINDS) > 60
    assert {
        ".jpg",
        ".jfif",
        ".png",
        ".webp",
        ".bmp",
        ".gif",
        ".tif",
        ".tga",
        ".ppm",
        ".pcx",
        ".sgi",
        ".mpo",
        ".ico",
    } <= set(endings())
    assert not {".pdf", ".eps", ".ps", ".mpg", ".mpeg", ".wmf", ".fits", ".h5", ".txt", ".svg"} & set(endings())


@pytest.mark.parametrize("name", KINDS)
def test_training_evaluation_and_projection_read_the_same(tmp_path: Path, name: str) -> None:
    """One file, six ways: the pixels are equal, and so a folder is at distance 0 from itself."""
    root = tmp_path / "d"
    root.mkdir()
    for copy in ("a", "b"):
        (root / f"{copy}-{name}").write_bytes(KINDS[name])
    with zipfile.ZipFile(tmp_path / "d.zip", "w") as archive:
        for path in sorted(root.iterdir()):
            archive.write(path, path.name)
    trained = sources.folder(request(root)).images
    assert torch.equal(sources.folder(request(tmp_path / "d.zip")).images, trained)
    stored = files.pictures(root)
    assert stored.shape is not None
    frame = files.Frame(SIDE, SIDE, 3)
    ways = [stored] if stored.shape == (3, SIDE, SIDE) else []
    for way in (*ways, stored.fitted(frame), files.pictures(tmp_path / "d.zip").fitted(frame)):  # type: ignore[misc]
        assert torch.equal(next(way.part(range(2))(2))[0], trained)
    projected = read(str(root / f"a-{name}"), (3, SIDE, SIDE))
    assert torch.equal(pictures.to_uint8(projected[None]), trained[:1])
    again = next(files.pictures(root).part((1, 0))(2))[0]
    assert torch.equal(again, next(stored.part((0, 1))(2))[0])


def test_a_folder_of_everything_is_at_distance_zero_from_its_training_images(tmp_path: Path) -> None:
    root = tmp_path / "d"
    root.mkdir()
    for name, data in KINDS.items():
        (root / name).write_bytes(data)
    images = sources.folder(request(root)).images
    assert len(images) == len(KINDS)
    np.savez(tmp_path / "s.npz", arr_0=images.permute(0, 2, 3, 1).numpy())
    found = evaluate(tmp_path / "s.npz", *PIXELS, reference=root).fd_pixels
    assert abs(found.value) < 1e-6
    assert f"reference fitted to {SIDE} x {SIDE} by crop" in found.convention


def test_what_is_transparent_lies_on_white() -> None:
    for name in ("rgba.png", "la.png", "palette_alpha.png", "rgba.tif", "WEBP_RGBA.webp"):
        assert (decode(name, KINDS[name], 3)[:, : SIDE // 2] >= 253).all(), name
    assert (decode("x", KINDS["one_colour.png"], 3)[:, 0, 0] == 255).all()
    assert (decode("x", KINDS["one_grey.png"], 1)[:, 0, 0] == 255).all()
    assert (decode("x", KINDS["one_deep.png"], 1)[:, 3, 3] == 255).all()


def test_what_becomes_white_is_as_opaque_as_the_file_says_at_every_depth() -> None:
    """The one transparent value of a grey picture, of 8 bits and of 16: white where it is, and nowhere opaque."""
    values = np.arange(64).reshape(8, 8) // 5
    for scale, dtype in ((1, np.uint8), (1000, np.uint16)):
        data = saved(Image.fromarray((values * scale).astype(dtype)), "PNG", transparency=3 * scale)
        opaque = opacity("x.png", data)
        assert opaque is not None
        assert opaque.dtype == np.uint8
        assert np.array_equal(opaque, np.where(values == 3, 0, 255))
        assert np.array_equal(decode("x.png", data, 1)[0] == 255, values == 3)
        assert opacity("x.png", saved(Image.fromarray((values * scale).astype(dtype)), "PNG")) is None


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_camera_s_orientation_is_undone(orientation: int) -> None:
    corner = Image.new("RGB", (16, 24))
    corner.paste((255, 255, 255), (0, 0, 8, 8))
    back = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[orientation]  # the inverse of what is undone
    stored = corner if back is None else corner.transpose(Image.Transpose(back))
    data = saved(stored, "JPEG", exif=turned(orientation), quality=95)
    upright = decode("x.jpg", data, 1)[0]
    assert upright.shape == header("x.jpg", data)[:2] == (24, 16)
    assert upright[:7, :7].min() > 200
    assert upright[10:, 10:].max() < 60


@pytest.mark.parametrize("kind", ["deep.png", "deep.tif", "deep.pgm"])
def test_sixteen_bits_are_sixteen_bits_in_every_file(kind: str) -> None:
    ramp = np.linspace(0, 65535, SIDE**2).astype(np.uint16).reshape(SIDE, SIDE)
    assert np.array_equal(decode(kind, KINDS[kind], 1)[0], np.rint(ramp / 257).astype(np.uint8))
    for value in (100, 200, 250, 300, 400, 60000):
        flat = saved(Image.fromarray(np.full((4, 4), value, np.uint16)), "PNG")
        assert (decode("x.png", flat, 1) == round(value / 257)).all()


def tagged(values: np.ndarray, photometric: int) -> bytes:
    """An uncompressed TIFF, of whose values `photometric` says whether 0 is white (0) or black (1)."""
    (height, width), bits, content = values.shape, values.itemsize * 8, values.tobytes()
    tags = [(256, width), (257, height), (258, bits), (259, 1), (262, photometric), (273, 8)]
    tags += [(277, 1), (278, height), (279, len(content)), (339, 2 if values.dtype.kind == "i" else 1)]
    entries = b"".join(struct.pack("<HHII", tag, 3 if tag in (258, 339) else 4, 1, value) for tag, value in tags)
    head = struct.pack("<2sHI", b"II", 42, 8 + len(content))
    return head + content + struct.pack("<H", len(tags)) + entries + bytes(4)


@pytest.mark.parametrize("dtype", ["u1", "<u2"])
def test_a_tiff_may_count_from_white(dtype: str) -> None:
    values = np.linspace(0, np.iinfo(dtype).max, 16).astype(dtype).reshape(4, 4)
    black, white = (decode("x.tif", tagged(values, kind), 1).astype(int) for kind in (1, 0))
    assert black[0, 0, 0] == 0
    assert (black + white == 255).all()


def test_32_bits_without_a_sign_stay_positive() -> None:
    values = np.array([[0, 2**31, 2**32 - 1]], "<u4")
    assert decode("x.tif", tagged(values, 1), 1, (0, 2**32 - 1))[0].tolist() == [[0, 128, 255]]


def test_signed_bytes_have_no_white_of_their_own() -> None:
    values = np.array([[-128, -1, 0, 127]], "i1")
    with pytest.raises(NoLevels, match="from -128 to 127"):
        decode("x.tif", tagged(values, 1), 1)
    for channels in (1, 3):
        found = decode("x.tif", tagged(values, 1), channels, (-128, 127))
        assert found.tolist() == [[[0, 127, 128, 255]]] * channels


def keyed(values: np.ndarray, depth: int, key: int) -> bytes:
    """A PNG of one row, `[W]` grey or `[W, 3]` colour, of `depth` bits, in which the value `key` is transparent."""
    grey = values.ndim == 1
    bits = np.unpackbits(values.reshape(-1, 1).astype(">u2").view(np.uint8), axis=1)[:, 16 - depth :]
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", len(values), 1, depth, 0 if grey else 2, 0, 0, 0)),
        (b"tRNS", struct.pack(">H", key) * (1 if grey else 3)),
        (b"IDAT", zlib.compress(b"\0" + np.packbits(bits).tobytes())),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in parts
    )


@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_one_transparent_value_is_of_the_depth_of_its_file(depth: int, colour: bool) -> None:
    """Its pixels lie on white and are not opaque; all others stay as they are."""
    if colour and depth < 8:
        return  # there is no such PNG
    top = 2**depth - 1
    row = np.unique(np.linspace(0, top, 7).astype(int))
    for i, key in enumerate(row.tolist()):
        values = np.stack([row] * 3, axis=1) if colour else row
        content = keyed(values, depth, key)
        want = np.rint(row * 255 / top) if not colour or depth == 8 else row // 256
        want[i] = 255
        assert decode("x.png", content, 3)[:, 0].tolist() == [want.astype(int).tolist()] * 3
        opaque = opacity("x.png", content)
        assert opaque is not None
        assert opaque[0].tolist() == [0 if j == i else 255 for j in range(len(row))]


def test_levels_are_linear_and_cut_off() -> None:
    values = np.array([[-10, 0, 50, 100, 400]])
    want = [[0, 0, 128, 255, 255]]
    for image in (Image.fromarray(values.astype(np.int32)), Image.fromarray(values.astype(np.float32))):
        assert decode("x.tif", saved(image, "TIFF"), 1, (0, 100))[0].tolist() == want
    shallow = Image.fromarray(values.clip(0, 255).astype(np.uint8))
    assert decode("x.png", saved(shallow, "PNG"), 3, (0, 100))[2].tolist() == want
    deep = Image.fromarray(values.clip(0).astype(np.uint16))
    assert decode("x.png", saved(deep, "PNG"), 1, (0, 100))[0].tolist() == want


def late(content: bytes) -> bytes:
    """A PNG with what it says of its camera moved behind the pixels."""
    at = content.index(b"eXIf") - 4
    end = at + 12 + int.from_bytes(content[at : at + 4], "big")
    return content[:at] + content[end:-12] + content[at:end] + content[-12:]


@pytest.mark.parametrize("kind", ["jpeg", "webp", "tiff", "png", "png, told late"])
@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_header_is_that_of_the_upright_picture(kind: str, turn: int, mode: str) -> None:
    """Of each orientation, wherever a file says it; and so is its opacity."""
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (6, 9, len(mode)), dtype=np.uint8), mode)
    exif, file = Image.Exif(), io.BytesIO()
    exif[ExifTags.Base.Orientation] = turn
    if kind == "jpeg" and mode == "RGBA":
        return
    how = {"tiffinfo": {274: turn}} if kind == "tiff" else {"exif": exif}
    image.save(file, kind.partition(",")[0], **how)
    content = late(file.getvalue()) if "late" in kind else file.getvalue()
    name = f"x.{kind.partition(',')[0]}"
    found, pixels = header(name, content), decode(name, content, 3)
    assert (found.height, found.width) == pixels.shape[1:]
    assert found.plain == (turn == 1 and mode == "RGB")
    if mode == "RGBA":
        opaque = opacity(name, content)
        assert opaque is not None
        assert opaque.shape == pixels.shape[1:]


def test_colours_of_cielab_are_read_as_grey_too() -> None:
    file = io.BytesIO()
    Image.new("LAB", (4, 4), (120, 130, 140)).save(file, "tiff")
    colour, grey = (decode("x.tif", file.getvalue(), channels) for channels in (3, 1))
    weighed = (colour.astype(float) * np.array([0.299, 0.587, 0.114])[:, None, None]).sum(0)
    assert np.abs(grey[0] - weighed).max() <= 1


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_values_without_a_white_need_levels(tmp_path: Path, dtype: type) -> None:
    root = tmp_path / "d"
    root.mkdir()
    for i in (1, 2):
        Image.fromarray(np.full((SIDE, SIDE), 70_000 * i).astype(dtype)).save(root / f"{i}.tif")
    with pytest.raises(DataError, match=r"from 70000 to 140000.*1\.tif.*\n  set dataset\.levels=\[70000,140000\]"):
        sources.folder(request(root))
    assert not list((tmp_path / "cache").glob("*"))  # nothing is left of a refused folder
    levelled = sources.folder(request(root, levels=(70_000.0, 140_000.0))).images
    assert (levelled[0].unique().tolist(), levelled[1].unique().tolist()) == ([0], [255])
    with pytest.raises(DataError, match=r"holds values from .*\n  set levels="):
        evaluate(root, *PIXELS, reference=root)
    assert evaluate(root, *PIXELS, "levels=[70000,140000]", reference=root).fd_pixels.value == pytest.approx(
        0, abs=1e-9
    )
    with pytest.raises(NoLevels):
        decode("1.tif", (root / "1.tif").read_bytes(), 1)
    for wrong in ((5.0, 5.0), (2.0, 1.0), (0.0, float("nan"))):
        with pytest.raises(ValueError, match=r"dataset\.levels=.*\n  .*\[low,high\]"):
            Images(sources.folder, str(root), SIDE, levels=wrong, cache=str(tmp_path / "cache"))


def test_a_set_that_uses_little_of_its_range_is_told_of_with_the_numbers_to_type(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("gan_cli"), "propagate", True)
    root = tmp_path / "d"
    root.mkdir()
    ramp = np.linspace(0, 1400, SIDE**2).astype(np.uint16).reshape(SIDE, SIDE)
    for i in range(3):
        Image.fromarray(np.roll(ramp, i)).save(root / f"{i}.tif")
    for _ in range(2):  # read, and out of the cache
        caplog.clear()
        assert len(sources.folder(request(root)).images.unique()) < 10
        assert "dataset.levels=[0,1400]" in caplog.text
    caplog.clear()
    assert len(sources.folder(request(root, levels=(0.0, 1400.0))).images.unique()) > 100
    assert not caplog.text
    extent = Extent()
    extent.note(255, 0, 255)
    assert extent.warning("d", "levels") is None


def no_picture(width: int, height: int) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    size = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + size + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"no picture", "not a picture"),
        (no_picture(60_000, 60_000), "more pixels"),
        (no_picture(200_000, 3), "200000 x 3 pixels"),
        (saved(Image.new("RGB", (40, 40)), "JPEG")[:200], "."),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n", "not a picture"),
        (saved(Image.fromarray(np.full((3, 3), np.nan, np.float32)), "TIFF"), "not numbers"),
    ],
)
@pytest.mark.parametrize("name", ["a.png", "a.tga", "a.im"])
def test_what_is_no_picture_is_said_in_plain_words(
    data: bytes, message: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def started(*words: object, **settings: object) -> None:
        raise AssertionError(f"a program was started: {words}")

    monkeypatch.setattr(subprocess, "Popen", started)
    with pytest.raises(PictureError, match=message) as caught:
        decode(name, data, 3)
    assert "<" not in str(caught.value)
    assert "Error" not in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_only_named_formats_are_opened() -> None:
    Image.init()
    assert {"EPS", "WMF", "FITS", "MPEG", "GRIB", "HDF5"} <= set(Image.OPEN)
    assert not {"EPS", "PDF", "WMF", "FITS", "MPEG", "GRIB", "HDF5", "BUFR", "IPTC"} & {*SAFE, *BY_ENDING}
