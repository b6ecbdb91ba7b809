"""The peer: the VGG16 of networks.start_vgg16 in PyTorch. Measured as tools/benchmark_parts.py measures ours.

build/benchmark-venv/bin/python tools/benchmark_torch.py torch_training mixed_bfloat16 channels_last

Images and weights are random: they cost as much as real ones. torch.compile is left out: it needs a C++ compiler.
"""

import json
import os
import resource
import statistics
import sys
import time

import torch
from torch import nn

TINY = bool(os.environ.get("BENCHMARK_TINY"))
LAYOUTS = {"channels_first": torch.contiguous_format, "channels_last": torch.channels_last}


class VGG16(nn.Module):
    """The trunk without its last layers, and the head of start_vgg16; gives log odds, (N, 1)."""

    def __init__(self):
        super().__init__()
        trunk, channels = [], 3
        for maps, count in [(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)]:
            for _ in range(count):
                trunk += [nn.Conv2d(channels, maps, 3, padding=1), nn.ReLU(inplace=True)]
                channels = maps
            trunk.append(nn.MaxPool2d(2))
        head = [nn.BatchNorm1d(512), nn.Linear(512, 128), nn.ReLU(), nn.Dropout(0.3), nn.Linear(128, 64), nn.ReLU()]
        self.trunk, self.head = nn.Sequential(*trunk), nn.Sequential(*head, nn.Linear(64, 1))
        self.register_buffer("means", torch.tensor([103.939, 116.779, 123.68]).view(1, 3, 1, 1))

    def forward(self, images):
        return self.head(self.trunk(images.flip(1) * 255 - self.means).mean((2, 3)))


def prepare(count, layout):
    """(network, images, labels)"""
    torch.manual_seed(0)
    images = torch.rand(count, 3, 64, 64).to(memory_format=LAYOUTS[layout])
    return VGG16().to(memory_format=LAYOUTS[layout]), images, torch.randint(0, 2, (count, 1)).float()


def shortened(precision):
    """The context that calculates in this precision."""
    return torch.autocast("cpu", torch.bfloat16, enabled=precision == "mixed_bfloat16")


def torch_training(precision, layout):
    network, images, labels = prepare(64 if TINY else 512, layout)
    optimiser = torch.optim.SGD(network.parameters(), lr=1e-4, momentum=0.9, fused=True)
    loss_of = nn.BCEWithLogitsLoss()

    def epoch(count):
        for rows in torch.randperm(count).split(32):
            with shortened(precision):
                loss = loss_of(network(images[rows]), labels[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()

    epoch(64)  # the first batches also prepare the network
    return {"images_per_second": len(images) / median_seconds(epoch, len(images))}


def torch_inference(precision, layout):
    network, images, _ = prepare(64 if TINY else 640, layout)
    network.train(False)

    def predict(images):
        with torch.inference_mode(), shortened(precision):
            return torch.cat([network(part).sigmoid().float() for part in images.split(64)])

    predict(images[:64])
    return {"images_per_second": len(images) / median_seconds(predict, images)}


def torch_matmul(precision):
    """The fastest multiplication of two square matrices."""

    def speed(side):
        matrix = torch.randn(side, side).to(torch.bfloat16 if precision == "mixed_bfloat16" else torch.float32)
        torch.matmul(matrix, matrix)
        return 2 * side**3 / min(seconds_of(torch.matmul, matrix, matrix) for _ in range(3)) / 1e9

    return {"gflop_per_second": max(speed(side) for side in ((128,) if TINY else (1024, 2048, 4096)))}


def seconds_of(action, *arguments):
    start = time.perf_counter()
    action(*arguments)
    return time.perf_counter() - start


def median_seconds(action, *arguments):
    return statistics.median(seconds_of(action, *arguments) for _ in range(3))


if __name__ == "__main__":
    if sys.argv[1] == "torch_version":
        print(json.dumps({"torch": torch.__version__}))
    else:
        parts = {"torch_training": torch_training, "torch_inference": torch_inference, "torch_matmul": torch_matmul}
        measured = parts[sys.argv[1]](*sys.argv[2:])
        measured["memory_gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9  # Linux counts in KiB
        print(json.dumps(measured))
