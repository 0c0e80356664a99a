"""Files of tensors that somebody else wrote: bounded before they are read, plain once they are."""

from __future__ import annotations

import struct
import zipfile
from typing import BinaryIO

import torch
from torch import Tensor

MEMBERS = 100_000  # a tensor each
LARGEST_DIRECTORY = 2**24  # bytes
LARGEST_PICKLE = 2**24  # bytes: the names and shapes of the tensors, and a config
TAIL = 2**16 + 22  # bytes within which a zip says where its directory is


def check_archive(file: BinaryIO) -> zipfile.ZipFile:
    """The zip in a file, if it is one as torch writes them: nothing compressed, nothing larger than the file.

    Raises:
        ValueError, zipfile.BadZipFile, OSError, NotImplementedError: It is none; the message says why.
    """
    size = file.seek(0, 2)
    if _directory_size(file, size) > LARGEST_DIRECTORY:
        raise ValueError("its list of members is too long")
    archive = zipfile.ZipFile(file)
    members = archive.infolist()
    if len(members) > MEMBERS or len({member.filename for member in members}) < len(members):
        raise ValueError("its members are too many, or have one name")
    for member in members:
        if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:
            raise ValueError("its members are compressed or encrypted, which torch does not do")
        if member.filename.endswith("data.pkl") and member.file_size > LARGEST_PICKLE:
            raise ValueError("its list of tensors is too long")
    if sum(member.file_size for member in members) > size:
        raise ValueError("it declares more than it holds")
    return archive


def _directory_size(file: BinaryIO, size: int) -> int:
    """Bytes of a zip's list of members, by the record at its end. Raises BadZipFile."""
    file.seek(max(0, size - TAIL))
    tail = file.read()
    end = tail.rfind(b"PK\5\6")
    try:
        (length,) = struct.unpack_from("<L", tail, end + 12)
        if end >= 20 and tail[end - 20 :].startswith(b"PK\6\7"):
            (place,) = struct.unpack_from("<Q", tail, end - 12)
            file.seek(place)
            (length,) = struct.unpack_from("<Q", file.read(56), 40)
    except (struct.error, OverflowError, OSError):
        end = -1
    if end < 0:
        raise zipfile.BadZipFile("it has no list of members")
    return int(length)


def flaw(tensor: Tensor, finite: bool = True) -> str | None:
    """What is wrong with a tensor out of a file; None for a plain one of the size that it says, and of finite numbers
    where they have to be (else infinite ones may be among them, but nothing that is no number)."""
    if type(tensor) not in (Tensor, torch.nn.Parameter) or tensor.layout != torch.strided or tensor.is_quantized:
        return "is no plain tensor"
    if tensor.device.type != "cpu" or tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        return "declares more numbers than it holds"
    if not (tensor.is_floating_point() or tensor.is_complex()):
        return None
    # A sum is much quicker than a look at each number; what is not finite makes it so too, and it may overflow.
    if bool(tensor.detach().sum(dtype=torch.float64 if tensor.is_floating_point() else None).isfinite()):
        return None
    if bool(tensor.isfinite().all() if finite else ~tensor.isnan().any()):
        return None
    return "holds numbers that are infinite or not a number" if finite else "holds what is not a number"
