"""Train the network of notebook 3 in several processes, on one machine or on many; see docs/several-machines.md.

python tools/train_on_several.py --first 10.0.0.1:29500 --processes 2 --number 0     on the first machine
python tools/train_on_several.py --first 10.0.0.1:29500 --processes 2 --number 1     on the second machine

Its packages are those of tools/several-machines-requirements.txt. Started again, it goes on after the last whole epoch.
"""

import argparse
import hashlib
import multiprocessing
import os
import sys
import tempfile
import threading
import traceback
from pathlib import Path

os.environ["KERAS_BACKEND"] = "jax"
try:
    import jax
    from jax.experimental import multihost_utils
except ImportError:
    sys.exit("JAX is not installed: run pip install -r tools/several-machines-requirements.txt")
import keras
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import helpers
import networks
from data.sources import DataError, write_whole

BATCH = 32  # images in each step, of all processes together
SILENCE = 20  # seconds after which a process that no longer answers counts as dead
REFUSED, LOST = 2, 3  # exit codes: explained in a sentence; ended from inside, mostly by the end of another process


def load_images(count):
    """(images, labels, positions to train on, validation positions); count: so few to train on, None for all."""
    images, labels = helpers.get_train_data()
    training, validation = helpers.split_by_patient(helpers.get_metadata())
    return images, labels, np.random.default_rng(helpers.SEED).permutation(training)[:count], validation


