# SPDX-License-Identifier: MIT
"""TensorBoard: an independent reading of the events that runs write."""
import glob
import io
import struct

import numpy as np
from PIL import Image

from training_run import config, losses, metrics, straight


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(data):
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def records(path):
    data = open(path, "rb").read()
    at = 0
    while at < len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        (length_crc,) = struct.unpack_from("<I", data, at + 8)
        assert length_crc == masked(data[at:at + 8])
        payload = data[at + 12:at + 12 + length]
        (payload_crc,) = struct.unpack_from("<I", data, at + 12 + length)
        assert payload_crc == masked(payload)
        at += length + 16
        yield payload


def fields(message):
    """(number, value) of a protobuf message: ints, floats and bytes."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(message):
        tag = varint()
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            yield number, varint()
        elif kind == 1:
            yield number, struct.unpack_from("<d", message, at)[0]
            at += 8
        elif kind == 5:
            yield number, struct.unpack_from("<f", message, at)[0]
            at += 4
        else:
            length = varint()
            yield number, message[at:at + length]
            at += length


def test_tensorboard_events_hold_the_same_scalars(config):
    (path,) = glob.glob(f"{straight(config)}/events/events.out.tfevents.*")
    events = [dict(fields(record)) for record in records(path)]
    assert events[0][3] == b"brain.Event:2"
    assert dict(fields(events[1][7]))[1] == 1  # SessionLog.START
    scalars = {}
    for event in events[2:]:
        value = dict(fields(dict(fields(event[5]))[1]))
        scalars.setdefault(value[1].decode(), {})[event[2]] = value[2]
    for step, entry in losses(straight(config)).items():
        assert scalars["step_loss_t2i"][step] == np.float32(entry["step_loss_t2i"])
    for step, entry in metrics(straight(config)).items():
        for name in ("throughput(tps)", "memory/max_active(GiB)"):
            assert scalars[name][step] == np.float32(entry[name])
    assert set(scalars["gate/mmu/gap"]) == {6, 12}


def test_tensorboard_events_hold_pictures_of_the_reconstruction(config):
    (path,) = glob.glob(f"{config.parent}/image/events/events.out.tfevents.*")
    pictures = []
    for event in (dict(fields(record)) for record in records(path)):
        value = dict(fields(dict(fields(event[5]))[1])) if 5 in event else {}
        if 4 in value:
            pictures.append((value[1], event[2], dict(fields(value[4]))))
    ((tag, step, image),) = pictures
    decoded = Image.open(io.BytesIO(image[4]))
    assert (tag, step) == (b"eval/reconstruction", 2)
    assert decoded.size == (image[2], image[1]) and image[3] == 3 and decoded.format == "PNG"
    assert decoded.size[0] > 8 * 64 and decoded.size[1] > 2 * 64
