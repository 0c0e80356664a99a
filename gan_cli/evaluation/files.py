"""The former home of `gan_cli.references.files`, for scripts that know it here."""

from gan_cli.references.files import Filed, npz, pictures, tensor_file
from gan_cli.references.files import _decode as _decode
from gan_cli.references.files import _is_grey as _is_grey

__all__ = ["Filed", "npz", "pictures", "tensor_file"]
