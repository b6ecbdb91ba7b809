"""Train the network of notebook 3 in several processes, on one machine or on many; see docs/several-machines.md.

python tools/train_on_several.py                                                     one process
python tools/train_on_several.py --first 10.0.0.1:29500 --processes 2 --number 0     on the first machine
python tools/train_on_several.py --first 10.0.0.1:29500 --processes 2 --number 1     on the second machine

Its packages are those of tools/several-machines-requirements.txt. Started again, it goes on after the last whole epoch.
"""

import argparse
import hashlib
import ipaddress
import multiprocessing
import os
import re
import signal
import socket
import sys
import threading
import time
import traceback
from pathlib import Path

os.environ["KERAS_BACKEND"] = "jax"
PROJECT = Path(__file__).resolve().parent.parent
try:
    import jax
    from jax.experimental import multihost_utils
except ImportError:
    sys.exit("JAX is not installed: run pip install -r tools/several-machines-requirements.txt")
import h5py
import keras
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import helpers
import networks
from data import sources

BATCH = 32  # images in each step, of all processes together
SILENCE = 20  # seconds after which a process that no longer answers counts as dead
NOT_WEIGHTS = "not_weights"  # where a checkpoint holds what Keras does not save
REFUSED, LOST = 2, 3  # exit codes: explained in a sentence; ended by the end of another process


def read_arguments(words=None):
    parser = argparse.ArgumentParser(description="Train the network of notebook 3 in one or several processes.")
    parser.add_argument("--first", metavar="ADDRESS:PORT", help="where process 0 listens, the same for all")
    parser.add_argument("--processes", type=int, default=1, metavar="N", help="how many there are, the same for all")
    parser.add_argument("--number", type=int, default=0, metavar="K", help="which one this is: 0, 1, ... N - 1")
    parser.add_argument("--epochs", type=int, default=6 if helpers.QUICK else 15)
    parser.add_argument("--images", type=int, metavar="COUNT", help="train on so few training images, to try it out")
    parser.add_argument("--folder", type=Path, default=PROJECT / "build" / "several", help="for checkpoints and logs")
    parser.add_argument("--wait", type=int, default=120, metavar="SECONDS", help="for the other processes at the start")
    options = parser.parse_args(words)
    faults = {
        "--processes must be at least 1": options.processes < 1,
        f"--number must lie between 0 and {options.processes - 1}": not 0 <= options.number < options.processes,
        "--epochs and --wait must be at least 1": min(options.epochs, options.wait) < 1,
        f"--images must be at least {BATCH}, the images of one batch": options.images is not None
        and options.images < BATCH,
        "--first and --processes (2 or more) go together, such as --first 10.0.0.1:29500 --processes 2": bool(
            options.first
        )
        != (options.processes > 1),
        "--first must look like 10.0.0.1:29500": options.first and not is_address(options.first),
    }
    for fault, found in faults.items():
        if found:
            parser.error(fault + ".")
    return options


def is_address(text):
    found = re.fullmatch(r"[^\s:]+:(\d{1,5})", text)
    return bool(found) and 0 < int(found[1]) < 65536


# --- joining the other processes --------------------------------------------------------------------------------------


def join(options):
    """Meet the other processes. Raises sources.DataError where process 0 cannot listen or cannot be reached.

    Where the others do not come within options.wait seconds, JAX ends this process from inside.
    """
    if options.number:
        wait_for_first(options.first, options.wait)
    else:
        check_port(options.first)
    jax.config.update("jax_enable_preemption_service", False)  # it would keep a polite kill from ending the process
    jax.distributed.initialize(
        options.first,
        options.processes,
        options.number,
        coordinator_bind_address=options.first,  # else JAX listens on every network that the machine has
        initialization_timeout=options.wait,
        heartbeat_timeout_seconds=SILENCE,
        shutdown_timeout_seconds=SILENCE,
    )


def wait_for_first(address, seconds):
    host, port = address.rsplit(":", 1)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            socket.create_connection((host, int(port)), timeout=min(5, seconds)).close()
            return
        except OSError as error:
            reason = sources.one_line(error)
            time.sleep(0.5)
    raise sources.DataError(
        f"Process 0 did not answer at {address} within {seconds} s ({reason}): start it, and check the address, the "
        "port and the firewall."
    )


def check_port(address):
    """Raise sources.DataError where process 0 cannot listen at its address."""
    host, port = address.rsplit(":", 1)
    try:
        with socket.create_server((host, int(port))):
            pass
    except OSError as error:
        raise sources.DataError(
            f"Process 0 cannot listen at {address} ({sources.one_line(error)}): --first must be an address of this "
            "machine and a port that is free."
        ) from error


