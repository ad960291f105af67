"""Writes small data sets in the Python forms, as numpy and pickle write them today.

    pip install numpy && python python.py

Byte j of image i is (i * 7 + j) % 251; the label of image i of a CIFAR-10 file
is i, of a CIFAR-100 file 99 - i.
"""
import io, pickle, tarfile
import numpy as np


def data(n, order="C"):
    i, j = np.mgrid[0:n, 0:3072]
    return np.array((i * 7 + j) % 251, np.uint8, order=order)


def archive(path, members):
    with tarfile.open(path, "w:gz", compresslevel=9) as tar:
        for name, (protocol, value) in members.items():
            content = pickle.dumps(value, protocol=protocol)
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


fine = [99, 98, 97]
names = [f"class_{i}" for i in range(100)]
archive("cifar-100-python.tar.gz", {
    "cifar-100-python/train": (2, {b"data": data(3), b"fine_labels": fine, b"coarse_labels": [0, 1, 2], b"filenames": [b"a", b"b", b"c"], b"batch_label": b"x"}),
    "cifar-100-python/test": (5, {"data": data(2), "fine_labels": np.array(fine[:2], np.uint8)}),
    "cifar-100-python/meta": (4, {"fine_label_names": names, "coarse_label_names": names[:20]}),
})
archive("cifar-10-python.tar.gz", {
    "cifar-10-batches-py/data_batch_1": (4, {"data": data(2), "labels": [0, 1]}),
    "cifar-10-batches-py/data_batch_2": (3, {"data": data(1).reshape(1, 3, 32, 32), "labels": [0]}),
    "cifar-10-batches-py/test_batch": (2, {"data": data(3, "F"), "labels": [0, 1, 2]}),
})
