"""The network trains on several devices of one machine with the lines that docs/several-machines.md gives."""

import json
import re
import subprocess
import sys

import numpy as np
from conftest import PROJECT

PAGE = PROJECT / "docs" / "several-machines.md"
# {lines} are those of the page, once for one device, once for two; dropout is off, as each device draws its own
CODE = """
import json
import helpers
import networks
keras = networks.import_keras()
import numpy as np
import tensorflow as tf
from keras import layers

devices = [tf.config.LogicalDeviceConfiguration() for _ in range(2)]
tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], devices)
rng = np.random.default_rng(0)
images, labels = rng.random((96, 64, 64, 3), dtype="float32"), rng.integers(0, 2, 96)
training, validation = np.arange(64), np.arange(64, 96)
build = networks.build_cnn

def without_dropout():
    model = build()
    for layer in model.layers:
        if isinstance(layer, layers.Dropout):
            layer.rate = 0
    return model

networks.build_cnn = without_dropout
for names in (["CPU:0"], ["CPU:0", "CPU:1"]):
    keras.utils.set_random_seed(0)
    {lines}
    assert strategy.num_replicas_in_sync == len(names)
    print(json.dumps([history.history, [values.ravel().tolist() for values in model.get_weights()]]))
"""


def test_two_devices_train_as_one():
    lines = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)[1]
    assert lines.count("MirroredStrategy()") == 1 and lines.count("epochs=15") == 1
    lines = lines.replace("MirroredStrategy()", "MirroredStrategy(names)").replace("epochs=15", "epochs=2, verbose=0")
    code = CODE.format(lines="\n    ".join(lines.splitlines()))
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (one, one_weights), (two, two_weights) = map(json.loads, done.stdout.splitlines())
    assert set(one) == {"accuracy", "loss", "val_accuracy", "val_loss"}
    for name, values in one.items():
        assert len(values) == 2 and np.allclose(values, two[name], atol=1e-5)
    for ours, theirs in zip(one_weights, two_weights, strict=True):
        assert np.allclose(ours, theirs, atol=1e-5)
