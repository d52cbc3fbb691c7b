"""Reads PyTorch's checkpoint files without PyTorch: the zip of torch 1.6 and later, and the older stream of pickles.

torch.save writes a pickle in which each tensor names its storage (the raw numbers), its offset, size and strides. Our unpickler
knows only tensors, storages and plain containers, and skips the numbers of NumPy. Any other global could run code, so it is
refused by its name before it is looked up. Every size is compared with the number of bytes in the file.

Source of both formats: torch/serialization.py and torch/_utils.py of PyTorch 1.0 to 2.13.
"""

import collections
import io
import math
import pathlib
import pickle
import struct
import zipfile

import numpy as np

# NumPy's names for the storage classes, and for the dtypes that newer tensors have instead. NumPy has no bfloat16.
_STORAGES = {
    "DoubleStorage": "f8", "FloatStorage": "f4", "HalfStorage": "f2", "BFloat16Storage": "bf16",
    "LongStorage": "i8", "IntStorage": "i4", "ShortStorage": "i2", "CharStorage": "i1", "ByteStorage": "u1",
    "BoolStorage": "?", "ComplexFloatStorage": "c8", "ComplexDoubleStorage": "c16", "UntypedStorage": "u1",
}  # fmt: skip
_DTYPES = {
    "float64": "f8", "float32": "f4", "float16": "f2", "bfloat16": "bf16", "int64": "i8", "int32": "i4", "int16": "i2",
    "int8": "i1", "uint8": "u1", "uint16": "u2", "uint32": "u4", "uint64": "u8", "bool": "?", "complex64": "c8",
    "complex128": "c16",
}  # fmt: skip
_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001  # the beginning of the older stream
# The exceptions that Python's pickle and zip readers raise on damaged or hostile bytes.
_DAMAGED = (
    AttributeError, EOFError, IndexError, KeyError, MemoryError, NotImplementedError, OverflowError, RecursionError,
    RuntimeError, TypeError, ValueError, pickle.UnpicklingError, struct.error, zipfile.BadZipFile,
)  # fmt: skip