def check_own_name(first):
    """Raise sources.DataError where other machines would be told to look for this one at a loopback address.

    Without a GPU the processes exchange gradients by Gloo, which gives the others the address of this machine's name.
    """
    if is_loopback(socket.gethostname()) and not is_loopback(first):
        raise sources.DataError(
            f"The name of this machine, {socket.gethostname()}, does not lead to an address where other machines can "
            "reach it: give the name its network address in /etc/hosts."
        )


def is_loopback(name):
    """True where other machines cannot reach the address of a name, or where it has none."""
    try:
        return ipaddress.ip_address(socket.gethostbyname(name)).is_loopback
    except OSError:
        return True


def check_same_task(images, labels, options):
    """Raise sources.DataError in every process where not all have the same images, settings and number of devices."""
    task = hashlib.sha256(images.tobytes() + labels.tobytes())
    versions = [keras.__version__, jax.__version__]
    task.update(repr([options.epochs, helpers.SEED, jax.local_device_count(), *versions]).encode())
    tasks = multihost_utils.process_allgather(np.frombuffer(task.digest(), np.uint8)).reshape(-1, 32)
    if (tasks != tasks[0]).any():
        refuse_together(
            "The processes do not have the same task: --epochs, --images, SEED, PNEUMONIA_DATA, the number of GPUs and "
            "the versions of Keras and JAX must be the same for all."
        )
    if BATCH % jax.device_count():
        refuse_together(
            f"A batch of {BATCH} images cannot be shared equally by {jax.device_count()} devices: use 1, 2, 4, 8, 16 or "
            "32 in all."
        )


def refuse_together(sentence):
    """Raise sources.DataError after all processes have come here: the first to leave would end the others."""
    jax.distributed.shutdown()
    raise sources.DataError(sentence)


# --- training ---------------------------------------------------------------------------------------------------------


def load_images(count):
    """Training images, their labels, and both of the validation images; count: so few training images, None for all of them."""
    images, labels = helpers.get_train_data()
    training, validation = helpers.split_by_patient(helpers.get_metadata())
    training = np.random.default_rng(helpers.SEED).permutation(training)[:count]
    return images[training], labels[training], (images[validation], labels[validation])


def build():
    model = networks.build_cnn()
    model.optimizer.build(model.trainable_variables)
    return model


def get_state(model):
    """All that training changes: weights, the optimizer's averages and step, and the state of dropout."""
    return [np.asarray(variable.value) for variable in model.variables + model.optimizer.variables]


def set_state(model, state):
    for variable, value in zip(model.variables + model.optimizer.variables, state, strict=True):
        variable.assign(value)


