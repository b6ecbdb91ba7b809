"""Training in several processes on 127.0.0.1. It needs JAX: `make test-machines` runs it, `make test` does not."""

import os
import re
import signal
import socket
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest
import train_on_several as script
from conftest import PROJECT, check_sentence

from data import sources

EPOCHS = 12
TOO_LONG = 900  # seconds: no process may take longer, however busy the computer is
SETTINGS = {"PNEUMONIA_DATA": "phantoms", "JAX_PLATFORMS": "cpu", "SEED": "0", "QUICK": "0"}
EPOCH = r"^epoch (\d+)/12: accuracy [\d.]+, loss ([\d.]+)(?:, validation accuracy [\d.]+, validation loss ([\d.]+))?$"


def start(folder, *words, **settings):
    """The script on 64 images as a process that can be killed with all that it started."""
    command = [sys.executable, "tools/train_on_several.py", "--images", "64", "--folder", str(folder)]
    return subprocess.Popen(
        [*command, "--epochs", str(EPOCHS), *words],
        cwd=PROJECT,
        env=os.environ | SETTINGS | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


@pytest.fixture
def start_two():
    """A function that starts processes 0 and 1; what is left of them is killed after the test."""
    started = []

    def start_both(folder, *words, second=()):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            both = ["--first", f"127.0.0.1:{free.getsockname()[1]}", "--processes", "2", *words]
        started.append(start(folder, *both, "--number", "0"))
        started.append(start(folder, *both, "--number", "1", *second))
        return started[-2:]

    yield start_both
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def printed(process):
    """All that a process still prints until its end."""
    return process.communicate(timeout=TOO_LONG)[0]


def read_epochs(text):
    """{epoch: [loss, validation loss]}; processes other than 0 print no validation loss."""
    found = re.findall(EPOCH, text, flags=re.MULTILINE)
    return {int(number): [float(loss) for loss in losses if loss] for number, *losses in found}


def same_losses(epochs, expected):
    """Each epoch has the losses that it should. Rounding alone differs: the processes add in another order."""
    return all(losses == pytest.approx(expected[epoch][: len(losses)], abs=1e-4) for epoch, losses in epochs.items())


def weights_after(epoch, folder):
    arrays = {}
    with h5py.File(folder / "phantoms_0_64_images" / f"epoch_{epoch:04}.weights.h5") as file:
        file.visititems(lambda name, item: arrays.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return arrays


def same_training(folder, other):
    """Weights, the optimizer's averages and the state of dropout are those of another training.

    After eight steps, since rounding grows: RMSprop divides by the size of the gradients, which may be tiny.
    """
    ours, theirs = weights_after(4, folder), weights_after(4, other)
    assert set(ours) == set(theirs) and len(ours) == 20
    return all(np.allclose(ours[name], theirs[name], rtol=0, atol=1e-6) for name in ours)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """(folder, epochs) of one process that nothing disturbed: what all others are compared with."""
    folder = tmp_path_factory.mktemp("alone")
    process = start(folder)
    epochs = read_epochs(printed(process))
    assert process.returncode == 0 and list(epochs) == list(range(1, EPOCHS + 1))
    return folder, epochs


# --- the same training ------------------------------------------------------------------------------------------------


def test_two_processes_train_as_one(alone, start_two, tmp_path):
    folder, expected = alone
    first, second = start_two(tmp_path)
    epochs, of_second = read_epochs(printed(first)), read_epochs(printed(second))
    assert first.returncode == second.returncode == 0
    assert list(epochs) == list(of_second) == list(expected)
    assert same_losses(epochs, expected) and same_losses(of_second, expected)
    assert same_training(tmp_path, folder)


def test_two_devices_of_one_machine_train_as_one(alone, tmp_path):
    folder, expected = alone
    process = start(tmp_path, JAX_NUM_CPU_DEVICES="2")
    epochs = read_epochs(printed(process))
    assert process.returncode == 0 and list(epochs) == list(expected)
    assert same_losses(epochs, expected)
    assert same_training(tmp_path, folder)


def test_every_number_of_processes_goes_through_the_same_batches():
    batches = script.share_of(3, 70, 0, 1).reshape(2, 32)
    assert len(set(batches.ravel())) == 64
    for processes in (2, 4, 32):
        shares = [script.share_of(3, 70, number, processes).reshape(2, -1) for number in range(processes)]
        assert np.array_equal(np.hstack(shares), batches)
    assert not np.array_equal(script.share_of(4, 70, 0, 1).reshape(2, 32), batches)


# --- a process dies ---------------------------------------------------------------------------------------------------


def interrupt(both, victim, how):
    """Send a signal to one process and all that it started after the third epoch; what the other one then prints."""
    for line in both[victim].stdout:
        if line.startswith("epoch 3/"):
            break
    os.killpg(both[victim].pid, how)
    begin = time.monotonic()
    text = printed(both[1 - victim])
    return text, time.monotonic() - begin


def check_stop(text, process, number):
    reason = "another process died or cannot be reached, or because of the error in its log"
    assert f"Process {number} stops, because {reason}: start the same command again" in text
    assert process.returncode == script.LOST and "Traceback" not in text


def epochs_done(folder):
    return len(list((folder / "phantoms_0_64_images").glob("epoch_*.weights.h5")))


def check_going_on(text, done, expected):
    epochs = read_epochs(text)
    assert f"going on after epoch {done} of {EPOCHS}\n" in text
    assert list(epochs) == list(range(done + 1, EPOCHS + 1)) and same_losses(epochs, expected)


def kill(both, victim, folder):
    """Kill one process after its third epoch and see the other one stop; returns the number of epochs done."""
    text, seconds = interrupt(both, victim, signal.SIGKILL)
    check_stop(text, both[1 - victim], 1 - victim)
    assert both[victim].wait() == -signal.SIGKILL and seconds < 60
    done = epochs_done(folder)
    assert 2 <= done < EPOCHS
    return done


def test_where_the_second_process_is_killed_both_go_on_from_the_last_checkpoint(alone, start_two, tmp_path):
    expected = alone[1]
    done = kill(start_two(tmp_path), 1, tmp_path)

    both = start_two(tmp_path)
    for process in both:
        check_going_on(printed(process), done, expected)
        assert process.returncode == 0


def test_where_the_first_process_is_killed_another_number_of_processes_may_go_on(alone, start_two, tmp_path):
    expected = alone[1]
    done = kill(start_two(tmp_path), 0, tmp_path)

    process = start(tmp_path)
    check_going_on(printed(process), done, expected)


@pytest.mark.parametrize("victim", [0, 1])
def test_a_process_that_falls_silent_is_given_up(victim, start_two, tmp_path):
    both = start_two(tmp_path)
    text, seconds = interrupt(both, victim, signal.SIGSTOP)
    check_stop(text, both[1 - victim], 1 - victim)
    assert 5 < seconds < script.SILENCE + 60


def test_the_process_that_trains_ends_with_the_one_that_watches_it(start_two, tmp_path):
    both = start_two(tmp_path)
    for line in both[1].stdout:
        if line.startswith("epoch 3/"):
            break
    os.kill(both[1].pid, signal.SIGKILL)  # it alone, not what it started
    check_stop(printed(both[0]), both[0], 0)


# --- the processes do not meet ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "words"),
    [
        ("1", "Process 0 did not answer at 127.0.0.1:{} within 3 s"),
        ("0", "The 2 processes did not meet at 127.0.0.1:{}"),
    ],
)
def test_a_process_that_waits_for_the_others_in_vain_says_so(number, words, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    first = ["--first", f"127.0.0.1:{port}", "--processes", "2", "--wait", "3"]
    process = start(tmp_path, *first, "--number", number)
    text = printed(process)
    assert process.returncode != 0 and "Traceback" not in text
    check_sentence(text.splitlines()[0], tmp_path, words.format(port), "start", "firewall")


@pytest.mark.parametrize("different", [["--epochs", "5"], ["--images", "65"]])
def test_processes_with_different_tasks_refuse(different, start_two, tmp_path):
    both = start_two(tmp_path, second=different)
    for process in both:
        text = printed(process)
        sentence = next(line for line in text.splitlines() if not line.startswith("[Gloo]"))
        check_sentence(sentence, tmp_path, "do not have the same task", "--epochs, --images")
        assert process.returncode == script.REFUSED and read_epochs(text) == {}


def test_the_first_process_needs_a_free_port_of_its_own_machine(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(sources.DataError) as caught:
        script.check_port(f"127.0.0.1:{taken.getsockname()[1]}")
    check_sentence(str(caught.value), tmp_path, "Process 0 cannot listen at 127.0.0.1:", "free")
    with pytest.raises(sources.DataError, match="an address of this machine"):
        script.check_port("192.0.2.1:29500")  # an address for examples, which no machine has


NAMES = {"here": "127.0.1.1", "10.0.0.1": "10.0.0.1", "127.0.0.1": "127.0.0.1"}


def test_a_machine_whose_name_leads_to_itself_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr(socket, "gethostname", lambda: "here")
    monkeypatch.setattr(socket, "gethostbyname", NAMES.get)
    script.check_own_name("127.0.0.1")  # all processes on one machine: then it may
    with pytest.raises(sources.DataError) as caught:
        script.check_own_name("10.0.0.1")
    check_sentence(str(caught.value), tmp_path, "here", "does not lead to an address", "/etc/hosts")
    monkeypatch.setitem(NAMES, "here", "10.0.0.2")
    script.check_own_name("10.0.0.1")
    monkeypatch.setattr(socket, "gethostname", lambda: "a-name-without-an-address.invalid")
    monkeypatch.setattr(socket, "gethostbyname", lambda name: NAMES.get(name) or socket.getaddrinfo(None, None))
    with pytest.raises(sources.DataError, match="a-name-without-an-address"):
        script.check_own_name("10.0.0.1")


FIRST = ["--first", "10.0.0.1:29500"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--processes", "0"], "--processes must be at least 1"),
        (["--number", "1"], "--number must lie between 0 and 0"),
        ([*FIRST, "--processes", "2", "--number", "2"], "--number must lie between 0 and 1"),
        ([*FIRST, "--processes", "2", "--number", "-1"], "--number must lie between 0 and 1"),
        (["--processes", "2"], "--first and --processes (2 or more) go together"),
        (FIRST, "--first and --processes (2 or more) go together"),
        (["--processes", "2", "--first", "10.0.0.1"], "--first must look like 10.0.0.1:29500"),
        (["--processes", "2", "--first", "10.0.0.1:99999"], "--first must look like 10.0.0.1:29500"),
        (["--images", "31"], "--images must be at least 32"),
        (["--epochs", "0"], "must be at least 1"),
        (["--wait", "0"], "must be at least 1"),
        (["--gpus", "2"], "unrecognized arguments"),
    ],
)
def test_wrong_arguments_are_named(words, sentence, capsys):
    with pytest.raises(SystemExit) as caught:
        script.read_arguments(words)
    assert caught.value.code == 2
    assert sentence in capsys.readouterr().err


def test_right_arguments_are_taken():
    options = script.read_arguments([*FIRST, "--processes", "2", "--number", "1"])
    assert (options.first, options.processes, options.number, options.images) == ("10.0.0.1:29500", 2, 1, None)


def test_without_images_there_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setenv("PNEUMONIA_DATA", "nowhere")
    monkeypatch.setattr(sys, "argv", ["train_on_several.py"])
    with pytest.raises(SystemExit, match='PNEUMONIA_DATA is "nowhere"'):
        script.main()


def test_a_folder_that_cannot_be_made_is_named(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("no folder")
    words = [*FIRST, "--processes", "2", "--folder", str(tmp_path / "file" / "inside")]
    monkeypatch.setattr(sys, "argv", ["train_on_several.py", *words])
    with pytest.raises(SystemExit) as caught:
        script.main()
    check_sentence(caught.value.code, tmp_path, "The folder inside cannot be made", "--folder")


def test_a_batch_that_the_devices_cannot_share_is_refused(tmp_path):
    process = start(tmp_path, JAX_NUM_CPU_DEVICES="3")
    check_sentence(printed(process).strip(), tmp_path, "cannot be shared equally by 3 devices")
    assert process.returncode == 1


# --- checkpoints ------------------------------------------------------------------------------------------------------


@pytest.fixture
def saved(tmp_path):
    """A model and a folder that holds two epochs of it."""
    script.keras.utils.set_random_seed(0)
    model = script.build()
    for epoch in (1, 2):
        script.set_state(model, [value + 1 for value in script.get_state(model)])
        script.save_checkpoint(model, tmp_path, epoch)
    return model, tmp_path


def test_a_checkpoint_holds_all_that_training_changes(saved):
    model, folder = saved
    other = script.build()
    assert script.load_checkpoint(other, folder) == 2
    for ours, theirs in zip(script.get_state(model), script.get_state(other), strict=True):
        assert np.array_equal(ours, theirs)


def test_without_a_checkpoint_training_starts_at_its_beginning(tmp_path):
    assert script.load_checkpoint(None, tmp_path / "new") == 0


def test_a_checkpoint_that_cannot_be_written_leaves_the_older_ones(saved, monkeypatch):
    model, folder = saved

    def fill_the_disk(path):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(model, "save_weights", fill_the_disk)
    with pytest.raises(sources.DataError) as caught:
        script.save_checkpoint(model, folder, 3)
    check_sentence(str(caught.value), folder, "epoch 3", "No space left on device")
    assert script.load_checkpoint(script.build(), folder) == 2


def test_a_damaged_checkpoint_is_named(saved):
    _, folder = saved
    last = folder / "epoch_0002.weights.h5"
    last.write_bytes(last.read_bytes()[:5000])
    with pytest.raises(sources.DataError) as caught:
        script.load_checkpoint(script.build(), folder)
    check_sentence(str(caught.value), folder, "epoch_0002.weights.h5", "delete it")
    last.unlink()
    assert script.load_checkpoint(script.build(), folder) == 1