class Tensor:
    """A tensor of the file: a part of a storage."""

    def __init__(self, storage, offset, size, strides, dtype=None):
        self.storage, self.offset, self.size, self.strides = storage, offset, tuple(size), tuple(strides)
        self.dtype = dtype or storage.dtype

    def numpy(self) -> np.ndarray:
        """The numbers as a new array; bfloat16 becomes float32."""
        whole = np.dtype("u2" if self.dtype == "bf16" else self.dtype)
        data = self.storage.data
        numbers = np.frombuffer(data, whole.newbyteorder(self.storage.order), len(data) // whole.itemsize)
        values = [self.offset, *self.size, *self.strides]
        if not all(isinstance(n, int) and n >= 0 for n in values) or len(self.size) != len(self.strides):
            raise ValueError(f"a tensor of size {self.size}, strides {self.strides}, offset {self.offset}")
        count = math.prod(self.size)
        last = self.offset + sum((n - 1) * stride for n, stride in zip(self.size, self.strides, strict=True))
        if count and (last >= len(numbers) or count > len(numbers)):
            raise ValueError(f"a tensor that ends at number {last + 1} of a storage of {len(numbers)}")
        if not count:
            return np.zeros(self.size, "f4" if self.dtype == "bf16" else self.dtype)
        strides = [stride * whole.itemsize for stride in self.strides]
        array = np.lib.stride_tricks.as_strided(numbers[self.offset :], self.size, strides, writeable=False)
        if self.dtype == "bf16":
            return (array.astype("<u4") << 16).view("<f4")
        return array.astype(self.dtype)


class Storage:
    """The raw numbers of one or more tensors. `data` is filled in when the file's bytes are read."""

    def __init__(self, dtype, count, order="<", data=b""):
        self.dtype, self.count, self.order, self.data = dtype, count, order, data

    @property
    def bytes(self) -> int:
        """The number of bytes that the file must have for it."""
        return self.count * (2 if self.dtype == "bf16" else np.dtype(self.dtype).itemsize)


class Ignored:
    """In the place of a NumPy number, as programs save their best score beside the weights. It holds nothing."""

    def __init__(self, *_):
        pass

    def __setstate__(self, _):
        pass


def load(path: pathlib.Path):
    """The object that torch.save wrote: containers of numbers, texts and `Tensor`, and `Ignored` for numbers of NumPy.

    Raises:
        ValueError: if the file is damaged or holds anything else, which the message names.
    """
    try:
        if zipfile.is_zipfile(path):
            return _load_zip(path)
        with path.open("rb") as file:
            return _load_stream(file, path.stat().st_size)
    except _DAMAGED as error:
        said = str(error) or type(error).__name__
        raise ValueError(f"Expected a whole checkpoint of tensors. Received: {path}: {said}.") from error


def _load_zip(path):
    with zipfile.ZipFile(path) as archive:
        pickled = [name for name in archive.namelist() if name.endswith("/data.pkl") or name == "data.pkl"]
        if len(pickled) != 1:
            raise ValueError(f"a zip archive without the one data.pkl of torch.save ({len(pickled)} of them)")
        root = pickled[0].removesuffix("data.pkl")
        order = archive.read(f"{root}byteorder") if f"{root}byteorder" in archive.namelist() else b"little"
        storages = {}

        def storage(dtype, key, _, count):
            if key not in storages:
                entry = archive.getinfo(f"{root}data/{key}")
                found = Storage(dtype, count, ">" if order == b"big" else "<")
                # torch.save does not compress, so an entry that unpacks to more bytes than it has on disk is a zip bomb.
                if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != found.bytes:
                    raise ValueError(f"storage {key} of {entry.file_size} bytes, where {found.bytes} were written")
                found.data = archive.read(entry)
                storages[key] = found
            return storages[key]

        return _Unpickler(io.BytesIO(archive.read(pickled[0])), storage).load()


def _load_stream(file, length):
    if _Unpickler(file).load() != _MAGIC or _Unpickler(file).load() != _PROTOCOL:
        raise ValueError("no file of torch.save")
    system = _Unpickler(file).load()
    order = "<" if system.get("little_endian", True) else ">"
    storages = {}

    def storage(dtype, key, _, count, view=None):
        if view is not None:
            raise ValueError(f"storage {key} as a view of another, as PyTorch 0.3 and before wrote")
        return storages.setdefault(key, Storage(dtype, count, order))

    content = _Unpickler(file, storage).load()
    for key in _Unpickler(file).load():
        found = storages[key]
        count = int.from_bytes(file.read(8), "little" if order == "<" else "big")
        if count != found.count or found.bytes > length - file.tell():
            raise ValueError(f"storage {key} of {found.count} numbers is cut off")
        found.data = file.read(found.bytes)
    return content


# The unpickler in Python, not the one in C, because a hostile pickle can make the memo of that one take any amount of memory.
class _Unpickler(pickle._Unpickler):
    """Reads a pickle of tensors and plain containers, and refuses every other global."""

    def __init__(self, file, storage=None):
        super().__init__(file, encoding="utf-8")
        self._storage = storage

    def find_class(self, module, name):
        known = _GLOBALS.get((module, name))
        if known is None and module in ("torch", "torch.storage") and name in _STORAGES:
            return _Kind(_STORAGES[name])
        if known is None and module == "torch" and name in _DTYPES:
            return _Kind(_DTYPES[name])
        if known is None:
            raise pickle.UnpicklingError(f"{module}.{name}, which is no tensor and could run code")
        return known

    def get_extension(self, code):
        raise pickle.UnpicklingError(f"extension {code}, which is no tensor and could run code")

    def persistent_load(self, identity):
        if self._storage is None or not isinstance(identity, tuple) or len(identity) < 5 or identity[0] != "storage":
            raise pickle.UnpicklingError(f"an object that is stored elsewhere ({identity!r:.60})")
        _, kind, key, *rest = identity
        if not isinstance(kind, _Kind) or not isinstance(rest[1], int) or rest[1] < 0:
            raise pickle.UnpicklingError("a storage of an unknown kind")
        return self._storage(kind.dtype, str(key), *rest)


class _Kind:
    """Stands for a storage class or a dtype of torch; holds only the type of its numbers."""

    def __init__(self, dtype):
        self.dtype = dtype


def _tensor(storage, offset, size, strides, *_):
    return Tensor(storage, offset, size, strides)


def _tensor_of_dtype(storage, offset, size, strides, _gradient, _hooks, kind, *_):
    return Tensor(storage, offset, size, strides, kind.dtype)


def _parameter(tensor, *_):
    return tensor


def _size(values=()):
    return tuple(values)


def _device(*words):
    return ":".join(map(str, words))


_GLOBALS = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_tensor_v3"): _tensor_of_dtype,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch", "Size"): _size,
    ("torch", "device"): _device,
    # What a number of NumPy is made of.
    ("numpy.core.multiarray", "scalar"): Ignored,
    ("numpy._core.multiarray", "scalar"): Ignored,
    ("numpy", "dtype"): Ignored,
    ("_codecs", "encode"): Ignored,
}