def share_of(epoch, count, number, processes):
    """Positions of the images that one process takes in one epoch, batch after batch.

    The order depends on seed and epoch alone, so any number of processes goes through the same batches. Images that
    fill no batch rest for this epoch.
    """
    order = np.random.default_rng([helpers.SEED, epoch]).permutation(count)
    batches = order[: count // BATCH * BATCH].reshape(-1, processes, BATCH // processes)
    return batches[:, number].ravel()


def train(images, labels, validation, options):
    """Train from the last checkpoint on, and print one line per epoch. Raises sources.DataError.

    images, labels: to fit, as in helpers.get_train_data; validation: the same two of the validation images.
    """
    check_same_task(images, labels, options)
    keras.utils.set_random_seed(helpers.SEED)
    own = build()  # lives in this process alone: reads and writes checkpoints, and judges validation images
    folder = options.folder / f"{helpers.results_name()}_{helpers.SEED}_{len(images)}_images"
    done = load_checkpoint(own, folder) if options.number == 0 else 0
    done, state = multihost_utils.broadcast_one_to_all((np.int32(done), get_state(own)))
    if done:
        print(f"going on after epoch {done} of {options.epochs}", flush=True)
    with keras.distribution.DataParallel(auto_shard_dataset=False).scope():
        shared = build()
        set_state(shared, state)

    for epoch in range(int(done), options.epochs):
        mine = share_of(epoch, len(images), options.number, options.processes)
        settings = {"initial_epoch": epoch, "epochs": epoch + 1, "shuffle": False, "verbose": 0}
        with keras.distribution.DataParallel(auto_shard_dataset=False).scope():
            logs = shared.fit(images[mine], labels[mine], batch_size=BATCH // options.processes, **settings).history
        line = f"epoch {epoch + 1}/{options.epochs}: accuracy {logs['accuracy'][0]:.3f}, loss {logs['loss'][0]:.5f}"
        if options.number == 0:
            set_state(own, get_state(shared))
            loss, accuracy = own.evaluate(*validation, verbose=0)
            save_checkpoint(own, folder, epoch + 1)
            line += f", validation accuracy {accuracy:.3f}, validation loss {loss:.5f}"
        print(line, flush=True)
    if options.number == 0:
        print(f"The weights of each epoch are in {folder}", flush=True)
    jax.distributed.shutdown()


def load_checkpoint(model, folder):
    """Fill the model from its last checkpoint; returns the number of epochs done, 0 without a checkpoint."""
    paths = sorted(folder.glob("epoch_[0-9][0-9][0-9][0-9].weights.h5"))
    if not paths:
        return 0
    try:
        model.load_weights(paths[-1])
        with h5py.File(paths[-1]) as file:
            for number, variable in enumerate(model.non_trainable_variables):
                variable.assign(file[f"{NOT_WEIGHTS}/{number}"][()])
    except Exception as error:  # h5py and Keras raise nearly anything
        raise sources.DataError(
            f"The checkpoint {paths[-1].name} is damaged or of another network: delete it in {folder.name}, and "
            "training goes on after the epoch before."
        ) from error
    return int(paths[-1].name[6:10])


def save_checkpoint(model, folder, epoch):
    """Write the file of one epoch, whole or not at all."""
    part = folder / "part.weights.h5"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        model.save_weights(part)
        with h5py.File(part, "a") as file:  # Keras leaves out the state of dropout
            for number, variable in enumerate(model.non_trainable_variables):
                file[f"{NOT_WEIGHTS}/{number}"] = np.asarray(variable.value)
        with part.open("rb+") as file:
            os.fsync(file)  # on the disk before it gets its name, should the machine fail now
        os.replace(part, folder / f"epoch_{epoch:04}.weights.h5")
    except OSError as error:
        raise sources.DataError(
            f"The checkpoint of epoch {epoch} could not be written ({sources.one_line(error)}): make room for it and "
            "start again."
        ) from error


# --- the process that trains, and the one that watches it -------------------------------------------------------------


def work(options, log, joined):
    """Train in a process of its own. What JAX writes about connections goes into the log."""
    threading.Thread(target=leave_with_parent, daemon=True).start()
    os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    code = 0
    try:
        images = load_images(options.images)
        join(options)
        joined.set()
        if jax.default_backend() == "cpu":
            check_own_name(options.first.rsplit(":", 1)[0])
        train(*images, options)
    except sources.DataError as error:
        print(error, flush=True)
        code = REFUSED
    except BaseException:
        traceback.print_exc()
        code = LOST
    sys.stderr.flush()
    os._exit(code)  # a usual exit would wait for a process that is dead


def leave_with_parent():
    multiprocessing.parent_process().join()
    os._exit(LOST)


def watch(options):
    """Run `work`, which JAX may end from inside at any moment, and say in a sentence what happened."""
    log = options.folder / f"process_{options.number}.log"
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise sources.DataError(
            f"The folder {options.folder.name} cannot be made ({sources.one_line(error)}): choose another by --folder."
        ) from error
    context = multiprocessing.get_context("spawn")
    joined = context.Event()
    process = context.Process(target=work, args=(options, log, joined))
    process.start()
    process.join()
    if process.exitcode not in (0, REFUSED):
        print(explain(options, joined.is_set(), killed=process.exitcode == -signal.SIGKILL), flush=True)
        print(f"Details are in {log}", flush=True)
    return process.exitcode


def explain(options, joined, killed):
    """One sentence about a process that ended without one of its own."""
    if killed:
        reason = "it was killed, by hand or for want of memory"
    elif joined:
        reason = "another process died or cannot be reached, or because of the error in its log"
    else:
        return (
            f"The {options.processes} processes did not meet at {options.first} within {options.wait} s: start all of "
            "them, each with its own --number, and let the firewalls pass connections between them."
        )
    return (
        f"Process {options.number} stops, because {reason}: start the same command again on every machine, and "
        "training goes on after the last whole epoch."
    )


def main():
    options = read_arguments()
    try:
        if options.processes > 1:
            code = watch(options)
            sys.exit(code if code >= 0 else LOST)
        train(*load_images(options.images), options)
    except sources.DataError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