def train(images, labels, training, validation, options):
    """Train from the last checkpoint on, and print one line per epoch. Raises DataError."""
    check_same_task(images[training], labels[training], options)
    keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))
    keras.utils.set_random_seed(helpers.SEED)
    model = networks.build_cnn()
    model.optimizer.build(model.trainable_variables)
    folder = options.folder / f"{helpers.results_name()}_{helpers.SEED}_{len(training)}_images"
    done = load_checkpoint(model, folder, options.number)
    if done:
        print(f"going on after epoch {done} of {options.epochs}", flush=True)
    judged = own_share(validation, options)
    for epoch in range(done, options.epochs):
        # the order of images and what dropout drops depend on seed and epoch alone, however many processes there are
        mine = own_share(np.random.default_rng([helpers.SEED, epoch]).permutation(training), options)
        for state in model.non_trainable_variables:  # of dropout: its seed, and the number of the next draw
            state.assign([np.asarray(state)[0], epoch * len(training)])
        settings = {"batch_size": BATCH // options.processes, "initial_epoch": epoch, "epochs": epoch + 1}
        settings |= {"validation_data": (images[judged], labels[judged]), "shuffle": False, "verbose": 0}
        logs = model.fit(images[mine], labels[mine], **settings).history
        save_checkpoint(model, folder, epoch + 1, options.number)
        words = [f"{name.replace('val_', 'validation ')} {logs[name][0]:.5f}" for name in sorted(logs)]
        print(f"epoch {epoch + 1}/{options.epochs}: {', '.join(words)}", flush=True)


def own_share(positions, options):
    """The positions that this process takes, batch after batch; those that fill no batch rest."""
    batches = positions[: len(positions) // BATCH * BATCH].reshape(-1, options.processes, BATCH // options.processes)
    return batches[:, options.number].ravel()


def check_same_task(images, labels, options):
    """Raise DataError in every process where not all have the same images, settings and number of devices."""
    settings = [options.epochs, helpers.SEED, jax.local_device_count(), keras.__version__, jax.__version__]
    task = hashlib.sha256(images.tobytes() + labels.tobytes() + repr(settings).encode())
    tasks = multihost_utils.process_allgather(np.frombuffer(task.digest(), np.uint8)).reshape(-1, 32)
    if (tasks != tasks[0]).any():
        same = "--epochs, --images, SEED, PNEUMONIA_DATA, the number of GPUs and the versions of Keras and JAX"
        raise DataError(f"The processes do not have the same task: {same} must be the same for all.")
    if BATCH % jax.device_count():
        raise DataError(f"{jax.device_count()} devices cannot share {BATCH} images equally: use 1, 2, 4, 8, 16 or 32.")


def load_checkpoint(model, folder, number):
    """Fill the model of every process from the last checkpoint of process 0; returns the number of epochs done."""
    paths = sorted(folder.glob("epoch_[0-9][0-9][0-9][0-9].weights.h5")) if number == 0 else []
    content = np.frombuffer(paths[-1].read_bytes() if paths else b"", np.uint8)
    own = np.int32([int(paths[-1].name[6:10]) if paths else 0, len(content)])
    done, size = multihost_utils.broadcast_one_to_all(own).tolist()
    if done == 0:
        return 0
    content = multihost_utils.broadcast_one_to_all(np.resize(content, size))
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / f"epoch_{done:04}.weights.h5"
        path.write_bytes(content.tobytes())
        try:
            model.load_weights(path)
        except Exception as error:  # h5py and Keras raise nearly anything
            advice = f"delete it in {folder.name}, and training goes on after the epoch before."
            raise DataError(f"The checkpoint {path.name} is damaged or of another network: {advice}") from error
    return done


def save_checkpoint(model, folder, epoch, number):
    """Write weights and the optimizer's averages into one file an epoch, where process 0 is. Raises DataError."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / f"epoch_{epoch:04}.weights.h5"
        model.save_weights(path)  # in all processes, since they exchange what they save
        if number == 0:
            write_whole(folder / path.name, path.read_bytes())


# --- the process that trains, and the one that watches it -------------------------------------------------------------


def work(options, log, joined):
    """Train in a process of its own. What JAX writes about connections goes into the log."""
    threading.Thread(target=leave_with_parent, daemon=True).start()
    os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    code = LOST
    try:
        data = load_images(options.images)
        jax.config.update("jax_enable_preemption_service", False)  # it would keep a polite kill from ending the process
        limits = {"heartbeat_timeout_seconds": SILENCE, "shutdown_timeout_seconds": SILENCE}
        limits |= {"initialization_timeout": options.wait, "coordinator_bind_address": options.first}
        jax.distributed.initialize(options.first, options.processes, options.number, **limits)
        joined.send(True)
        train(*data, options)
        jax.distributed.shutdown()  # waits for the others: the first to leave would end them
        code = 0
    except DataError as error:
        print(error, flush=True)
        code = REFUSED
        jax.distributed.shutdown()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)  # a usual exit would wait for a process that is dead


def leave_with_parent():
    multiprocessing.parent_process().join()
    os._exit(LOST)


def watch(options):
    """Run `work`, which JAX may end from inside at any moment, and say in a sentence what happened; returns a code."""
    options.folder.mkdir(parents=True, exist_ok=True)
    log = options.folder / f"process_{options.number}.log"
    spawn = multiprocessing.get_context("spawn")
    joined, sender = spawn.Pipe(duplex=False)
    process = spawn.Process(target=work, args=(options, log, sender))
    process.start()
    process.join()
    if process.exitcode in (0, REFUSED):
        return process.exitcode
    if joined.poll():
        what = "stops, because another process died or cannot be reached, or because this one was killed or failed"
        advice = "start the same command again on every machine, and training goes on after the last whole epoch"
    else:
        what = f"did not meet the others at {options.first} within {options.wait} s"
        advice = "start all, each with its number, at a free port of the first machine that firewalls let through"
    print(f"Process {options.number} {what} (details: {log}): {advice}.")
    return LOST


def main():
    parser = argparse.ArgumentParser(description="Train the network of notebook 3 in one or several processes.")
    parser.add_argument("--first", metavar="ADDRESS:PORT", help="where process 0 listens, the same for all")
    parser.add_argument("--processes", type=int, default=1, metavar="N", help="how many there are, the same for all")
    parser.add_argument("--number", type=int, default=0, metavar="K", help="which one this is: 0, 1, ... N - 1")
    parser.add_argument("--epochs", type=int, default=6 if helpers.QUICK else 15)
    parser.add_argument("--images", type=int, metavar="COUNT", help="train on so few training images, to try it out")
    parser.add_argument("--folder", type=Path, default=Path("build/several"), help="for checkpoints and logs")
    parser.add_argument("--wait", type=int, default=120, metavar="SECONDS", help="for the other processes at the start")
    options = parser.parse_args()
    if bool(options.first) != (options.processes > 1) or not 0 <= options.number < options.processes:
        parser.error("--first, --processes N (2 or more) and --number (0, 1, ... N - 1) go together.")
    if options.images is not None and options.images < BATCH:
        parser.error(f"--images must be at least {BATCH}, the images of one batch.")
    try:
        if options.processes > 1:
            sys.exit(watch(options))
        train(*load_images(options.images), options)
    except (DataError, OSError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
